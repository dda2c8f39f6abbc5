"""Have people changed? A population stability index a feature, judged against chance by resampling people.

Fixed thresholds on the index are wrong at most sizes, and rows of one person resemble each other, so tests that count
rows cry wolf: with 25 rows a person a Kolmogorov-Smirnov test at 5 % fires on 43 % of unchanged data. Here the null
distribution turns whole people round (`models.flips`), false discoveries are controlled over everything that is tested
(Benjamini and Hochberg 1995, weighted as in Genovese, Roeder and Wasserman 2006), and a change must also be large
enough to matter (`floor`). Data that went missing is no change of people: see `models.bursts`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import flips
from models.domain import told_apart

Array = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SCORE = "score"
"""The champion's own answers, tested first: shifts that reach them are the ones that matter (Rabanser et al. 2019)."""

TOGETHER = "all features together"
"""The name of the multivariate check among what was tested."""

EPSILON = 0.5
"""Rows added to every bin that either window uses, so that an empty bin gives a finite index."""

BINS = 10

CATEGORIES = 20
"""The commonest values of a category have a bin each; the others share one."""

SHARES = {SCORE: 0.25, TOGETHER: 0.15}
"""The parts of the false discovery rate that are kept for these; features have the rest, half of it evenly and half by
their importance."""

RESERVE = 0.2
"""The part that nobody has: with a few hundred people the null is an approximation, and errs to either side."""

AUC_FLOOR = 0.55
"""Windows that a classifier tells apart less well than this do not differ enough to matter."""


@dataclass(frozen=True)
class FeatureDrift:
    """One feature: its stability index, its p-value, the same adjusted for all that was tested, and the verdict.

    `bins` say what each bin holds, `reference` and `current` the shares of the rows in it. `weight` is how much of the
    false discovery rate it has, 1 being an even part.
    """

    name: str
    psi: float
    p_value: float
    adjusted: float
    drifted: bool
    weight: float
    bins: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


@dataclass(frozen=True)
class Together:
    """Whether all features together tell the windows apart: a classifier's AUC on people whom it never saw."""

    auc: float
    p_value: float
    adjusted: float
    drifted: bool


@dataclass(frozen=True)
class DriftResult:
    """Every feature (the score first), all of them together, whether any drifted, and how many people there were.

    `beyond_chance` has the size (an index, or an AUC) of what chance does not explain, whether it matters or not: what
    the next night is told of this one. `twice` are those that were beyond chance on the night before as well, and are
    on average large enough to matter.
    """

    features: tuple[FeatureDrift, ...]
    together: Together | None
    drifted: bool
    people_reference: int
    people_current: int
    beyond_chance: Mapping[str, float] = field(default_factory=dict)
    twice: tuple[str, ...] = ()

    @property
    def moved(self) -> tuple[str, ...]:
        """The names of what drifted."""
        names = [one.name for one in self.features if one.drifted]
        return (*names, *([TOGETHER] if self.together and self.together.drifted else []))


