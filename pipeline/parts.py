"""Ranked tables as sorted Parquet parts: the same rows, in whatever order and pieces, give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.schemas import Table
from pipeline import disk
from pipeline.errors import ShortlistError

ROWS_PER_PART = 1 << 20
ROWS_PER_GROUP = 1 << 18
"""A reader who wants one person fetches one row group."""


def conform(table: pa.Table, form: Table) -> pa.Table:
    """`table` with exactly the columns, order and types of `form`.

    Raises:
        ShortlistError: A column is missing, unknown, of another type, or null where it must not be.
    """
    _check_names(table, form)
    for column in form.columns:
        if column.required and (nulls := table[column.name].null_count):
            raise ShortlistError(
                f"publish: {form.name}.{column.name} is required, but {nulls} of {table.num_rows} rows have none. "
                "Nothing was published; the step that ranked them must fill it."
            )
    try:
        return table.select(form.names).cast(form.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ShortlistError(f"publish: {form.name} does not have the published types: {error}") from error


def _check_names(table: pa.Table, form: Table) -> None:
    missing = sorted(set(form.names) - set(table.column_names))
    unknown = sorted(set(table.column_names) - set(form.names))
    if missing or unknown or len(table.column_names) != len(form.names):
        raise ShortlistError(
            f"publish: {form.name} does not have the published columns (missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}). See expectations/schemas.py."
        )


def write(folder: Path, tables: Mapping[str, pa.Table], forms: Mapping[str, Table]) -> None:
    """Write each table, sorted by its key, as `folder/<name>/part-00000.parquet` and so on; at least one part a table.

    Raises:
        ShortlistError: There is not enough memory and disk space to sort.
    """
    spill = folder / ".spill"
    try:
        with duckdb.connect(config={"temp_directory": str(spill)}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for name, table in tables.items():
                _write(folder / name, table, forms[name], connection)
    except (duckdb.Error, pa.ArrowException) as error:
        raise ShortlistError(
            f"publish: sorting the tables failed in {folder}: {error}. "
            "Nothing was published; give it more memory or disk space and run the same command again."
        ) from error
    disk.remove(spill)


def _write(folder: Path, table: pa.Table, form: Table, connection: duckdb.DuckDBPyConnection) -> None:
    disk.make_folder(folder)
    for number, part in enumerate(cut(_sorted(table, form, connection), form.schema, ROWS_PER_PART)):
        disk.write(folder / f"part-{number:05d}.parquet", partial(_fill, part))
    disk.sync_folder(folder)


def _fill(part: pa.Table, file: IO[bytes]) -> None:
    pq.write_table(part, file, compression="zstd", compression_level=3, row_group_size=ROWS_PER_GROUP)


def _sorted(table: pa.Table, form: Table, connection: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
    """By DuckDB, which spills to disk: Arrow's own `take` fails beyond 2 GiB of text in one column."""
    order = ", ".join(f'"{name}"' for name in form.key)
    return connection.from_arrow(table).order(order).to_arrow_reader(ROWS_PER_PART)


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
