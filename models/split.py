"""Nights for training, validation and test: by global time, with a gap of one horizon, never at random.

A random split lets a model learn from what happened after the rows that it is tested on, and reorders models
(Ji, Sun et al., "A Critical Study on Data Leakage in Recommender System Offline Evaluation", TOIS 41(3), 2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

Nights = tuple[datetime, ...]

MOST = 14
"""Nights that are enough to judge on: more would only make the training nights older."""


@dataclass(frozen=True)
class Split:
    """Three groups of nights, oldest first. Every label of a group is known when the next group begins."""

    train: Nights
    validation: Nights
    test: Nights

    @property
    def whole(self) -> bool:
        """Whether no group is empty."""
        return bool(self.train and self.validation and self.test)


def split_nights(nights: Sequence[datetime], horizon: timedelta, validation: float = 0.15, test: float = 0.15) -> Split:
    """Split `nights` into training, validation and test by time.

    A night's outcome takes one `horizon` to mature, so a group ends with nights whose `night + horizon` is at or
    before the first night of the next group; the nights between belong to none. `validation` and `test` are shares
    of the nights, `MOST` of them at the most; both groups shrink (to one night at least) before training is left empty.

    Order and repetition of `nights` do not matter. Raises ValueError when three such groups do not exist.
    """
    _check_shares(horizon, validation, test)
    ordered = tuple(sorted(set(nights)))
    sizes = [held_out(share, ordered) for share in (validation, test)]
    for most in range(max(sizes), 0, -1):
        split = last(ordered, horizon, min(sizes[0], most), min(sizes[1], most))
        if split.whole:
            return split
    raise ValueError(_too_few(ordered, horizon))


def held_out(share: float, ordered: Nights) -> int:
    """How many nights a share of them is, if there is room: one at least, MOST at the most."""
    return min(max(1, round(share * len(ordered))), MOST)


def gap(ordered: Nights, horizon: timedelta) -> int:
    """How many nights (sorted) an outcome takes at their cadence."""
    steps = [later - earlier for earlier, later in pairwise(ordered)]
    return math.ceil(horizon / min(steps)) if steps else 1


def last(ordered: Nights, horizon: timedelta, validation: int, test: int) -> Split:
    """The last `test` of the nights (sorted), the last `validation` that mature before them, and all before those.

    Groups may be empty: the caller sees to it.
    """
    tested = ordered[-test:]
    validated = matured(ordered, horizon, tested)[-validation:]
    return Split(matured(ordered, horizon, validated), validated, tested)


def matured(nights: Nights, horizon: timedelta, following: Nights) -> Nights:
    """The nights whose outcome is known when the following group begins."""
    return tuple(night for night in nights if following and night + horizon <= following[0])


def _check_shares(horizon: timedelta, validation: float, test: float) -> None:
    if horizon <= timedelta(0):
        raise ValueError(
            f"split_nights: horizon is {horizon}, expected a positive duration: how long an outcome matures."
        )
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ValueError(
            f"split_nights: validation={validation} and test={test}, expected shares above 0 that leave room for "
            "training. Use for example 0.15 and 0.15."
        )


def _too_few(ordered: Nights, horizon: timedelta) -> str:
    needed = 2 * gap(ordered, horizon) + 1
    return (
        f"split_nights: found {len(ordered)} nights, needed {needed} at this cadence: one each for training, "
        f"validation and test, with a horizon of {horizon} between them. Replay more nights or shorten the horizon."
    )
