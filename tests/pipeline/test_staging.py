"""Staging: whatever comes in whatever parts is written once, in order, by day; nothing is left of who was killed."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import lake_history, spool, staging
from pipeline.day_files import ORDER, PARTITIONS
from pipeline.lake import Lake
from pipeline.staging import Staged, Staging
from tests.examples import examples
from tests.pipeline.lakes import config_in, table

FIRST = datetime(2026, 6, 28, tzinfo=UTC)
HOUSE = Path(__file__).parents[2]

CON = duckdb.connect()


@pytest.fixture(name="lake", scope="module")
def _lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake.of(config_in(tmp_path_factory.mktemp("staging")))


def events(seed: int, count: int, keys: int) -> pa.Table:
    """So many rows of three days in no order, with at most `keys` different ids."""
    rng = np.random.default_rng(seed)
    return table("events", [_event(*drawn) for drawn in rng.integers(0, [keys, 5, 3, 60], (count, 4)).tolist()])


def _event(key: int, person: int, day: int, minute: int) -> dict[str, Any]:
    row = {"event_id": f"e{key}", "person": person, "shard": person % 2, "content_id": f"c{minute}"}
    return {**row, "ts": FIRST + timedelta(days=day, minutes=minute)}


def links(seed: int, count: int) -> pa.Table:
    """So many rows that say that ids were seen together, many of them word for word what others say."""
    drawn = np.random.default_rng(seed).integers(0, [4, 4, 3], (count, 3)).tolist()
    return table(
        "identities", [{"id": i, "other_id": o, "available_at": FIRST + timedelta(days=day)} for i, o, day in drawn]
    )


def parts(rows: pa.Table, count: int) -> list[pa.Table]:
    """The rows in `count` parts of about the same size, some of them empty."""
    ends = np.linspace(0, rows.num_rows, count + 1).astype(int).tolist()
    return [rows.slice(start, end - start) for start, end in pairwise(ends)]


def written(staged: Staged) -> list[dict[str, Any]]:
    """The rows of all files, one file after the other, each checked to hold what it says."""
    rows: list[dict[str, Any]] = []
    for file in staged.files:
        found = pq.ParquetFile(file.path).read()
        assert found.num_rows == file.rows
        assert not {*PARTITIONS} & {*found.column_names}
        rows += [{**row, "source": file.source, "day": file.day} for row in found.to_pylist()]
    assert len(rows) == staged.rows
    return rows


def ordered(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By day, then as the table is."""
    return sorted(rows, key=lambda row: tuple(row[column] for column in ("day", *ORDER[name])))


@given(st.integers(0, 2**32), st.integers(1, 500), st.integers(1, 400), st.integers(1, 6), st.booleans())
def test_each_key_once_the_first_that_came(
    lake: Lake, seed: int, count: int, keys: int, number: int, spilled: bool
) -> None:
    """However many parts, in memory or on disk: the first row of each key, sorted, in a file of its day."""
    rows = events(seed, count, keys)
    first = {row["event_id"]: row for row in reversed(rows.to_pylist())}
    with pytest.MonkeyPatch.context() as patch, staging.opened(lake) as staged:
        if spilled:
            patch.setattr(spool, "_RUN", 64)
            patch.setattr(spool, "_GROUP", 64)
        for part in parts(rows, number):
            staged.add("events", part)
        found = staged.finish("web", CON)["events"]
        assert written(found) == ordered("events", list(first.values()))
        assert found.duplicates == count - len(first)
        assert [file.day for file in found.files] == sorted({row["day"] for row in first.values()})


@settings(max_examples=examples(20))
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 4))
def test_what_was_only_seen_is_written_once(lake: Lake, seed: int, count: int, number: int) -> None:
    """Links have no key: of rows that say the same one is kept, and none of them counts as a duplicate."""
    rows = links(seed, count)
    with staging.opened(lake) as staged:
        for part in parts(rows, number):
            staged.add("identities", part)
        found = staged.finish("web", CON)["identities"]
        once = {repr(row): row for row in rows.to_pylist()}
        assert sorted(map(repr, written(found))) == sorted(once)
        assert written(found) == ordered("identities", written(found))
        assert found.duplicates == 0


