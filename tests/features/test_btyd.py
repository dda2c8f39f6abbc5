"""The buy-till-you-die summary against a table worked out by hand.

Days are numbered: 0 is 2026-01-01, and the night is the midnight before day 31, so that T counts up to day 30. As in
Fader, Hardie & Lee (2005) and the package `lifetimes`: purchases of one day are one; the first day counts neither in
the frequency nor in the monetary value; recency is the time from the first to the last, not from the last to now.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from features.history import DAY
from features.kernel import kernel
from tests.features.logs import SECOND
from tests.features.shards import AS_OF, HOUR, UTC_ONLY, Event, oracle, shard_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NIGHT = BEGIN + timedelta(days=31)
NAN = float("nan")
NAMES = ("btyd_frequency", "btyd_recency_days", "btyd_age_days", "btyd_monetary")


def bought(day: float, value: float | None, *, at: int = 12 * HOUR, event: str = "purchase", known: int = 0) -> Event:
    """Something bought on a day; `known` is on which day, where that was not at once."""
    age = (AS_OF - BEGIN) // timedelta(microseconds=1) - int(day * DAY) - at
    return Event(age=age, event=event, value=value, late=(known * DAY - int(day * DAY) - at) if known else None)


def refunded(day: float, value: float) -> Event:
    """Money that went back."""
    return bought(day, -value, event="refund")


LAST = DAY - 1
"""The last microsecond of a day."""

BY_HAND: dict[str, tuple[list[Event], tuple[float, float, float, float]]] = {
    # who: (what they bought, (frequency, recency, T, monetary))
    "once, on day 0": ([bought(0, 10)], (0, 0, 30, 0)),
    "once, on the last day": ([bought(30, 10)], (0, 0, 0, 0)),
    "twice": ([bought(0, 10), bought(10, 20)], (1, 10, 30, 20)),
    "twice on one day": ([bought(5, 10), bought(5, 20)], (0, 0, 25, 0)),
    "twice on the first day, then once": ([bought(5, 10), bought(5, 20), bought(15, 6)], (1, 10, 25, 6)),
    "once, then twice on a day": ([bought(5, 10), bought(15, 6), bought(15, 8)], (1, 10, 25, 14)),
    "three days in a row": ([bought(0, 1), bought(1, 2), bought(2, 3)], (2, 2, 30, 2.5)),
    "daily for a week": ([bought(day, 7) for day in range(7)], (6, 6, 30, 7)),
    "on days 3, 9, 9, 20 and 27": (
        [bought(3, 5), bought(9, 4), bought(9, 6), bought(20, 30), bought(27, 2)],
        (3, 24, 27, 14),  # (10 + 30 + 2) / 3
    ),
    "all of it refunded": ([bought(3, 50), bought(6, 50), refunded(7, 50)], (1, 3, 27, 50)),
    "a refund long after": ([bought(3, 50), refunded(29, 50)], (0, 0, 27, 0)),
    "nothing but a refund": ([refunded(7, 50)], (NAN, NAN, NAN, NAN)),
    "a refund of what was bought before": ([refunded(2, 5), bought(4, 10)], (0, 0, 26, 0)),
    "a value that nobody knows": ([bought(0, 10), bought(8, None)], (1, 8, 30, 0)),
    "a first value that nobody knows": ([bought(0, None), bought(12, 20)], (1, 12, 30, 20)),
    "free samples": ([bought(0, 0), bought(8, 0), bought(16, 9)], (2, 16, 30, 4.5)),
    "only looked": ([bought(10, None, event="view")], (NAN, NAN, NAN, NAN)),
    "looked between": ([bought(10, 5), bought(12, None, event="view"), bought(14, 15)], (1, 4, 20, 15)),
    "first and last microsecond of a day": ([bought(20, 3, at=0), bought(20, 4, at=LAST)], (0, 0, 10, 0)),
    "both sides of a midnight": ([bought(20, 3, at=LAST), bought(21, 4, at=0)], (1, 1, 10, 4)),
    "a microsecond before the night": ([bought(0, 4), bought(30, 6, at=LAST)], (1, 30, 30, 6)),
    "at the night": ([bought(0, 4), bought(31, 6, at=0)], (0, 0, 30, 0)),
    "known too late": ([bought(1, 4), bought(11, 8, known=31)], (0, 0, 29, 0)),
    "known late": ([bought(1, 4), bought(11, 8, known=13)], (1, 10, 29, 8)),
    "the first known last": ([bought(20, 8), bought(2, 4, known=25)], (1, 18, 28, 8)),
    "cents": ([bought(0, 1), bought(5, 0.1), bought(6, 0.2), bought(7, 0.3)], (3, 7, 30, 0.2)),
    "over a year apart": ([bought(-370, 2), bought(5, 5)], (1, 375, 400, 5)),
}


def the_shard() -> pa.Table:
    """Everybody, numbered in the table's order."""
    people = enumerate(rows for rows, _ in BY_HAND.values())
    return shard_of([row._replace(person=number) for number, rows in people for row in rows])


@pytest.mark.parametrize("answer", [kernel, oracle])
def test_the_summary_is_the_one_worked_out_by_hand(answer: Callable[..., pa.Table]) -> None:
    """Of every person in the table, by the kernel and by the oracle."""
    assert len(BY_HAND) >= 20
    found = answer(the_shard(), [NIGHT], UTC_ONLY).select(NAMES).to_pylist()
    ours = {
        who: tuple(NAN if value is None else value for value in row.values())
        for who, row in zip(BY_HAND, found, strict=True)
    }
    assert ours == {who: pytest.approx(expected, rel=1e-12, nan_ok=True) for who, (_, expected) in BY_HAND.items()}


def test_the_age_counts_whole_days() -> None:
    """At any time of a day, T is that of the day's end; at its midnight still that of the day before."""
    shard = shard_of([bought(0, 1)])
    nights = [
        NIGHT - timedelta(days=1),
        NIGHT - timedelta(microseconds=SECOND),
        NIGHT,
        NIGHT + timedelta(microseconds=1),
    ]
    assert kernel(shard, nights, UTC_ONLY)["btyd_age_days"].to_pylist() == [29, 30, 30, 31]
