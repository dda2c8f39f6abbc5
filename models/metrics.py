"""How good probabilities and rankings are, and how sure we are of a difference.

Shapes: `y` is 0 or 1 and `p` (or `score`) is a float, one a row, both (N,). A metric that is not defined (one class
only, nobody engaged) is NaN, never a made-up number. Rows that tie get their average place, so no figure depends on
the order of the rows.

Every step comes by here, for the reports; what takes a second to import is imported by who needs it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

SURE = 1e-15
"""Probabilities are kept this far from 0 and 1 in the log-loss, as is customary."""


class Interval(NamedTuple):
    """An estimate and its bootstrap interval, in the metric's own unit."""

    mean: float
    low: float
    high: float


def auc(y: Array, score: Array) -> float:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties counting one half."""
    from scipy.stats import rankdata

    positive = np.asarray(y) > 0
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    wins = rankdata(score)[positive].sum() - positives * (positives + 1) / 2
    return float(wins / positives / negatives)


def pr_auc(y: Array, score: Array) -> float:
    """Average precision; a score without information gives the base rate."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(y, score)) if np.any(y) else float("nan")


def log_losses(y: Array, p: Array) -> Floats:
    """Log-loss of each row (N,), in nats."""
    sure = np.clip(np.asarray(p, np.float64), SURE, 1 - SURE)
    losses: Floats = -np.where(np.asarray(y) > 0, np.log(sure), np.log1p(-sure))
    return losses


def log_loss(y: Array, p: Array) -> float:
    """Mean log-loss, in nats."""
    return _mean(log_losses(y, p))


def brier(y: Array, p: Array) -> float:
    """Mean squared error of the probability (Brier 1950)."""
    return _mean(np.square(np.asarray(p, np.float64) - np.asarray(y, np.float64)))


def reliability(y: Array, p: Array, bins: int = 15) -> pa.Table:
    """Reliability table of (up to) `bins` bins of equal mass, lowest probability first.

    Columns: `predicted` (mean probability), `observed` (share of positives), `rows`. Rows with the same probability
    share a bin, the one of their average rank.
    """
    probability, places = np.asarray(p, np.float64), equal_mass(p, bins)
    rows = np.bincount(places, minlength=bins)
    predicted = np.bincount(places, weights=probability, minlength=bins)
    observed = np.bincount(places, weights=np.asarray(y, np.float64), minlength=bins)
    full = rows > 0
    return pa.table(
        {"predicted": predicted[full] / rows[full], "observed": observed[full] / rows[full], "rows": rows[full]}
    )


