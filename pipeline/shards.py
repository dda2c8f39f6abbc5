"""Stable slices of people: rows of the lake are sorted by shard, so that one shard can be read, or worked on, alone."""

from __future__ import annotations

import numpy as np

SHARDS = 64
"""How many the lake has. Changing it moves everybody: the lake has to be loaded again."""


def shard_of(ids: np.ndarray, shards: int = SHARDS) -> np.ndarray:
    """The shard (int16, 0..shards-1) of each int64 id: SplitMix64's finalizer (Steele et al. 2014), not hash().

    Every engine and every release has to agree on it, for good.
    """
    x = ids.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return (x % np.uint64(shards)).astype(np.int16)
