"""Where row groups begin: between shards, and in every file at the same ones, so that workers share none."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import schemas
from pipeline.day_files import DayFiles
from pipeline.shards import SHARDS

SCHEMA = schemas.LAKE["events"].schema
DAY = date(2026, 6, 30)


def events(rows: int, shards: range = range(SHARDS)) -> pa.Table:
    """So many events, spread evenly over the shards."""
    filled = {
        "event_id": [f"{row}" for row in range(rows)],
        "shard": np.sort(np.array(shards)[np.arange(rows) % len(shards)]).astype(np.int16),
        "content_id": ["c"] * rows,
        "event": ["view"] * rows,
        "source": ["web"] * rows,
        **dict.fromkeys(("ts", "available_at"), [datetime(2026, 6, 30, tzinfo=UTC)] * rows),
        "person_id": np.arange(rows),
        "day": [DAY] * rows,
    }
    return pa.table([filled.get(f.name, pa.nulls(rows, f.type)) for f in SCHEMA], schema=SCHEMA)


def groups(folder: Path, *parts: pa.Table) -> list[tuple[int, int]]:
    """First and last shard of each row group of a file made of these parts."""
    files = DayFiles(folder, "events", "web")
    for part in parts:
        files.add(part)
    (file,) = files.close()
    assert file.rows == pq.read_metadata(file.path).num_rows == sum(part.num_rows for part in parts)
    with pq.ParquetFile(file.path) as found:
        shards = [found.read_row_group(group, ["shard"])["shard"] for group in range(found.num_row_groups)]
    return [(column[0].as_py(), column[-1].as_py()) for column in shards]


@pytest.mark.parametrize(("rows", "expected"), [(1_000, [(0, 63)]), (60_000, [(0, 31), (32, 63)])])
def test_a_file_has_as_many_groups_as_are_worth_it(tmp_path: Path, rows: int, expected: list[tuple[int, int]]) -> None:
    """A small day is one; a larger one is cut in halves, quarters and so on."""
    assert groups(tmp_path, events(rows)) == expected


def test_a_large_day_comes_in_parts_and_is_cut_at_the_same_shards(tmp_path: Path) -> None:
    """200,000 rows make eight groups of eight shards, though they come in two parts, each of half the shards."""
    parts = events(100_000, range(32)), events(100_000, range(32, SHARDS))
    assert groups(tmp_path, *parts) == [(first, first + 7) for first in range(0, SHARDS, 8)]


def test_a_part_without_some_shards_loses_no_row(tmp_path: Path) -> None:
    """Shards may be empty."""
    assert groups(tmp_path, events(45_000, range(5, 64, 7)))[0][0] == 5
