"""Chance, by turning people round: what a difference between two windows would be if nothing had changed.

What a person adds to the difference of the windows' shares has mean zero if nothing changed, however many rows the
person has in either window. Turning it round for a random half of the people gives a difference that chance could have
made (cluster sign flips; Cameron, Gelbach and Miller 2008). Swapping the windows' labels instead is wrong as soon as
the windows differ in rows a person: with 30 rows then and 1 now it fires on 98 % of unchanged data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CLUSTERS = 4096
"""People are turned round one by one up to this number, and in this many groups above: whoever is in a group with
others is turned with them. A null of thousands of independent parts is as good as one of millions, and costs the
same whatever the number of people."""

CHUNK = 128
"""Flips worked on at once."""

SETTLED = 20
"""Who was reached by chance this often is no suspect, and needs no more flips than were asked for."""


def clusters(person: Array) -> tuple[Integers, int]:
    """Each row's cluster (N,), counted from 0, and their number: a person each, or a group of people each."""
    known, index = np.unique(person, return_inverse=True)
    return index.astype(np.int64) % CLUSTERS, min(len(known), CLUSTERS)


def surplus(counts: Array) -> Floats:
    """What each cluster adds to the current minus the reference share of each bin: (clusters, ..., bins).

    `counts` (clusters, ..., 2, bins) are rows by window (0 the reference, 1 now). Every cluster's is centred on the
    share that both windows have together, so that it has mean zero where nothing changed.
    """
    rows = counts.sum(axis=-1, keepdims=True)
    in_window = np.maximum(rows.sum(axis=0, keepdims=True), 1)
    pooled = counts.sum(axis=(0, -2), keepdims=True)
    pooled = pooled / np.maximum(pooled.sum(axis=-1, keepdims=True), 1)
    parts = (counts - rows * pooled) / in_window
    return np.asarray(parts[..., 1, :] - parts[..., 0, :], np.float64)


def p_values(
    parts: Floats, observed: Floats, statistic: Callable[[Floats, Integers], Floats], flips: int, most: int, seed: int
) -> Floats:
    """How often chance goes at least as far as what was seen, (1 + times) / (1 + flips), of each of F subjects.

    `parts` (clusters, F, bins) is each cluster's part of the differences; `statistic` makes of differences (chunk,
    some, bins) and of which subjects they are (some,) how far they go (chunk, some). Everybody gets `flips`; subjects
    that chance reached fewer than SETTLED times by then get up to `most`, so that small values are told apart (a
    sequential Monte Carlo test: Besag and Clifford 1991). The same seed turns the same clusters, so a subject's value
    does not depend on who else is tested.
    """
    reached = np.zeros(parts.shape[1], np.int64)
    given = np.zeros(parts.shape[1], np.int64)
    open_ = np.arange(parts.shape[1])
    matrix = parts.astype(np.float32)
    for signs in _signs(len(parts), max(most, flips), seed):
        chance = statistic(_turned(signs, matrix[:, open_]), open_)
        # The tolerance keeps a constant feature, which goes nowhere up to rounding, at 1.
        reached[open_] += (chance >= observed[open_] - 1e-9).sum(axis=0)
        given[open_] += len(signs)
        open_ = np.flatnonzero((given < flips) | ((reached < SETTLED) & (given < most)))
        if not len(open_):
            break
    return np.asarray((1 + reached) / (1 + given))


def _turned(signs: NDArray[np.float32], matrix: NDArray[np.float32]) -> Floats:
    clusters_, subjects, bins = matrix.shape
    return (signs @ matrix.reshape(clusters_, -1)).astype(np.float64).reshape(len(signs), subjects, bins)


def _signs(many: int, flips: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Random signs (chunk, clusters), +1 or -1: the same for a seed, whatever they are multiplied with."""
    rng = np.random.default_rng(seed)
    for start in range(0, flips, CHUNK):
        flipped = rng.integers(0, 2, (min(CHUNK, flips - start), many), dtype=np.int8)
        yield (2 * flipped - 1).astype(np.float32)
