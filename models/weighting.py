"""How much rows count while a model is grown: against what was shown too often, and for who is too few to be heard.

Weights are (N,) and 1 on average, so that regularisation means what it means without them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

MOST_INVERSE = 10.0
"""No row counts for more than ten that were sure to be shown: a rare one would otherwise decide alone."""

MOST_BALANCED = 5.0
"""No row of a small segment counts for more than five on average do."""


def inverse_propensity(propensity: Array) -> Floats:
    """Weights of rows that were shown with these probabilities (NaN: unknown, counts as sure): 1 / p, clipped.

    What a model then learns is what it would have learned from rows shown at random (Schnabel et al., ICML 2016), self-
    normalised (Swaminathan and Joachims, NIPS 2015) and at the price of a little bias where MOST_INVERSE is reached.
    """
    known = np.nan_to_num(np.asarray(propensity, np.float64), nan=1.0)
    return _normalised(1.0 / np.maximum(known, 1.0 / MOST_INVERSE))


def balanced(segment: Array, weight: Array | None = None) -> Floats:
    """Weights with which every segment counts for the same in total, on top of those that rows have already.

    A segment so small that its rows would count more than MOST_BALANCED times what they did stops there; what it leaves
    over is shared by the others. `segment` (N,) are names.
    """
    before = np.ones(len(segment)) if weight is None else np.asarray(weight, np.float64)
    names, which = np.unique(segment, return_inverse=True)
    total = np.bincount(which, weights=before, minlength=len(names)).astype(np.float64)
    return _normalised(before * _factors(total)[which])


def _factors(total: Floats) -> Floats:
    """What to multiply each segment's rows by, to make all totals alike without changing their sum."""
    factor, open_ = np.ones(len(total)), total > 0
    left = float(total.sum())
    while open_.any():
        factor[open_] = left / open_.sum() / total[open_]
        over = open_ & (factor > MOST_BALANCED)
        if not over.any():
            break
        factor[over] = MOST_BALANCED
        left -= float(MOST_BALANCED * total[over].sum())
        open_ &= ~over
    return factor


def _normalised(weight: Floats) -> Floats:
    total = weight.sum()
    return weight * (len(weight) / total) if total > 0 else np.ones(len(weight))
