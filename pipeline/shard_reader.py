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
from numpy.typing import NDArray

from expectations import schemas
from pipeline.day_files import PARTITIONS
from pipeline.shards import SHARDS

_AT_ONCE = 4_000_000
"""Rows of all files together that are in memory at a time: some 300 MB for each worker."""
_LEAST = 4_096
_SHARD, _PERSON = "shard", "person_id"


class Part(NamedTuple):
    """A file of a table: what `source` brought for `day`."""

    path: Path
    source: str
    day: date
    rows: int

    @property
    def name(self) -> str:
        """What it is known by, as long as it is the lake's: another name has what is loaded in its place."""
        return f"{self.source}/{self.day}/{self.path.name}"


@dataclass
class Words:
    """The words of one column of all files, each once, in the order in which they came."""

    array: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))

    def codes(self, lists: Sequence[pa.Array]) -> list[NDArray[np.int32]]:
        """The places of the words of each list, which has none twice; new ones are added. For all, one look-up."""
        one = pa.chunked_array([_each_once(words) for words in (self.array, *lists)]).unify_dictionaries()
        self.array = one.chunk(0).dictionary
        return [chunk.indices.to_numpy() for chunk in one.chunks[1:]]


def _each_once(words: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.arange(len(words), dtype=np.int32)), words)


@dataclass(eq=False)
class _List:
    """The words of a text column of a file, for as long as they stay the same, and their codes, once they have any."""

    words: pa.Array
    codes: NDArray[np.int32] | None = None

    def of(self, places: pa.Array) -> pa.Array:
        """The codes in the place of places. What lies where one is missing is anybody's, and stays missing."""
        if self.codes is None or not len(self.codes):  # of a list without words all are missing
            return places
        there, at = places.buffers()
        found = np.take(self.codes, np.frombuffer(at, np.int32), mode="clip")
        return pa.Array.from_buffers(pa.int32(), len(places), [there, pa.py_buffer(found)], offset=places.offset)


@dataclass(eq=False)
class _Batch:
    """Rows of a file that are in memory. Text is places in the column's list, and codes as soon as it is `coded`.

    Those of shard s are from `starts[s]` to `starts[s + 1]`.
    """

    starts: list[int]
    rows: pa.RecordBatch
    lists: Mapping[int, _List]
    coded: bool = False

    def code(self) -> None:
        """Put the codes in the place of the places in lists."""
        columns = self.rows.columns
        for at, one in self.lists.items():
            columns[at] = one.of(columns[at])
        self.rows, self.coded = pa.RecordBatch.from_arrays(columns, schema=self.rows.schema), True


