"""What a model looks at, row by row: which features move the log-odds most, which way, and by which values.

The contributions are XGBoost's own (`GoalModel.contributions`; Lundberg et al. 2018): a row's sum to its log-odds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[Any]
Floats = NDArray[np.float64]

ROWS = 2_000
"""Rows that a summary is made of: more change no bar that people could see."""


@dataclass(frozen=True)
class Effect:
    """One feature: how far it moves the log-odds on average, and by row (M,) how far, and how high its value stands.

    `levels` are from 0 (the lowest value) to 1 (the highest), ties alike; NaN where the value is missing.
    """

    name: str
    mean: float
    contributions: Floats
    levels: Floats


def spaced(rows: int, most: int = ROWS) -> NDArray[np.int64]:
    """At most `most` of so many rows, evenly spaced, first and last among them."""
    return np.unique(np.linspace(0, max(rows - 1, 0), min(rows, most)).astype(np.int64))


def effects(contributions: Array, x: Array, features: Sequence[str], top: int) -> list[Effect]:
    """The `top` features by mean absolute contribution, the largest first, ties in the model's order.

    Args:
        contributions: (M, F + 1), the last being the base. x: (M, F), NaN where missing. features: F names.

    Raises:
        ValueError: The shapes do not belong together.
    """
    if contributions.shape != (len(x), len(features) + 1) or x.shape[1] != len(features):
        raise ValueError(
            f"effects: contributions {contributions.shape} of rows {x.shape} and {len(features)} features; expected "
            "(M, F + 1), (M, F) and F."
        )
    if not len(x):
        return []
    size = np.abs(contributions[:, :-1]).mean(axis=0)
    best = np.argsort(-size, kind="stable")[:top]
    return [
        Effect(features[i], float(size[i]), np.asarray(contributions[:, i], np.float64), levels(x[:, i]))
        for i in best
        if size[i] > 0
    ]


def levels(values: Array) -> Floats:
    """How high each value stands among all, 0 to 1 by rank; one half where all are the same, NaN where missing."""
    found = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return found
    ranks = rankdata(values[known])
    low, high = ranks.min(), ranks.max()
    found[known] = (ranks - low) / (high - low) if high > low else 0.5
    return found


def strongest(contributions: Array, count: int) -> list[int]:
    """Places of the `count` features that move one row (F + 1,) most, either way; those that do not move it are out."""
    size = np.abs(contributions[:-1])
    return [int(i) for i in np.argsort(-size, kind="stable")[:count] if size[i] > 0]
