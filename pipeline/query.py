"""DuckDB over files of our own: bounded memory, private scratch space, and names quoted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

Rows: TypeAlias = pa.Table | Sequence[Path]
"""A table, or the Parquet files that hold it, all of one schema."""


@contextmanager
def connection(memory_mb: int = 1024, **tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that knows `tables` by name; times are UTC; what it spills is deleted."""
    with (
        tempfile.TemporaryDirectory(prefix="shortlist-") as scratch,
        duckdb.connect(config={"temp_directory": scratch, "memory_limit": f"{memory_mb}MiB"}) as con,
    ):
        con.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            con.register(name, table)
        yield con


def parquet(files: Sequence[Path | str], options: str = "") -> str:
    """What to select from for the rows of Parquet files."""
    listed = ", ".join(text(str(file)) for file in files)
    return f"read_parquet([{listed}]{options})"


def schema(rows: Rows) -> pa.Schema:
    """The columns of a table, wherever it lies."""
    return rows.schema if isinstance(rows, pa.Table) else pq.read_schema(rows[0])


def relation(con: duckdb.DuckDBPyConnection, rows: Rows) -> duckdb.DuckDBPyRelation:
    """The rows as DuckDB reads them; of files it reads what it needs, when it needs it."""
    return con.from_arrow(rows) if isinstance(rows, pa.Table) else con.sql(f"FROM {parquet(rows)}")


def name(identifier: str) -> str:
    """An identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def text(literal: str) -> str:
    """A text literal, quoted."""
    return "'" + literal.replace("'", "''") + "'"
