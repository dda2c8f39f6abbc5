"""The older days of the log once more, by person: what a few people ever did is found without reading what all did.

A file of the lake is a day of everybody, so whatever a few people did lies in nearly all of them. Days that have
settled lie here again, in blocks of days, each cut into buckets of people: of a block only the few people's buckets are
read. A block is made when it is first asked for, and is good as long as the files that it was made from are the lake's.
Blocks of a few days are there until those of many are complete, so each row is sorted twice in all its time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.lake import UNDATED, Lake
from pipeline.shard_reader import Part, ShardReader
from pipeline.shards import SHARDS, shard_of

WORTH = 1_000_000
"""Rows: of fewer there is no second copy, because to read all of them takes no time."""

_DAYS = (32, 4)
_SETTLED = timedelta(days=8)
"""Vendors rewrite their last days; what is made of them would not be good for long."""
_BUCKET = 4_096
"""Rows of a bucket, some."""
_MOST = 4_096
"""Buckets of a block."""
_FILES = b"files"
"""Where a block says of which of the lake's files it is."""


def rows(
    lake: Lake, folder: Path, table: str, columns: Sequence[str], parts: Sequence[Part], people: pa.Array
) -> pa.Table:
    """The rows of `people` in the files `parts` of a table, unsorted; text is dictionary-encoded.

    `columns` begin with `person_id`, and are always the same ones of a table. `folder` is for what is half done.
    """
    blocks, rest = _blocks(parts) if sum(part.rows for part in parts) >= WORTH else ([], parts)
    made = dict(_made(lake, folder, table, columns, block) for block in blocks)
    _tidy(lake, table, made, frozenset(part.name for block in blocks for part in block))
    found = [_of_people(block, people) for block in made.values()]
    found.append(_plain(ShardReader(table, columns, rest, range(SHARDS), people).take(range(SHARDS))))
    whole = pa.concat_tables(found).combine_chunks()
    return pa.table({name: _coded(whole[name]) for name in columns})


def remove_those_with(lake: Lake, people: pa.Array) -> None:
    """Remove every block that holds rows of these people, and those of files that the lake has no more."""
    for table in {file.name.partition(".")[0] for file in _all(lake, "*")}:
        _tidy(lake, table)
    for file in _all(lake, "*"):
        if pc.any(pc.is_in(_opened(file, 0).read_all().column(0), value_set=people)).as_py():
            file.unlink(missing_ok=True)


def _blocks(parts: Sequence[Part]) -> tuple[list[list[Part]], list[Part]]:
    """The files of each block of days that is complete and settled; and the rest."""
    until = (max(part.day for part in parts) - _SETTLED).toordinal()

    def block(part: Part) -> tuple[int, int]:
        day = part.day.toordinal()
        for days in _DAYS:
            if part.day != UNDATED and day // days * days + days <= until:
                return days, day // days
        return 0, 0

    found = {key: list(some) for key, some in groupby(sorted(parts, key=block), block)}
    rest = found.pop((0, 0), [])
    return list(found.values()), rest


def _made(
    lake: Lake, folder: Path, table: str, columns: Sequence[str], parts: Sequence[Part]
) -> tuple[Path, pa.RecordBatchFileReader]:
    """The block of these files, which is written if it is not there; open, because another process may remove it."""
    names = sorted(part.name for part in parts)
    made_of = hashlib.sha256(json.dumps([*columns, *names]).encode()).hexdigest()
    file = _folder(lake) / f"{table}.{made_of[:32]}.arrow"
    try:
        return file, _opened(file)
    except FileNotFoundError:
        half_done = folder / file.name
        _write(half_done, names, ShardReader(table, columns, parts, range(SHARDS)), sum(part.rows for part in parts))
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        block = _opened(half_done)
        half_done.rename(file)
        return file, block


