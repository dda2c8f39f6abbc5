"""Forgetting while exports are loaded: no load brings back what was removed, and none loses what it loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import config as configuration
from pipeline import erasure, forget, scratch, staging, suppress
from pipeline.errors import ShortlistError
from pipeline.pseudonyms import Pseudonyms
from tests.pipeline.small import House, in_order
from tests.pipeline.traces import Traces
from tests.pipeline.website import DAY, NIGHT, WEB, days_before, export, load


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> House:
    """A day by five visitors, one of them called `somebody`."""
    house = House(tmp_path)
    config = house.configure(WEB)
    export(house, days_before(1), visitor_id="somebody")
    load(config, day=days_before(1))
    return house


def forgotten(house: House) -> forget.ForgetReport:
    """`shortlist forget somebody`."""
    return forget.run(NIGHT, configuration.load(house.file), ["somebody"])


def test_a_running_load_is_not_touched(house: House) -> None:
    """Its rows may be theirs: they are listed, nothing is removed, and the same command does it afterwards."""
    before = in_order(house.lake.read("events"))
    with staging.opened(house.lake) as running:
        (running.folder / "rows").touch()
        with pytest.raises(
            ShortlistError, match=r"a load is under way .* wait until the load ends .* same command again"
        ):
            forgotten(house)
        assert (running.folder / "rows").exists()
    assert in_order(house.lake.read("events")) == before
    assert len(suppress.forgotten(house.lake)) == 1
    report = forgotten(house)
    assert (report.already, report.removed.rows) == (1, {"events": 1, "native_ids": 1})


@pytest.mark.parametrize("place", ["staging", "scratch"])
def test_what_was_killed_at_work_leaves_nothing(house: House, place: str) -> None:
    """What loads had staged, and rows that steps worked on, with the locks that nobody holds."""
    root: Path = getattr(house.lake, place)
    dead = root / "dead"
    dead.mkdir(parents=True)
    (dead / ".lock").touch()
    (dead / "events.parquet").write_text("somebody", encoding="utf-8")
    forgotten(house)
    assert not dead.exists()
    assert scratch.sweep(root) == []


def test_a_load_that_begins_meanwhile_leaves_them_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the list already: others' rows of its day land, theirs do not."""
    real = erasure.forget_people

    def forget_people(*given: Any) -> dict[str, int]:
        export(house, DAY, visitor_id="somebody")
        load(configuration.load(house.file))
        return real(*given)

    monkeypatch.setattr(erasure, "forget_people", forget_people)
    pseudonym = Pseudonyms.of(configuration.load(house.file)).one("somebody", "visitor")
    forgotten(house)
    assert house.lake.rows_by_day("events", "web", days_before(1), DAY) == {days_before(1): 11, DAY: 11}
    assert Traces(("somebody",), (pseudonym,)).left_in(house.folder) == []
