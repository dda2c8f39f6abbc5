"""More rows than fit in memory, sorted: each once, none before its place, in groups of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations import schemas
from pipeline import spool
from pipeline.day_files import ORDER
from pipeline.spool import Spool
from pipeline.staging import Staging
from tests.examples import examples

_BEGIN = datetime(2026, 6, 29, tzinfo=UTC)

_EVENTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 9), st.integers(0, 30)), max_size=60)
"""Day, shard, minute, and number of the event: few of each, so that many rows are equal in all but one."""

CON = duckdb.connect()


def events(drawn: list[tuple[int, int, int, int]]) -> pa.Table:
    """Rows of the lake's events."""
    return pa.Table.from_pylist([event(*row, place) for place, row in enumerate(drawn)], schemas.LAKE["events"].schema)


def event(day: int, shard: int, minute: int, number: int, place: int) -> dict[str, Any]:
    """One row, with `place` as its value."""
    ts = _BEGIN + timedelta(days=day, minutes=minute)
    ids = {"event_id": f"e{number}", "shard": shard, "person_id": shard - 3, "content_id": "a", "event": "view"}
    return {**ids, "ts": ts, "available_at": ts, "value": float(place), "source": "web", "day": ts.date()}


@contextmanager
def small_runs(run: int = 8) -> Iterator[Path]:
    """A folder for spools whose runs and groups have some `run` rows."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "_RUN", run)
        patch.setattr(spool, "_GROUP", run)
        patch.setattr(spool, "_SAMPLED", run)
        yield Path(folder)


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What the lake's events are sorted by."""
    return tuple(row[name] for name in ("day", *ORDER["events"]))


@given(_EVENTS, st.integers(1, 12))
def test_groups_are_all_rows_and_follow_each_other(drawn: list[tuple[int, int, int, int]], part: int) -> None:
    """Whatever parts they come in; only within a group they still have to be sorted."""
    rows = events(drawn)
    with small_runs() as folder:
        spooled = Spool(folder, "events")
        for start in range(0, max(rows.num_rows, 1), part):
            spooled.add(rows.slice(start, part))
        groups = [sorted(group.drop_columns([spool.PLACE]).to_pylist(), key=key) for group in spooled.groups()]
        spooled.remove()
        assert not list(folder.iterdir())
    flat = [row for group in groups for row in group]
    assert [key(row) for row in flat] == sorted(map(key, rows.to_pylist()))
    assert sorted(row["value"] for row in flat) == rows["value"].to_pylist()


def test_a_shard_is_never_cut_and_no_group_holds_more_than_two_groups_should(tmp_path: Path) -> None:
    """What is read together lies together, and memory does not grow with the number of rows."""
    rows = events([(0, number % 16, number % 7, number) for number in range(640)])
    with small_runs(run=64) as folder:
        spooled = Spool(folder, "events")
        for start in range(0, rows.num_rows, 32):
            spooled.add(rows.slice(start, 32))
        shards = [set(group["shard"].to_pylist()) for group in spooled.groups()]
        sizes = [group.num_rows for group in spooled.groups()]
    assert sum(map(len, shards)) == len(set().union(*shards)) == 16
    assert max(sizes) <= 128


@settings(max_examples=examples(20))
@given(_EVENTS)
def test_of_rows_with_the_same_id_the_first_that_came_is_written(drawn: list[tuple[int, int, int, int]]) -> None:
    """Wherever they would be sorted to; a file holds one day, in the table's order."""
    rows = events(drawn)
    first: dict[str, float] = {}
    for row in rows.to_pylist():
        first.setdefault(row["event_id"], row["value"])
    with small_runs() as folder:
        staging = Staging(folder)
        for start in range(0, max(rows.num_rows, 1), 5):
            staging.add("events", rows.slice(start, 5))
        staged = staging.finish("web", CON)["events"]
        written = [pq.read_table(file.path) for file in staged.files]
    assert {row["event_id"]: row["value"] for table in written for row in table.to_pylist()} == first
    assert staged.rows == len(first) == rows.num_rows - staged.duplicates
    for table in written:
        keys = [tuple(row[name] for name in ORDER["events"]) for row in table.to_pylist()]
        assert keys == sorted(keys)
    assert [file.day for file in staged.files] == sorted({file.day for file in staged.files})


def test_what_only_says_that_something_was_seen_is_written_once(tmp_path: Path) -> None:
    """An id comes with every part that has it, in as many runs."""
    said = {"id_type": "visitor", "source": "web", "day": date(2026, 6, 29)}
    ids = [{"id": number % 5, "native_id": f"v{number % 5}", **said} for number in range(40)]
    with small_runs() as folder:
        staging = Staging(folder)
        for start in range(0, 40, 4):
            staging.add("native_ids", pa.Table.from_pylist(ids[start : start + 4], schemas.LAKE["native_ids"].schema))
        staged = staging.finish("web", CON)["native_ids"]
        written = pq.read_table(staged.files[0].path)
    assert written["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert written["native_id"].to_pylist() == ["v0", "v1", "v2", "v3", "v4"]
