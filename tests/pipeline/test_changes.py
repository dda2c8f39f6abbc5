"""Whose list changed: whoever takes the changes over has what the new snapshot has, and nobody else is in them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from expectations import schemas
from pipeline import changes, disk, snapshot
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.snapshot import Ranked
from tests.examples import examples
from tests.pipeline import weird
from tests.pipeline.nights import GOALS, as_of, changed, facts, publish, ranked
from tests.pipeline.small import House, shortlist
from tests.pipeline.weird import Lists, applied, as_lists

Rows = list[dict[str, Any]]


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A company that publishes."""
    house = House(tmp_path / "house")
    house.folder.mkdir()
    house.configure("")
    return house


def put(house: House, tables: Ranked, night: int) -> str:
    """Publish these tables; the snapshot's name."""
    root = house.lake.rankings
    return snapshot.commit(root, snapshot.stage(root, tables, facts(), as_of(night))).name


def config(house: House) -> Config:
    """Its configuration."""
    return house.configure("")


def written(house: House, *names: str) -> Rows:
    """The changes between two snapshots, as Parquet."""
    out = house.folder / "changes.parquet"
    changes.run(config(house), out, *names)
    rows: Rows = pq.read_table(out).to_pylist()
    return rows


@settings(max_examples=examples(20))
@given(old=weird.lists, new=weird.lists)
def test_changes_make_the_old_lists_the_new_ones(old: Lists, new: Lists) -> None:
    """Whatever ids and contents are called; and only people whose list is another one are in them, with all of it."""
    with TemporaryDirectory() as folder:
        house = House(Path(folder))
        house.configure("")
        put(house, weird.tables(old, 0), 0)
        put(house, weird.tables(new, 1, reason="another", score=0.25), 1)
        rows = written(house)
    assert applied(old, rows) == new
    said = {(row["person_id"], row["id_type"]): row["change"] for row in rows}
    differing = {one for one in {*old, *new} if old.get(one) != new.get(one)}
    assert said == {one: "new" if one not in old else "changed" if one in new else "gone" for one in differing}
    assert as_lists([row for row in rows if row["rank"]]) == {one: new[one] for one in differing if one in new}


def test_another_order_is_a_change_and_another_score_is_none(house: House) -> None:
    """What somebody sees is what counts; the rows say all that the new snapshot says."""
    put(house, ranked(0), 0)
    tables = changed(ranked(1), "people", "content_id", {0: "c0-2", 1: "c0-1"})
    tables = changed(tables, "people", "score", {4: 0.99})
    tables = changed(tables, "people", "model_version", {8: "ranker/9"})
    put(house, tables, 1)
    rows = written(house)
    assert [{**row, "change": "changed"} for row in tables.people.slice(0, 4).to_pylist()] == rows


def test_whoever_is_gone_has_one_row_that_says_nothing_else(house: House) -> None:
    """An id, of which kind, and as of when."""
    put(house, ranked(0, people=3), 0)
    put(house, ranked(1, people=2), 1)
    (row,) = written(house)
    assert {name: value for name, value in row.items() if value is not None} == {
        "person_id": "p002",
        "id_type": "visitor",
        "change": "gone",
        "as_of": as_of(1),
    }


def test_without_an_earlier_night_everybody_is_new(house: House) -> None:
    """Another snapshot of the same night is no earlier one."""
    put(house, ranked(0, variant=1), 0)
    put(house, ranked(0), 0)
    rows = written(house)
    assert [{**row, "change": "new"} for row in ranked(0).people.to_pylist()] == rows


def test_any_two_snapshots_can_be_compared(house: House) -> None:
    """Backwards, too; and what is compared with itself has not changed."""
    first, second = put(house, ranked(0, people=2), 0), put(house, ranked(1, people=3), 1)
    put(house, ranked(2, variant=1), 2)
    assert {row["person_id"]: row["change"] for row in written(house, second, first)} == {"p002": "gone"}
    assert written(house, first, first) == []


