"""The lists between `rank` and `publish`: a folder of Parquet files a night, whole or not there at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import disk, snapshot_erasure
from pipeline.errors import ShortlistError
from pipeline.lake import NIGHT, Lake
from pipeline.snapshot_erasure import Theirs


def write_ranked(lake: Lake, as_of: datetime, tables: Mapping[str, pa.Table]) -> None:
    """Keep a night's ranked tables for `publish`; a half-written night is never seen."""
    folder = lake.ranked / as_of.strftime(NIGHT)
    staging = folder.with_name(f".{folder.name}")
    try:
        for left in (staging, folder):
            shutil.rmtree(left, ignore_errors=True)
        staging.mkdir(parents=True, mode=0o700)  # native ids are in it
        for name, table in tables.items():
            pq.write_table(table, staging / f"{name}.parquet", compression="zstd")
        staging.rename(folder)
    except OSError as error:
        raise ShortlistError(
            f"cannot write the ranked lists to {folder}: {error}. Free disk space or give write permission."
        ) from error


def read_ranked(lake: Lake, as_of: datetime) -> dict[str, pa.Table]:
    """The tables that `write_ranked` kept for the night.

    Raises:
        ShortlistError: The night was never ranked.
    """
    folder = lake.ranked / as_of.strftime(NIGHT)
    if not folder.is_dir():
        raise ShortlistError(
            f"{as_of.isoformat()} was not ranked yet ({folder} is missing). "
            f"Run `shortlist rank --as-of {as_of.isoformat()}`."
        )
    return {path.stem: pq.read_table(path) for path in sorted(folder.glob("*.parquet"))}


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
