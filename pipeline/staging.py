"""One load's rows before they may enter the lake: spooled as they come, then each once, sorted, in files of their day.

What is judged are the very files that the lake then adopts. Memory is bounded whatever the export's size: parts beyond
`_IN_MEMORY` rows wait on disk, and DuckDB sorts with `memory_limit`. Only pseudonyms are ever written here.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expectations import schemas
from pipeline import query
from pipeline.day_files import ORDER, DataFile, DayFiles
from pipeline.errors import ShortlistError
from pipeline.lake import Lake

_IN_MEMORY = 300_000
_BATCH = 262_144
_PLACE = "place"
"""The order in which rows came: of rows with the same key the first is kept."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "events": ("event_id",),
    "content": ("content_id",),
    "customers": ("customer_id",),
    "transactions": ("order_id", "line_no"),
    "popularity": ("content_id", "event", "ts"),
}
_FACTS = ("native_ids", "identities", "suppressions")


@dataclass(frozen=True)
class Staged:
    """One table of a load: the files that hold it, how many rows, and how many were left out as repeated."""

    files: Sequence[DataFile]
    rows: int
    duplicates: int = 0


@dataclass
class _Spool:
    """A table's rows in the order in which they came."""

    path: Path
    schema: pa.Schema
    rows: int = 0
    waiting: list[pa.Table] = field(default_factory=list)
    writer: pq.ParquetWriter | None = None

    def add(self, rows: pa.Table) -> None:
        place = pa.array(np.arange(self.rows, self.rows + rows.num_rows))
        self.rows += rows.num_rows
        self.waiting.append(rows.select(self.schema.names).cast(self.schema).append_column(_PLACE, place))
        if sum(table.num_rows for table in self.waiting) > _IN_MEMORY:
            self._flush()

    def _flush(self) -> None:
        rows = pa.concat_tables(self.waiting)
        self.writer = self.writer or pq.ParquetWriter(self.path, rows.schema, compression="lz4")
        self.writer.write_table(rows)
        self.waiting.clear()

    def relation(self, con: duckdb.DuckDBPyConnection) -> str:
        """What to select from; nothing can be added any more."""
        if self.writer is None:
            con.register("spooled", pa.concat_tables(self.waiting))
            return "spooled"
        if self.waiting:
            self._flush()
        self.writer.close()
        return query.parquet([self.path])


@dataclass
class Staging:
    """Where one load collects its rows."""

    folder: Path
    spools: dict[str, _Spool] = field(default_factory=dict)

    def add(self, table: str, rows: pa.Table) -> None:
        """More rows of a lake table, in its schema."""
        spool = self.spools.setdefault(table, _Spool(self.folder / f"{table}.spool", schemas.LAKE[table].schema))
        spool.add(rows)

    def finish(self, source: str, memory_mb: int) -> dict[str, Staged]:
        """Every table that anything was added to, in the files that the lake will hold."""
        return {name: self._staged(name, spool, source, memory_mb) for name, spool in self.spools.items()}

    def _staged(self, name: str, spool: _Spool, source: str, memory_mb: int) -> Staged:
        files = DayFiles(self.folder, name, source)
        with query.connection(memory_mb) as con:
            chosen, duplicates = _chosen(con, spool.relation(con), name)
            for batch in con.sql(_sorted(chosen, name)).to_arrow_reader(_BATCH):
                files.add(pa.Table.from_batches([batch]))
        spool.path.unlink(missing_ok=True)
        written = files.close()
        return Staged(written, sum(file.rows for file in written), duplicates)


@contextmanager
def opened(lake: Lake) -> Iterator[Staging]:
    """A folder of its own, gone afterwards; what a killed load left behind is gone before."""
    try:
        lake.staging.mkdir(parents=True, exist_ok=True)
        _sweep(lake.staging)
        folder = Path(tempfile.mkdtemp(dir=lake.staging))
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            try:
                yield Staging(folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise ShortlistError(
            f"{lake.staging}: rows cannot be staged there: {error}. Nothing was changed; "
            "give this user write permission (or free disk space, or raise limits.memory_mb) and run it again."
        ) from error


def _sweep(root: Path) -> None:
    """Remove folders whose owner is gone: its lock went with it."""
    for folder in root.iterdir():
        lock = folder / "lock"
        if lock.exists() and _is_free(lock):
            shutil.rmtree(folder, ignore_errors=True)


def _is_free(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _chosen(con: duckdb.DuckDBPyConnection, relation: str, name: str) -> tuple[str, int]:
    """What to select from so that each key comes once, and how many rows that leaves out.

    Hashes tell cheaply that nothing is repeated, which is nearly always so; only rows whose hash is are compared.
    """
    if name not in _KEYS:
        return relation, 0
    keys = ", ".join(_KEYS[name])
    con.execute(f"""
        CREATE TEMP TABLE repeated AS
        SELECT {_PLACE} FROM {relation}
        WHERE hash({keys}) IN (SELECT hash({keys}) FROM {relation} GROUP BY 1 HAVING count(*) > 1)
        QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {_PLACE}) > 1
    """)
    (count,) = con.sql("SELECT count(*) FROM repeated").fetchall()[0]
    return (f"{relation} ANTI JOIN repeated USING ({_PLACE})", int(count)) if count else (relation, 0)


def _sorted(relation: str, name: str) -> str:
    """The table's columns in the table's order; where rows say only that something was seen, each once."""
    distinct = "DISTINCT" if name in _FACTS else ""
    columns = ", ".join(query.name(column) for column in schemas.LAKE[name].names)
    order = ", ".join(query.name(column) for column in ("day", *ORDER[name]))
    return f"SELECT {distinct} {columns} FROM {relation} ORDER BY {order}"


def new_keys(table: str, files: Sequence[DataFile], known: Sequence[str]) -> int:
    """How many rows of `files` have a key that is in none of the files `known`."""
    if not files or not known:
        return sum(file.rows for file in files)
    ours, theirs = query.parquet([file.path for file in files]), query.parquet(known)
    with query.connection() as con:
        keys = ", ".join(_KEYS[table])
        (count,) = con.sql(f"SELECT count(*) FROM {ours} ANTI JOIN {theirs} USING ({keys})").fetchall()[0]
    return int(count)
