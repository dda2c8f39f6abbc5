"""The guide on exports, word for word: whoever follows it has what serves, after whatever happened in between."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipeline import config as configuration
from pipeline import exports, snapshot
from tests.pipeline.exported import ALSO
from tests.pipeline.nights import as_of, facts
from tests.pipeline.small import HEADER, House, shortlist
from tests.pipeline.weird import Lists, as_lists, tables
from tests.worlds import HOUSE

TEXT = (HOUSE / "docs" / "guides" / "exports.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


SETTINGS, COMMANDS, SQL = *blocks("toml"), *blocks("sh"), *blocks("sql")
RESOLVE, LOAD, DELTA = blocks("python")


@pytest.fixture(name="house")
def _house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A company with the guide's settings, and its folder the working directory."""
    house = House(tmp_path)
    house.configure(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return house


def put(house: House, lists: Lists, night: int) -> str:
    """Publish these lists and export what serves then; the snapshot's name."""
    root = house.lake.rankings
    done = snapshot.commit(root, snapshot.stage(root, tables(lists, night), facts(), as_of(night)))
    exports.update(configuration.load(house.file))
    return done.name


def drawn(draw: Random) -> Lists:
    """Short lists of some of six people: many stay the same from one draw to the next."""
    people = [(f"p{number}", "customer") for number in range(6) if draw.random() < 0.8]
    return {person: draw.choice((["a", "b"], ["b", "a"], ["a"])) for person in people}


def test_its_settings_are_all_formats(house: House) -> None:
    """In the order in which the guide tells of them."""
    assert configuration.load(house.file).publish.also == ALSO
    assert HEADER in house.file.read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", [1, 2])
def test_whoever_loads_as_the_guide_says_has_what_serves(house: House, seed: int) -> None:
    """Night by night, after missed nights, a rollback, a night made up for and one published again."""
    house.configure('[publish]\nalso = ["jsonl"]\n')
    draw, lists, loaded = Random(seed), dict[tuple[str, str], list[str]](), None
    names = dict[str, Any]()
    exec(RESOLVE.split("export =")[0] + LOAD, names)
    root, ways = house.lake.rankings, set()
    for step in range(14):
        if step % 5 == 4:
            snapshot.rollback(root, draw.choice(snapshot.snapshots(root)))
            exports.update(configuration.load(house.file))
        else:
            put(house, drawn(draw), 2 * step - (5 if step % 5 == 3 else 0))
        if draw.random() < 0.3:
            continue
        exec(RESOLVE, names)
        ways.add(
            "changes"
            if loaded == names["said"]["since"]
            else "same"
            if loaded == names["said"]["snapshot"]
            else "whole"
        )
        loaded = names["load"](names["export"], names["said"], lists, loaded)
        expected = as_lists(snapshot.read(root, "people").to_pylist())
        assert {(kind, person): contents for (person, kind), contents in expected.items()} == lists
    assert ways >= {"changes", "whole"}


def test_its_lines_read_what_serves(house: House) -> None:
    """SQL the changes, Delta the people."""
    put(house, {("p0", "customer"): ["a", "b"], ("p1", "customer"): ["a"]}, 0)
    put(house, {("p0", "customer"): ["b", "a"]}, 1)
    with duckdb.connect() as con:
        rows = con.sql(SQL).project("person_id, change, rank, content_id").fetchall()
    assert rows == [("p0", "changed", 1, "b"), ("p0", "changed", 2, "a"), ("p1", "gone", None, None)]
    exec(DELTA, names := dict[str, Any]())
    people: pa.Table = names["people"]
    assert people.sort_by("rank").equals(snapshot.read(house.lake.rankings, "people"))


def test_its_commands_write_what_they_say(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """Between the two snapshots that are named, and since the night before."""
    for night, contents in enumerate(("a", "b", "b")):
        put(house, {("p0", "customer"): [contents]}, night)
    found = []
    for line in COMMANDS.strip().splitlines():
        _, *arguments = line.split()
        said = shortlist(capsys, *arguments, "--config", house.file, "--json")
        found.append((said.code, said.json["old"][:10], said.json["new"][:10], said.json["people"]["changed"]))
        assert (house.folder / said.json["out"]).exists()
    assert found == [(0, "2026-11-01", "2026-11-03", 1), (0, "2026-11-02", "2026-11-03", 0)]
