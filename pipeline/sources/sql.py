"""DuckDB as the sources use it: in memory, UTC, private scratch space, and names quoted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.query import name, text
from pipeline.sections import Limits
from pipeline.sources import limits

__all__ = ["connection", "lookup", "mapped", "name", "text"]


@contextmanager
def connection(files: Iterable[Path | str] = (), /, **tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that knows `tables` by name; naive times are UTC; what it spills is deleted.

    It takes half of the memory that `limits` allow, and reaches no network and no file but `files`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="shortlist-") as scratch,
        duckdb.connect(config=_settings(scratch, limits.current())) as con,
    ):
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"SET allowed_paths = [{', '.join(text(str(file)) for file in files)}]")
        con.execute("SET enable_external_access = false")
        for known, table in tables.items():
            con.register(known, table)
        yield con


def _settings(scratch: str, allowed: Limits) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "temp_directory": scratch,
        "memory_limit": f"{allowed.memory_mb // 2}MiB",
        "max_temp_directory_size": f"{allowed.spill_gb}GB",
        "threads": str(limits.threads(allowed)),
        # What is spilled holds native ids. The cipher built in has no certified source of random numbers ("unsafe"):
        # it is for files that a power cut leaves behind, not against who could read our memory as well.
        "temp_file_encryption": "true",
        "force_mbedtls_unsafe": "true",
    }


def lookup(value: str, mapping: Mapping[str, str]) -> str:
    """What `mapping` has for `value` (SQL text); null for anything else."""
    cases = " ".join(f"WHEN {text(theirs)} THEN {text(ours)}" for theirs, ours in mapping.items())
    return f"CASE {value} {cases} END" if cases else "CAST(NULL AS VARCHAR)"


def mapped(value: str, mapping: Mapping[str, str]) -> str:
    """`value` (SQL text) with theirs replaced by ours; what is not in `mapping` stays."""
    return f"coalesce({lookup(value, mapping)}, {value})" if mapping else value
