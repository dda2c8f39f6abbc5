"""The same question asked at several times: rolling origins, each of which learns from all that came before it.

Tashman, "Out-of-sample tests of forecasting accuracy", International Journal of Forecasting 16(4), 2000.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from models.split import Nights, Split, gap, held_out, last, matured

SHARE = 0.15
"""Of the nights, in the validation and in the test of each fold, unless so many folds leave no room for it."""


def origins(nights: Sequence[datetime], horizon: timedelta, folds: int) -> tuple[Split, ...]:
    """Split `nights` `folds` times, the oldest origin first, with groups of one size in all folds but for training.

    Each is a split as `split_nights` makes it; besides, every label of a fold, its test's too, is known when the next
    fold's test begins, so no night is tested twice. Training grows from fold to fold, with what was test before.

    Order and repetition of `nights` do not matter. Raises ValueError when there is no room for so many folds.
    """
    if folds < 1 or horizon <= timedelta(0):
        raise ValueError(f"origins: folds={folds} and horizon={horizon}, expected one fold at least, and a duration.")
    ordered = tuple(sorted(set(nights)))
    for size in range(held_out(SHARE, ordered), 0, -1):
        found = _origins(ordered, horizon, folds, size)
        if all(split.whole for split in found):
            return found
    needed = (folds + 1) * gap(ordered, horizon) + 1
    raise ValueError(
        f"origins: found {len(ordered)} nights, needed {needed} at this cadence: one to train on, one to validate on "
        f"and {folds} to test on, with a horizon of {horizon} between them. Ask for fewer folds, or replay more nights."
    )


def _origins(ordered: Nights, horizon: timedelta, folds: int, size: int) -> tuple[Split, ...]:
    found: list[Split] = []
    for _ in range(folds):
        found.append(last(ordered, horizon, size, size))
        ordered = matured(ordered, horizon, found[-1].test)
    return tuple(reversed(found))


@dataclass(frozen=True)
class Spread:
    """A figure over `folds` origins: its mean, and their sample standard deviation (None of fewer than two).

    Folds learn from the same nights and are about the same people, so their spread is less than chance's: it says how
    steady a figure is, and is no interval.
    """

    mean: float
    deviation: float | None
    folds: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of the values that there are; None where there are none (NaN is none)."""
    known = np.array([value for value in values if value is not None and not math.isnan(value)])
    if not len(known):
        return None
    return Spread(float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else None, len(known))


def spreads(folds: Sequence[Mapping[str, float | None]]) -> dict[str, Spread]:
    """Of every figure that any fold has, in the order in which they come."""
    names = dict.fromkeys(name for figures in folds for name in figures)
    found = {name: spread(figures.get(name) for figures in folds) for name in names}
    return {name: one for name, one in found.items() if one is not None}
