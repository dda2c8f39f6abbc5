"""A log of who turned to what, of any size, for measuring what candidates cost.

Activity is log-normal; content is Zipf-distributed and half forgotten within three days; half of what somebody reads
is of the category that the person prefers; half of the contents are older than the log. The same seed gives the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.engagement import DAY, HOUR, Engagement

DAYS, CATEGORIES, IN_A_SESSION = 90, 24, 4
_AS_OF = 1_000 * DAY
_STEP = HOUR // 30
_HALF_LIFE_DAYS, _EVERGREEN, _STRAY, _OWN = 3.0, 0.02, 1e-9, 0.5

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def engagement(people: int, contents: int, events: int, seed: int = 7) -> Engagement:
    """About `events` rows of the last `DAYS` days."""
    rng = np.random.default_rng(seed)
    born = np.sort(rng.uniform(-DAYS, DAYS, contents))
    pull = 1.0 / rng.permutation(np.arange(1, contents + 1)) ** 0.9
    category, favourite = rng.integers(0, CATEGORIES, contents), rng.integers(0, CATEGORIES, people)
    person, start, length = _sessions(rng, people, events)
    step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    who, began = np.repeat(person, length), np.repeat(start, length)
    wanted = np.where(rng.random(len(who)) < _OWN, favourite[who], CATEGORIES)
    what = _read(rng, (began.astype(np.int64), wanted), born, pull, category)
    ts = np.minimum((_AS_OF - (DAYS - began) * DAY).astype(np.int64) + step * _STEP, _AS_OF - 1)
    order = np.lexsort((what, ts, who))
    since = (_AS_OF - (DAYS - born) * DAY).astype(np.int64)
    return Engagement(_AS_OF, people, contents, who[order], what[order], ts[order], since)


def _sessions(rng: np.random.Generator, people: int, events: int) -> tuple[Ints, Floats, Ints]:
    """Whose each session is, when it starts (days since the log began), and how many contents are read in it."""
    many = events // IN_A_SESSION
    upto = np.cumsum(rng.lognormal(0.0, 1.0, people))
    person = np.searchsorted(upto, rng.random(many) * upto[-1], side="right")
    return person, rng.uniform(0, DAYS, many), rng.geometric(1 / IN_A_SESSION, many)


def _read(rng: np.random.Generator, where: tuple[Ints, Ints], born: Floats, pull: Floats, category: Ints) -> Ints:
    """What is read on each day in each category (`CATEGORIES` is any), by pull and age of what is there."""
    day, wanted = where
    cell = day * (CATEGORIES + 1) + wanted
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(DAYS * (CATEGORIES + 1) + 1))
    found, draws = np.empty(len(day), np.int64), rng.random(len(day))
    for number in range(DAYS * (CATEGORIES + 1)):
        rows = order[starts[number] : starts[number + 1]]
        age = number // (CATEGORIES + 1) - born
        liked = number % (CATEGORIES + 1)
        there = (age >= 0) & ((category == liked) | (liked == CATEGORIES))
        weight = np.where(there, pull * (_EVERGREEN + np.exp2(-np.maximum(age, 0) / _HALF_LIFE_DAYS)), _STRAY)
        upto = np.cumsum(weight)
        found[rows] = np.searchsorted(upto, draws[rows] * upto[-1], side="right")
    return found
