"""The usual drift rules, on the same windows as ours: what they call drift, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from models import drift

Array = NDArray[Any]

SMALL = 1000
"""Up to so many reference rows Evidently tests, above it measures distances."""

RULES = ("KS + Bonferroni", "PSI > 0.1", "Wasserstein > 0.1", "Evidently's defaults")


def alarms(frame: Mapping[str, Array], window: Array, categorical: tuple[str, ...] = ()) -> dict[str, bool]:
    """Whether each rule of RULES calls a frame (names to values (N,)) drifted between `window` (N,) 0 and 1.

    Evidently's (0.7, its documentation): Kolmogorov-Smirnov or chi-squared at 5 % up to 1,000 reference rows, else
    Wasserstein distance in standard deviations or Jensen-Shannon distance of 0.1 or more; the frame, where half of
    the columns are. Missing values are left out, as each of them does.
    """
    p_values, psis, distances, theirs = [], [], [], []
    for name, values in frame.items():
        then, now = (values[(window == side) & ~np.isnan(values)] for side in (0, 1))
        if not len(then) or not len(now):
            continue
        kind = name in categorical
        p_value = _chi_squared(then, now) if kind else float(ks_2samp(then, now, method="asymp").pvalue)
        distance = _jensen_shannon(then, now) if kind else _wasserstein(then, now)
        p_values.append(p_value)
        psis.append(_psi(then, now))
        distances.append(distance)
        theirs.append(p_value < 0.05 if (window == 0).sum() <= SMALL else distance >= 0.1)
    found = (
        min(p_values) < 0.05 / len(p_values),
        max(psis) > 0.1,
        max(distances) > 0.1,
        float(np.mean(theirs)) >= 0.5,
    )
    return dict(zip(RULES, found, strict=True))


def _wasserstein(then: Array, now: Array) -> float:
    return float(wasserstein_distance(then, now) / max(then.std(), 0.001))


def _psi(then: Array, now: Array) -> float:
    edges = drift.quantile_edges(then)
    counts = [np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1) for side in (then, now)]
    return float(drift.psi(*counts))


def _counted(then: Array, now: Array) -> tuple[Array, Array]:
    known, at = np.unique(np.concatenate([then, now]), return_inverse=True)
    return np.bincount(at[: len(then)], minlength=len(known)), np.bincount(at[len(then) :], minlength=len(known))


def _chi_squared(then: Array, now: Array) -> float:
    counts = np.array(_counted(then, now))
    return float(chi2_contingency(counts).pvalue) if counts.shape[1] > 1 else 1.0


def _jensen_shannon(then: Array, now: Array) -> float:
    return float(jensenshannon(*_counted(then, now), base=2))