def equal_mass(p: Array, bins: int) -> NDArray[np.int64]:
    """The bin (N,) of each row, 0 to `bins` - 1, all of about as many rows; equal ones share that of their average."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(p) - 0.5) / max(len(p), 1) * bins, np.int64)


def ece(y: Array, p: Array, bins: int = 15) -> float:
    """Expected calibration error over equal-mass bins: mean gap between predicted and observed, weighted by rows.

    Naeini et al. 2015; equal mass as in Nixon et al. 2019, because rare outcomes crowd near 0.
    """
    table = reliability(y, p, bins)
    gap = np.abs(table["predicted"].to_numpy() - table["observed"].to_numpy())
    rows = table["rows"].to_numpy()
    return float(gap @ rows / rows.sum()) if len(rows) else float("nan")


def gain(y: Array, score: Array, share: Array) -> Floats:
    """Part of all positives found in the best-scored `share` (each 0..1) of the rows.

    Rows that tie are taken in equal parts: the expectation over every order that they could stand in.
    """
    values, block = np.unique(-np.asarray(score, np.float64), return_inverse=True)
    rows = np.bincount(block, minlength=len(values))
    positives = np.bincount(block, weights=np.asarray(y, np.float64), minlength=len(values))
    if not positives.sum():
        return np.full(np.shape(share), np.nan)
    taken = np.concatenate([[0.0], rows.cumsum() / rows.sum()])
    found = np.concatenate([[0.0], positives.cumsum() / positives.sum()])
    return np.asarray(np.interp(np.asarray(share, np.float64), taken, found))


def gain_curve(y: Array, score: Array, points: int = 101) -> pa.Table:
    """The gain curve: columns `share` (of the rows, best first, 0 to 1) and `gain` (part of the positives)."""
    share = np.linspace(0.0, 1.0, points)
    return pa.table({"share": share, "gain": gain(y, score, share)})


def lift(y: Array, score: Array, share: float = 0.1) -> float:
    """How many times more positives the best-scored `share` of the rows holds than chance would."""
    return float(gain(y, score, np.array([share]))[0] / share)


def ndcg_by_group(group: Array, score: Array, relevance: Array, k: int = 10) -> Floats:
    """NDCG@k of each group (a person on a night), in the order of `np.unique(group)`.

    `group` (N,) are integers, `relevance` (N,) is 0 or more and enters linearly. Ties share their mean gain
    (McSherry and Najork, ECIR 2008). A score of minus infinity means "was not ranked": such a row counts in the ideal
    order only. A group in which nothing is relevant has no NDCG: NaN.
    """
    groups = np.unique(group, return_inverse=True)[1]
    ranked = np.where(np.isneginf(score), 0.0, relevance)
    reached = _dcg(groups, np.asarray(score, np.float64), ranked, k)
    ideal = _dcg(groups, np.asarray(relevance, np.float64), np.asarray(relevance, np.float64), k)
    return np.asarray(np.divide(reached, ideal, out=np.full(len(ideal), np.nan), where=ideal > 0))


def ndcg_at_k(group: Array, score: Array, relevance: Array, k: int = 10) -> float:
    """Mean NDCG@k over the groups in which something is relevant; see `ndcg_by_group`."""
    values = ndcg_by_group(group, score, relevance, k)
    return _mean(values[~np.isnan(values)])


def bootstrap_difference(
    values_a: Array, values_b: Array, people: Array, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Mean of `values_a - values_b` with a percentile interval that resamples people.

    The three are (N,), row by row on identical rows; `people` says whose each row is. All rows of a person are drawn
    together, since they are not independent. Rows that are NaN on both sides are left out.
    Raises ValueError when nothing is left, or when a row is NaN on one side only: the rows are then not identical.
    """
    difference, owners = _paired(values_a, values_b, people)
    order = np.lexsort((difference, owners))
    _, start, rows = np.unique(owners[order], return_index=True, return_counts=True)
    totals = np.add.reduceat(difference[order], start)
    draws = _resampled_means(totals, rows, resamples, seed)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(totals.sum() / rows.sum()), float(low), float(high))


def _paired(values_a: Array, values_b: Array, people: Array) -> tuple[Floats, Array]:
    a, b = np.asarray(values_a, np.float64), np.asarray(values_b, np.float64)
    if not (a.shape == b.shape == np.shape(people)):
        raise ValueError(
            f"bootstrap_difference: shapes {a.shape}, {b.shape} and {np.shape(people)}; pass identical rows."
        )
    present = ~np.isnan(a)
    if not np.array_equal(present, ~np.isnan(b)):
        raise ValueError("bootstrap_difference: a row has a value on one side only; grade both on identical rows.")
    if not present.any():
        raise ValueError("bootstrap_difference: no row has a value; wait for outcomes, or grade more nights.")
    return (a - b)[present], np.asarray(people)[present]


def _resampled_means(totals: Floats, rows: Array, resamples: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for i in range(resamples):
        drawn = rng.integers(0, len(totals), len(totals))
        means[i] = totals[drawn].sum() / rows[drawn].sum()
    return means


def _dcg(group: Array, score: Floats, gains: Array, k: int) -> Floats:
    """Discounted cumulative gain at k by group, ties at their mean gain; `group` counts from 0."""
    order = np.lexsort((gains, -score, group))
    group, score, gains = group[order], score[order], np.asarray(gains, np.float64)[order]
    new_group = np.diff(group, prepend=-1) != 0
    place = np.arange(len(group)) - np.flatnonzero(new_group)[np.cumsum(new_group) - 1]
    discount = np.where(place < k, 1 / np.log2(place + 2), 0.0)
    tie = np.cumsum(new_group | (score != np.roll(score, 1))) - 1
    mean_gain = np.bincount(tie, weights=gains) / np.bincount(tie)
    return np.bincount(group, weights=discount * mean_gain[tie]).astype(np.float64)


def _mean(values: Array) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