class ShardReader:
    """Rows of a table by shard, in ascending order of shards."""

    def __init__(
        self, table: str, columns: Sequence[str], parts: Sequence[Part], shards: range, people: pa.Array | None = None
    ) -> None:
        """Of `parts`, the rows of `shards`; only those of `people`, if they are given."""
        self._schema = pa.schema([schemas.LAKE[table].schema.field(name) for name in columns])
        self._words = {at: Words() for at, about in enumerate(self._schema) if pa.types.is_string(about.type)}
        self._coded = _coded(self._schema)
        rows = max(_AT_ONCE // max(len(parts), 1), _LEAST)
        self._cursors = [_Cursor(part, self._schema, shards, rows, people) for part in parts]

    def take(self, shards: range) -> pa.Table:
        """All rows of these shards: those of a file together, files in order; text is dictionary-encoded."""
        found = [rows for cursor in self._cursors for rows in cursor.take(shards)]
        if new := [batch for batch, _, _ in found if not batch.coded]:
            self._code(new)
        pieces = [batch.rows.slice(start, end - start) for batch, start, end in found]
        columns = pa.Table.from_batches(pieces, self._coded).combine_chunks().columns
        for at, words in self._words.items():
            codes = columns[at].chunk(0) if pieces else pa.array([], pa.int32())
            columns[at] = pa.DictionaryArray.from_arrays(codes, words.array)
        return pa.table(columns, names=self._schema.names)

    def words(self, column: str) -> list[str]:
        """Every word of a text column that was met so far."""
        found: list[str] = self._words[self._schema.get_field_index(column)].array.to_pylist()
        return found

    def _code(self, batches: Sequence[_Batch]) -> None:
        """Code text, with one look-up for all files: each takes the time to look at all words that are known."""
        for at, words in self._words.items():
            lists = {id(one): one for batch in batches if (one := batch.lists[at]).codes is None}.values()
            for one, codes in zip(lists, words.codes([one.words for one in lists]), strict=True):
                one.codes = codes
        for batch in batches:
            batch.code()


def _coded(schema: pa.Schema) -> pa.Schema:
    """The same columns, with codes in the place of text."""
    return pa.schema([one.with_type(pa.int32()) if pa.types.is_string(one.type) else one for one in schema])


_NOTHING = _Batch([0] * (SHARDS + 1), pa.RecordBatch.from_arrays([], []), {})

_Rows = tuple[_Batch, int, int]
"""Those of a batch, from one row until another."""


class _Cursor:
    """One file, as far as it has been read."""

    def __init__(self, part: Part, schema: pa.Schema, shards: range, rows: int, people: pa.Array | None) -> None:
        self._part, self._schema, self._coded, self._people = part, schema, _coded(schema), people
        self._batches = self._read(shards, rows)
        self._batch, self._following = _NOTHING, 0

    def take(self, shards: range) -> Iterator[_Rows]:
        """What there is of the shards, in pieces; of earlier ones nothing can be asked for any more."""
        while True:
            starts = self._batch.starts
            start, end = starts[shards.start], starts[shards.stop]
            if end > start:
                yield self._batch, start, end
            if end < starts[-1] or self._following >= shards.stop:
                return
            self._advance()

    def _advance(self) -> None:
        """Let go of the rows at hand, then read the next."""
        lists, self._batch = self._batch.lists, _NOTHING
        rows, self._following = next(self._batches, (None, SHARDS))
        if rows is not None:
            self._batch = self._of(rows, lists)

    def _of(self, rows: pa.RecordBatch, before: Mapping[int, _List]) -> _Batch:
        """Rows that were read; a row group has one list of words, so it is mostly the one of the rows before."""
        columns, lists = [self._array(rows, about) for about in self._schema], {}
        for at, column in enumerate(columns):
            if pa.types.is_dictionary(column.type):
                known = before.get(at)
                lists[at] = known if known and known.words.equals(column.dictionary) else _List(column.dictionary)
                columns[at] = column.indices
        shards = rows.column(_SHARD).to_numpy()
        starts = np.searchsorted(shards, np.arange(SHARDS + 1, dtype=shards.dtype))  # or it is copied
        return _Batch(starts.tolist(), pa.RecordBatch.from_arrays(columns, schema=self._coded), lists)

    def _array(self, rows: pa.RecordBatch, about: pa.Field) -> pa.Array:
        if about.name not in PARTITIONS:
            return rows.column(about.name)
        told = pa.repeat(pa.scalar(getattr(self._part, about.name), about.type), rows.num_rows)
        return told.dictionary_encode() if pa.types.is_string(about.type) else told

    def _read(self, shards: range, rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Rows, and the first shard that those after them can be of."""
        text = [one.name for one in self._schema if pa.types.is_string(one.type) and one.name not in PARTITIONS]
        columns = [_SHARD, *(name for name in self._schema.names if name not in (*PARTITIONS, _SHARD))]
        with pq.ParquetFile(
            self._part.path, read_dictionary=text, pre_buffer=False
        ) as file:  # it would keep all it read
            groups = [group for group in range(file.num_row_groups) if _overlaps(file, group, shards)]
            for group, following in zip_longest(groups, groups[1:]):
                if self._people is not None and not self._has_any(file, group):
                    continue
                if file.metadata.row_group(group).num_rows > rows:
                    for batch in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
                        yield self._theirs(batch), 0
                else:  # at once: half the cost
                    batches = file.read_row_group(group, columns, use_threads=False).combine_chunks().to_batches()
                    for batch in batches:
                        yield self._theirs(batch), _first_shard(file, following) if batch is batches[-1] else 0

    def _has_any(self, file: pq.ParquetFile, group: int) -> bool:
        """Whether a row group has rows of the people: this one column costs a tenth of all."""
        ids = file.read_row_group(group, [_PERSON], use_threads=False).column(0)
        return bool(pc.any(pc.is_in(ids, value_set=self._people)).as_py())

    def _theirs(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        if self._people is None:
            return rows
        return rows.filter(pc.is_in(rows.column(_PERSON), value_set=self._people))


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
