"""What the models were told about one person on one night, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Column, Table

from features import definitions, spec, words
from features.spec import Feature
from pipeline import suppress, who
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.report import Report
from pipeline.reports.page import DASH
from pipeline.who import Asked, Kind

_PEOPLE, _AFFINITIES = "person_features", "person_affinities"
_CATEGORY = "last_session_category_"
_UNKNOWN = "Not in the list of features"
_AFFINITY = "affinity_"
_MOST = 12
"""Tastes on a terminal; JSON has all of them."""


@dataclass(frozen=True)
class ExplainReport(Report):
    """One person's features on a night.

    `topics` maps what they are about to features, in order: `name`, `unit`, `value` (null where missing) and `words`.
    `affinities` are the categories, tags, authors, formats and channels that somebody did something in, the dearest
    first: `kind`, `name`, `words` and the columns of the lake's table. `person` is a pseudonym, shortened; `also`: what
    else the id is, of somebody else.
    """

    as_of: str
    person: str
    asked_id_type: str
    also: tuple[str, ...]
    topics: Mapping[str, Sequence[Mapping[str, Any]]]
    affinities: Sequence[Mapping[str, Any]]
    absent: tuple[str, ...]
    """Features of people that this night was written without."""


def run(person: str, as_of: datetime, config: Config, kind: Kind | None = None) -> ExplainReport:
    """The features of whom `person`, a native id or an e-mail address, belongs to.

    Args:
        kind: What `person` is; otherwise whichever the lake knows, as `shortlist identity` does.

    Raises:
        ShortlistError: The night has no features, the lake knows nobody by this id, they object or were forgotten, or
            nothing was known of them that night. No message repeats the id.
    """
    lake = Lake.of(config)
    _require_night(lake, as_of)
    asked = who.resolved(person, as_of, config, kind)
    _require_consent(asked, lake)
    row = lake.read_night(_PEOPLE, as_of, asked.person)
    if not row.num_rows:
        raise ShortlistError(_nothing_known(asked, lake))
    topics, absent = _topics(row, config)
    return ExplainReport(
        as_of=as_of.isoformat(),
        person=who.short(asked.person),
        asked_id_type=asked.kind,
        also=asked.also,
        topics=topics,
        affinities=_affinities(lake, as_of, asked.person),
        absent=absent,
    )


def latest(as_of: datetime, config: Config) -> datetime:
    """The newest night up to `as_of` whose features are in the lake; `as_of` where there is none."""
    return max((night for night in Lake.of(config).nights(_PEOPLE) if night <= as_of), default=as_of)


# ---------------------------------------------------------------- who is not explained


def _require_night(lake: Lake, as_of: datetime) -> None:
    nights = lake.nights(_PEOPLE)
    if as_of not in nights:
        found = f"{len(nights)} nights, the newest {nights[-1].isoformat()}" if nights else "no night at all"
        raise ShortlistError(
            f"{lake.path(_PEOPLE)} has no features of the night {as_of.isoformat()} (found: {found}). "
            f"Run `shortlist features --as-of {as_of.isoformat()}`, or give --as-of a night that is there."
        )


def _require_consent(asked: Asked, lake: Lake) -> None:
    view = asked.view
    if asked.person in suppress.forgotten(lake).to_pylist():
        raise ShortlistError(
            f"{_called(asked)} was forgotten with `shortlist forget`: {lake.root} holds nothing of them but the wish "
            "to be left alone, so there is nothing to explain."
        )
    objecting = suppress.ids(
        lake.read("suppressions"), lake.days("customers"), view.people, view.as_of, view.config
    ).to_pylist()
    if asked.person in objecting:
        raise ShortlistError(
            f"{_called(asked)} objects to being personalized, so nothing is worked out about them. "
            "`shortlist identity` says who said so, where and when."
        )


def _nothing_known(asked: Asked, lake: Lake) -> str:
    days = asked.view.config.training.history_days
    return (
        f"{lake.path(_PEOPLE)} has no row for {_called(asked)} on the night {asked.view.as_of.isoformat()}: nothing "
        f"was known of what they did in the {days} days before, or they may not be personalized. "
        "`shortlist identity` says what the lake holds of them and what consent there is; if that is newer, build the "
        "night again with `shortlist features`."
    )


def _called(asked: Asked) -> str:
    return f"the person of this {asked.kind} id [{who.short(asked.person)}]"


# ---------------------------------------------------------------- what there is to say


def _topics(row: pa.Table, config: Config) -> tuple[dict[str, list[dict[str, Any]]], tuple[str, ...]]:
    """The row's values by topic, and the features that it lacks."""
    categories = [name.removeprefix(_CATEGORY) for name in row.column_names if name.startswith(_CATEGORY)]
    known = {f.name: f for f in spec.features(config.goals, categories) if f.group == "person"}
    found: dict[str, list[dict[str, Any]]] = {topic: [] for topic in (*definitions.TOPICS, _UNKNOWN)}
    named = [name for name in known if name in row.column_names]
    others = [name for name in row.column_names if name not in known and name != "person_id"]
    for name in (*named, *others):
        feature = known.get(name)
        found[definitions.topic(feature) if feature else _UNKNOWN].append(_told(name, feature, _value(row[name][0])))
    absent = tuple(name for name in known if name not in row.column_names)
    return {topic: values for topic, values in found.items() if values}, absent


