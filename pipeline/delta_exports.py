"""An export as Delta tables: a table is replaced in one commit, and keeps no file of an older version.

    delta/people/ segments/ default/ changes/
    delta/export.json               the version of each table that belongs to the snapshot

The log holds no ids: counts are all the statistics there are. So a person is out of a table when no file has them.
"""

from __future__ import annotations

import json
import shutil
import uuid
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.transaction import AddAction

from pipeline import changes, disk
from pipeline.export_tables import RECORD, TABLES, Origin, Tables

_LOG = "_delta_log"
_NEW_RECORD = f".{RECORD}.new"
_CONFIGURATION = {"delta.checkpointInterval": "10", "delta.dataSkippingNumIndexedCols": "0"}


def write(place: Path, aside: Path, origin: Origin) -> bool:
    """Make `place` an export of this origin, and of nothing else; whether anything was written.

    The first export is written to `aside` and renamed, so that nobody sees a table without rows. A later one replaces
    table by table, and then the record: until it is there, the versions that the old one names can be read. Files that
    no version needs any more go last; a reader of an older version fails then.
    """
    new = not _is_of(place, origin)
    if new:
        with origin.tables() as tables:
            if place.is_dir():
                _replace(place, tables, origin)
            else:
                _replace(aside, tables, origin)
                disk.rename(aside, place)
                disk.sync_folder(place.parent)
    for table in TABLES:
        _remove_unused(place / table)
    disk.remove(place / _NEW_RECORD)
    return new


def _is_of(place: Path, origin: Origin) -> bool:
    """Whether the record is of this origin, and no table has gone on since: a dead process may have come that far."""
    recorded = origin.recorded(place / RECORD)
    return recorded is not None and all(
        DeltaTable(place / table).version() == recorded[table]["version"] for table in TABLES
    )


def _replace(place: Path, tables: Tables, origin: Origin) -> None:
    described = {table: _commit(place / table, table, tables, origin) for table in TABLES}
    disk.remove(place / _NEW_RECORD)
    disk.write(place / _NEW_RECORD, lambda file: file.write(origin.record(described)))
    disk.replace(place / _NEW_RECORD, place / RECORD)
    disk.sync_folder(place)


def _commit(path: Path, table: str, tables: Tables, origin: Origin) -> dict[str, Any]:
    """Replace all rows of one table; the version that has the new ones, and how many."""
    disk.make_folder(path)
    files = _files(path, table, tables)
    disk.sync_folder(path)
    schema = Schema.from_arrow(tables.schema(table))
    found = DeltaTable.create(path, schema=schema, mode="ignore", configuration=_CONFIGURATION)
    said = {f"shortlist.{key}": str(value) for key, value in origin.said.items() if value is not None}
    found.create_write_transaction(
        [_added(file) for file in files], "overwrite", schema, commit_properties=CommitProperties(custom_metadata=said)
    )
    for log in sorted((path / _LOG).iterdir()):
        disk.sync_file(log)
    disk.sync_folder(path / _LOG)
    disk.sync_folder(path)
    return {"version": DeltaTable(path).version(), "rows": sum(pq.read_metadata(file).num_rows for file in files)}


def _files(path: Path, table: str, tables: Tables) -> list[Path]:
    """The rows as Parquet files under names that were never used; the snapshot's own are copied as they are."""
    if table == "changes":
        files = [_unused(path)]
        disk.write(files[0], partial(changes.write, tables.con, tables.snapshot, "parquet"))
        return files
    parts = {part: _unused(path) for part in tables.files(table)}
    for part, file in parts.items():
        disk.write(file, partial(_copy, part))
    return list(parts.values())


def _unused(path: Path) -> Path:
    return path / f"part-{uuid.uuid4().hex}.parquet"


def _copy(part: Path, file: IO[bytes]) -> None:
    with part.open("rb") as source:
        shutil.copyfileobj(source, file)


def _added(file: Path) -> AddAction:
    stat = file.stat()
    rows = json.dumps({"numRecords": pq.read_metadata(file).num_rows})
    return AddAction(file.name, stat.st_size, {}, stat.st_mtime_ns // 1_000_000, True, rows)


def _remove_unused(path: Path) -> None:
    """What only older versions name, and what a crash left that no version does."""
    needed = {Path(uri).name for uri in DeltaTable(path).file_uris()}
    for file in sorted(path.glob("*.parquet")):
        if file.name not in needed:
            disk.remove(file)
