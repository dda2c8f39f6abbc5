"""Rows of one lake table on their way into it: any number of them, in any order in, sorted out, in bounded memory.

An external sample sort. Rows wait on disk in runs, each sorted by `_cut_by`; all runs are then cut at the same keys.
What lies between two cuts is a group: small enough to be sorted in memory, and before all of the next group. Tables
with shards are cut between shards only. Only pseudonyms are ever written here.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.day_files import ORDER

PLACE = "place"
"""The order in which rows came, beside the table's own columns."""

_RUN = 65_536
"""Rows that are no longer waited with: a part of an export is mostly more, and is then a run as it comes."""
_GROUP = 262_144
_SAMPLED = 16
"""Rows of a run that are looked at to find where to cut."""

_Key = tuple[Any, ...]


@dataclass
class Spool:
    """A table's rows, of which there may be more than fit in memory."""

    folder: Path
    table: str
    rows: int = 0
    _waiting: list[pa.Table] = field(default_factory=list)
    _runs: list[Path] = field(default_factory=list)

    def add(self, rows: pa.Table) -> None:
        """More rows, in the lake's schema."""
        place = pa.array(np.arange(self.rows, self.rows + rows.num_rows))
        self.rows += rows.num_rows
        self._waiting.append(rows.append_column(PLACE, place))
        if sum(waiting.num_rows for waiting in self._waiting) >= _RUN:
            self._write_run()

    def pieces(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """These columns of all rows, in no order; those of the runs stay on disk until they are looked at."""
        yield from (_mapped(run).select(names) for run in self._runs)
        yield from (waiting.select(names) for waiting in self._waiting)

    def groups(self) -> Iterator[pa.Table]:
        """All rows, group after group: no row sorts before one of an earlier group. Nothing can be added any more."""
        if not self._runs:
            yield pa.concat_tables(self._waiting)
            return
        if self._waiting:
            self._write_run()
        cuts = self._cuts()
        places = [self._places(run, cuts) for run in self._runs]
        for group in range(len(cuts) + 1):
            yield self._between([at[group : group + 2] for at in places])

    def _between(self, places: Sequence[Sequence[int]]) -> pa.Table:
        """What lies between two places of each run; copied run by run, so that only one of them is mapped at a time."""
        between = zip(self._runs, places, strict=True)
        return pa.concat_tables([_mapped(run).take(np.arange(start, end)) for run, (start, end) in between])

    def remove(self) -> None:
        """Free the disk space."""
        for run in self._runs:
            run.unlink()

    @property
    def _cut_by(self) -> tuple[str, ...]:
        order = ORDER[self.table]
        return ("day", *(order[:1] if order[0] == "shard" else order))

    def _write_run(self) -> None:
        rows = sorted_by(pa.concat_tables(self._waiting), self._cut_by)
        run = self.folder / f"{self.table}-{len(self._runs)}.run"
        with pa.ipc.new_file(run, rows.schema) as file:
            file.write_table(rows)
        self._runs.append(run)
        self._waiting.clear()

    def _cuts(self) -> list[_Key]:
        """Keys between which there are about `_GROUP` rows."""
        step = _RUN // _SAMPLED
        sampled = [
            keys.take(np.arange(0, keys.num_rows, step))
            for keys in (_mapped(run).select(self._cut_by) for run in self._runs)
        ]
        keys = sorted_by(pa.concat_tables(sampled), self._cut_by)
        chosen = keys.take(np.arange(_GROUP // step, keys.num_rows, _GROUP // step))
        return sorted(set(zip(*chosen.to_pydict().values(), strict=True)))

    def _places(self, run: Path, cuts: Sequence[_Key]) -> list[int]:
        """Where each group begins in a run, and where the last one ends."""
        keys = _mapped(run).select(self._cut_by)

        def key(row: int) -> _Key:
            return tuple(column[row].as_py() for column in keys.columns)

        rows = range(keys.num_rows)
        return [0, *(bisect.bisect_left(rows, cut, key=key) for cut in cuts), keys.num_rows]


def sorted_by(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """`rows` in ascending order; equal ones as they were."""
    rows = rows.combine_chunks()
    columns = [name for name in columns if name != "day" or not _is_one(rows[name])]
    return rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in columns]))


def _is_one(values: pa.ChunkedArray) -> bool:
    """Whether all are equal, as the days of most loads are: a shard alone is sorted by counting."""
    ends = pc.min_max(values)
    return bool(ends["min"] == ends["max"])


def _mapped(run: Path) -> pa.Table:
    """A run as it lies on disk."""
    return pa.ipc.open_file(pa.memory_map(str(run))).read_all()