def _told(name: str, feature: Feature | None, value: Any) -> dict[str, Any]:
    if feature is None:
        return {"name": name, "unit": "", "value": value, "words": "not known" if value is None else str(value)}
    return {"name": name, "unit": feature.unit, "value": value, "words": words.in_words(feature, value)}


def _value(cell: pa.Scalar) -> Any:
    """JSON has no NaN: it is null there, and missing in words."""
    value = cell.as_py()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _affinities(lake: Lake, as_of: datetime, person: int) -> list[dict[str, Any]]:
    """By the affinity with the longest memory, which is the last of the columns."""
    if as_of not in lake.nights(_AFFINITIES):
        return []
    rows = lake.read_night(_AFFINITIES, as_of, person).drop_columns(["person_id"])
    longest = [name for name in rows.column_names if name.startswith(_AFFINITY)][-1]
    rows = rows.sort_by([(longest, "descending"), ("kind", "ascending"), ("name", "ascending")])
    return [{**cells, "words": _in_words(cells)} for cells in map(_cells, rows.to_pylist())]


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(pa.scalar(value)) for name, value in row.items()}


def _in_words(row: Mapping[str, Any]) -> str:
    """The affinities that there are, as per cent."""
    shares = [
        f"{100 * value:.0f} % ({name.removeprefix(_AFFINITY)})"
        for name, value in row.items()
        if isinstance(value, float)
    ]
    return f"{', '.join(shares)} of what was done, by half-life"


# ---------------------------------------------------------------- for people


def draw(report: ExplainReport, out: Console) -> None:
    """The person on a terminal: a table a topic."""
    out.print(who.plain(f"the person of this {report.asked_id_type} id [{report.person}]"), style="bold", end="")
    out.print(f", as known before {report.as_of}")
    for kind in report.also:
        out.print(f"The same text is also a {kind} id of somebody else: --id-type {kind}")
    for topic, values in report.topics.items():
        table = Table("feature", Column("value", justify="right"), Column("in words", overflow="fold"))
        table.title, table.title_justify = topic, "left"
        for value in values:
            if _is_nothing(value):
                continue
            table.add_row(who.plain(value["name"]), _short(value["value"]), who.plain(value["words"]))
        if table.row_count:
            out.print(table)
    if nothing := sum(_is_nothing(value) for values in report.topics.values() for value in values):
        out.print(f"and {nothing} shares that are 0: --json has all")
    _draw_affinities(report.affinities, out)
    if report.absent:
        out.print(f"This night was written without {len(report.absent)} features: {', '.join(report.absent)}")


def _is_nothing(told: Mapping[str, Any]) -> bool:
    """A share of 0: there is one for each category, hour and channel that the person never came near."""
    return bool(told["unit"] == "share" and told["value"] == 0)


def _draw_affinities(rows: Sequence[Mapping[str, Any]], out: Console) -> None:
    table = Table("kind", "name", Column("in words", overflow="fold"), title="Tastes", title_justify="left")
    for row in rows[:_MOST]:
        table.add_row(row["kind"], who.plain(str(row["name"])), who.plain(row["words"]))
    if rows:
        out.print(table)
    if len(rows) > _MOST:
        out.print(f"and {len(rows) - _MOST:,} tastes more: --json has all")


def _short(value: Any) -> str:
    if value is None:
        return DASH
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
