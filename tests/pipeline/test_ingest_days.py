"""Which days an ingest loads: the newest, the late, and those that were asked for."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline import ingest
from pipeline.config import Config
from pipeline.errors import ShortlistError
from tests.pipeline.small import House
from tests.pipeline.website import DAY, NIGHT, WEB, days_before, export, load


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A company of one source, without exports."""
    house = House(tmp_path)
    house.configure(WEB)
    return house


def planned(config: Config, **dates: date) -> list[str]:
    """The days that would be loaded, of the one source."""
    return [unit["day"] for unit in ingest.plan(NIGHT, config, **dates)]


def test_a_night_wants_the_newest_day_and_what_was_never_loaded(house: House) -> None:
    """A day's file is loaded once, however old; files of the future are left for their night."""
    config = house.configure(WEB)
    for back in (-1, 0, 5):
        export(house, days_before(back))
    assert planned(config) == ["2026-06-25", "2026-06-30"]
    load(config, day=days_before(5))
    assert planned(config) == ["2026-06-30"]


def test_late_days_are_looked_at_again(house: House) -> None:
    """The newest day and the three before it are due every night, whatever is loaded; how many can be set."""
    for back in range(5):
        export(house, days_before(back))
    ingest.run(NIGHT, house.configure(WEB))
    assert planned(house.configure(WEB)) == ["2026-06-27", "2026-06-28", "2026-06-29", "2026-06-30"]
    assert planned(house.configure(WEB + "late_days = 1\n")) == ["2026-06-29", "2026-06-30"]
    assert planned(house.configure(WEB + "late_days = 0\n")) == ["2026-06-30"]


def test_a_late_day_without_a_file_is_no_error(house: House) -> None:
    """Only the newest day has to have one."""
    for back in (0, 2):
        export(house, days_before(back))
    assert planned(house.configure(WEB)) == ["2026-06-28", "2026-06-30"]


def test_a_required_source_may_not_be_silent(house: House) -> None:
    """Without the newest file the night fails with its name; a source that is not required is left out."""
    export(house, days_before(1))
    with pytest.raises(ShortlistError, match=r"web: no export for 2026-06-30: .*the newest is .*web_20260629\.csv"):
        ingest.run(NIGHT, house.configure(WEB))
    report = ingest.run(NIGHT, house.configure(WEB + "required = false\n"))
    assert (report.changed, report.days) == (False, ())


def test_a_range_is_what_was_asked_for(house: House) -> None:
    """`start` and `end` are both included, whether files are there or not; one alone has the newest day as its end."""
    config = house.configure(WEB)
    assert planned(config, start=days_before(2), end=days_before(1)) == ["2026-06-28", "2026-06-29"]
    assert planned(config, start=days_before(1)) == ["2026-06-29", "2026-06-30"]
    assert planned(config, end=days_before(3)) == ["2026-06-27"]
    with pytest.raises(ShortlistError, match="starts on 2026-06-30, after it ends on 2026-06-29"):
        ingest.plan(NIGHT, config, start=DAY, end=days_before(1))


def test_a_range_of_a_source_that_may_be_silent(house: House) -> None:
    """Days without a file are left out of it, as they are of a night."""
    for back in (1, 3):
        export(house, days_before(back))
    config = house.configure(WEB + "required = false\n")
    assert planned(config, start=days_before(3), end=DAY) == ["2026-06-27", "2026-06-29"]


def test_a_mistyped_year_is_no_range(house: House) -> None:
    """Five years can be asked for; the two thousand years since 0026 are refused before a list is made of them."""
    config = house.configure(WEB)
    assert len(planned(config, start=date(2021, 7, 1), end=DAY)) == 1826
    with pytest.raises(ShortlistError, match="from 0026-06-30 to 2026-06-30 has 730486 days, more than 1830"):
        ingest.plan(NIGHT, config, start=date(26, 6, 30), end=DAY)


def test_nothing_to_ingest_is_said(house: House) -> None:
    """A configuration without sources is no empty night."""
    with pytest.raises(ShortlistError, match=r"shortlist\.toml: no \[\[sources\]\]"):
        ingest.plan(NIGHT, house.configure(""))


def test_the_day_is_the_companys_own(house: House) -> None:
    """In New York 30 June is not over at a UTC midnight, so the newest day is the one before."""
    export(house, days_before(1))
    text = house.file.read_text(encoding="utf-8").replace("[project]", '[project]\ntimezone = "America/New_York"')
    house.file.write_text(text, encoding="utf-8")
    assert planned(configuration.load(house.file)) == ["2026-06-29"]
