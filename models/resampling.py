"""How sure figures of a ranking are: people are drawn again with replacement, and every figure is worked out anew.

The rows are sorted once. What a draw changes is only how often each row counts, so AUC, average precision and lift of
all draws come out of one product of a sparse matrix (stretches of the ranking x people) with how often each person was
drawn. With everybody once, they are `models.metrics`' figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.metrics import Interval, equal_mass

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 200
"""Enough for the ends of a 95 % interval that people look at; a decision is made on 1,000 (`models.gate`)."""

FIGURES = ("auc", "pr_auc", "lift_10")

_CELLS = 4_000_000
"""Stretches x draws that are worked on at a time: 32 MB an array."""


@dataclass(frozen=True)
class Draws:
    """Whose each row is (N,), as a place among so many people, who are drawn again and again.

    The first draw is everybody once: the figures themselves. The same people and seed are the same draws, so that
    figures of several scores can be paired.
    """

    owner: Ints
    people: int
    draws: int
    seed: int

    @classmethod
    def of(cls, people: Array, draws: int = DRAWS, seed: int = 0) -> Draws:
        """For rows of these people (N,)."""
        known, owner = np.unique(people, return_inverse=True)
        return cls(owner.astype(np.int64), len(known), draws, seed)

    def figures(self, y: Array, score: Array, names: Sequence[str] = FIGURES) -> dict[str, Floats]:
        """Some of `FIGURES`, of scores (N,) against `y` (N,) 0 or 1: (draws + 1,) each, NaN for draws of one class."""
        ranking = _Ranking.of(np.asarray(y) > 0, np.asarray(score, np.float64), self.owner, self.people)
        parts = [ranking.figures(times, names) for times in self._times(ranking.every.shape[0])]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def means(self, values: Array) -> Floats:
        """The mean of `values` (N,) over the rows, (draws + 1,)."""
        totals = np.bincount(self.owner, weights=np.asarray(values, np.float64), minlength=self.people)
        rows = np.bincount(self.owner, minlength=self.people).astype(np.float64)
        parts = [(totals @ times) / np.maximum(rows @ times, 1.0) for times in self._times(1)]
        return np.asarray(np.concatenate(parts))

    def totals(self, values: Array) -> Floats:
        """The sum of each column of `values` (N, C) over the rows, (draws + 1, C)."""
        totals = np.zeros((self.people, values.shape[1]))
        np.add.at(totals, self.owner, values)
        return self._summed(totals)

    def cells(self, values: Array, cell: Ints, cells: int) -> Floats:
        """The sum of `values` (N,) over the rows of each `cell` (N,), 0 to `cells` - 1: (draws + 1, cells)."""
        at = self.owner * cells + cell
        totals: Floats = np.bincount(at, np.asarray(values, np.float64), self.people * cells).astype(np.float64)
        return self._summed(totals.reshape(self.people, cells))

    def ece(self, y: Array, p: Array, bins: int = 15) -> Floats:
        """The expected calibration error of probabilities `p` (N,), in the bins of all rows: (draws + 1,)."""
        off = np.asarray(p, np.float64) - np.asarray(y, np.float64)
        gaps = np.abs(self.cells(off, equal_mass(p, bins), bins)).sum(axis=1)
        rows = self.cells(np.ones(len(off)), np.zeros(len(off), np.int64), 1)[:, 0]
        return np.asarray(gaps / rows)

    def distinct(self, values: Ints) -> Floats:
        """How many distinct `values` (N,) the rows have, (draws + 1,)."""
        known, at = np.unique(values, return_inverse=True)
        met = _counted(at, self.owner, (len(known), self.people))
        return np.concatenate([(np.asarray(met @ times) > 0).sum(axis=0) for times in self._times(len(known))])

    def _summed(self, totals: Floats) -> Floats:
        """The sum of each column of what each person has (people, C), (draws + 1, C)."""
        return np.concatenate([times.T @ totals for times in self._times(totals.shape[1])])

    def _times(self, beside: int) -> Iterator[Floats]:
        """How often each person was drawn (people, some draws), so many at a time as fit with `beside` rows more."""
        if self.people * (self.draws + 1) <= _CELLS:
            step = max(1, _CELLS // max(beside, 1))
            yield from (self._few[:, at : at + step] for at in range(0, self.draws + 1, step))
            return
        step = max(1, _CELLS // (self.people + beside))
        for at in range(0, self.draws + 1, step):
            yield self._drawn(at, min(at + step, self.draws + 1))

    @cached_property
    def _few(self) -> Floats:
        """All draws at once, where there are few people: they are asked for again for every score."""
        return self._drawn(0, self.draws + 1)

    def _drawn(self, start: int, stop: int) -> Floats:
        times = np.ones((self.people, stop - start))
        for draw in range(max(start, 1), stop) if self.people else ():
            rng = np.random.default_rng((self.seed, draw))
            drawn = rng.integers(0, self.people, self.people)
            times[:, draw - start] = np.bincount(drawn, minlength=self.people)
        return times


def interval(drawn: Floats, level: float = 0.95) -> Interval:
    """The figure (the first of `drawn`) with the percentile interval of the others; NaN without any."""
    known = drawn[1:][np.isfinite(drawn[1:])]
    if not len(known):
        return Interval(float(drawn[0]), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(drawn[0]), float(low), float(high))


@dataclass(frozen=True)
class _Ranking:
    """Rows, best first, as stretches: 2 j are those before the j-th block with positives, 2 j + 1 is that block.

    A block are the rows of one score. `every` (2 K + 1, people) counts rows, `positive` (K, people) those of the blocks
    that are positive.
    """

    every: Any
    positive: Any

    @classmethod
    def of(cls, positive: NDArray[np.bool_], score: Floats, owner: Ints, people: int) -> _Ranking:
        block = np.unique(-score, return_inverse=True)[1]
        found = np.unique(block[positive])
        at = np.searchsorted(found, block)
        inside = at < len(found)
        inside[inside] = found[at[inside]] == block[inside]
        stretch = 2 * at + inside
        return cls(
            _counted(stretch, owner, (2 * len(found) + 1, people)),
            _counted(at[positive], owner[positive], (len(found), people)),
        )

    def figures(self, times: Floats, names: Sequence[str]) -> dict[str, Floats]:
        """By name (draws,), of how often each person was drawn (people, draws)."""
        rows, hits = np.asarray(self.every @ times), np.asarray(self.positive @ times)
        taken, found = rows.cumsum(axis=0), hits.cumsum(axis=0)
        by_name = {
            "auc": lambda: _auc(rows[1::2] - hits, hits, taken, found),
            "pr_auc": lambda: _average_precision(hits, taken, found),
            "lift_10": lambda: _lift(taken, found, 0.1),
        }
        return {name: by_name[name]() for name in names}


def _counted(row: Ints, person: Ints, shape: tuple[int, int]) -> Any:
    return sparse.coo_matrix((np.ones(len(row)), (row, person)), shape=shape).tocsr()


def _auc(misses: Floats, hits: Floats, taken: Floats, found: Floats) -> Floats:
    """Each block's positives beat what stands behind it, and half of the negatives in it (draws,)."""
    positives = hits.sum(axis=0)
    negatives = taken[-1] - positives
    behind = negatives - (taken[1::2] - found) + misses / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((hits * behind).sum(axis=0) / (positives * negatives))


def _average_precision(hits: Floats, taken: Floats, found: Floats) -> Floats:
    """The precision down to each block, weighted by its positives (draws,)."""
    ends = taken[1::2]
    precision = np.where(ends > 0, found / np.maximum(ends, 1), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((hits * precision).sum(axis=0) / hits.sum(axis=0))


def _lift(taken: Floats, found: Floats, share: float) -> Floats:
    """Positives in the best `share` of the rows over what chance would find, tied rows in equal parts (draws,).

    `taken` (2 K + 1, draws) are the rows up to the end of each stretch, `found` (K, draws) the positives of each block.
    """
    before = np.zeros((1, taken.shape[1]))
    rows, hits = np.vstack([before, taken]), np.vstack([before, before, np.repeat(found, 2, axis=0)])
    lifts = np.full(taken.shape[1], np.nan)
    for draw in np.flatnonzero(hits[-1] > 0):
        reached = np.interp(share * rows[-1, draw], rows[:, draw], hits[:, draw])
        lifts[draw] = reached / hits[-1, draw] / share
    return lifts
