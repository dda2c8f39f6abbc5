"""Ranked tables as sorted Parquet parts: the same rows, in whatever order and pieces, give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.schemas import Table
from pipeline import disk, query
from pipeline.errors import ShortlistError
from pipeline.query import Rows

ROWS_PER_PART = 1 << 20
ROWS_PER_GROUP = 1 << 18
"""A reader who wants one person fetches one row group."""

_ROWS_AT_A_TIME = 1 << 16

_SORTING: dict[str, str | int] = {"memory_limit": "256MiB", "threads": 2}
"""What sorting may hold of a table, however long it is: the rest waits on disk. Each thread has its own share."""


def conform(rows: Rows, form: Table) -> Rows:
    """`rows` with exactly the columns, order and types of `form`. Files must have them: nothing is read of them here.

    Raises:
        ShortlistError: A column is missing, unknown, of another type, or null where it must not be.
    """
    found, untyped = query.schema(rows), f"publish: {form.name} does not have the published types"
    _check_names(found.names, form)
    if not isinstance(rows, pa.Table):
        if not found.equals(form.schema):
            raise ShortlistError(f"{untyped}: those of {rows[0]} are {', '.join(map(str, found.types))}")
        return rows
    _check_required(rows, form)
    try:
        return rows.select(form.names).cast(form.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ShortlistError(f"{untyped}: {error}") from error


def _check_required(rows: pa.Table, form: Table) -> None:
    for column in form.columns:
        if column.required and (nulls := rows[column.name].null_count):
            raise ShortlistError(
                f"publish: {form.name}.{column.name} is required, but {nulls} of {rows.num_rows} rows have none. "
                "Nothing was published; the step that ranked them must fill it."
            )


def _check_names(names: list[str], form: Table) -> None:
    missing = sorted(set(form.names) - set(names))
    unknown = sorted(set(names) - set(form.names))
    if missing or unknown or len(names) != len(form.names):
        raise ShortlistError(
            f"publish: {form.name} does not have the published columns (missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}). See expectations/schemas.py."
        )


def write(folder: Path, tables: Mapping[str, Rows], forms: Mapping[str, Table]) -> None:
    """Write each table, sorted by its key, as `folder/<name>/part-00000.parquet` and so on; at least one part a table.

    Tables are as `conform` leaves them. One row group is held at a time, besides what sorting may hold.

    Raises:
        ShortlistError: There is not enough memory and disk space to sort.
    """
    spill = folder / ".spill"
    try:
        with duckdb.connect(config={"temp_directory": str(spill), **_SORTING}) as connection:
            connection.execute(query.SESSION)
            for name, rows in tables.items():
                _write(folder / name, rows, forms[name], connection)
    except (duckdb.Error, pa.ArrowException) as error:
        raise ShortlistError(
            f"publish: sorting the tables failed in {folder}: {error}. "
            "Nothing was published; give it more memory or disk space and run the same command again."
        ) from error
    disk.remove(spill)


def _write(folder: Path, rows: Rows, form: Table, connection: duckdb.DuckDBPyConnection) -> None:
    disk.make_folder(folder)
    size = min(ROWS_PER_GROUP, ROWS_PER_PART)
    groups = cut(_sorted(rows, form, connection), form.schema, size)
    for number, first in enumerate(groups):
        part = chain([first], islice(groups, ROWS_PER_PART // size - 1))
        disk.write(folder / f"part-{number:05d}.parquet", partial(_fill, part, form))
    disk.sync_folder(folder)


def _fill(groups: Iterable[pa.Table], form: Table, file: IO[bytes]) -> None:
    # Scores hardly repeat: a dictionary of them would only be thrown away, after as long as all the rest takes.
    repeated = [field.name for field in form.schema if not pa.types.is_floating(field.type)]
    with pq.ParquetWriter(
        file, form.schema, compression="zstd", compression_level=3, use_dictionary=repeated
    ) as writer:
        for group in groups:
            _check_required(group, form)
            writer.write_table(group, row_group_size=ROWS_PER_GROUP)


def _sorted(rows: Rows, form: Table, connection: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
    """By DuckDB, which spills to disk: Arrow's own `take` fails beyond 2 GiB of text in one column."""
    order = ", ".join(map(query.name, form.key))
    return query.relation(connection, rows).order(order).to_arrow_reader(_ROWS_AT_A_TIME)


def cut(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Tables of so many rows, the last of fewer, from batches of whatever size DuckDB's threads made; at least one."""
    pending: list[pa.RecordBatch] = []
    room, empty = rows, True
    for batch in batches:
        rest = batch
        while rest.num_rows >= room:
            yield _part([*pending, rest.slice(0, room)], schema)
            pending, rest, room, empty = [], rest.slice(room), rows, False
        pending.append(rest)
        room -= rest.num_rows
    if empty or room < rows:
        yield _part(pending, schema)


def _part(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """One part in one piece: how the rows were cut before must not show in the file."""
    return pa.Table.from_batches(batches).cast(schema).combine_chunks() if batches else schema.empty_table()
