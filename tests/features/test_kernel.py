"""The person kernel against the oracle, and its rules one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.history import DAY
from features.kernel import kernel
from features.measures import Count, Days, Decayed, Session, Share, Since, Total
from features.rows import SHARD
from tests.features.logs import MINUTE, SECOND
from tests.features.shards import (
    AS_OF,
    EVERYTHING,
    HOUR,
    UTC_ONLY,
    Event,
    assert_same,
    logs,
    many_rows,
    night,
    one,
    oracle,
    shard_of,
    some_nights,
    spec_of,
)


@given(logs(), some_nights(), st.integers(0, 6))
def test_kernel_and_oracle_agree(rows: list[Event], nights: list[datetime], part: int) -> None:
    """Whatever happened, was known when and whose it was, and whichever seventh of all features is asked for."""
    spec = replace(EVERYTHING, features=EVERYTHING.features[part::7])
    shard = shard_of(rows)
    assert_same(kernel(shard, nights, spec), oracle(shard, nights, spec), spec)


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "Asia/Kathmandu"])
def test_kernel_and_oracle_agree_about_many(timezone: str) -> None:
    """300 people with up to 40 rows each, on nights that lie apart, side by side, and at noon."""
    spec = replace(EVERYTHING, timezone=timezone, history_days=200)
    nights = [
        night(days, late) for days, late in [(-200, 0), (-1, 0), (0, 0), (0, 1), (0.5, 0), (1, 0), (30, 0), (190, 0)]
    ]
    shard = shard_of(many_rows())
    found = kernel(shard, nights, spec)
    assert found.num_rows > 1500
    assert_same(found, oracle(shard, nights, spec), spec)


# ---------------------------------------------------------------- what is known, and whose it is


def test_the_night_itself_is_not_known() -> None:
    """A row counts from the first microsecond after it on."""
    found = kernel(shard_of([Event(age=0)]), [night(), night(0, 1)], UTC_ONLY)
    assert found["night"].to_pylist() == [night(0, 1)]


@pytest.mark.parametrize(("days", "microseconds", "there"), [(365, 0, True), (365, 1, False)])
def test_who_was_not_seen_for_a_year_has_no_row(days: int, microseconds: int, there: bool) -> None:
    """365 days are inclusive, as every window is; a longer history is a setting."""
    shard = shard_of([Event(age=0)])
    assert kernel(shard, [night(days, microseconds)], UTC_ONLY).num_rows == there
    assert kernel(shard, [night(days, microseconds)], replace(UTC_ONLY, history_days=366)).num_rows == 1


def test_a_window_is_closed_at_its_old_end() -> None:
    """What happened exactly seven days ago counts, and what happened a microsecond earlier does not."""
    found = one([Event(age=7 * DAY), Event(age=7 * DAY + 1)])
    assert found["events_7d"] == 1
    assert found["events_30d"] == 2


def test_a_late_row_counts_from_when_it_was_known() -> None:
    """A visit that arrives two days late is unknown to the nights between, and then counts at its own time."""
    shard = shard_of([Event(age=3 * DAY), Event(age=DAY, late=2 * DAY)])
    found = kernel(shard, [night(), night(1), night(1, 1)], UTC_ONLY)
    assert found["events_7d"].to_pylist() == [1, 1, 2]
    assert found["rfm_recency_days"].to_pylist() == pytest.approx([3, 4, 2])


def test_a_late_row_can_join_two_sessions() -> None:
    """What was two sessions is one from the night on which the row between them is known."""
    rows = [Event(age=3 * HOUR), Event(age=3 * HOUR - 20 * MINUTE, late=DAY), Event(age=3 * HOUR - 40 * MINUTE)]
    found = kernel(shard_of(rows), [night(), night(1)], UTC_ONLY)
    assert found["sessions_7d"].to_pylist() == [2, 1]
    assert found["last_session_depth"].to_pylist() == [1, 3]


def test_a_row_that_changes_hands_is_gone_from_the_next_night() -> None:
    """Up to `known_until` it is one person's, from then on the other's, and never both's or nobody's."""
    rows = [Event(person=1, age=DAY, until=2 * DAY), Event(person=2, age=DAY, late=2 * DAY)]
    nights = [night(), night(1), night(1, 1)]
    found = kernel(shard_of(rows), nights, UTC_ONLY)
    assert found.select(["person_id", "night"]).to_pylist() == [
        {"person_id": 1, "night": nights[0]},
        {"person_id": 1, "night": nights[1]},
        {"person_id": 2, "night": nights[2]},
    ]


def test_the_same_row_twice_counts_twice() -> None:
    """Rows are told apart where they come in: two equal ones are two things that happened."""
    assert one([Event(), Event()])["events_7d"] == 2


# ---------------------------------------------------------------- counts, totals, decays


def test_missing_values_count_as_nothing() -> None:
    """What has no dwell, value, channel, device or content is still something done."""
    found = one([Event(event="purchase", content=None)])
    assert (found["events_7d"], found["purchases_7d"], found["rfm_monetary_7d"], found["dwell_seconds_7d"]) == (
        1,
        1,
        0,
        0,
    )
    assert found["mobile_share"] == 0


def test_refunds_subtract() -> None:
    """What was bought for 20 and half refunded is worth 10, and is no reason to call the person active."""
    found = one([Event(age=9 * DAY, event="purchase", value=20.0), Event(age=DAY, event="refund", value=-10.0)])
    assert (found["rfm_monetary_365d"], found["rfm_monetary_7d"]) == (10, -10)
    assert found["rfm_recency_days"] == 9


def test_a_day_is_counted_once_and_until_its_last_row_left() -> None:
    """At noon a day is half in the window: it counts while one of its rows is in it."""
    rows = [Event(age=DAY - HOUR), Event(age=DAY - 2 * HOUR), Event(age=HOUR), Event(age=-HOUR)]
    a_week_after = [-23 * HOUR, -23 * HOUR + 1, -HOUR, -HOUR + 1, HOUR, HOUR + 1]
    nights = [AS_OF, *(night(7, microseconds) for microseconds in a_week_after)]
    found = kernel(shard_of(rows), nights, UTC_ONLY)["rfm_frequency_7d"].to_pylist()
    assert found == [1, 2, 2, 2, 1, 1, 0]
    assert found == [kernel(shard_of(rows), [alone], UTC_ONLY)["rfm_frequency_7d"][0].as_py() for alone in nights]


def test_a_share_is_of_rows_that_are_both() -> None:
    """Likes reach `read`, but no share of the views."""
    rows = [Event(), Event(dwell=60.0), Event(event="like"), Event(event="like")]
    assert one(rows)[repr(Share("goal:read", "view", 14))] == 0.5


@pytest.mark.parametrize(
    ("measure", "value"), [(Since("session"), 2), (Decayed("session", "1d"), 0.25), (Days("session", 14), 1)]
)
def test_a_session_is_a_row_like_others(measure: Since | Decayed | Days, value: float) -> None:
    """Since the last one began, how strong they were, on how many days: the class means the first row of each."""
    assert one([Event(age=2 * DAY), Event(age=2 * DAY - MINUTE)])[repr(measure)] == pytest.approx(value)


def test_totals_do_not_hang_on_their_order() -> None:
    """Sums are of whole millionths: ten times 0.1 is 1, and three of ten thousandths of a millisecond are nothing."""
    assert one([Event(event="purchase", value=0.1)] * 10)["rfm_monetary_7d"] == 1.0
    assert one([Event(dwell=0.0004)] * 3)["dwell_seconds_7d"] == 0.0


@pytest.mark.parametrize(("half_life", "days"), [("1h", 1 / 24), ("1d", 1), ("7d", 7), ("30d", 30)])
def test_what_is_decayed_halves_every_half_life(half_life: str, days: float) -> None:
    """A purchase says five of something; hours to decades later it says 5 * 2^(-age / half-life), or nothing."""
    spec = replace(UTC_ONLY, history_days=100_000)
    ages = [0.5, 1, 3, 100, 511, 513, 700, 1100]  # beyond the anchors, which are 512 apart
    found = kernel(shard_of([Event(age=0, event="purchase")]), [night(age * days) for age in ages], spec)
    np.testing.assert_allclose(found[f"activity_{half_life}"], [5 * 2.0**-age for age in ages], rtol=1e-9, atol=1e-120)


def test_what_was_decayed_and_what_is_added_weigh_as_they_should() -> None:
    """With a half-life of an hour, three purchases 600 hours apart pass an anchor between each two of them."""
    found = one([Event(age=hours * HOUR, event="purchase") for hours in (1201, 601, 1)])
    assert found["activity_1h"] == pytest.approx(2.5, rel=1e-12)
    assert found[repr(Session("depth", "1h"))] == 1


# ---------------------------------------------------------------- what is asked for, and what is refused


def test_nobody_is_an_empty_table_with_all_columns() -> None:
    """An empty shard, and a shard on no night."""
    for shard, nights in [
        (SHARD.empty_table(), [AS_OF]),
        (pa.table([[]] * 10, schema=SHARD), [AS_OF]),
        (shard_of([Event()]), []),
    ]:
        found = kernel(shard, nights, EVERYTHING)
        assert found.num_rows == 0
        assert found.column_names == ["person_id", "night", *EVERYTHING.names]


def test_nights_come_sorted_and_once() -> None:
    """In whatever order they are asked for."""
    found = kernel(shard_of([Event()]), [night(1), AS_OF, night(1)], UTC_ONLY)
    assert found["night"].to_pylist() == [AS_OF, night(1)]


def test_a_million_rows_of_one_person() -> None:
    """Somebody who never sleeps is counted right on sixty nights, even with a row that arrived late."""
    size = 1_000_000
    ts = int(AS_OF.timestamp()) * SECOND - np.arange(size, 0, -1, dtype=np.int64) * 20 * SECOND
    known = ts.copy()
    known[size // 2] += 100 * DAY  # it happened 115.7 days before AS_OF, and was known 15.7 before
    nothing = {name: pa.nulls(size, SHARD.field(name).type) for name in SHARD.names}
    columns = {"person_id": np.ones(size, np.int64), "ts": ts, "known_at": known, "event": np.full(size, "view")}
    shard = pa.table({**nothing, **{name: pa.array(column) for name, column in columns.items()}}).cast(SHARD)
    days = range(59, -1, -1)
    found = kernel(shard, [night(-ago) for ago in days], UTC_ONLY)
    assert found["events_365d"].to_pylist() == [size - 4320 * ago - (ago > 15) for ago in days]
    assert found["sessions_30d"].to_pylist() == [0] * 60
    assert found["rfm_frequency_7d"].to_pylist() == [7] * 60


def test_a_shard_that_lacks_a_column_is_refused() -> None:
    """The message names it."""
    with pytest.raises(ValueError, match="has no known_until, channel; it has"):
        kernel(shard_of([Event()]).drop_columns(["channel", "known_until"]), [AS_OF], UTC_ONLY)


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (Count("viewed", 3), "no class of rows is called 'viewed'"),
        (Share("view", "goal:buy", 3), "no class of rows is called 'goal:buy'"),
        (Total("purchases", "value", 3), "no class of rows is called 'purchases'"),
        (Session("category:z"), "no part of a session: category:z"),
        (Session("entry:fax", "7d"), "no part of a session: entry:fax"),
        (Decayed("view", "2d"), "no half-life: 2d"),
        (Session("depth", "2d"), "no half-life: 2d"),
        (Count("active", 7), "two features measure the same"),
    ],
)
def test_a_spec_that_names_what_there_is_not_is_refused(measure: Count, message: str) -> None:
    """Classes, goals, categories, channels and half-lives are looked up before anything is computed."""
    with pytest.raises(ValueError, match=message):
        kernel(shard_of([Event()]), [AS_OF], spec_of([measure]))
