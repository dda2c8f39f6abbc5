"""The lists between `rank` and `publish`: a folder of Parquet files a night, whole or not there at all.

A night is written piece by piece under a hidden name, which it loses when all of it is there. What a killed run left
goes when the night is ranked again, when it is over, or when somebody is forgotten.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import disk, snapshot_erasure
from pipeline.errors import ShortlistError
from pipeline.lake import NIGHT, Lake
from pipeline.snapshot_erasure import Theirs

_ROWS_AT_A_TIME = 1 << 16
"""Rows that are written together: less compresses badly, and more is only held longer."""


def write_ranked(lake: Lake, as_of: datetime, pieces: Iterable[tuple[str, pa.Table]]) -> None:
    """Keep a night's ranked tables for `publish`, as they are made: each piece is some rows of a named table.

    A half-written night is never seen; where the pieces fail, the night is as it was ranked before.
    """
    folder = lake.ranked / as_of.strftime(NIGHT)
    staging = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    try:
        for left in lake.ranked.glob(f".{folder.name}*"):
            disk.remove(left)
        staging.mkdir(parents=True, mode=0o700)  # native ids are in it
        try:
            _write(staging, pieces)
        except Exception:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        disk.remove(folder)
        staging.rename(folder)
    except OSError as error:
        raise ShortlistError(
            f"cannot write the ranked lists to {folder}: {error}. Free disk space or give write permission."
        ) from error


def _write(folder: Path, pieces: Iterable[tuple[str, pa.Table]]) -> None:
    """A file a table, in the order of its pieces; small ones wait for each other."""
    waiting: dict[str, list[pa.Table]] = {}
    with ExitStack() as open_files:
        writers: dict[str, pq.ParquetWriter] = {}

        def write(name: str) -> None:
            rows = pa.concat_tables(waiting.pop(name))
            if name not in writers:
                writers[name] = open_files.enter_context(_writer(folder / f"{name}.parquet", rows.schema))
            writers[name].write_table(rows)

        for name, rows in pieces:
            waiting.setdefault(name, []).append(rows)
            if sum(some.num_rows for some in waiting[name]) >= _ROWS_AT_A_TIME:
                write(name)
        for name in list(waiting):
            write(name)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """For files that are read once, and whole: only texts come again and again, and nobody looks at statistics."""
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=texts or False, write_statistics=False)


def ranked_files(lake: Lake, as_of: datetime) -> dict[str, list[Path]]:
    """The files of the tables that `write_ranked` kept for the night, by name.

    Raises:
        ShortlistError: The night was never ranked.
    """
    folder = lake.ranked / as_of.strftime(NIGHT)
    if not folder.is_dir():
        raise ShortlistError(
            f"{as_of.isoformat()} was not ranked yet ({folder} is missing). "
            f"Run `shortlist rank --as-of {as_of.isoformat()}`."
        )
    return {path.stem: [path] for path in sorted(folder.glob("*.parquet"))}


def forget_ranked(lake: Lake, before: datetime) -> tuple[str, ...]:
    """Remove the ranked tables of nights before `before`; they are published or never will be."""
    name = before.strftime(NIGHT)
    old = [path for path in sorted(lake.ranked.glob("*")) if path.name.lstrip(".") < name]
    for path in old:
        shutil.rmtree(path)
    return tuple(path.name for path in old)


def unrank(lake: Lake, theirs: Theirs) -> tuple[str, ...]:
    """Remove the lists that have any of these people, and half-written ones; returns the nights."""
    folders = sorted(lake.ranked.glob("*")) if lake.ranked.is_dir() else []
    half = [path for path in folders if path.name.startswith(".")]
    whole = [path for path in folders if path not in half and snapshot_erasure.any_of(path / "people.parquet", theirs)]
    for path in (*half, *whole):
        disk.remove(path)
    return tuple(path.name for path in whole)
