"""One load's rows before they may enter the lake: spooled as they come, then each once, sorted, in files of their day.

What is judged are the very files that the lake then adopts. Memory is bounded whatever the export's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import query, scratch
from pipeline.day_files import ORDER, DataFile, DayFiles
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.spool import PLACE, Spool, sorted_by

_KEYS: Mapping[str, tuple[str, ...]] = {
    "events": ("event_id",),
    "content": ("content_id",),
    "customers": ("customer_id",),
    "transactions": ("order_id", "line_no"),
    "popularity": ("content_id", "event", "ts"),
}
_FACTS = ("native_ids", "identities", "suppressions")
"""Tables whose rows say only that something was seen: each once."""


@dataclass(frozen=True)
class Staged:
    """One table of a load: the files that hold it, how many rows, and how many were left out as repeated."""

    files: Sequence[DataFile]
    rows: int
    duplicates: int = 0


@dataclass
class Staging:
    """Where one load collects its rows."""

    folder: Path
    spools: dict[str, Spool] = field(default_factory=dict)

    def add(self, table: str, rows: pa.Table) -> None:
        """More rows of a lake table, in its schema."""
        self.spools.setdefault(table, Spool(self.folder, table)).add(rows)

    def finish(self, source: str, con: duckdb.DuckDBPyConnection) -> dict[str, Staged]:
        """Every table that anything was added to, in the files that the lake will hold; `con` is to compare keys in."""
        return {name: self._staged(spool, source, con) for name, spool in self.spools.items()}

    def _staged(self, spool: Spool, source: str, con: duckdb.DuckDBPyConnection) -> Staged:
        files = DayFiles(self.folder, spool.table, source)
        repeated = _repeated(spool, con)
        for group in spool.groups():
            files.add(_as_written(group, spool.table, repeated))
        spool.remove()
        written = files.close()
        return Staged(written, sum(file.rows for file in written), len(repeated))


@contextmanager
def opened(lake: Lake) -> Iterator[Staging]:
    """A folder of its own, gone afterwards; what a killed load left behind is gone before."""
    try:
        with scratch.folder_in(lake.staging) as folder:
            yield Staging(folder)
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise ShortlistError(
            f"{lake.staging}: rows cannot be staged there: {error}. Nothing was changed; "
            "give this user write permission (or free disk space, or raise limits.memory_mb) and run it again."
        ) from error


def _repeated(spool: Spool, con: duckdb.DuckDBPyConnection) -> pa.Array:
    """The places of rows whose key came before.

    Hashes tell cheaply that nothing is repeated, which is nearly always so; only rows whose hash is are compared.
    """
    columns = _KEYS.get(spool.table, ())
    twice = _twice([_hashes(keys, con) for keys in spool.pieces(columns)] if columns else [])
    if not len(twice):
        return pa.array([], pa.int64())
    keys = ", ".join(columns)
    repeated = f"""
        SELECT {PLACE} FROM spooled WHERE hash({keys}) IN (SELECT hash FROM twice)
        QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {PLACE}) > 1
    """
    with _known(con, spooled=pa.concat_tables(spool.pieces([*columns, PLACE])), twice=pa.table({"hash": twice})):
        return con.sql(repeated).to_arrow_table()[PLACE].combine_chunks()


def _twice(pieces: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Those that there are more than once."""
    hashes = np.sort(np.concatenate([np.empty(0, np.uint64), *pieces]))
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def _hashes(keys: pa.Table, con: duckdb.DuckDBPyConnection) -> NDArray[np.uint64]:
    with _known(con, spooled=keys):
        found = con.sql(f"SELECT hash({', '.join(keys.column_names)}) AS hash FROM spooled").to_arrow_table()
    return np.array(found["hash"], np.uint64)


@contextmanager
def _known(con: duckdb.DuckDBPyConnection, **tables: pa.Table) -> Iterator[None]:
    """What the database knows by name meanwhile."""
    for name, rows in tables.items():
        con.register(name, rows)
    yield
    for name in tables:
        con.unregister(name)


def _as_written(rows: pa.Table, name: str, repeated: pa.Array) -> pa.Table:
    """The table's columns in the table's order, without what is repeated."""
    if len(repeated):
        rows = rows.filter(pc.invert(pc.is_in(rows[PLACE], value_set=repeated)))
    rows = rows.drop_columns([PLACE])
    if name in _FACTS:
        rows = rows.group_by(rows.column_names, use_threads=False).aggregate([])
    return sorted_by(rows, ("day", *ORDER[name]))


def new_keys(table: str, files: Sequence[DataFile], known: Sequence[str], con: duckdb.DuckDBPyConnection) -> int:
    """How many rows of `files` have a key that is in none of the files `known`."""
    if not files or not known:
        return sum(file.rows for file in files)
    ours, theirs = query.parquet([file.path for file in files]), query.parquet(known)
    keys = ", ".join(_KEYS[table])
    (count,) = con.sql(f"SELECT count(*) FROM {ours} ANTI JOIN {theirs} USING ({keys})").fetchall()[0]
    return int(count)
