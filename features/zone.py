"""A time zone as two arrays: from which instant on it is how far ahead of UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_FIRST, _LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class Zone(NamedTuple):
    """`since` and `ahead` in microseconds, ascending; the first goes back for ever."""

    since: Ints
    ahead: Ints


@lru_cache(maxsize=8)
def zone(name: str) -> Zone:
    """The zone's offsets from 1990 to 2100; what lies outside has the nearest."""
    place = ZoneInfo(name)
    found = [(_FIRST, _ahead(_FIRST, place))]
    day = _FIRST
    while day < _LAST:
        following = day + timedelta(days=7)
        if _ahead(following, place) != found[-1][1]:
            change = _change(day, following, place)
            found.append((change, _ahead(change, place)))
        day = following
    since = [np.iinfo(np.int64).min, *(_micros(instant - _EPOCH) for instant, _ in found[1:])]
    return Zone(np.array(since, np.int64), np.array([_micros(ahead) for _, ahead in found], np.int64))


def _change(before: datetime, after: datetime, place: ZoneInfo) -> datetime:
    """The first second of the new offset."""
    old = _ahead(before, place)
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle -= timedelta(microseconds=middle.microsecond)
        if middle <= before:
            break
        before, after = (middle, after) if _ahead(middle, place) == old else (before, middle)
    return after


def _ahead(instant: datetime, place: ZoneInfo) -> timedelta:
    return instant.astimezone(place).utcoffset() or timedelta()


def _micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
