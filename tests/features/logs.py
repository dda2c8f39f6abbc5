"""Made-up logs for the tests of features: a fixed catalogue, awkward events, and tables from plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import strategies as st

from expectations import schemas
from features.history import DAY, KINDS, GoalRule, History

AS_OF = datetime(2026, 3, 10, tzinfo=UTC)
NOW = int(AS_OF.timestamp()) * 1_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND

GOALS = {"click": GoalRule(("click",)), "read": GoalRule(("like", "save", "share", "comment"), 30.0)}

LOG = pa.schema(
    [
        ("person_id", pa.int64()),
        ("ts", schemas.TIMESTAMP),
        ("content_id", pa.string()),
        ("event", pa.string()),
        ("dwell_seconds", pa.float64()),
        ("value", pa.float64()),
        ("device", pa.string()),
    ]
)


POPULARITY = pa.schema(
    [("content_id", pa.string()), ("event", pa.string()), ("ts", schemas.TIMESTAMP), ("count", pa.float64())]
)


class Row(NamedTuple):
    """One row of a log; `age` is how long before the night it happened, in microseconds."""

    person: int = 1
    age: int = DAY
    content: str = "c0"
    event: str = "view"
    dwell: float | None = None
    value: float | None = None
    device: str | None = None

    @property
    def active(self) -> bool:
        """Whether the person did something."""
        return self.event not in {"impression", "refund"}

    @property
    def kind(self) -> str:
        """The event, or `other`."""
        return self.event if self.event in KINDS else "other"

    @property
    def strength(self) -> float:
        """How much it says about taste, said a second time."""
        weights = {"view": 1, "click": 1, "follow": 2, "purchase": 5, "other": 1}
        weights |= dict.fromkeys(("like", "save", "share", "comment"), 3)
        return weights.get(self.kind, 0) + (2 if (self.dwell or 0) >= 30 else 0)

    def reaches(self, goal: str) -> bool:
        """Whether it reaches one of GOALS."""
        if goal == "click":
            return self.event == "click"
        return self.event in {"like", "save", "share", "comment"} or (self.event == "view" and (self.dwell or 0) >= 30)


CATALOGUE: tuple[Mapping[str, Any], ...] = (
    {
        "content_id": "c0",
        "format": "text",
        "category": "a",
        "author": "ann",
        "tags": ["x", "y"],
        "published": 20 * DAY,
        "quality": 0.5,
    },
    {
        "content_id": "c1",
        "format": "video",
        "category": "b",
        "author": "ann",
        "tags": ["x"],
        "published": DAY // 2,
        "quality": None,
    },
    {"content_id": "c2", "category": "a", "author": "bob", "tags": [], "published": 3 * DAY, "status": "draft"},
    {"content_id": "c3", "category": None, "author": None, "tags": None, "published": None},
    {
        "content_id": "c4",
        "format": "text",
        "category": "c",
        "author": "bob",
        "tags": ["z", None],
        "published": 40 * DAY,
        "expires": 0,
    },
    {"content_id": "c5", "category": "b", "author": "cy", "tags": ["y"], "published": -2 * DAY},
    {"content_id": "c6", "category": "d", "author": "cy", "tags": ["z"], "published": 9 * DAY, "expires": -DAY},
)
"""Times are ages: negative is after the night."""

FORMAT = {"c0": "text", "c1": "video", "c4": "text", "c5": "video"}
CATEGORY = {str(one["content_id"]): one["category"] for one in CATALOGUE}
CONTENTS = ("c0", "c1", "c2", "c3", "c4", "c5", "unknown")
PEOPLE = (-7, 1, 2, 10**17)


def content_of(rows: Sequence[Mapping[str, Any]] = CATALOGUE) -> pa.Table:
    """A catalogue's table."""
    return pa.Table.from_pylist(
        [
            {
                "status": "published",
                "format": FORMAT.get(row["content_id"]),
                **row,
                "published_at": _instant(row.get("published")),
                "expires_at": _instant(row.get("expires")),
            }
            for row in rows
        ],
        schema=schemas.NATIVE["content"].schema,
    )


def log_of(rows: Sequence[Row]) -> pa.Table:
    """A log's table."""
    return pa.table(
        {
            "person_id": [row.person for row in rows],
            "ts": [_instant(row.age) for row in rows],
            "content_id": [row.content for row in rows],
            "event": [row.event for row in rows],
            "dwell_seconds": [row.dwell for row in rows],
            "value": [row.value for row in rows],
            "device": [row.device for row in rows],
        },
        schema=LOG,
    )


class Count(NamedTuple):
    """One row of what nobody in particular did, `age` microseconds before the night."""

    age: int = DAY
    content: str = "c0"
    event: str = "view"
    count: float = 1.0


def popularity_of(counts: Sequence[Count] = ()) -> pa.Table:
    """Counts of nobody in particular as a table."""
    return pa.table(
        {
            "content_id": [one.content for one in counts],
            "event": [one.event for one in counts],
            "ts": [_instant(one.age) for one in counts],
            "count": [one.count for one in counts],
        },
        schema=POPULARITY,
    )


def history_of(
    rows: Sequence[Row], content: Sequence[Mapping[str, Any]] = CATALOGUE, crowd: Sequence[Count] = ()
) -> History:
    """The history of a log, and of what nobody in particular did, on AS_OF."""
    return History.of(log_of(rows), content_of(content), popularity_of(crowd), AS_OF, GOALS)


def ages() -> st.SearchStrategy[int]:
    """Ages on, just before and just after midnights, window edges and half hours: ties and gaps of 30:00 are common."""
    return st.builds(
        lambda days, halves, nudge: max(1, days * DAY + halves * 30 * MINUTE + nudge),
        st.sampled_from([0, 0, 1, 2, 7, 30, 90, 365]),
        st.integers(0, 3),
        st.sampled_from([0, 0, 1, -1, SECOND, -SECOND, 20 * MINUTE]),
    )


def rows() -> st.SearchStrategy[Row]:
    """Any row of a log: unknown content, custom events, and values that may be missing, zero or negative."""
    events = (*(kind for kind in KINDS if kind != "other"), "impression", "view", "custom:a", "custom:b")
    return st.builds(
        Row,
        person=st.sampled_from(PEOPLE),
        age=ages(),
        content=st.sampled_from(CONTENTS),
        event=st.sampled_from(events),
        dwell=st.sampled_from([None, None, 0.0, 29.9, 30.0, 120.5]),
        value=st.sampled_from([None, 0.0, 9.99, 20.0, -5.0]),
        device=st.sampled_from([None, "mobile", "desktop"]),
    )


def logs(max_size: int = 24) -> st.SearchStrategy[list[Row]]:
    """A log in no order, in which some rows are there twice."""
    some = st.lists(rows(), max_size=max_size)
    return some.flatmap(lambda found: st.permutations(found + found[: len(found) // 5]))


def _instant(age: int | None) -> datetime | None:
    return None if age is None else AS_OF - timedelta(microseconds=age)
