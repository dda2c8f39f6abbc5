"""Weights of the goals that would rank better by some measure: looked for on some nights, judged on later ones.

They are for people to look at. What an engagement is worth is the campaign's to say, so no weight is ever changed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.listing import K
from models.metrics import Interval, bootstrap_difference

Array = NDArray[Any]
Floats = NDArray[np.float64]
Weights = Mapping[str, float]

SEARCHED, JUDGED = 150_000, 500_000
"""Cells (lists x the longest) that weights are looked for on, some sixty times, and judged on, once each."""

LONGEST = 2_000
"""Rows of a list that can still be somebody's; what is longer is left out, as all others would be filled up to it."""

NDCG, VALUE = f"ndcg_{K}", f"value_{K}"

_STEPS = (0.5, 0.25, 0.12, 0.06)
_DIGITS = 3


@dataclass(frozen=True)
class Lists:
    """Rows (N,) of whole lists, a list's together: whose (`person`), of which list (`group`, growing), and by goal the
    probabilities `p` and whether it was reached (`labels`, 0 or 1).
    """

    person: Array
    group: Array
    p: Mapping[str, Array]
    labels: Mapping[str, Array]


@dataclass(frozen=True)
class Suggestion:
    """The weights that were best by `metric` where they were looked for, and how they did where they were judged.

    `metric` is `ndcg_10` (of the campaign's own relevance), `ndcg_10.<goal>` (of one goal alone), or `value_10` (of the
    first ten places, what was reached there times the goal's value; a list). `difference` is `suggested` - `today`,
    over people.
    """

    metric: str
    weights: Weights
    today: float
    suggested: float
    difference: Interval

    @property
    def better(self) -> bool:
        """Whether it ranks better beyond doubt. It is no suggestion otherwise."""
        return self.difference.low > 0


def chosen(group: Array, labels: Mapping[str, Array], cells: int) -> NDArray[np.bool_]:
    """Which rows (N,) tell anything: those of lists in which any goal was reached; evenly spaced where they are many.

    `group` (N,) grows; all other lists are the same whatever the weights.
    """
    code = np.unique(group, return_inverse=True)[1]
    reached = np.any([np.asarray(label) > 0 for label in labels.values()], axis=0)
    size = np.bincount(code)
    telling = np.flatnonzero((np.bincount(code, weights=reached) > 0) & (size <= LONGEST))
    kept = np.zeros(len(size), bool)
    if len(telling):
        kept[telling[:: math.ceil(len(telling) * int(size[telling].max()) / cells)]] = True
    return np.asarray(kept[code])


def suggestions(searched: Lists, judged: Lists, weights: Weights, values: Weights) -> tuple[Suggestion, ...]:
    """For each measure the best weights of `searched`, beside today's `weights` on `judged`.

    Relevance is the sum of weight x value x probability. Only what the weights are to each other matters, so those that
    are suggested add up to what today's add up to. A measure that has nothing to say in either is left out; of a single
    goal there is nothing to suggest.
    """
    goals = tuple(sorted(weights))
    if len(goals) < 2 or not len(searched.group) or not len(judged.group):
        return ()
    worth = np.array([values[goal] for goal in goals])
    today = np.array([weights[goal] for goal in goals])
    found, later = (_Places.of(lists, goals, today * worth, worth) for lists in (searched, judged))
    best = _Search(found).best(today * worth)
    tried = {
        metric: tuple(_scaled(best[metric] / worth, today.sum()).tolist())
        for metric in found.metrics
        if found.measures(metric) and later.measures(metric)
    }
    before = later.by_list(today * worth)
    after = {weights: later.by_list(np.asarray(weights) * worth) for weights in {*tried.values()}}
    return tuple(
        _judged(m, dict(zip(goals, tried[metric], strict=True)), later, before[m], after[tried[metric]][m])
        for m, metric in enumerate(later.metrics)
        if metric in tried
    )


def _scaled(weights: Floats, total: float) -> Floats:
    """So that they add up to `total`, in as many digits as people read: what is told is what is judged."""
    scaled = weights / weights.sum() * (total or 1.0)
    return np.array([float(f"{weight:.{_DIGITS}g}") for weight in scaled])


def _judged(m: int, weights: Weights, lists: _Places, before: Floats, after: Floats) -> Suggestion:
    """By measure `m`, of what each list reaches (L,) before and after."""
    difference = bootstrap_difference(after, before, lists.people)
    return Suggestion(lists.metrics[m], weights, float(np.nanmean(before)), float(np.nanmean(after)), difference)


# ---------------------------------------------------------------- what the first places hold


