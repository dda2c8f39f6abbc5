"""Made-up shards for the tests of the person kernel: awkward rows, several nights, and the oracle's answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from features.history import DAY, KINDS, GoalRule
from features.kernel import kernel
from features.measures import CHANNELS, HALF_LIVES, Btyd, Count, Days, Decayed, Measured, Session, Share, Since, Total
from features.rows import SHARD
from features.spec import Feature, Spec, features
from features.sql import query
from tests.features.logs import CATEGORY, CONTENTS, MINUTE, PEOPLE, SECOND

AS_OF = datetime(2026, 3, 30, tzinfo=UTC)
"""A midnight in UTC, and two in the morning in Berlin, whose clocks went forward the day before."""

HOUR = 60 * MINUTE

GOALS = {"click": GoalRule(("click",)), "read": GoalRule(("like", "save", "share", "comment"), 30.0)}
CATEGORY_OF = {content: category for content, category in CATEGORY.items() if category}

NEVER_ASKED_BY_DEFAULT = (
    *(Since(of) for of in ("session", "refund", "any")),
    *(Decayed(of, half_life) for of, half_life in product(("session", "money", "goal:read"), HALF_LIVES)),
    *(
        Share(*of, days)
        for of, days in product([("goal:read", "view"), ("session", "any"), ("social", "active")], (1, 14))
    ),
    *(Days(of, days) for of, days in product(("purchase", "any", "session"), (1, 2, 14))),
    *(Total(of, "dwell_seconds", days) for of, days in product(("goal:read", "session", "refund"), (2, 90))),
    *(Total(of, "value", days) for of, days in product(("purchase", "mobile"), (1, 14))),
    *(Count(of, days) for of, days in product((*KINDS, "money", "mobile", "social", "any"), (2, 14))),
    *(Session(what) for what in ("entry:web", "hour:00_04", "weekday:sunday")),
    *(Session(what, "1h") for what in ("minutes", "depth", "mix:purchase", "category:b", "entry:email", "hour:04_08")),
)
"""Measures that the house's own features do not use, or not like this."""


def spec_of(measures: Iterable[Measured] = (), timezone: str = "UTC") -> Spec:
    """The house's features of a person and further measures, named by what they are."""
    categories = ("a", "b", "d")  # c has no place of its own
    listed = [one for one in features(GOALS, categories) if one.group == "person"]
    further = [Feature(repr(measure), "person", "any", "any", measure) for measure in measures]
    return Spec(GOALS, CATEGORY_OF, categories, timezone=timezone, features=(*listed, *further))


EVERYTHING = spec_of(NEVER_ASKED_BY_DEFAULT, "Europe/Berlin")
UTC_ONLY = spec_of()


class Event(NamedTuple):
    """One row of a shard; `age` is how long before AS_OF it happened, in microseconds, negative for later."""

    person: int = 1
    age: int = DAY
    event: str = "view"
    content: str | None = "c0"
    dwell: float | None = None
    value: float | None = None
    device: str | None = None
    channel: str | None = None
    late: int | None = None
    """How much later than it happened it became known."""
    until: int | None = None
    """How old it was when it turned out to be somebody else's."""

    @property
    def ts(self) -> datetime:
        """When it happened."""
        return AS_OF - timedelta(microseconds=self.age)

    def row(self) -> dict[str, Any]:
        """As a shard has it."""
        return {
            "person_id": self.person,
            "ts": self.ts,
            "known_at": None if self.late is None else self.ts + timedelta(microseconds=self.late),
            "known_until": None if self.until is None else self.ts + timedelta(microseconds=self.until),
            "event": self.event,
            "content_id": self.content,
            "dwell_seconds": self.dwell,
            "value": self.value,
            "device": self.device,
            "channel": self.channel,
        }

    def is_known(self, night: datetime) -> bool:
        """Whether a snapshot of that night may look at it."""
        known = self.ts + timedelta(microseconds=max(self.late or 0, 0))
        return known < night and (self.until is None or night <= self.ts + timedelta(microseconds=self.until))


def shard_of(rows: Sequence[Event], order: int = 0) -> pa.Table:
    """The rows sorted by person and time; those that tie come in another order for another `order`."""
    shuffled = [rows[at] for at in np.random.default_rng(order).permutation(len(rows))] if order else rows
    placed = sorted(shuffled, key=lambda row: (row.person, -row.age))
    return pa.Table.from_pylist([row.row() for row in placed], schema=SHARD)


def night(days: float = 0, microseconds: int = 0) -> datetime:
    """An instant so long after AS_OF."""
    return AS_OF + timedelta(days=days, microseconds=microseconds)


def one(rows: Sequence[Event], at: datetime = AS_OF) -> dict[str, float]:
    """Everything about the first person, on one night."""
    return dict(kernel(shard_of(rows), [at], EVERYTHING).to_pylist()[0])


# ---------------------------------------------------------------- what hypothesis makes up


