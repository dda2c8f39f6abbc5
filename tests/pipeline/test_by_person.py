"""The older days by person: the rows of a few people are all of theirs, and nothing else, whatever lies where."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import by_person, erasure
from pipeline.lake import UNDATED, Lake
from pipeline.persons import EVENTS, TRANSACTIONS
from pipeline.shard_reader import Part
from pipeline.shards import home_of
from tests.pipeline.lakes import config_in, fortnight, tables, written

COLUMNS = {"events": EVENTS, "transactions": TRANSACTIONS}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A fortnight's, of which there are blocks although it is small."""
    monkeypatch.setattr(by_person, "WORTH", 1)
    return written(fortnight(), config_in(tmp_path))


def parts_of(lake: Lake, table: str, until: date = date.max) -> list[Part]:
    """The table's files of days until then."""
    return [part for part in lake.parts(table) if part.day <= until]


def found(lake: Lake, tmp_path: Path, table: str, parts: Sequence[Part], people: pa.Array) -> list[dict[str, Any]]:
    """What there is of the people, in the order of what it says."""
    folder = tmp_path / "half-done"
    folder.mkdir(exist_ok=True)
    rows = by_person.rows(lake, folder, table, COLUMNS[table], parts, people)
    assert not list(folder.iterdir())
    return sorted(rows.to_pylist(), key=str)


def asked(lake: Lake, table: str, people: pa.Array, until: date = date.max) -> list[dict[str, Any]]:
    """The same, by reading everything."""
    rows = lake.read(table)
    rows = rows.filter(pc.and_(pc.is_in(rows["person_id"], value_set=people), pc.less_equal(rows["day"], until)))
    return sorted(rows.select(COLUMNS[table]).to_pylist(), key=str)


def some_of(lake: Lake, every: int = 5) -> pa.Array:
    """Some of the people, and one who is not there."""
    ids = pc.unique(lake.read("events")["person_id"]).sort()
    return pa.array([*ids.to_pylist()[::every], 10**12], pa.int64())


def blocks(lake: Lake) -> set[str]:
    """The names of those that there are."""
    return {file.name for file in lake.checkpoints.glob("by-person/*")}


