"""The snapshot that serves in other formats: the same rows, whole at every moment, and of no other snapshot."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings

from expectations import schemas
from pipeline import changes, exports, housekeep, rollback, snapshot
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.export_tables import TABLES
from pipeline.snapshot import Ranked
from tests.pipeline import weird
from tests.pipeline.exported import ALSO, Content, Rows, content, exported, files, in_order, says, schema
from tests.pipeline.faults import Calls, Crash, Fault, calls
from tests.pipeline.nights import GOALS, as_of, facts, publish, ranked
from tests.pipeline.small import House
from tests.pipeline.weird import Lists


def configured(house: House, *also: str) -> Config:
    """The configuration with exports in these formats."""
    return house.configure(f"[publish]\nalso = {json.dumps(also)}\n")


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> House:
    """A company in which two nights were published, the second with another list for everybody."""
    house = House(tmp_path / "house")
    house.folder.mkdir()
    configured(house, *ALSO)
    publish(house.lake.rankings, night=0)
    publish(house.lake.rankings, night=1, variant=1)
    return house


def served(house: House, table: str) -> Rows:
    """The rows that an export must have, without any code of exports."""
    if table != "changes":
        rows: Rows = snapshot.read(house.lake.rankings, table).to_pylist()
        return rows
    out = house.folder / "expected.parquet"
    changes.run(configured(house, *ALSO), out)
    rows = pq.read_table(out).to_pylist()
    out.unlink()
    return rows


def without_empty(rows: Rows) -> Rows:
    """Rows as a reader of CSV sees them who does not look at quotes: nothing in place of an empty text."""
    optional = set(schemas.changes(GOALS).names) - {"person_id", "id_type", "change", "as_of"}
    return [{name: None if value == "" and name in optional else value for name, value in row.items()} for row in rows]


def is_whole(house: House, form: str) -> bool:
    """Whether an export has all rows of what serves, in all tables, and says so."""
    return says(house, form)["snapshot"] == snapshot.resolve(house.lake.rankings).name and all(
        in_order(exported(house, form, table)) == in_order(served(house, table)) for table in TABLES
    )


# ---------------------------------------------------------------- what is exported


@settings(max_examples=8)
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


def nothing_else(house: House, *forms: str) -> bool:
    """Whether there is one export in each of these formats (or all), no leftovers, and no file that no table needs."""
    root, forms = house.lake.exports, forms or ALSO
    for form in set(forms) - {"delta"}:
        name = (root / form / "CURRENT").read_text(encoding="utf-8").strip()
        assert sorted(path.name for path in (root / form).iterdir()) == sorted([name, "CURRENT", "current"])
        assert (root / form / "current").readlink() == Path(name)
    for place in [root / "delta"] if "delta" in forms else []:
        assert sorted(path.name for path in place.iterdir()) == sorted([*TABLES, "export.json"])
        for table in TABLES:
            needed = {Path(uri).name for uri in DeltaTable(place / table).file_uris()}
            assert {path.name for path in (place / table).glob("*.parquet")} == needed
    return sorted(path.name for path in root.iterdir()) == [".lock", *sorted(forms)]


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


# ---------------------------------------------------------------- what goes wrong


@contextmanager
def failing(fault: Fault = "none", at: int = -1) -> Iterator[Calls]:
    """Every file-system call and every commit to a Delta table goes through the yielded object."""
    with calls(fault, at) as made, pytest.MonkeyPatch.context() as patch:
        name = "create_write_transaction"
        patch.setattr(DeltaTable, name, made.wrap(name, getattr(DeltaTable, name)))
        yield made


def moments(names: list[str], form: str) -> list[int]:
    """The first and the second time that the run passes from one kind of call to another: tables are alike.

    Of Delta's tables, each of which is written by one and the same library, the first.
    """
    pairs, times = list(zip(["", *names], names, strict=False)), 1 if form == "delta" else 2
    return [at for at, pair in enumerate(pairs) if pairs[:at].count(pair) < times] + [len(names) - 1]


def requires_whole(house: House, form: str, old: Content, new: Content) -> None:
    """A text export is old or new as a whole; so is each Delta table, and all that the record names."""
    found = content(house, form)
    if form != "delta" or found is None:
        assert found in (old, new)
        return
    assert new is not None
    place = house.lake.exports / form
    recorded = {
        table: in_order(DeltaTable(place / table, version=one["version"]).to_pyarrow_table().to_pylist())
        for table, one in says(house, form)["tables"].items()
    }
    assert recorded in (old, new)
    for table, rows in found.items():
        assert rows in (new[table], (old or {}).get(table)), table


@pytest.fixture(name="due", params=["the first", "a later one"])
def _due(request: pytest.FixtureRequest, house: House) -> House:
    """A company with an export to be written; of an older snapshot there is one already, or none yet."""
    if request.param == "a later one":
        exports.update(configured(house, "csv", "delta"))
        publish(house.lake.rankings, night=2, variant=2)
    return house


@pytest.mark.parametrize("form", ["csv", "delta"])
@pytest.mark.parametrize("fault", ["crash", "torn"])
def test_a_crash_at_every_call(due: House, tmp_path: Path, form: str, fault: Fault) -> None:
    """Whichever call the process dies in, readers find whole exports, and the next run ends where one would have."""
    whole = House(Path(shutil.copytree(due.folder, tmp_path / "whole", symlinks=True)))
    with failing() as made:
        exports.update(configured(whole, form))
    names = [name for name, _ in made.made]
    assert set(names) >= {"write", "rename", "replace", "remove", "sync_folder"}
    old, new = content(due, form), content(whole, form)
    assert old != new
    for at in moments(names, form):
        if fault == "torn" and names[at] not in ("write", "remove"):
            continue
        again = House(Path(shutil.copytree(due.folder, tmp_path / "again", symlinks=True)))
        config = configured(again, form)
        with failing(fault, at), pytest.raises(Crash):
            exports.update(config)
        requires_whole(again, form, old, new)
        exports.update(config)
        assert content(again, form) == new, f"after dying in call {at}, {names[at]}"
        assert nothing_else(again, form)
        if form == "csv":
            assert {name: one for name, (one, _) in files(again).items()} == {
                name: one for name, (one, _) in files(whole).items()
            }
        shutil.rmtree(again.folder)


@pytest.mark.parametrize("form", ["csv", "delta"])
def test_a_crash_and_then_a_rollback(house: House, tmp_path: Path, form: str) -> None:
    """Nothing that a dead process had half written, or half removed, is taken for whole when its snapshot serves."""
    first, _ = snapshot.snapshots(house.lake.rankings)
    snapshot.rollback(house.lake.rankings, first)
    exports.update(configured(house, form))
    old = content(house, form)
    publish(house.lake.rankings, night=1, variant=1)
    whole = House(Path(shutil.copytree(house.folder, tmp_path / "whole", symlinks=True)))
    with failing() as made:
        exports.update(configured(whole, form))
    for at in [at for at, (name, _) in enumerate(made.made) if name in ("write", "remove")]:
        again = House(Path(shutil.copytree(house.folder, tmp_path / "again", symlinks=True)))
        config = configured(again, form)
        with failing("torn", at), pytest.raises(Crash):
            exports.update(config)
        snapshot.rollback(again.lake.rankings, first)
        exports.update(config)
        assert content(again, form) == old
        assert nothing_else(again, form)
        shutil.rmtree(again.folder)


@pytest.mark.parametrize("form", ["csv", "delta"])
def test_a_full_disk_at_every_call(due: House, tmp_path: Path, form: str) -> None:
    """The message says what serves, that it does so all the same, and what to do; nothing was un-published."""
    serves = snapshot.resolve(due.lake.rankings).name
    whole = House(Path(shutil.copytree(due.folder, tmp_path / "whole", symlinks=True)))
    with failing() as made:
        exports.update(configured(whole, form))
    old, new = content(due, form), content(whole, form)
    for at in moments([name for name, _ in made.made], form)[::2]:
        again = House(Path(shutil.copytree(due.folder, tmp_path / "again", symlinks=True)))
        config = configured(again, form)
        with failing("full", at), pytest.raises(ShortlistError, match="No space left on device") as failure:
            exports.update(config)
        said = str(failure.value)
        assert f"CURRENT names {serves}. It is published and stays so" in said
        assert "Free disk space" in said
        assert "run the same command again" in said
        assert snapshot.resolve(again.lake.rankings).name == serves
        requires_whole(again, form, old, new)
        exports.update(config)
        assert content(again, form) == new
        shutil.rmtree(again.folder)


def test_a_table_that_is_no_delta_table_is_named(house: House) -> None:
    """What serves is said, and what failed; with the folder deleted, as the message says, all is well again."""
    config = configured(house, *ALSO)
    exports.update(config)
    publish(house.lake.rankings, night=2, variant=2)
    for log in (house.lake.exports / "delta" / "people" / "_delta_log").iterdir():
        log.write_text("no log")
    serves = snapshot.resolve(house.lake.rankings).name
    with pytest.raises(ShortlistError, match=rf"exporting what serves as delta failed.*CURRENT names {serves}"):
        exports.update(config)
    assert is_whole(house, "csv")
    shutil.rmtree(house.lake.exports / "delta")
    assert exports.update(config) == ("delta",)
    assert is_whole(house, "delta")


def test_a_damaged_snapshot_is_not_exported(house: House) -> None:
    """Exports are as they were, and the message says which snapshot cannot be read."""
    config = configured(house, "csv")
    exports.update(config)
    before = files(house)
    publish(house.lake.rankings, night=2, variant=2)
    serves = snapshot.resolve(house.lake.rankings)
    (serves / "people" / "part-00000.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ShortlistError, match=rf"{serves.name} could not be compared.*shortlist verify"):
        exports.update(config)
    assert files(house) == before