def _write(file: Path, names: Sequence[str], reader: ShardReader, count: int) -> None:
    """Rows by bucket, each bucket a record batch, so that the place of one says whose it is."""
    buckets = 1
    while buckets < _MOST and buckets * _BUCKET < count:
        buckets *= 2
    slices = min(buckets, SHARDS)
    shards, each = SHARDS // slices, buckets // slices
    told = {_FILES: json.dumps(names)}
    options = pa.ipc.IpcWriteOptions(compression="lz4", emit_dictionary_deltas=True)
    with ExitStack() as opened:
        writer: pa.ipc.RecordBatchFileWriter | None = None
        for at in range(slices):
            batch = _batch(reader.take(range(at * shards, (at + 1) * shards)))
            bucket = _bucket_of(batch["person_id"].to_numpy(), buckets)
            order = np.argsort(bucket, kind="stable")
            starts = np.searchsorted(bucket[order], np.arange(at * each, (at + 1) * each + 1))
            batch = batch.take(pa.array(order))
            schema = batch.schema.with_metadata(told)
            writer = writer or opened.enter_context(pa.ipc.new_file(file, schema, options=options))
            for start, end in pairwise(starts.tolist()):
                writer.write_batch(batch.slice(start, end - start))


def _batch(rows: pa.Table) -> pa.RecordBatch:
    columns = [_extensible(column.combine_chunks()) for column in rows.columns]
    return pa.RecordBatch.from_arrays(columns, names=rows.column_names)


def _extensible(column: pa.Array) -> pa.Array:
    """Words with one before them that is nobody's: a file can add to a list of words, but not to an empty one."""
    if not pa.types.is_dictionary(column.type):
        return column
    words = pa.concat_arrays([pa.array([""], pa.string()), column.dictionary])
    return pa.DictionaryArray.from_arrays(pc.add(column.indices, pa.scalar(1, pa.int32())), words)


def _bucket_of(ids: NDArray[np.int64], buckets: int) -> NDArray[np.int64]:
    """The bucket of each id: those of a shard lie together, as the lake's rows do."""
    most = max(buckets, SHARDS)
    place = shard_of(ids, most).astype(np.int64)
    return (place % SHARDS * (most // SHARDS) + place // SHARDS) // (most // buckets)


def _of_people(block: pa.RecordBatchFileReader, people: pa.Array) -> pa.Table:
    buckets = np.unique(_bucket_of(people.to_numpy(), block.num_record_batches))
    batches = [block.get_batch(at) for at in buckets.tolist()]
    found = pa.Table.from_batches(batches, block.schema).replace_schema_metadata(None)
    return _plain(found.filter(pc.is_in(found["person_id"], value_set=people)))


def _plain(rows: pa.Table) -> pa.Table:
    """Text as it is: codes would be those of each block's own words, and there are more words than rows."""
    fields = [one.with_type(pa.string()) if pa.types.is_dictionary(one.type) else one for one in rows.schema]
    return rows.cast(pa.schema(fields))


def _coded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column


def _tidy(lake: Lake, table: str, wanted: Collection[Path] = (), covered: frozenset[str] = frozenset()) -> None:
    """Remove blocks of files that the lake has no more, or that are `covered`: in a wanted block, too."""
    there = {part.name for part in lake.parts(table)}
    for file in _all(lake, table):
        if file not in wanted and ((names := _names(file)) & covered or names - there):
            file.unlink(missing_ok=True)


def _names(file: Path) -> set[str]:
    """Of which of the lake's files a block is."""
    return set(json.loads(_opened(file).schema.metadata[_FILES]))


def _opened(file: Path, *columns: int) -> pa.RecordBatchFileReader:
    """A block, with all of its columns, or some."""
    options = pa.ipc.IpcReadOptions(included_fields=[*columns], use_threads=False)
    return pa.ipc.open_file(pa.memory_map(str(file)), options=options)


def _all(lake: Lake, table: str) -> Iterable[Path]:
    return list(_folder(lake).glob(f"{table}.*.arrow"))


def _folder(lake: Lake) -> Path:
    return lake.checkpoints / "by-person"
