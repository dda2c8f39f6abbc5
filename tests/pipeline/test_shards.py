"""Which shard a person is in: a promise to every engine that reads the lake."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shards import shard_of

INT64 = st.integers(-(2**63), 2**63 - 1)


def split_mix(x: int) -> int:
    """The SplitMix64 finalizer in plain integers."""
    mask = 2**64 - 1
    x &= mask
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    return x ^ (x >> 31)


@given(st.lists(INT64), st.integers(1, 500))
def test_a_shard_is_a_stable_mix_of_the_id(ids: list[int], shards: int) -> None:
    """Anyone can compute it in any language: negative ids are taken as unsigned."""
    found = shard_of(np.array(ids, np.int64), shards)
    assert found.dtype == np.int16
    assert found.tolist() == [split_mix(one) % shards for one in ids]


def test_shards_are_of_a_size() -> None:
    """Even ids in a row spread evenly: no shard of 64 is more than a fifth off."""
    sizes = np.bincount(shard_of(np.arange(128_000)), minlength=64)
    assert sizes.min() > 1600
    assert sizes.max() < 2400
