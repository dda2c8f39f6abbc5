"""Which instant a run is for: the one module that knows Airflow's dates. No step reads a clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from pipeline.errors import ConfigurationError

HOURS_A_DAY = 24


class Project(Protocol):
    """The part of the configuration that time depends on."""

    @property
    def cadence(self) -> str:
        """How often a snapshot is made: "1d", or a number of hours that divides the day, such as "6h"."""

    @property
    def timezone(self) -> str:
        """An IANA name, such as "Europe/Berlin"."""


class Config(Protocol):
    """Anything that has a `project`."""

    @property
    def project(self) -> Project:
        """See `Project`."""


def as_of(context: Mapping[str, Any], config: Config) -> datetime:
    """The instant an Airflow run is for, in UTC.

    The first of these that is there decides: `as_of` among the run's params or its conf; the latest `as_of` in the
    extra of the asset events that started the run; the partition key; the logical date; the instant after which the
    run was allowed to start. The first three are stated by somebody and taken as they are; the last two are Airflow's
    own ("03:00 every night") and are floored to the cadence. Runs started by an asset or by hand have no logical date,
    and Airflow then leaves the keys out of the context: hence `get` everywhere.

    Args:
        context: An Airflow task's context, or a mapping like it.
        config: Tells the cadence and the time zone.

    Raises:
        ConfigurationError: A stated instant is not one, or nothing in the context tells an instant.
    """
    project = config.project
    run = context.get("dag_run")
    if stated := _stated(context, run):
        return max(parse_instant(text, project.timezone) for text in stated)
    for dated in (context.get("logical_date"), getattr(run, "logical_date", None), getattr(run, "run_after", None)):
        if dated is not None:
            return floor(dated, project.cadence, project.timezone)
    raise ConfigurationError(
        "This run says nothing about its instant: expected one of the param `as_of`, an asset event with `as_of`, "
        'a partition key, a logical date or `run_after`; found none. Start it with {"as_of": "YYYY-MM-DD"}.'
    )


def _stated(context: Mapping[str, Any], run: Any) -> list[str]:
    asked = (context.get("params") or {}).get("as_of") or (getattr(run, "conf", None) or {}).get("as_of")
    if asked:
        return [str(asked)]
    if announced := [str(extra["as_of"]) for extra in _asset_extras(context) if extra.get("as_of")]:
        return announced
    key = getattr(run, "partition_key", None)
    return [str(key)] if key else []


def _asset_extras(context: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    events = context.get("triggering_asset_events") or {}
    return (event.extra or {} for each in events.values() for event in each)


def parse_instant(text: str, timezone: str) -> datetime:
    """An instant in UTC from "2026-07-01" (its first moment in `timezone`) or an ISO 8601 date and time.

    A time without an offset is in `timezone`.

    Raises:
        ConfigurationError: `text` is neither.
    """
    zone = ZoneInfo(timezone)
    try:
        if len(text.strip()) <= len("YYYY-MM-DD"):
            return _midnight(date.fromisoformat(text.strip()), zone)
        instant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"as_of {text!r} is no instant ({error}): expected a date such as 2026-07-01 "
            "or an ISO 8601 time such as 2026-07-01T06:00:00+00:00"
        ) from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=zone)).astimezone(UTC)


def floor(instant: datetime, cadence: str, timezone: str) -> datetime:
    """The latest instant of the cadence's grid that is not after `instant`, in UTC.

    The grid is on the wall clock of `timezone`: "1d" is local midnight, "6h" is 00, 06, 12 and 18 o'clock, also on the
    days when the clocks change (which have a step that is an hour shorter or longer). A midnight that the clocks skip
    is the first moment of its day.

    Raises:
        ConfigurationError: `instant` has no time zone, or the cadence is not a day or hours that divide one.
    """
    if instant.tzinfo is None:
        raise ConfigurationError(
            f"instant {instant.isoformat()} has no time zone: expected one with an offset from UTC"
        )
    zone, hours = ZoneInfo(timezone), hours_of(cadence)
    local = instant.astimezone(zone)
    if hours == HOURS_A_DAY:
        return _midnight(local.date(), zone)
    return local.replace(hour=local.hour - local.hour % hours, minute=0, second=0, microsecond=0).astimezone(UTC)


def latest(now: datetime, cadence: str, timezone: str) -> datetime:
    """The night that a run started at `now` is for, in UTC: all that happened before it can be known at `now`."""
    return floor(now, cadence, timezone)


def last_finished_day(as_of: datetime, config: Config) -> date:
    """The last calendar day, in the project's time zone, that was over at `as_of`."""
    return as_of.astimezone(ZoneInfo(config.project.timezone)).date() - timedelta(days=1)


def hours_of(cadence: str) -> int:
    """The hours of a step: 24 for "1d", 6 for "6h".

    Raises:
        ConfigurationError: It is neither "1d" nor a number of hours that divides the day.
    """
    hours = HOURS_A_DAY if cadence == "1d" else _whole(cadence.removesuffix("h")) if cadence.endswith("h") else 0
    if hours < 1 or HOURS_A_DAY % hours:
        raise ConfigurationError(f"cadence {cadence!r}: expected 1d, 12h, 8h, 6h, 4h, 3h, 2h or 1h")
    return hours


def _whole(digits: str) -> int:
    return int(digits) if digits.isdecimal() else 0


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a local day; `fold=0` is what makes a skipped midnight the moment after the gap."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)
