"""DuckDB as the sources use it: in memory, UTC, private scratch space, and names quoted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow as pa


@contextmanager
def connection(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that knows `tables` by name; naive times are UTC; what it spills is deleted."""
    with tempfile.TemporaryDirectory(prefix="shortlist-") as scratch, duckdb.connect() as con:
        con.execute(f"SET temp_directory = {text(scratch)}")
        con.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            con.register(name, table)
        yield con


def name(identifier: str) -> str:
    """An identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def text(literal: str) -> str:
    """A text literal, quoted."""
    return "'" + literal.replace("'", "''") + "'"


def lookup(value: str, mapping: Mapping[str, str]) -> str:
    """What `mapping` has for `value` (SQL text); null for anything else."""
    cases = " ".join(f"WHEN {text(theirs)} THEN {text(ours)}" for theirs, ours in mapping.items())
    return f"CASE {value} {cases} END" if cases else "CAST(NULL AS VARCHAR)"


def mapped(value: str, mapping: Mapping[str, str]) -> str:
    """`value` (SQL text) with theirs replaced by ours; what is not in `mapping` stays."""
    return f"coalesce({lookup(value, mapping)}, {value})" if mapping else value
