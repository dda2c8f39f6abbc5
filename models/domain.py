"""Do all features together tell two windows apart, where no single one does? A classifier two-sample test.

Trees learn from half of the people which window a row is of, and are asked about the other half (Lopez-Paz and Oquab
2017; people, not rows, are parted, as a person's rows resemble each other). What they say is a number like any
feature's: by how much the current rows' mean rank stands above the reference's is the AUC minus one half, and chance is
people turned round. The halves do not change places for a second answer: that repeats the first (each half's difference
is what the other has learned), and counted as another it fires on 12 % of unchanged windows at 5 %.

Every step comes by here, for the reports; xgboost and scipy's statistics take seconds to import, which who asks pays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models import flips

if TYPE_CHECKING:
    import xgboost as xgb

Array = NDArray[Any]
Floats = NDArray[np.float64]

ROWS = 40_000
"""More rows are not asked for: people are taken in the order of a mix of their ids until there are as many."""

LEAST = 40
"""With fewer people nothing can be learned from half of them."""

_TREES = 50
_SETTINGS = {
    "objective": "binary:logistic",
    "max_depth": 3,
    "eta": 0.1,
    "max_bin": 64,
    "min_child_weight": 20,
    "nthread": 1,
}
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Told:
    """How well windows are told apart (0.5: not at all), and how often chance does as well."""

    auc: float
    p_value: float


def told_apart(
    frame: Mapping[str, Array],
    person: Array,
    window: Array,
    permutations: int = 999,
    seed: int = 0,
    recorded: Collection[str] = (),
) -> Told | None:
    """AUC and p-value of `frame` (names to values (N,), NaN where missing) between `window` (N,) 0 and 1.

    What is missing of a `recorded` feature is a fault of the data: another row's value stands in, drawn by lot, so that
    nothing is told apart by it. None where there are too few features or people to learn from. The order of rows and
    features does not matter.
    """
    from scipy.stats import rankdata

    if len(frame) < 2:
        return None
    place, half = _sampled(np.asarray(person))
    people, side = np.asarray(person)[place], np.asarray(window)[place]
    if len(np.unique(people)) < LEAST or any(len(np.unique(side[half == part])) < 2 for part in (0, 1)):
        return None
    columns = np.column_stack([np.asarray(frame[name], np.float32)[place] for name in sorted(frame)])
    order = np.lexsort((*columns.T[::-1], side, people))
    columns, people, side = columns[order], people[order], side[order]
    rng = np.random.default_rng(seed)
    for at, name in enumerate(sorted(frame)):
        if name in recorded:
            _fill(columns[:, at], rng)
    learned, asked = half[order] == 0, half[order] == 1
    ranks = rankdata(_learned(columns[learned], side[learned]).inplace_predict(columns[asked])) - 0.5
    return _judged(np.asarray(ranks, np.float64), people[asked], side[asked], permutations, seed)


def _fill(column: Array, rng: np.random.Generator) -> None:
    missing = np.isnan(column)
    if missing.any() and not missing.all():
        column[missing] = rng.choice(column[~missing], int(missing.sum()))


def _sampled(person: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which rows (n,) are looked at, and which half of the people each is of."""
    known, index, rows = np.unique(person, return_inverse=True, return_counts=True)
    mix = known.astype(np.int64).view(np.uint64) * _GOLDEN
    order = np.argsort(mix ^ (mix >> np.uint64(32)), kind="stable")
    taken = order[: max(1, int(np.searchsorted(rows[order].cumsum(), ROWS, side="right")))]
    half = np.full(len(known), -1)
    half[taken] = np.arange(len(taken)) % 2
    place = np.flatnonzero(half[index] >= 0)
    return place, half[index][place]


def _learned(x: Array, y: Array) -> xgb.Booster:
    import xgboost as xgb

    weight = np.where(y == 1, 0.5 / max((y == 1).sum(), 1), 0.5 / max((y == 0).sum(), 1)) * len(y)
    matrix = xgb.QuantileDMatrix(x, y, weight=weight, max_bin=64, nthread=1)
    return xgb.train({**_SETTINGS, "base_score": 0.5}, matrix, _TREES)


def _judged(ranks: Floats, people: Array, side: Array, permutations: int, seed: int) -> Told:
    cluster, many = flips.clusters(people)
    centred = (ranks - ranks.mean()) / len(ranks)
    rows = np.bincount(side, minlength=2)
    part = np.where(side == 1, centred / rows[1], -centred / rows[0])
    parts = np.asarray(np.bincount(cluster, weights=part, minlength=many), np.float64)
    p_values = flips.p_values(
        parts[:, None, None],
        np.array([parts.sum()]),
        lambda difference, _: difference[:, :, 0],
        min(999, permutations),
        permutations,
        seed,
    )
    return Told(0.5 + float(parts.sum()), float(p_values[0]))
