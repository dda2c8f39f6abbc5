"""The configuration's rules on one night: what is known of its people and contents that rules can ask for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models import rules
from models.rules import Facts, Field, Rules
from pipeline import rule_settings
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.log import last_known

DEFAULT_FACTORS = {"boost": 1.5, "bury": 0.5}
CRM = "crm."
"""Before the name of an attribute, so that no CRM's word is taken for one of ours."""

_LAST_SEEN = ("country", "device", "channel")


def of_people(found: NightFeatures, segment: NDArray[Any], config: Config) -> Rules:
    """The rules that count tonight, for the night's people, of whom `segment` (P,) says what they are."""
    if not config.rules:
        return rules.NONE
    return Rules.of(declared(config), found.night.as_of, people(found, segment), contents(found))


def of_groups(found: NightFeatures, names: NDArray[Any], config: Config) -> Rules:
    """The same for the lists of whole segments: of a group no more is known than its name."""
    if not config.rules:
        return rules.NONE
    groups = Facts(len(names), {"segment": Field.of(names.tolist())})
    return Rules.of(declared(config), found.night.as_of, groups, contents(found))


def declared(config: Config) -> list[rules.Rule]:
    """The configuration's rules as the ranking understands them."""
    return [_declared(rule, config) for rule in config.rules]


def _declared(rule: rule_settings.Rule, config: Config) -> rules.Rule:
    people = {name: getattr(rule.when, name) for name in ("segment", *_LAST_SEEN)}
    people |= {f"{CRM}{name}": values for name, values in rule.when.crm.items()}
    content = rule.content.model_dump(exclude={"min_age_days", "max_age_days"})
    return rules.Rule(
        name=rule.name,
        action=rule.action,
        people={name: values for name, values in people.items() if values},
        content={name: tuple(values) for name, values in content.items() if values},
        factor=rule.factor or DEFAULT_FACTORS.get(rule.action, 1.0),
        place=rule.place,
        count=rule.count,
        priority=rule.priority,
        since=_instant(rule.since, config, timedelta(0)),
        until=_instant(rule.until, config, timedelta(days=1)),
        max_age_days=rule.content.max_age_days,
        min_age_days=rule.content.min_age_days,
    )


def _instant(found: date | datetime | None, config: Config, after: timedelta) -> datetime | None:
    """A day begins and ends at the project's midnight."""
    if found is None or isinstance(found, datetime):
        return found if found is None or found.tzinfo else found.replace(tzinfo=config.project.zone)
    midnight = datetime.combine(found + after, datetime.min.time())
    return midnight.replace(tzinfo=config.project.zone)


def people(found: NightFeatures, segment: NDArray[Any]) -> Facts:
    """The night's people: their segment, where and how they were seen last, and what the CRM says of them."""
    ids = found.history.people
    fields = {"segment": Field.of(segment.tolist())}
    fields |= {name: last_seen(found.night.log, name, ids) for name in _LAST_SEEN}
    said = found.crm(ids)
    for name in pc.unique(said["attribute"]).to_pylist():
        rows = said.filter(pc.equal(said["attribute"], name))
        at = np.searchsorted(ids, np.asarray(rows["person_id"].combine_chunks()))
        fields[f"{CRM}{name}"] = Field(at, np.array(rows["value"].to_pylist(), object))
    return Facts(len(ids), fields)


def last_seen(log: pa.Table, name: str, ids: NDArray[np.int64]) -> Field:
    """Each person's last known value; the log is in the order of time."""
    last = last_known(log, name)
    at = np.searchsorted(ids, np.asarray(last["person_id"].combine_chunks()))
    return Field(at, np.array(last[name].to_pylist(), object))


def contents(found: NightFeatures) -> Facts:
    """The night's contents, as the catalogue has them."""
    ids = found.history.catalogue.ids
    rows = found.night.content
    at = np.asarray(pc.index_in(rows["content_id"].combine_chunks(), value_set=ids)).astype(np.int64)
    fields = {"content_id": Field.of(ids.to_pylist())}
    columns = {"category": "category", "tag": "tags", "author": "author", "format": "format", "language": "language"}
    fields |= {name: _placed(rows[column], at) for name, column in columns.items()}
    age = np.asarray(found.contents["age_days"].combine_chunks(), np.float64)
    return Facts(len(ids), fields, age)


def _placed(column: Any, at: NDArray[np.int64]) -> Field:
    values = Field.of(column.to_pylist())
    return Field(at[values.at], values.value)


def misses(rule: rules.Rule, whose: Facts, what: Facts) -> Sequence[str]:
    """Values of a rule that nobody and nothing has, each with the nearest that there is."""
    found = []
    for facts, conditions in ((whose, rule.people), (what, rule.content)):
        for name, wanted in conditions.items():
            for value in wanted:
                if not facts.meet({name: (value,)}).any():
                    close = facts.nearest(name, value)
                    found.append(f"{name} {value!r} is nowhere" + (f"; did you mean {close!r}?" if close else ""))
    return found
