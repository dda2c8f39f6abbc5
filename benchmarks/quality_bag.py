"""A goal learned from few rows: every row teaches, and none that teaches also stops or calibrates.

People are dealt into five parts; `models.learning.learn` runs once for each, which is its validation, and the rest its
training. The prediction is the mean of the five calibrated ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.learning import Budget, Sample, learn

Array = NDArray[Any]
Floats = NDArray[np.float64]

PARTS = 5


def predicted(features: Sequence[str], known: Sample, x: Array, trials: int, *, times: int = 1) -> Floats:
    """Probabilities (M,) of rows `x` (M, F), learned from `known`; people are dealt anew `times` times."""
    predictions = [
        _learned(features, known, x, trials, at, dealt == at)
        for seed in range(times)
        for dealt in [_dealt(known.people, seed)]
        for at in range(PARTS)
    ]
    return np.asarray(np.mean(predictions, axis=0))


def _learned(features: Sequence[str], known: Sample, x: Array, trials: int, seed: int, held: Array) -> Floats:
    training, validation = (Sample(known.x[rows], known.y[rows], known.people[rows]) for rows in (~held, held))
    return learn("goal", features, training, validation, Budget(trials, 600, seed)).model.predict(x)


def _dealt(people: Array, seed: int) -> Array:
    """The part that each row's person is in."""
    names, place = np.unique(people, return_inverse=True)
    parts = np.random.default_rng(seed).permutation(len(names)) % PARTS
    return np.asarray(parts[place])