def ages() -> st.SearchStrategy[int]:
    """Around midnights, window edges, clock changes and half hours, to the second and to the microsecond."""
    return st.builds(
        lambda days, halves, nudge: days * DAY + halves * 30 * MINUTE + nudge,
        st.sampled_from([0, 0, 0, 1, 1, 2, 7, 14, 30, 90, 155, 364, 365, 500, -1, -2]),
        st.integers(0, 3),
        st.sampled_from([0, 0, 1, -1, SECOND, -SECOND, 20 * MINUTE]),
    )


def rows(people: Sequence[int] = PEOPLE, *, settled: bool = False) -> st.SearchStrategy[Event]:
    """Any row; `settled` ones are known as they happen and change hands never."""
    never = st.none()
    return st.builds(
        Event,
        person=st.sampled_from(people),
        age=ages(),
        event=st.sampled_from((*KINDS[:-1], "impression", "view", "view", "custom:a")),
        content=st.sampled_from((*CONTENTS, None)),
        dwell=st.sampled_from([None, None, 0.0, 12.3456, 29.9994, 29.9996, 120.5]),
        value=st.sampled_from([None, 0.0, 9.99, 0.0000005, -5.1]),
        device=st.sampled_from([None, "mobile", "desktop"]),
        channel=st.sampled_from([None, "web", "email", "fax"]),
        late=never if settled else st.sampled_from([None] * 6 + [-MINUTE, 0, 1, DAY, 3 * DAY, 40 * DAY]),
        until=never if settled else st.sampled_from([None] * 12 + [-1, DAY, 2 * DAY, 30 * DAY]),
    )


def logs(max_size: int = 20, *, settled: bool = False) -> st.SearchStrategy[list[Event]]:
    """Rows in no order, some of them twice."""
    return st.lists(rows(settled=settled), max_size=max_size).map(lambda found: found + found[: len(found) // 5])


def some_nights() -> st.SearchStrategy[list[datetime]]:
    """One to four instants: midnights, noons, and a microsecond after."""
    one = st.builds(night, st.sampled_from([-30, -1, 0, 0.5, 1, 2, 7, 40, 300]), st.sampled_from([0, 0, 1]))
    return st.lists(one, min_size=1, max_size=4, unique=True)


def many_rows(people: int = 300, rows_each: int = 40, seed: int = 5) -> list[Event]:
    """A big log of the same kind, of whom one in three is settled: hypothesis is too slow to make it up."""
    rng = np.random.default_rng(seed)

    def one_of(*options: Any) -> Any:
        return options[rng.integers(len(options))]

    def row(person: int) -> Event:
        day = one_of(0, 0, 1, 2, 6, 7, 13, 14, 29, 30, 89, 90, 155, 364, 365, 400, -1, -2, int(rng.integers(0, 366)))
        return Event(
            person=person,
            age=day * DAY + int(rng.integers(0, 6)) * 15 * MINUTE + one_of(0, 0, 1, -1, SECOND, -SECOND),
            event=one_of(*KINDS[:-1], "impression", "view", "view", "custom:a", "purchase", "refund"),
            content=one_of(*CONTENTS, None),
            dwell=one_of(None, 0.0, 12.3456, 29.9996, 120.5),
            value=one_of(None, 0.0, 9.99, 0.0000005, 17.123456789, -5.1),
            device=one_of(None, "mobile", "desktop"),
            channel=one_of(None, *CHANNELS, "fax"),
            late=None if person % 3 == 0 else one_of(None, None, None, -MINUTE, 0, 1, DAY, 40 * DAY),
            until=None if person % 3 else one_of(*[None] * 20, DAY, 30 * DAY) if person % 2 else None,
        )

    return [row(person) for person in range(people) for _ in range(int(rng.integers(1, rows_each)))]


# ---------------------------------------------------------------- the oracle, and how to compare with it


def oracle(shard: pa.Table, nights: Sequence[datetime], spec: Spec) -> pa.Table:
    """What DuckDB makes of the same spec."""
    with duckdb.connect() as db:
        db.execute("SET threads = 1; SET TimeZone = 'America/New_York'")  # the answer may not hang on where it is asked
        db.register("shard", shard)
        return db.sql(query(spec, nights)).to_arrow_table()


def assert_same(found: pa.Table, expected: pa.Table, spec: Spec) -> None:
    """The same people and nights; whole numbers and ages equal, decays and means equal to 1e-9."""
    assert found.column_names == expected.column_names == ["person_id", "night", *spec.names]
    for key in ("person_id", "night"):
        assert found[key].cast(pa.int64()).to_pylist() == expected[key].cast(pa.int64()).to_pylist()
    for name, measure in zip(spec.names, spec.measures, strict=True):
        ours, theirs = (table[name].fill_null(np.nan).to_numpy() for table in (found, expected))
        if _is_exact(measure):
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
        else:
            # What halved 400 times is nothing: the kernel lets go of it some time, as its docstring says.
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-120, err_msg=name)


def _is_exact(measure: Measured) -> bool:
    if isinstance(measure, Session):
        return measure.half_life is None
    return not isinstance(measure, Decayed) and measure != Btyd("monetary")