def check(
    frame: Mapping[str, Array],
    person: Array,
    window: Array,
    *,
    categorical: Collection[str] = (),
    recorded: Collection[str] = (),
    importance: Mapping[str, float] | None = None,
    before: Mapping[str, float] | None = None,
    permutations: int = 999,
    q: float = 0.01,
    floor: float = 0.02,
    seed: int = 0,
) -> DriftResult:
    """Compare the reference window with the current one, feature by feature and all together.

    `frame` maps a feature's name to its values (N,), NaN where missing; `person` (N,) says whose each row is and
    `window` (N,) is 0 for the reference, 1 for now. A feature is cut at the reference's deciles; one that is
    `categorical` has a bin for each of its commonest values. A missing value is news like any other ("never bought"),
    but of the features that are `recorded`, copied from the company's records, it is left out: there it is a fault of
    the data. `importance` is any non-negative measure of what each feature means to the model; all features together
    are those that matter to it.

    A feature drifted when its adjusted p-value is at most `q` and its index at least `floor`. An index from a few
    hundred people is a rough estimate, which falls below the floor every few dozen nights though the change is twice as
    large; so of what was beyond chance on the night before as well (`before`, that night's `beyond_chance`) the mean of
    both nights is held against the floor. Everybody is turned round `permutations` times; what chance did not reach by
    then, until even the smallest weight could pass. The order of the rows does not matter. Raises ValueError when a
    window is empty.
    """
    window = np.asarray(window)
    seen = [len(np.unique(np.asarray(person)[window == side])) for side in (0, 1)]
    if not frame or not all(seen):
        raise ValueError(
            f"drift.check: {len(frame)} features, {seen[0]} people in the reference and {seen[1]} now; expected at "
            "least one of each. Check the two windows' dates."
        )
    names = sorted(frame, key=lambda name: (name != SCORE, name))
    cluster, many = flips.clusters(person)
    tables = [
        Histograms.of(frame[name], cluster, many, window, categorical=name in categorical, recorded=name in recorded)
        for name in names
    ]
    weights = _weights(names, importance or {})
    smallest = q * weights.min() / len(weights)
    most = max(permutations, math.ceil(2 / smallest))
    psis, p_values = permutation_tests([table.counts for table in tables], permutations, seed, most)
    read = matters(importance) if importance else frozenset(names)
    together = told_apart(
        {name: frame[name] for name in names if name in read and name != SCORE}, person, window, most, seed, recorded
    )
    adjusted = benjamini_hochberg(np.append(p_values, together.p_value if together else 1.0), weights)
    sizes = dict(zip(names, psis.tolist(), strict=True)) | ({TOGETHER: together.auc} if together else {})
    beyond = {name: sizes[name] for name, a in zip(sizes, adjusted, strict=False) if a <= q}
    least = dict.fromkeys(names, floor) | {TOGETHER: AUC_FLOOR}
    known = before or {}
    twice = tuple(name for name in beyond if name in known and (beyond[name] + known[name]) / 2 >= least[name])
    drifted = {name for name, size in beyond.items() if size >= least[name] or name in twice}
    features = tuple(
        FeatureDrift(name, float(index), float(p), float(a), name in drifted, float(w), *table.said())
        for name, table, index, p, a, w in zip(names, tables, psis, p_values, adjusted, weights, strict=False)
    )
    all_of_them = (
        Together(together.auc, together.p_value, float(adjusted[-1]), TOGETHER in drifted) if together else None
    )
    return DriftResult(features, all_of_them, bool(drifted), seen[0], seen[1], beyond, twice)


def matters(importance: Mapping[str, float]) -> frozenset[str]:
    """The score, everything together, and features that mean at least half of what an even share would."""
    even = sum(importance.values()) / max(len(importance), 1)
    return frozenset({SCORE, TOGETHER} | {name for name, share in importance.items() if share >= even / 2})


def psi(reference_counts: Array, current_counts: Array) -> Floats:
    """Population stability index of two histograms (..., bins): sum of (q - p) ln(q / p) over shares p and q.

    Bins that both leave empty count nothing; the others get EPSILON rows more. 0 means equal shares; the customary
    reading (0.1 some, 0.25 much) is an effect size, not a test.
    """
    reference, current = np.asarray(reference_counts, np.float64), np.asarray(current_counts, np.float64)
    used = (reference + current) > 0
    p, q = (_shares(np.where(used, counts + EPSILON, 0.0)) for counts in (reference, current))
    ratio = np.divide(q, p, out=np.ones_like(q), where=used)
    return np.asarray(((q - p) * np.log(ratio)).sum(axis=-1))


def quantile_edges(reference: Array, bins: int = BINS) -> Floats:
    """Upper edges of the bins (inclusive), from the reference window's values (N,).

    Up to `bins` distinct values get a bin each, and so does anything below or above them; more are cut at their
    quantiles, where values that fill several quantiles give fewer edges.
    """
    values = np.asarray(reference, np.float64)
    finite = values[np.isfinite(values)]
    if len(np.unique(finite[:1000])) <= bins and len(distinct := np.unique(finite)) <= bins:
        return np.concatenate([np.nextafter(distinct[:1], -np.inf), distinct])
    cuts = np.arange(1, bins) * (len(finite) - 1) // bins
    return np.unique(np.partition(finite, cuts)[cuts])


def permutation_tests(
    counts: Sequence[Array], permutations: int = 999, seed: int = 0, most: int | None = None
) -> tuple[Floats, Floats]:
    """Stability indices and p-values (F,), of each feature's rows by cluster, window and bin (clusters, 2, bins).

    All features are of the same clusters of people. p = (1 + flips at least as far) / (1 + flips).
    """
    if not counts:
        return np.zeros(0), np.zeros(0)
    bins = max(table.shape[-1] for table in counts)
    totals = np.zeros((len(counts), 2, bins))
    parts = np.zeros((len(counts[0]), len(counts), bins))
    for at, table in enumerate(counts):
        totals[at, :, : table.shape[-1]] = table.sum(axis=0)
        parts[:, at, : table.shape[-1]] = flips.surplus(table)
    observed = psi(totals[:, 0], totals[:, 1])

    def chance(difference: Floats, which: Integers) -> Floats:
        return _psi_of_difference(totals[which], difference)

    return observed, flips.p_values(parts, observed, chance, permutations, most or permutations, seed)