@pytest.mark.parametrize("bucket", [1, 7, 10_000])
@pytest.mark.parametrize("table", COLUMNS)
def test_what_is_found_is_what_there_is(
    lake: Lake, tmp_path: Path, table: str, bucket: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many people in a bucket, and of more buckets than shards; when blocks are made and when they are there."""
    monkeypatch.setattr(by_person, "_BUCKET", bucket)
    people, parts = some_of(lake), parts_of(lake, table)
    expected = asked(lake, table, people)
    assert expected
    for _ in range(2):
        assert found(lake, tmp_path, table, parts, people) == expected
    assert blocks(lake)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.integers(0, 12), st.integers(0, 6))
def test_buckets_of_a_shard_lie_together(ids: list[int], buckets: int, slices: int) -> None:
    """A bucket is all within a slice, and those of a slice come one after the other, as slices are read."""
    some, count, each = np.array(ids, np.int64), 2**buckets, 2 ** min(buckets, slices)
    bucket = by_person._bucket_of(some, count)
    assert ((bucket >= 0) & (bucket < count)).all()
    assert (bucket // (count // each) == home_of(some, each)).all()


def test_a_block_that_is_there_is_read_and_not_its_files(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last days are, which their vendor may still rewrite."""
    people, parts, opened = some_of(lake), parts_of(lake, "events"), set()
    reader = by_person.ShardReader

    def watched(table: str, columns: Any, some: Any, *about: Any) -> Any:
        opened.update(part.day for part in some)
        return reader(table, columns, some, *about)

    monkeypatch.setattr(by_person, "ShardReader", watched)
    first = found(lake, tmp_path, "events", parts, people)
    assert opened == {part.day for part in parts}
    opened.clear()
    assert found(lake, tmp_path, "events", parts, people) == first
    last = max(part.day for part in parts)
    assert {last - timedelta(days=back) for back in range(8)} <= opened < {part.day for part in parts}


def test_days_are_in_one_block_at_a_time(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a small one until the large one is complete."""
    monkeypatch.setattr(by_person, "_SETTLED", timedelta(0))
    monkeypatch.setattr(by_person, "_DAYS", (8, 2))
    people, days = some_of(lake), sorted({part.day for part in parts_of(lake, "events")})
    for until in days:
        kept = parts_of(lake, "events", until)
        assert found(lake, tmp_path, "events", kept, people) == asked(lake, "events", people, until)
        held = [name for file in lake.checkpoints.glob("by-person/*") for name in by_person._names(file)]
        assert len(held) == len(set(held))
    assert len(blocks(lake)) < len(days) // 2


def test_a_day_that_is_loaded_again_is_found_as_it_is_now(lake: Lake, tmp_path: Path) -> None:
    """And the block that had it is gone."""
    people, day = some_of(lake, 1), min(part.day for part in parts_of(lake, "events"))
    found(lake, tmp_path, "events", parts_of(lake, "events"), people)
    before = blocks(lake)
    rows = lake.read("events", days=[day])
    (source,) = rows["source"].unique().to_pylist()
    lake.replace_day("events", rows.slice(1), source, day)
    assert found(lake, tmp_path, "events", parts_of(lake, "events"), people) == asked(lake, "events", people)
    assert len(blocks(lake) & before) == len(before) - 1


def test_rows_without_a_day_are_in_no_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their file is replaced with each load."""
    monkeypatch.setattr(by_person, "WORTH", 1)
    days = [UNDATED, date(2026, 3, 1), date(2026, 6, 1)]
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rows = [{"person": 1, "ts": noon, "content_id": "c", "day": day} for day in days]
    lake = written(tables(events=rows), config_in(tmp_path))
    people = pa.array([1], pa.int64())
    assert len(found(lake, tmp_path, "events", parts_of(lake, "events"), people)) == 3
    (file,) = lake.checkpoints.glob("by-person/*")
    (name,) = by_person._names(file)
    assert "2026-03-01" in name


def test_a_small_log_is_not_there_twice(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read all of it takes no time."""
    monkeypatch.setattr(by_person, "WORTH", 10**6)
    people = some_of(lake)
    assert found(lake, tmp_path, "events", parts_of(lake, "events"), people) == asked(lake, "events", people)
    assert not blocks(lake)


def test_whoever_leaves_the_lake_leaves_the_blocks(lake: Lake, tmp_path: Path) -> None:
    """First of all, so that whoever is killed in between leaves nothing; and blocks without them stay."""
    people = some_of(lake)
    found(lake, tmp_path, "events", parts_of(lake, "events"), people)
    by_person.remove_those_with(lake, pa.array([10**12], pa.int64()))
    there = list(lake.checkpoints.glob("by-person/*"))
    assert there
    known = {file: by_person._opened(file).read_all()["person_id"] for file in there}
    someone = people.slice(0, 1)
    by_person.remove_those_with(lake, someone)
    without = {file.name for file, ids in known.items() if not pc.any(pc.is_in(ids, value_set=someone)).as_py()}
    assert blocks(lake) == without
    erasure.delete_people(lake, some_of(lake, 1))
    assert not blocks(lake)


def test_a_block_of_files_that_are_gone_goes(lake: Lake, tmp_path: Path) -> None:
    """As after an erasure that was killed when the lake had lost the rows."""
    found(lake, tmp_path, "events", parts_of(lake, "events"), some_of(lake))
    assert blocks(lake)
    for source in lake.read("events")["source"].unique().to_pylist():
        lake.replace_source("events", lake.read("events").slice(0, 0), source)
    by_person.remove_those_with(lake, pa.array([10**12], pa.int64()))
    assert not blocks(lake)
