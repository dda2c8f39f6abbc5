"""Seeded randomness: one generator a subject and day, so that no draw depends on how many were made before it."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DAY_US = 86_400_000_000


class Stream(IntEnum):
    """What a generator is for; the number is part of every seed, so it never changes."""

    PEOPLE = 0
    CATALOGUE = 1
    SESSIONS = 2
    TASTES = 3
    ACTIVITY = 4
    REFUNDS = 5
    SHIFT = 6


def generator(seed: int, stream: Stream, day: int = 0) -> np.random.Generator:
    """The generator of one subject on one day (numpy's SeedSequence with the pair as its spawn key)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(stream), day)))


def some(rng: np.random.Generator, pool: Bools, share: float) -> Bools:
    """Mark `share` of the True places of `pool`, at least one: an exact count keeps small worlds like large ones."""
    places = np.flatnonzero(pool)
    marked = np.zeros(len(pool), dtype=bool)
    if len(places):
        marked[rng.choice(places, size=max(1, round(share * len(places))), replace=False)] = True
    return marked


def weighted(rng: np.random.Generator, weights: npt.ArrayLike, size: int) -> Ints:
    """Draw `size` places with probability proportional to `weights`, with replacement."""
    edges = np.cumsum(np.asarray(weights, dtype=float))
    places: Ints = np.searchsorted(edges, rng.random(size) * edges[-1], side="right")
    return np.minimum(places, len(edges) - 1)


def within_runs(lengths: Ints) -> Ints:
    """0, 1, 2 … counted anew in each run: `[2, 3]` gives `[0, 1, 0, 1, 2]`."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
