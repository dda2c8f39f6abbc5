"""The snapshot that serves in other formats: the same rows, whole at every moment, and of no other snapshot."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings

from expectations import schemas
from pipeline import exports, housekeep, rollback, snapshot
from pipeline.export_tables import TABLES
from pipeline.snapshot import Ranked
from tests.examples import examples
from tests.pipeline import weird
from tests.pipeline.exported import (
    ALSO,
    Rows,
    configured,
    exported,
    files,
    in_order,
    is_whole,
    nothing_else,
    says,
    schema,
    served,
    two_nights,
)
from tests.pipeline.nights import GOALS, as_of, facts, publish, ranked
from tests.pipeline.small import House
from tests.pipeline.weird import Lists

house = two_nights


def without_empty(rows: Rows) -> Rows:
    """Rows as a reader of CSV sees them who does not look at quotes: nothing in place of an empty text."""
    optional = set(schemas.changes(GOALS).names) - {"person_id", "id_type", "change", "as_of"}
    return [{name: None if value == "" and name in optional else value for name, value in row.items()} for row in rows]


# ---------------------------------------------------------------- what is exported


@settings(max_examples=examples(8))
@given(old=weird.lists, new=weird.lists)
def test_every_format_has_the_rows_of_the_parquet(old: Lists, new: Lists) -> None:
    """Whatever ids and contents are called: each table in each format, and the changes since the night before."""
    with TemporaryDirectory() as folder:
        house = House(Path(folder))
        config = configured(house, *ALSO)
        for night, lists in enumerate((old, new)):
            staged = snapshot.stage(house.lake.rankings, weird.tables(lists, night), facts(), as_of(night))
            snapshot.commit(house.lake.rankings, staged)
        assert exports.update(config) == ALSO
        for table in TABLES:
            rows = served(house, table)
            assert exported(house, "jsonl", table) == rows
            assert in_order(exported(house, "delta", table)) == in_order(rows)
            assert exported(house, "csv", table) == (without_empty(rows) if table == "changes" else rows)


def test_each_says_of_which_snapshot_it_is(house: House) -> None:
    """And since which its changes are, how many rows there are, and what their bytes hash to."""
    exports.update(configured(house, *ALSO))
    old, new = snapshot.snapshots(house.lake.rankings)
    for form in ALSO:
        said = says(house, form)
        assert (said["snapshot"], said["since"], said["as_of"]) == (new, old, as_of(1).isoformat())
        rows = {"people": 12, "segments": 4, "default": 4, "changes": 12}
        assert {table: one["rows"] for table, one in said["tables"].items()} == rows
    for form in ("csv", "jsonl"):
        current = house.lake.exports / form / "current"
        for one in says(house, form)["tables"].values():
            content = (current / one["file"]).read_bytes()
            assert (one["bytes"], one["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    for table, one in says(house, "delta")["tables"].items():
        found = DeltaTable(house.lake.exports / "delta" / table, version=one["version"])
        (commit,) = found.history(1)
        assert (commit["shortlist.snapshot"], commit["shortlist.since"]) == (new, old)
        assert found.schema().to_arrow() is not None
        assert [field.name for field in found.schema().fields] == schema(house, table).names


def test_nothing_is_exported_unless_asked_for(house: House) -> None:
    """By default there is no such folder; and before anything serves there is nothing to export."""
    assert exports.update(configured(house)) == exports.tidy(configured(house)) == ()
    assert not house.lake.exports.exists()
    shutil.rmtree(house.lake.rankings)
    assert exports.update(configured(house, *ALSO)) == ()
    assert not house.lake.exports.exists()


def test_the_first_night_is_all_new(house: House) -> None:
    """There is no earlier one to compare with."""
    root = house.lake.rankings
    snapshot.rollback(root, snapshot.snapshots(root)[0])
    exports.update(configured(house, "jsonl"))
    assert says(house, "jsonl")["since"] is None
    assert exported(house, "jsonl", "changes") == [{**row, "change": "new"} for row in served(house, "people")]


def test_the_same_again_touches_nothing(house: House) -> None:
    """Not one byte, not one time of a file, not one version of a table."""
    config = configured(house, *ALSO)
    exports.update(config)
    before = files(house)
    assert exports.update(config) == ()
    assert files(house) == before


def test_text_is_the_same_to_the_byte_wherever_it_is_made(house: House, tmp_path: Path) -> None:
    """Whoever loads a file by its hash loads it once."""
    other = House(Path(shutil.copytree(house.folder, tmp_path / "other", symlinks=True)))
    written = []
    for one in (house, other):
        exports.update(configured(one, "csv", "jsonl"))
        written.append({name: content for name, (content, _) in files(one).items()})
    assert written[0] == written[1]
    assert len(written[0]) == 2 * 6


def test_the_next_night_takes_the_place_of_the_last(house: House) -> None:
    """Nothing of the older one is left on disk, in no format; Delta's versions go on."""
    config = configured(house, *ALSO)
    exports.update(config)
    old = says(house, "delta")["tables"]
    publish(house.lake.rankings, night=2, variant=2)
    assert exports.update(config) == ALSO
    assert all(is_whole(house, form) for form in ALSO)
    assert nothing_else(house)
    assert all(says(house, "delta")["tables"][table]["version"] > one["version"] for table, one in old.items())


def test_a_night_that_comes_in_between_is_what_changes_are_since(house: House) -> None:
    """A night that was made up for does not serve, but the changes of the one that does are since that one now."""
    config = configured(house, *ALSO)
    publish(house.lake.rankings, night=3, variant=1)
    exports.update(config)
    assert exported(house, "csv", "changes") == []
    between = publish(house.lake.rankings, night=2, variant=2)
    assert not between.current
    assert exports.update(config) == ALSO
    assert [says(house, form)["since"] for form in ALSO] == [between.name] * 3
    assert all(is_whole(house, form) for form in ALSO)


