"""Sessions as the person kernel cuts them, rule by rule."""

from __future__ import annotations

import math
from datetime import datetime

import pytest

from features.history import DAY
from features.kernel import kernel
from features.measures import Session
from tests.features.logs import MINUTE, SECOND
from tests.features.shards import AS_OF, UTC_ONLY, Event, night, one, shard_of


@pytest.mark.parametrize(("gap", "sessions"), [(1799, 1), (1800, 1), (1801, 2)])
def test_exactly_thirty_minutes_are_one_session(gap: int, sessions: int) -> None:
    """A gap of 29:59 or 30:00 ends nothing; 30:01 does."""
    assert one([Event(age=DAY + gap * SECOND), Event(age=DAY)])["sessions_7d"] == sessions


def test_midnight_ends_no_session() -> None:
    """A session from 23:50 to 00:10 is one of twenty minutes, and began on the day before."""
    found = one([Event(age=DAY + 10 * MINUTE), Event(age=DAY - 10 * MINUTE)], night(1))
    assert (found["sessions_7d"], found["last_session_minutes"]) == (1, 20)


def test_a_session_is_cut_at_the_night() -> None:
    """At 00:00 it is as long as it is known to be; a night later it is whole."""
    shard = shard_of([Event(age=10 * MINUTE), Event(age=-10 * MINUTE)])
    found = kernel(shard, [night(), night(1)], UTC_ONLY)
    assert found["last_session_minutes"].to_pylist() == [0, 20]
    assert found["sessions_7d"].to_pylist() == [1, 1]


def test_impressions_prove_presence_but_are_nothing_done() -> None:
    """An impression bridges two views 40 minutes apart, and adds nothing to the session's depth."""
    found = one([Event(age=DAY), Event(age=DAY - 20 * MINUTE, event="impression"), Event(age=DAY - 40 * MINUTE)])
    assert (found["sessions_7d"], found["last_session_depth"]) == (1, 2)


def test_a_refund_is_no_visit() -> None:
    """The shop's refund neither makes a session, nor joins two, nor hides the last one."""
    rows = [Event(age=DAY), Event(age=DAY - 20 * MINUTE, event="refund"), Event(age=DAY - 40 * MINUTE)]
    found = one([*rows, Event(age=1, event="refund")])
    assert (found["sessions_7d"], found["last_session_depth"]) == (2, 1)


def test_of_somebody_with_nothing_but_refunds_no_session_is_invented() -> None:
    """They have no sessions, and missing parts rather than zeros."""
    found = one([Event(event="refund")])
    assert found["sessions_7d"] == 0
    assert all(math.isnan(found[name]) for name in found if name.startswith(("session_", "last_session_")))


def test_a_refund_long_after_the_last_session_leaves_its_means() -> None:
    """Half a year later, by a half-life of an hour, the mean over the only session is still that session."""
    found = one([Event(age=180 * DAY), Event(age=DAY, event="refund")])
    assert found[repr(Session("depth", "1h"))] == 1


def test_a_session_begins_where_its_first_row_was() -> None:
    """The channel, hour and weekday are those of the first row; one without a channel began in none of them."""
    found = one([Event(age=DAY, channel="email"), Event(age=DAY - MINUTE, channel="web")])
    assert found["session_entry_email_30d"] == found["session_weekday_sunday_30d"] == 1
    assert found["session_entry_web_30d"] == 0
    found = one([Event(age=DAY), Event(age=DAY - MINUTE, channel="web")])
    assert found["session_entry_web_30d"] == 0


@pytest.mark.parametrize(
    ("at", "hours", "day"),
    [
        (datetime(2026, 3, 28, 22, 59, 59, tzinfo=AS_OF.tzinfo), "20_24", "saturday"),
        (datetime(2026, 3, 28, 23, 0, 0, tzinfo=AS_OF.tzinfo), "00_04", "sunday"),
        (datetime(2026, 3, 29, 1, 59, 59, tzinfo=AS_OF.tzinfo), "00_04", "sunday"),  # 03:59:59, summer time
        (datetime(2026, 3, 29, 2, 0, 0, tzinfo=AS_OF.tzinfo), "04_08", "sunday"),
        (datetime(2025, 10, 26, 2, 59, 59, tzinfo=AS_OF.tzinfo), "00_04", "sunday"),  # 03:59:59, winter time
        (datetime(2025, 10, 26, 23, 0, 0, tzinfo=AS_OF.tzinfo), "00_04", "monday"),
    ],
)
def test_clocks_are_the_projects(at: datetime, hours: str, day: str) -> None:
    """In Berlin, on the days on which its clocks change."""
    age = (AS_OF - at).total_seconds() * SECOND
    found = one([Event(age=int(age))])
    assert found[f"session_hour_{hours}_30d"] == found[f"session_weekday_{day}_30d"] == 1