@dataclass(frozen=True)
class _Places:
    """Lists side by side (L, W), shorter ones filled up, and what their rows count for by each of M measures.

    `p` (G, L, W); `filled` (L, W) is no row; `gains` (M, L, W); `discount` (M, K) by place; `most` (M, L) what the best
    order would reach, 1 where a measure is not relative, NaN where there is nothing to reach.
    """

    metrics: tuple[str, ...]
    people: Array
    p: Floats
    filled: NDArray[np.bool_]
    gains: Floats
    discount: Floats
    most: Floats

    @classmethod
    def of(cls, lists: Lists, goals: Sequence[str], relevance: Floats, value: Floats) -> _Places:
        """With what a goal counts for in the campaign's relevance, and what it is worth (G,)."""
        first, size = np.unique(lists.group, return_index=True, return_counts=True)[1:]
        cell = first[:, None] + np.arange(size.max())
        filled = np.arange(size.max()) >= size[:, None]
        cell[filled] = 0
        p, labels = (
            np.where(filled, 0.0, np.stack([np.asarray(of[goal], np.float64) for goal in goals])[:, cell])
            for of in (lists.p, lists.labels)
        )
        gains = np.concatenate([np.tensordot([relevance], labels, 1), labels, np.tensordot([value], labels, 1)])
        discount = np.tile(1 / np.log2(np.arange(K) + 2), (len(gains), 1))
        discount[-1] = 1.0
        ideal = _first(-np.sort(-gains, axis=2)[:, :, :K], discount)
        most = np.where(ideal > 0, ideal, np.nan)
        most[-1] = np.where(ideal[-1] > 0, 1.0, np.nan)
        metrics = (NDCG, *(f"{NDCG}.{goal}" for goal in goals), VALUE)
        return cls(metrics, lists.person[first], p, filled, gains, discount, most)

    def measures(self, metric: str) -> bool:
        """Whether any list has a figure by it."""
        return bool(np.isfinite(self.most[self.metrics.index(metric)]).any())

    def by_list(self, weights: Floats) -> Floats:
        """Each measure of each list (M, L), sorted by the sum of weight (G,) x probability; ties share their gain."""
        score = np.where(self.filled, -np.inf, np.tensordot(weights, self.p, 1))
        order = np.argsort(-score, axis=1)
        ranked = np.take_along_axis(score, order, axis=1)
        gains = np.take_along_axis(self.gains, order[None], axis=2)
        return np.asarray(_first(_shared(ranked, gains), self.discount) / self.most)

    def means(self, weights: Floats) -> Floats:
        """Each measure (M,) over the lists that have it; NaN where none has."""
        found, known = self.by_list(weights), np.isfinite(self.most)
        total, lists = np.where(known, found, 0.0).sum(axis=1), known.sum(axis=1)
        return np.asarray(np.where(lists > 0, total / np.maximum(lists, 1), np.nan))


def _first(gains: Floats, discount: Floats) -> Floats:
    """What the first places reach (M, L), of gains in their order (M, L, at least K or all)."""
    places = min(K, gains.shape[2])
    return np.asarray(np.einsum("mlk,mk->ml", gains[:, :, :places], discount[:, :places]))


def _shared(ranked: Floats, gains: Floats) -> Floats:
    """The gains of the first places (M, L, at most K), those of rows that tie shared out evenly among them."""
    width = ranked.shape[1]
    place = np.broadcast_to(np.arange(width), ranked.shape)
    same = ranked[:, 1:] == ranked[:, :-1]
    begins = np.column_stack([np.ones(len(ranked), bool), ~same])
    ends = np.column_stack([~same, np.ones(len(ranked), bool)])
    start = np.maximum.accumulate(np.where(begins, place, 0), axis=1)[:, :K]
    stop = np.minimum.accumulate(np.where(ends, place, width)[:, ::-1], axis=1)[:, ::-1][:, :K] + 1
    before = np.concatenate([np.zeros((*gains.shape[:2], 1)), gains.cumsum(axis=2)], axis=2)
    upto, since = (np.take_along_axis(before, at[None], axis=2) for at in (stop, start))
    return np.asarray((upto - since) / (stop - start))


# ---------------------------------------------------------------- the search


@dataclass(frozen=True)
class _Search:
    """A search by coordinates, over what part of all relevance each goal makes up: probabilities differ in size."""

    places: _Places

    def best(self, today: Floats) -> dict[str, Floats]:
        """By measure the best weights (G,) that were found; today's, if none is better."""
        size = np.maximum(self.places.p.sum(axis=(1, 2)), np.finfo(float).tiny)
        begun = [_parts(today * size), *_corners(len(today))]
        means = cache(lambda shares: self.places.means(np.asarray(shares) / size).tolist())
        found = {metric: _climb(begun, means, m) for m, metric in enumerate(self.places.metrics)}
        return {metric: today if shares == begun[0] else np.asarray(shares) / size for metric, shares in found.items()}


Shares = tuple[float, ...]


def _climb(begun: Sequence[Shares], means: Callable[[Shares], Sequence[float]], m: int) -> Shares:
    """The shares with the best mean of measure `m`, in ever smaller steps."""

    def value(shares: Shares) -> float:
        return means(shares)[m]

    best = max(begun, key=value)  # of equals the first, which is today's
    for step in _STEPS:
        for near in _around(best, step):
            best = max(best, near, key=value)
    return best


def _around(shares: Shares, step: float) -> Iterator[Shares]:
    """More of one goal at the cost of all others, and less of it."""
    for goal in range(len(shares)):
        at = np.arange(len(shares)) == goal
        yield _parts((1 - step) * np.array(shares) + step * at)
        yield _parts(np.where(at, 1 - step, 1.0) * shares)


def _corners(goals: int) -> Iterator[Shares]:
    """All goals alike, each alone, and each two alike."""
    alone = np.eye(goals)
    yield _parts(alone.sum(axis=0))
    yield from map(_parts, alone)
    yield from (_parts(one + other) for one, other in combinations(alone, 2))


def _parts(amounts: Floats) -> Shares:
    """What add up to 1, in digits that make equal ones equal; all alike, where there is nothing."""
    total = amounts.sum()
    return tuple(np.round(amounts / total if total > 0 else np.full(len(amounts), 1 / len(amounts)), 6).tolist())
