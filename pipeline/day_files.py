"""A lake table's rows as Parquet, a file a day, sorted as the table is: so written once, and never opened again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expectations import schemas
from pipeline.shards import SHARDS

PARTITIONS = ("source", "day")
"""Told by a file's place, so not in the file."""

ORDER: Mapping[str, tuple[str, ...]] = {
    "events": ("shard", "person_id", "ts", "event_id"),
    "transactions": ("shard", "person_id", "ts", "order_id", "line_no"),
    "content": ("content_id",),
    "customers": ("customer_id",),
    "popularity": ("content_id", "event", "ts"),
    "identities": ("id", "other_id", "available_at"),
    "suppressions": ("id", "since", "reason"),
    "native_ids": ("id",),
    "quarantine": ("table", "source_file", "row_number"),
    "loads": ("files",),
}
"""By what a day's rows are sorted. What is read together lies together: one shard is a run of row groups."""

_SHARD = "shard"
_GROUP = 24_000
"""Rows of a row group at least, where there are so many: fewer cost more than they save."""

_UNIQUE = {"event_id", "impression_id", "native_id", "sha256"}
"""Text that hardly repeats: a dictionary of it would only be thrown away."""
_PACKED = {"person_id", "visitor_id", "customer_id", "session_id", "order_id", "id", "other_id", "ts", "available_at"}


class DataFile(NamedTuple):
    """A finished file of one (source, day), not yet in the lake."""

    path: Path
    source: str
    day: date
    rows: int


@dataclass
class DayFiles:
    """Writes rows that come sorted by day; `close` says what was written."""

    folder: Path
    table: str
    source: str
    _done: list[DataFile] = field(default_factory=list)
    _day: date | None = None
    _rows: int = 0
    _writer: pq.ParquetWriter | None = None

    def add(self, rows: pa.Table) -> None:
        """More rows, of the days that were written last or of later ones. Row groups begin where shards do."""
        for day, part in _by_day(rows):
            if day != self._day:
                self._finish()
                self._day, self._rows, self._writer = day, 0, self._open(day)
            if self._writer is not None:
                for group in _row_groups(part.drop_columns(list(PARTITIONS)).cast(self._writer.schema)):
                    self._writer.write_table(group)
            self._rows += part.num_rows

    def close(self) -> tuple[DataFile, ...]:
        """Every file, whole."""
        self._finish()
        return tuple(self._done)

    def _path(self, day: date) -> Path:
        return self.folder / f"{self.table}-{self.source}-{day}.parquet"

    def _open(self, day: date) -> pq.ParquetWriter:
        schema = schemas.LAKE[self.table].schema
        kept = pa.schema([f for f in schema if f.name not in PARTITIONS])
        packed = [f.name for f in kept if f.name in _PACKED and not pa.types.is_string(f.type)]
        return pq.ParquetWriter(
            self._path(day),
            kept,
            compression="zstd",
            compression_level=1,
            use_dictionary=[f.name for f in kept if pa.types.is_string(f.type) and f.name not in _UNIQUE],
            column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
        )

    def _finish(self) -> None:
        if self._writer is not None and self._day is not None:
            self._writer.close()
            self._done.append(DataFile(self._path(self._day), self.source, self._day, self._rows))
            self._writer = None


def _by_day(rows: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    """Runs of the same day."""
    runs = pc.run_end_encode(rows["day"].combine_chunks())
    start = 0
    for end, day in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
        yield day, rows.slice(start, end - start)
        start = end


def _row_groups(rows: pa.Table) -> Iterator[pa.Table]:
    """Rows sorted by shard, cut between shards, and in all files at the same ones, so that workers share none.

    A file has as many groups as leaves each some `_GROUP` rows, and a power of two; one row group without shards.
    """
    if _SHARD not in rows.column_names or not rows.num_rows:
        yield rows
        return
    shard = rows[_SHARD].to_numpy()
    covered = int(shard[-1]) - int(shard[0]) + 1
    groups = 1
    while groups < SHARDS and rows.num_rows * SHARDS / covered / (2 * groups) >= _GROUP:
        groups *= 2
    cuts = np.searchsorted(shard, np.arange(SHARDS // groups, SHARDS, SHARDS // groups))
    for start, end in pairwise([0, *cuts.tolist(), rows.num_rows]):
        if end > start:
            yield rows.slice(start, end - start)
