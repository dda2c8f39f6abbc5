"""Path templates: days to files and back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import templates

FORMS = (
    "{date:%Y%m%d}",
    "{date}",
    "{date:%Y-%m-%d}",
    "{date:%Y}/{date:%m}/{date:%d}",
    "{date:%Y}/{date:%Y%j}",
    "{date:%d.%b.%y}",
)


@settings(deadline=None)
@given(day=st.dates(date(2000, 1, 1), date(2068, 12, 31)), form=st.sampled_from(FORMS))
def test_a_day_written_into_a_path_is_read_back(day: date, form: str, setting: Callable[..., Any]) -> None:
    """Whatever the template, the file of a day belongs to that day."""
    source = setting(path=f"exports/[web] 100%/events_{form}.parquet")
    assert templates.day_of(source, source.path.format(date=day)) == day


def test_available_days_are_those_with_a_file(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """Only whole matches count: no other ending, no impossible date, no second name for the same pattern."""
    folder = tmp_path / "with [brackets]*"
    folder.mkdir()
    for name in ("20260630", "20260629", "20261399", "2026063", "20260701_1", "intraday_20260702"):
        (folder / f"events_{name}.parquet").touch()
    (folder / "events_20260628.parquet.tmp").touch()
    source = setting(path=str(folder / "events_{date:%Y%m%d}.parquet"))
    assert templates.available_days(source) == [date(2026, 6, 29), date(2026, 6, 30)]


def test_available_days_of_a_relative_path(
    tmp_path: Path, setting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that starts with `./` or goes through `..` finds its files like any other."""
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "2026-06-30.csv").touch()
    monkeypatch.chdir(tmp_path / "exports")
    for template in ("./{date}.csv", "../exports/{date}.csv", f"{tmp_path}//exports/../exports/{{date}}.csv"):
        assert templates.available_days(setting(path=template)) == [date(2026, 6, 30)]


def test_a_path_that_states_two_days_is_of_no_day(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """A file sorted into the wrong folder is not taken for either day."""
    (tmp_path / "2026-06-01").mkdir()
    (tmp_path / "2026-06-01" / "orders_2026-06-02.csv").touch()
    source = setting(path=str(tmp_path / "{date}" / "orders_{date}.csv"))
    assert templates.available_days(source) == []


def test_locate_names_the_missing_file_and_the_newest(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """Whoever waits for a day's export is told which file is missing and how far the exports go."""
    (tmp_path / "events_20260628.parquet").touch()
    source = setting(name="web", path=str(tmp_path / "events_{date:%Y%m%d}.parquet"))
    assert templates.locate(source, date(2026, 6, 28)).name == "events_20260628.parquet"
    with pytest.raises(ShortlistError) as error:
        templates.locate(source, date(2026, 6, 30))
    assert str(error.value) == (
        f"web: no export for 2026-06-30: {tmp_path}/events_20260630.parquet does not exist; "
        f"the newest is {tmp_path}/events_20260628.parquet."
    )


def test_locate_says_when_nothing_matches_at_all(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """A wrong folder reads differently from a late export."""
    with pytest.raises(ShortlistError, match="no file matches the path at all"):
        templates.locate(setting(path=str(tmp_path / "{date}.csv")), date(2026, 6, 30))


def test_a_path_without_a_date_is_one_file_for_every_day(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """The same file is located whatever the day, and it has no days of its own."""
    path = tmp_path / "log.csv"
    path.touch()
    source = setting(path=str(path))
    assert templates.whole_file(source)
    assert templates.locate(source, date(2026, 1, 1)) == templates.locate(source, None) == path
    assert templates.available_days(source) == []
    with pytest.raises(ShortlistError, match="does not exist"):
        templates.locate(setting(path=str(tmp_path / "other.csv")), date(2026, 1, 1))


def test_a_template_with_another_placeholder_is_refused(setting: Callable[..., Any]) -> None:
    """`{day}` is a mistake in the configuration, not a missing file."""
    with pytest.raises(ConfigurationError, match=r"\{date:%Y%m%d\}"):
        templates.locate(setting(path="exports/{day}.csv"), date(2026, 1, 1))
