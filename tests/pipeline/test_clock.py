"""An Airflow run, however it was started, is for one instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import clock
from pipeline.errors import ConfigurationError

# Clocks that change by an hour, by half of one, at midnight, skip a midnight, or never change and are 45 minutes off.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Africa/Cairo",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
)
CADENCES = ("1d", "12h", "8h", "6h", "4h", "3h", "2h", "1h")
instants = st.datetimes(datetime(2023, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))


def config(cadence: str = "1d", timezone: str = "UTC") -> Any:
    """The two settings that time depends on."""
    return SimpleNamespace(project=SimpleNamespace(cadence=cadence, timezone=timezone))


def utc(text: str) -> datetime:
    """`2026-07-01T03:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def run(**more: Any) -> SimpleNamespace:
    """A run started by hand or by an asset, as Airflow 3 has it: without a logical date."""
    return SimpleNamespace(
        **{"conf": {}, "partition_key": None, "logical_date": None, "run_after": utc("2026-07-09T08:15")} | more
    )


def announced(*instants: str) -> dict[str, list[SimpleNamespace]]:
    """The events of the asset that started a run."""
    return {"lake": [SimpleNamespace(extra={"as_of": instant}) for instant in instants]}


def test_precedence() -> None:
    """A param beats the conf, that the asset, that the partition key, that the logical date, that `run_after`."""
    context: dict[str, Any] = {
        "params": {"as_of": "2026-07-01"},
        "triggering_asset_events": announced("2026-07-03T00:00:00+00:00"),
        "logical_date": utc("2026-07-05T03:00"),
        "dag_run": run(conf={"as_of": "2026-07-02"}, partition_key="2026-07-04"),
    }
    steps = [
        lambda: context["params"].update(as_of=None),
        context["dag_run"].conf.clear,
        lambda: context.pop("triggering_asset_events"),
        lambda: setattr(context["dag_run"], "partition_key", None),
        lambda: context.pop("logical_date"),
    ]
    found = [clock.as_of(context, config()).day]
    for forget in steps:
        forget()
        found.append(clock.as_of(context, config()).day)
    assert found == [1, 2, 3, 4, 5, 9]


def test_run_without_logical_date() -> None:
    """Started by an asset or by hand, a run has no date of its own: the night before it was allowed to start counts."""
    assert clock.as_of({"dag_run": run()}, config()) == utc("2026-07-09")
    assert clock.as_of({"dag_run": run()}, config(cadence="6h")) == utc("2026-07-09T06:00")


def test_scheduled_run_is_for_local_midnight() -> None:
    """Three in the morning UTC is for the midnight that Berlin has just passed."""
    scheduled = {"dag_run": run(logical_date=utc("2026-07-01T03:00"))}
    assert clock.as_of(scheduled, config(timezone="Europe/Berlin")) == utc("2026-06-30T22:00")


def test_latest_of_several_asset_events_counts() -> None:
    """A run that was started by two updates of the lake is for the later one, in whatever order they are listed."""
    events = announced("2026-07-03T00:00:00+00:00", "2026-07-02T00:00:00+00:00")
    assert clock.as_of({"triggering_asset_events": events, "dag_run": run()}, config()) == utc("2026-07-03")


def test_asset_event_of_somebody_else() -> None:
    """An update of the lake that says no instant (made in Airflow's pages, say) leaves it to the run's own date."""
    events = {"lake": [SimpleNamespace(extra={}), SimpleNamespace(extra=None)]}
    assert clock.as_of({"triggering_asset_events": events, "dag_run": run()}, config()) == utc("2026-07-09")


def test_stated_instant_is_taken_as_it_is() -> None:
    """Who asks for half past ten gets half past ten, whatever the cadence."""
    assert clock.as_of({"params": {"as_of": "2026-07-01T10:30"}}, config()) == utc("2026-07-01T10:30")


def test_nothing_known() -> None:
    """A run that says nothing is refused with what would help, not guessed from the clock."""
    with pytest.raises(ConfigurationError, match=r'Start it with \{"as_of"'):
        clock.as_of({}, config())


@pytest.mark.parametrize(
    ("text", "timezone", "expected"),
    [
        ("2026-07-01", "UTC", "2026-07-01T00:00"),
        ("2026-07-01", "Europe/Berlin", "2026-06-30T22:00"),
        ("2026-12-01", "Europe/Berlin", "2026-11-30T23:00"),
        ("2026-07-01T06:00", "Europe/Berlin", "2026-07-01T04:00"),
        ("2026-07-01T06:00:00+05:45", "Europe/Berlin", "2026-07-01T00:15"),
        ("2026-07-01T06:00:00Z", "Europe/Berlin", "2026-07-01T06:00"),
        ("2026-04-24", "Africa/Cairo", "2026-04-23T22:00"),  # the clocks skip this midnight: the day starts at one
    ],
)
def test_parse_instant(text: str, timezone: str, expected: str) -> None:
    """A date is its first moment in the project's zone; a time without an offset is in that zone too."""
    assert clock.parse_instant(text, timezone) == utc(expected)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "2026-07-01T25:00", "01.07.2026"])
def test_parse_refuses(text: str) -> None:
    """What is no instant is named in the message, with what would be one."""
    with pytest.raises(ConfigurationError, match="expected a date such as"):
        clock.parse_instant(text, "UTC")


@pytest.mark.parametrize("cadence", ["2d", "5h", "0h", "-6h", "h", "30m", "", "1.5h"])
def test_cadence_refused(cadence: str) -> None:
    """A step that does not divide the day has no grid."""
    with pytest.raises(ConfigurationError, match="expected 1d, 12h"):
        clock.floor(utc("2026-07-01"), cadence, "UTC")


def test_floor_needs_a_time_zone() -> None:
    """A naive time is refused rather than taken for UTC."""
    with pytest.raises(ConfigurationError, match="has no time zone"):
        clock.floor(datetime(2026, 7, 1), "1d", "UTC")


@given(instants, st.sampled_from(CADENCES), st.sampled_from(ZONES))
def test_floor_is_the_latest_point_of_the_grid(instant: datetime, cadence: str, timezone: str) -> None:
    """Never after the instant, at most a step (and a change of the clocks) before it, and itself on the grid."""
    found = clock.floor(instant, cadence, timezone)
    assert timedelta(0) <= instant - found < timedelta(hours=clock.hours_of(cadence) + 1)
    assert clock.floor(found, cadence, timezone) == found
    assert found.tzinfo is UTC
    assert clock.latest(instant, cadence, timezone) == found


@given(instants, st.sampled_from(ZONES))
def test_days_start_when_the_date_changes(instant: datetime, timezone: str) -> None:
    """The floor to a day is the first moment of the local date: a microsecond earlier is the day before."""
    zone = ZoneInfo(timezone)
    found = clock.floor(instant, "1d", timezone)
    assert found.astimezone(zone).date() == instant.astimezone(zone).date()
    assert (found - timedelta(microseconds=1)).astimezone(zone).date() < found.astimezone(zone).date()


@given(instants, st.integers(0, 10**9), st.sampled_from(CADENCES), st.sampled_from(ZONES))
def test_time_never_runs_backwards(instant: datetime, later: int, cadence: str, timezone: str) -> None:
    """A later run is never for an earlier night, also while the clocks change."""
    after = instant + timedelta(milliseconds=later % 10**8)
    assert clock.floor(instant, cadence, timezone) <= clock.floor(after, cadence, timezone)


@pytest.mark.parametrize("hour", [0, 1])
def test_hour_that_comes_twice(hour: int) -> None:
    """When the clocks go back, an hourly cadence has both hours, as two nights an hour apart."""
    instant = utc("2026-10-25T00:30") + timedelta(hours=hour)  # 02:30 in Berlin, both times
    assert clock.floor(instant, "1h", "Europe/Berlin") == instant - timedelta(minutes=30)
