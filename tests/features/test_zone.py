"""Time zones as arrays, against the standard library's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.zone import zone

SECOND = 1_000_000
PLACES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # gave up summer time in 2019
    "Australia/Lord_Howe",  # by half an hour
    "Africa/Casablanca",  # in Ramadan it goes back, and forth again
    "Asia/Kathmandu",  # 5:45 ahead
    "Pacific/Apia",  # left out a day in 2011
)


def ahead(place: str, instant: datetime) -> timedelta:
    """How far a place is ahead of UTC, as the arrays have it."""
    since, offsets = zone(place)
    at = np.searchsorted(since, (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), side="right")
    return timedelta(microseconds=int(offsets[at - 1]))


@given(st.sampled_from(PLACES), st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)))
def test_offsets_are_those_of_the_standard_library(place: str, instant: datetime) -> None:
    """At any instant from 1990 to 2100."""
    assert ahead(place, instant) == instant.astimezone(ZoneInfo(place)).utcoffset()


@pytest.mark.parametrize("place", PLACES)
def test_clocks_change_to_the_microsecond(place: str) -> None:
    """At every change, and a microsecond before it."""
    for change in zone(place).since[1:]:
        instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(change))
        before = instant - timedelta(microseconds=1)
        for one in (before, instant):
            assert ahead(place, one) == one.astimezone(ZoneInfo(place)).utcoffset()
        assert ahead(place, before) != ahead(place, instant)


def test_berlin_in_2026() -> None:
    """It goes forward on 29 March and back on 25 October, both at one o'clock UTC."""
    found = [datetime.fromtimestamp(at / SECOND, UTC) for at in zone("Europe/Berlin").since[1:].tolist()]
    assert [at for at in found if at.year == 2026] == [
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 1, tzinfo=UTC),
    ]


def test_what_lies_outside_has_the_nearest_offset() -> None:
    """Before 1990 the first, after 2100 the last."""
    assert ahead("Europe/Berlin", datetime(1960, 7, 1, tzinfo=UTC)) == timedelta(hours=1)
    assert ahead("Europe/Berlin", datetime(2150, 7, 1, tzinfo=UTC)) == timedelta(hours=1)


def test_a_place_that_is_nowhere_is_refused() -> None:
    """By the standard library's own error."""
    with pytest.raises(KeyError, match="Europe/Bärlin"):
        zone("Europe/Bärlin")