def test_a_table_without_rows_has_no_file(lake: Lake) -> None:
    """Everything left out is not the same as nothing added: the table is told, with nothing in it."""
    with staging.opened(lake) as staged:
        staged.add("events", events(0, 0, 1))
        assert staged.finish("web", CON) == {"events": Staged((), 0, 0)}


@settings(max_examples=examples(15))
@given(st.integers(0, 2**32), st.integers(0, 200), st.integers(0, 200), st.integers(1, 300))
def test_late_rows_are_those_of_new_keys(lake: Lake, seed: int, before: int, now: int, keys: int) -> None:
    """Of a day that is loaded again: rows whose id its last load did not have, whatever else became of the others."""
    old, new = events(seed, before, keys), events(seed + 1, now, keys)
    known = {*old["event_id"].to_pylist()}
    with staging.opened(lake) as first, staging.opened(lake) as second:
        files = [str(file.path) for file in finished(first, old).files]
        late = staging.new_keys("events", finished(second, new).files, files, CON)
    assert late == len({*new["event_id"].to_pylist()} - known)


def finished(staged: Staging, rows: pa.Table) -> Staged:
    """One table of one part."""
    staged.add("events", rows)
    return staged.finish("web", CON)["events"]


# ---------------------------------------------------------------- folders

OWNER = """
import sys
from pathlib import Path
from pipeline import scratch
with scratch.folder_in(Path(sys.argv[1])) as folder:
    (folder / "rows").write_text("pseudonyms")
    print(folder.name, flush=True)
    sys.stdin.read()
"""


def test_only_what_nobody_works_in_is_swept(tmp_path: Path) -> None:
    """The folder of a load under way stays when another begins; once its process is killed, the next load sweeps it."""
    lake = Lake.of(config_in(tmp_path))
    command = [sys.executable, "-c", OWNER, str(lake.staging)]
    with subprocess.Popen(command, cwd=HOUSE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        theirs = lake.staging / owner.stdout.readline().strip()
        with staging.opened(lake) as ours:
            assert (theirs / "rows").is_file()
            assert ours.folder.is_dir()
        owner.kill()
    assert (theirs / "rows").is_file()
    with staging.opened(lake) as ours:
        assert [path for path in lake.staging.iterdir() if path.is_dir()] == [ours.folder]
    assert not [path for path in lake.staging.iterdir() if path.is_dir()]


def test_who_dies_before_it_is_locked_is_swept_too(tmp_path: Path) -> None:
    """A folder without a lock is nobody's: whoever makes one holds the lock of all until it is locked."""
    lake = Lake.of(config_in(tmp_path))
    (lake.staging / "half-made").mkdir(parents=True)
    with staging.opened(lake):
        assert not (lake.staging / "half-made").exists()


def test_small_tables_leave_nothing_either(tmp_path: Path) -> None:
    """What is written from memory goes through a folder of the same kind."""
    lake = Lake.of(config_in(tmp_path))
    (lake.staging / "killed").mkdir(parents=True)
    row = events(seed=1, count=1, keys=1)
    lake.replace_day("events", row, "web", row["day"][0].as_py())
    assert not [path for path in lake.staging.iterdir() if path.is_dir()]


def test_a_file_that_no_version_names_is_vacuumed_when_it_is_old(tmp_path: Path) -> None:
    """A load that is under way has just placed its file; what a crash left there is older than all that is kept."""
    lake = Lake.of(config_in(tmp_path))
    row = events(seed=1, count=1, keys=1)
    lake.replace_day("events", row, "web", row["day"][0].as_py())
    (named,) = lake.files("events")
    placed = Path(named).with_name("placed.parquet")
    placed.write_bytes(Path(named).read_bytes())
    lake_history.vacuum(lake, timedelta(hours=1))
    assert placed.is_file()
    lake_history.vacuum(lake, timedelta(0))
    assert (placed.exists(), Path(named).is_file()) == (False, True)
