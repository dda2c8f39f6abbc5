"""People measured on the nights that somebody asks for: by which engine, how many nights in one pass, from where on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from features.history import GoalRule
from features.kernel import kernel
from features.spec import Spec
from pipeline import persons, scratch, since, spark
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.orders import Orders
from pipeline.persons import SLACK
from pipeline.timeline import Timeline

ByNight = dict[datetime, pa.Table]
"""What `features.kernel.kernel` says of everybody, a table a night."""

_CATEGORIES = 24
"""Places in a session's vector of categories."""

_REMEMBERED = 400_000_000
"""Bytes of measured nights that are kept until they are asked for."""


class Measurements:
    """Each night's people, measured when they are asked for; where the next nights are planned, along with those."""

    def __init__(self, config: Config, measure: Callable[[Sequence[datetime], Spec], ByNight], people: int) -> None:
        """`people`: how many there are about, which says how many nights fit into memory."""
        self._config, self._measure, self._people = config, measure, people
        self._planned: list[datetime] = []
        self._kept: ByNight = {}

    def plan(self, nights: Sequence[datetime]) -> None:
        """These nights will be asked for, one after the other."""
        self._planned = [*nights]
        self._kept.clear()

    def of(self, as_of: datetime, content: pa.Table) -> pa.Table:
        """The night's people. Asked for alone, with a session's vector over the categories of `content`."""
        if as_of not in self._kept:
            ahead = self._planned[self._planned.index(as_of) :] if as_of in self._planned else [as_of]
            nights = ahead[: self._at_once]
            spec = person_spec(self._config) if len(nights) > 1 else wide_spec(self._config, content)
            self._kept.update(self._measure(nights, spec))
        return self._kept.pop(as_of)

    @property
    def _at_once(self) -> int:
        """Nights whose people fit into the memory that is for them."""
        return max(1, int(_REMEMBERED / (8 * len(person_spec(self._config).names) * max(self._people, 1))))


def in_tables(
    events: pa.Table,
    transactions: pa.Table,
    identities: pa.Table,
    nights: Sequence[datetime],
    spec: Spec,
    config: Config,
) -> ByNight:
    """Of everybody in some tables of the lake."""
    timeline = Timeline.of(nights, identities, Orders.of(transactions), config)
    return _by_night(kernel(timeline.rows(events, transactions), nights, spec), nights)


def in_lake(
    lake: Lake,
    nights: Sequence[datetime],
    spec: Spec,
    config: Config,
    on_slice: Callable[[int, int], None] | None = None,
) -> ByNight:
    """Of everybody in the lake, by the engine of the configuration; a single night from a checkpoint on."""
    engine = config.engine
    with scratch.folder_in(lake.scratch) as folder:
        if engine.kind == "spark":
            found = spark.measured(persons.Log.of(lake, nights, config), nights, spec, folder, engine)
        elif len(nights) == 1:
            found = since.measured(lake, nights[0], spec, config, folder, on_slice)
        else:
            log = persons.Log.of(lake, nights, config)
            found = persons.measured(log, nights, spec, folder, engine.workers, on_slice)
        return _by_night(found, nights)


def person_spec(config: Config, categories: Sequence[str] = (), category_of: Mapping[str, str] | None = None) -> Spec:
    """What is measured of people: without `categories`, what models read."""
    return Spec(
        goals={name: GoalRule(goal.events, goal.min_dwell_seconds) for name, goal in config.goals.items()},
        category_of=category_of or {},
        categories=tuple(categories),
        timezone=config.project.timezone,
        history_days=config.training.history_days + SLACK.days,
    )


def wide_spec(config: Config, content: pa.Table) -> Spec:
    """What models read, and a session's vector over the largest categories of the catalogue."""
    known = content.filter(pc.is_valid(content["category"]))
    counts = known["category"].value_counts().to_pylist()
    largest = sorted(counts, key=lambda one: (-one["counts"], one["values"]))[:_CATEGORIES]
    category_of = dict(zip(known["content_id"].to_pylist(), known["category"].to_pylist(), strict=True))
    return person_spec(config, sorted(one["values"] for one in largest), category_of)


def _by_night(measured: pa.Table, nights: Sequence[datetime]) -> ByNight:
    """Each night's rows, in memory."""
    return {
        night: measured.filter(pc.equal(measured["night"], pa.scalar(night, schemas.TIMESTAMP))).drop_columns("night")
        for night in nights
    }
