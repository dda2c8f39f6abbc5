"""Stable slices of people: rows of the lake are sorted by shard, so that one shard can be read, or worked on, alone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

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


def home_of(ids: np.ndarray, slices: int) -> np.ndarray:
    """Which of so many slices of the shards each id is in."""
    return shard_of(ids) // np.int16(SHARDS // slices)


Work = Callable[[range], Iterator[tuple[int, pa.Table]]]
"""Works on some slices of the shards, in ascending order, and gives each one's answer."""


def run(
    work: Work,
    slices: int,
    folder: Path,
    workers: int | None = None,
    on_slice: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """The answers for all slices, in their order; each worker has a range of them, one slice in memory at a time.

    Answers wait in files below `folder`, which must stay as long as the table is used. Workers are threads: what they
    do is compiled, or Arrow's, and lets the others run meanwhile; and unlike processes they can be started wherever
    Airflow runs a task. `workers` is the number of processors where it is not given.
    """
    count = min(workers or len(os.sched_getaffinity(0)), slices)
    ranges = [range(slices * i // count, slices * (i + 1) // count) for i in range(count)]
    done = itertools.count(1)

    def worked(wanted: range) -> pa.Table:
        file = folder / f"slices-{wanted.start}.arrow"
        with ExitStack() as opened:
            written: pa.ipc.RecordBatchStreamWriter | None = None
            for _, table in work(wanted):
                written = written or opened.enter_context(pa.ipc.new_stream(file, table.schema))
                written.write_table(table)
                if on_slice:
                    on_slice(next(done), slices)
        return _mapped(file)

    with ThreadPoolExecutor(count) as pool:
        return pa.concat_tables([finished.result() for finished in [pool.submit(worked, some) for some in ranges]])


def _mapped(file: Path) -> pa.Table:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_stream(source).read_all()
