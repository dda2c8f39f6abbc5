"""A leak alarm: a single feature that all but tells the answer has seen it.

No honest feature of a person, a content or their history separates those who will engage from those who will not; one
that does was made from the outcome. So a training looks at every feature alone, before it learns from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

ABOVE = 0.98
"""The AUC from which on a single feature is a leak; as many ranks from 0 tell the answer just as well."""

LEAST_POSITIVES = 30
"""Engagements, and people who engaged, that it takes to judge: of 30 the chance AUC of a feature without information
has a standard deviation of 0.05, so 0.98 is out of reach; and where a handful of people made all engagements, whatever
singles them out (their activity, their tenure) looks like the answer."""

MOST = 100_000
"""Rows of either class that are ranked, evenly spaced: a sample within a class leaves the AUC what it is."""


@dataclass(frozen=True)
class Leak:
    """A feature that tells the answer by itself; `auc` below 0.5 where low values mean engagement."""

    feature: str
    auc: float

    def __str__(self) -> str:
        return f"{self.feature} (AUC {self.auc:.4f} by itself)"


def leaks(
    x: Array, names: Sequence[str], y: Array, people: Array, *, above: float = ABOVE, least: int = LEAST_POSITIVES
) -> list[Leak]:
    """The features whose AUC is above `above` or below 1 - `above`, the most telling first.

    Args:
        x: (N, F), NaN where missing.
        names: F.
        y: (N,), 0 or 1.
        people: (N,), whose each row is.
        above: Between 0.5 and 1.
        least: With fewer rows of either class than this, or fewer people who engaged, nothing is judged.
    """
    engaged = np.asarray(y) > 0
    if min(engaged.sum(), (~engaged).sum(), len(np.unique(np.asarray(people)[engaged]))) < least:
        return []
    found = single_feature_auc(x, names, y)
    telling = [Leak(name, auc) for name, auc in found.items() if max(auc, 1 - auc) > above]
    return sorted(telling, key=lambda leak: (-max(leak.auc, 1 - leak.auc), leak.feature))


def single_feature_auc(x: Array, names: Sequence[str], y: Array) -> dict[str, float]:
    """The AUC of every feature as if it were the score: ties count one half.

    What is missing ranks as a value of its own, below all others or above them: whichever is farther from 0.5, for a
    feature that is missing just where nobody engaged tells as much as any number. NaN where `y` has one class only.
    """
    engaged = np.asarray(y) > 0
    positive, negative = (_spaced(np.flatnonzero(side)) for side in (engaged, ~engaged))
    if not len(positive) or not len(negative):
        return dict.fromkeys(names, float("nan"))
    return {name: _auc(x[positive, at], x[negative, at]) for at, name in enumerate(names)}


def _spaced(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """All rows, or MOST of them, evenly spaced."""
    return rows[np.linspace(0, len(rows) - 1, MOST).astype(np.int64)] if len(rows) > MOST else rows


def _auc(positive: Array, negative: Array) -> float:
    """From one sort: where the missing rank only decides what they win against those that are there."""
    pairs = float(len(positive)) * len(negative)
    there, others = _present(positive), _present(negative)
    missing, others_missing = len(positive) - len(there), len(negative) - len(others)
    wins = (np.searchsorted(others, there, "left") + np.searchsorted(others, there, "right")).sum() / 2
    wins += missing * others_missing / 2
    above, below = (wins + missing * len(others)) / pairs, (wins + len(there) * others_missing) / pairs
    return float(max(above, below, key=lambda auc: abs(auc - 0.5)))


def _present(values: Array) -> Array:
    """Sorted, without NaN."""
    return np.sort(values[~np.isnan(values)])