def benjamini_hochberg(p_values: Array, weights: Array | None = None) -> Floats:
    """P-values adjusted for their number: those at most q have a false discovery rate of at most q.

    `weights` with a mean of 1 at the most give some hypotheses more of the rate than others.
    """
    values = np.asarray(p_values, np.float64)
    values = values if weights is None else values / np.asarray(weights)
    order = np.argsort(values, kind="stable")
    count = len(order)
    scaled = values[order] * count / np.arange(1, count + 1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def _weights(names: Sequence[str], importance: Mapping[str, float]) -> Floats:
    """What each of `names`, and all of them together, have of the false discovery rate: (F + 1,), 1 an even part."""
    many = len(names) + 1
    shares = {name: share for name, share in SHARES.items() if name in names or name == TOGETHER}
    rest = [name for name in names if name not in shares]
    if not rest:
        shares = dict.fromkeys((*names, TOGETHER), (1 - RESERVE) / many)
    told = np.array([max(importance.get(name, 0.0), 0.0) for name in rest])
    by_importance = told / told.sum() if told.sum() > 0 else np.full(len(rest), 1 / max(len(rest), 1))
    even = np.full(len(rest), 1 / max(len(rest), 1))
    left = 1 - RESERVE - sum(shares.values())
    shares |= dict(zip(rest, left * (even + by_importance) / 2, strict=True))
    return many * np.array([shares[name] for name in (*names, TOGETHER)])


# ---------------------------------------------------------------- histograms


@dataclass(frozen=True)
class Histograms:
    """A feature's rows by cluster of people, window and bin (clusters, 2, bins), and what the bins hold."""

    counts: Integers
    bins: tuple[str, ...]

    @classmethod
    def of(
        cls,
        values: Array,
        cluster: Integers,
        clusters: int,
        window: Array,
        *,
        categorical: bool = False,
        recorded: bool = False,
    ) -> Histograms:
        """Of values (N,), NaN where missing, whose rows are of these clusters and windows (N,); see `check`."""
        values = np.asarray(values, np.float64)
        bins, names = _categories(values, window) if categorical else _deciles(values, window)
        missing = np.isnan(values)
        if recorded:
            cluster, window, bins = cluster[~missing], window[~missing], bins[~missing]
        else:
            bins, names = np.where(missing, len(names), bins), (*names, "missing")
        flat = (cluster * 2 + window.astype(np.int64)) * len(names) + bins
        counts = np.bincount(flat, minlength=clusters * 2 * len(names))
        return cls(counts.reshape(clusters, 2, len(names)), names)

    def said(self) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
        """Bins that any row is in, and the shares of the windows' rows in them."""
        totals = self.counts.sum(axis=0)
        used = totals.sum(axis=0) > 0
        shares = totals / np.maximum(totals.sum(axis=1, keepdims=True), 1)
        names = tuple(name for name, some in zip(self.bins, used, strict=True) if some)
        return names, tuple(shares[0, used].tolist()), tuple(shares[1, used].tolist())


def _deciles(values: Floats, window: Array) -> tuple[Integers, tuple[str, ...]]:
    edges = quantile_edges(values[window == 0])
    names = (
        (f"to {edges[0]:.4g}", *(f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)), f"over {edges[-1]:.4g}")
        if len(edges)
        else ("any",)
    )
    return np.searchsorted(edges, values, side="left").clip(max=len(edges)), names


def _categories(values: Floats, window: Array) -> tuple[Integers, tuple[str, ...]]:
    """The reference's commonest values have a bin each (of equally common ones the smaller), the others the last."""
    known, rows = np.unique(values[(window == 0) & ~np.isnan(values)], return_counts=True)
    top = np.sort(known[np.argsort(-rows, kind="stable")[:CATEGORIES]])
    at = np.searchsorted(top, values).clip(max=max(len(top) - 1, 0))
    found = top[at] == values if len(top) else np.zeros(len(values), bool)
    return np.where(found, at, len(top)), (*(f"{value:g}" for value in top), "other")


def _psi_of_difference(totals: Floats, difference: Floats) -> Floats:
    """The index of windows that have the pooled shares but differ by `difference`: (chunk, F) of (chunk, F, bins)."""
    rows = np.maximum(totals.sum(axis=-1, keepdims=True), 1)
    weight = rows / rows.sum(axis=-2, keepdims=True)
    pooled = totals.sum(axis=-2) / rows.sum(axis=(-2, -1))[:, None]
    reference = np.maximum(rows[:, 0] * (pooled - weight[:, 1] * difference), 0.0)
    current = np.maximum(rows[:, 1] * (pooled + weight[:, 0] * difference), 0.0)
    return psi(reference, current)


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), EPSILON))
