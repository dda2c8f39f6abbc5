"""Every night: look at each source's exports, load each (source, day) that is new or still late, announce the lake."""

from __future__ import annotations

from datetime import date
from typing import Any

from airflow.sdk import Param, dag, task
from airflow.timetables.trigger import CronTriggerTimetable
from shortlist_tasks import DAG_DEFAULTS, LAKE, as_of_param


def day_param(description: str) -> Param:
    """A day of a backfill, or nothing for the days that the sources themselves call for."""
    return Param(None, type=["null", "string"], format="date", description=description)


def asked_day(text: str | None) -> date | None:
    """The value of a `day_param`."""
    return date.fromisoformat(text) if text else None


@dag(
    # Another cadence or time zone than a day in UTC needs another line here: when the exports of a night have arrived.
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=False),
    params={
        "as_of": as_of_param(),
        "start_date": day_param("First day to load again, after a backfill at the source."),
        "end_date": day_param("Last day to load again, inclusive."),
    },
    **DAG_DEFAULTS,
)
def ingest() -> None:
    """Exports to lake. One mapped task a (source, day): a broken file is one red square, and is retried alone."""

    @task
    def plan(**context: Any) -> list[dict[str, Any]]:
        from pipeline import clock, config, ingest

        settings = config.load()
        start, end = (asked_day(context["params"][name]) for name in ("start_date", "end_date"))
        return ingest.plan(clock.as_of(context, settings), settings, start, end)

    @task(map_index_template="{{ task.op_kwargs['unit'].values() | select | join(' ') }}", max_active_tis_per_dagrun=4)
    def load(unit: dict[str, Any], **context: Any) -> dict[str, Any]:
        from pipeline import clock, config, ingest

        settings = config.load()
        return ingest.load(unit, clock.as_of(context, settings), settings).to_json()

    # A night without anything to load skips `load`, and the lake is announced all the same.
    @task(outlets=[LAKE], trigger_rule="none_failed")
    def finish(reports: Any, **context: Any) -> dict[str, Any]:
        from pipeline import clock, config, ingest

        settings = config.load()
        as_of = clock.as_of(context, settings)
        context["outlet_events"][LAKE].extra = {"as_of": as_of.isoformat()}
        return ingest.finish(as_of, settings, list(reports)).to_json()

    finish(load.expand(unit=plan()))


ingest()