def test_goals_come_and_go(house: House) -> None:
    """Delta's tables have the columns of the snapshot that serves, and so has text."""
    config = configured(house, *ALSO)
    exports.update(config)
    people, segments, default = (
        getattr(ranked(2), name).rename_columns({"p_read": "p_watch"}) for name in ("people", "segments", "default")
    )
    root = house.lake.rankings
    snapshot.commit(root, snapshot.stage(root, Ranked(people, segments, default), facts(), as_of(2)))
    exports.update(config)
    names = list(schemas.changes(("click", "watch")).names)
    table = DeltaTable(house.lake.exports / "delta" / "changes").to_pyarrow_table()
    current = house.lake.exports / "csv" / "current"
    assert table.column_names == (current / "changes.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert table.column_names == names
    assert "p_read" not in DeltaTable(house.lake.exports / "delta" / "people").to_pyarrow_table().column_names


def test_whoever_has_no_list_any_more_is_told_of_once(house: House) -> None:
    """An objection takes effect with the next night: of them there is a row that clears their list, and nothing else.

    Neither in an older version of a Delta table nor in an older folder; and with the night after that, not even it.
    """
    config = configured(house, *ALSO)
    exports.update(config)
    holding = [name for name, (found, _) in files(house).items() if b"p002" in found]
    assert len(holding) == 2 * 2 + 2  # people and changes; Parquet keeps short texts as they are
    for night in (2, 3):
        tables = ranked(night, people=2)
        snapshot.commit(house.lake.rankings, snapshot.stage(house.lake.rankings, tables, facts(), as_of(night)))
        exports.update(config)
        holding = sorted(name.split("/")[-1] for name, (found, _) in files(house).items() if b"p002" in found)
        assert len(holding) == (3 if night == 2 else 0)
        told = [row for form in ALSO for row in exported(house, form, "changes") if row["person_id"] == "p002"]
        gone = dict.fromkeys(schemas.changes(GOALS).names)
        row = {**gone, "person_id": "p002", "id_type": "visitor", "change": "gone", "as_of": as_of(night)}
        assert told == ([row] * 3 if night == 2 else [])


def test_large_tables_are_in_order(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is in the order of the snapshot's rows, however many files and batches those are."""
    monkeypatch.setattr("pipeline.parts.ROWS_PER_PART", 3000)
    monkeypatch.setattr("pipeline.parts.ROWS_PER_GROUP", 1000)
    monkeypatch.setattr("pipeline.text_rows._BATCH", 700)
    tables = ranked(2, variant=3, people=2000)
    root = house.lake.rankings
    snapshot.commit(root, snapshot.stage(root, tables, facts(), as_of(2)))
    exports.update(configured(house, *ALSO))
    assert len(list((snapshot.resolve(root) / "people").iterdir())) == 3
    rows = served(house, "people")
    assert exported(house, "csv", "people") == exported(house, "jsonl", "people") == rows
    assert in_order(exported(house, "delta", "people")) == in_order(rows)
    assert [row["person_id"] for row in exported(house, "csv", "changes")] == [row["person_id"] for row in rows]


def test_whoever_may_read_a_snapshot_may_read_an_export_and_nobody_else(house: House) -> None:
    """Files and folders have the permissions that published ones have."""
    exports.update(configured(house, *ALSO))
    current = snapshot.resolve(house.lake.rankings)
    folder, file = (path.stat().st_mode for path in (current / "people", current / "manifest.json"))
    found = {path: path.stat().st_mode for path in house.lake.exports.rglob("*") if not path.is_symlink()}
    assert {path: mode for path, mode in found.items() if mode != (folder if path.is_dir() else file)} == {}


# ---------------------------------------------------------------- who calls


def test_a_rollback_exports_what_serves_then(house: House) -> None:
    """In every format, and the report says which."""
    config = configured(house, *ALSO)
    exports.update(config)
    old, _ = snapshot.snapshots(house.lake.rankings)
    assert rollback.run(datetime(2026, 11, 3, tzinfo=UTC), config, old).exports == ALSO
    assert [says(house, form)["snapshot"] for form in ALSO] == [old] * 3
    assert all(is_whole(house, form) for form in ALSO)
    assert nothing_else(house)


@pytest.mark.parametrize("by", ["update", "housekeep"])
def test_a_format_that_is_not_asked_for_any_more_goes(house: House, by: str) -> None:
    """It would be stale from now on; what is still asked for is untouched."""
    exports.update(configured(house, *ALSO))
    before = files(house)
    config = configured(house, "jsonl")
    if by == "update":
        assert exports.update(config) == ()
    else:
        assert housekeep.run(as_of(1), config).exports == ("csv", "delta")
    assert files(house) == {name: one for name, one in before.items() if name.startswith("jsonl/")}


def test_what_serves_no_more_is_exported_no_more(house: House) -> None:
    """Where all snapshots were deleted by hand, their exports are of nothing."""
    exports.update(configured(house, *ALSO))
    shutil.rmtree(house.lake.rankings)
    exports.update(configured(house, *ALSO))
    assert files(house) == {}


def test_exporters_at_once(house: House) -> None:
    """Whoever comes last exports what serves last; nobody sees another's work in progress."""
    config = configured(house, *ALSO)

    def publish_and_export(night: int) -> None:
        publish(house.lake.rankings, night, variant=night)
        exports.update(config)

    with ThreadPoolExecutor(max_workers=3) as pool:
        list(pool.map(publish_and_export, range(2, 6)))
    assert all(is_whole(house, form) for form in ALSO)
    assert nothing_else(house)