def test_columns_are_as_declared(house: House) -> None:
    """Names, types, what may be null, and the order of rows; in every form the same rows."""
    put(house, ranked(0, people=2), 0)
    put(house, ranked(1, variant=1, people=1), 1)
    files = [house.folder / f"changes.{form}" for form in ("parquet", "jsonl", "csv")]
    reports = [changes.run(config(house), file) for file in files]
    form = schemas.changes(GOALS)
    table = pq.read_table(files[0])
    assert table.schema.equals(form.schema)
    assert table.equals(table.sort_by([(name, "ascending") for name in form.key]))
    lines = [json.loads(line) for line in files[1].read_text(encoding="utf-8").splitlines()]
    with files[2].open(newline="", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert [list(row) for row in (*lines, *cells)] == [list(form.names)] * 10
    for name in ("person_id", "change", "content_id", "reason"):
        assert table[name].to_pylist() == [row[name] for row in lines] == [row[name] or None for row in cells]
    assert [report.rows for report in reports] == [5, 5, 5]
    assert reports[0].people == {"new": 0, "changed": 1, "gone": 1}


def test_bytes_are_the_same_however_they_are_cut(house: House) -> None:
    """Twice the same changes are twice the same file."""
    put(house, ranked(0), 0)
    put(house, ranked(1, variant=1), 1)
    for form in ("csv", "jsonl", "parquet"):
        out = house.folder / "twice" / f"changes.{form}"
        first = (changes.run(config(house), out), out.read_bytes())
        assert (changes.run(config(house), out), out.read_bytes()) == first
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []


# ---------------------------------------------------------------- the command


def test_the_command_says_what_it_wrote(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """For machines and for people; beginnings of names will do."""
    for night in range(3):
        publish(house.lake.rankings, night, variant=night // 2)
    first, second, third = snapshot.snapshots(house.lake.rankings)
    out = house.folder / "out.jsonl"
    said = shortlist(capsys, "changes", "--out", out, "--config", house.file, "--json")
    people = {"new": 0, "changed": 3, "gone": 0}
    assert said.json == {"old": second, "new": third, "out": str(out), "people": people, "rows": 12}
    asked = ("changes", "2026-11-01", "2026-11-02", "--out", out, "--config", house.file)
    told = shortlist(capsys, *asked)
    assert (told.code, told.out) == (0, "")
    assert told.lacks(f"{first} to {second}", "0 new, 0 changed, 0 gone", f"{out}: 0 rows") == []
    assert out.read_bytes() == b""


@pytest.mark.parametrize("name", ["changes", "changes.xlsx", "changes.csv.gz"])
def test_a_file_that_does_not_say_what_it_is(house: House, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Ends with 2, and nothing is written."""
    publish(house.lake.rankings)
    out = house.folder / name
    said = shortlist(capsys, "changes", "--out", out, "--config", house.file)
    assert (said.code, said.lacks("must end in .csv, .jsonl or .parquet")) == (2, [])
    assert not out.exists()


def test_nothing_is_published_yet(house: House) -> None:
    """There is nothing to compare, and the message says so."""
    with pytest.raises(ShortlistError, match="nothing has been published"):
        changes.run(config(house), house.folder / "out.csv")
    publish(house.lake.rankings)
    with pytest.raises(ConfigurationError, match="no snapshot is named"):
        changes.run(config(house), house.folder / "out.csv", "2027")


def test_a_file_that_cannot_be_written_is_as_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names it and says what to do; no half of another one is left beside it."""
    publish(house.lake.rankings)
    out = house.folder / "out.csv"
    out.write_text("before")

    def full(path: Path, *_: object) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(disk, "write", full)
    with pytest.raises(ShortlistError, match=rf"--out {out}: cannot be written: .*Free disk space"):
        changes.run(config(house), out)
    assert out.read_text() == "before"
    assert sorted(path.name for path in house.folder.iterdir() if "out" in path.name) == ["out.csv"]
