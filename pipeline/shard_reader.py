"""A lake table's rows, shard after shard, from files that are sorted by shard: all of them read at once, bit by bit.

Every file is opened, and as much of each is kept in memory as the shards at hand need: some megabytes, however long the
log is. Text is handed over as codes into one list of words, so that nobody looks at the same word twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expectations import schemas
from pipeline.day_files import PARTITIONS
from pipeline.shards import SHARDS

_AT_ONCE = 4_000_000
"""Rows of all files together that are in memory at a time: some 300 MB for each worker."""
_LEAST = 4_096
_SHARD = "shard"


class Part(NamedTuple):
    """A file of a table: what `source` brought for `day`."""

    path: Path
    source: str
    day: date
    rows: int


@dataclass
class Words:
    """The words of one column of all files, each once, in the order in which they came."""

    array: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))

    def codes(self, words: pa.Array) -> pa.Array:
        """The place of each of these words, which differ from each other; new ones are added."""
        found = pc.index_in(words, value_set=self.array)
        if found.null_count:
            self.array = pa.concat_arrays([self.array, words.filter(pc.is_null(found))])
            found = pc.index_in(words, value_set=self.array)
        return found


class ShardReader:
    """Rows of a table by shard, in ascending order of shards."""

    def __init__(self, table: str, columns: Sequence[str], parts: Sequence[Part], shards: range) -> None:
        """Of `parts`, the rows of `shards`."""
        self._schema = pa.schema([schemas.LAKE[table].schema.field(name) for name in columns])
        self._words = {f.name: Words() for f in self._schema if pa.types.is_string(f.type)}
        rows = max(_AT_ONCE // max(len(parts), 1), _LEAST)
        self._cursors = [_Cursor(part, self._schema, self._words, shards, rows) for part in parts]

    def take(self, shards: range) -> pa.Table:
        """All rows of these shards: those of a file together, files in order; text is dictionary-encoded."""
        found = [piece for cursor in self._cursors for piece in cursor.take(shards)]
        arrays = [pa.concat_arrays(columns) for columns in zip(*found, strict=True)] if found else None
        return pa.table(
            {f.name: self._column(f, arrays[at] if arrays is not None else None) for at, f in enumerate(self._schema)}
        )

    def words(self, column: str) -> list[str]:
        """Every word of a text column that was met so far."""
        found: list[str] = self._words[column].array.to_pylist()
        return found

    def _column(self, about: pa.Field, found: pa.Array | None) -> pa.Array:
        if about.name not in self._words:
            return pa.array([], about.type) if found is None else found
        codes = pa.array([], pa.int32()) if found is None else found
        return pa.DictionaryArray.from_arrays(codes, self._words[about.name].array)


class _Cursor:
    """One file, as far as it has been read."""

    def __init__(self, part: Part, schema: pa.Schema, words: Mapping[str, Words], shards: range, rows: int) -> None:
        self._part, self._schema, self._words = part, schema, words
        self._last: dict[str, tuple[pa.Array, pa.Array]] = {}
        self._batches = self._read(shards, rows)
        self._arrays: list[pa.Array] = []
        self._shard = np.zeros(0, np.int16)
        self._at = self._following = 0

    def take(self, shards: range) -> Iterator[list[pa.Array]]:
        """What is left of the shards, in pieces; rows of earlier ones are passed over."""
        while True:
            start, end = np.searchsorted(self._shard[self._at :], [shards.start, shards.stop]) + self._at
            if end > start:
                yield [array.slice(start, end - start) for array in self._arrays]
            self._at = int(end)
            if end < len(self._shard) or self._following >= shards.stop:
                return
            self._advance()

    def _advance(self) -> None:
        """Let go of the rows at hand, then read the next."""
        self._arrays, self._shard, self._at = [], np.zeros(0, np.int16), 0
        batch, self._following = next(self._batches, (None, SHARDS))
        if batch is not None:
            self._shard = batch.column(_SHARD).to_numpy()
            self._arrays = [self._array(batch, about) for about in self._schema]

    def _array(self, batch: pa.RecordBatch, about: pa.Field) -> pa.Array:
        if about.name in PARTITIONS:
            found = pa.repeat(pa.scalar(getattr(self._part, about.name), about.type), batch.num_rows)
            found = found.dictionary_encode() if about.name in self._words else found
        else:
            found = batch.column(about.name)
        return self._coded(about.name, found) if about.name in self._words else found

    def _coded(self, name: str, column: pa.DictionaryArray) -> pa.Array:
        """The codes of the column's text; a row group has one dictionary, so it is mostly the one of the last batch."""
        known = self._last.get(name)
        if known is None or not known[0].equals(column.dictionary):
            known = self._last[name] = (column.dictionary, self._words[name].codes(column.dictionary))
        return pc.take(known[1], column.indices)

    def _read(self, shards: range, rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Rows, and the first shard that those after them can be of."""
        text = [name for name in self._words if name not in PARTITIONS]
        columns = [_SHARD, *(name for name in self._schema.names if name not in (*PARTITIONS, _SHARD))]
        with pq.ParquetFile(
            self._part.path, read_dictionary=text, pre_buffer=False
        ) as file:  # it would keep all it read
            groups = [group for group in range(file.num_row_groups) if _overlaps(file, group, shards)]
            for group, following in zip_longest(groups, groups[1:]):
                if file.metadata.row_group(group).num_rows > rows:
                    for batch in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
                        yield batch, 0
                else:  # at once: half the cost
                    batches = file.read_row_group(group, columns, use_threads=False).combine_chunks().to_batches()
                    for batch in batches:
                        yield batch, _first_shard(file, following) if batch is batches[-1] else 0


def _overlaps(file: pq.ParquetFile, group: int, shards: range) -> bool:
    """Whether a row group may hold rows of the shards."""
    place = file.schema_arrow.get_field_index(_SHARD)
    known = file.metadata.row_group(group).column(place).statistics
    return known is None or not known.has_min_max or (known.max >= shards.start and known.min < shards.stop)


def _first_shard(file: pq.ParquetFile, group: int | None) -> int:
    """The least shard of a row group; 0 where the file does not tell, and what comes after all where there is none."""
    if group is None:
        return SHARDS
    known = file.metadata.row_group(group).column(file.schema_arrow.get_field_index(_SHARD)).statistics
    return int(known.min) if known is not None and known.has_min_max else 0
