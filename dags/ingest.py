"""Every night: look at each source's exports, load each (source, day) that is new or still late, announce the lake."""

from __future__ import annotations

from datetime import date
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException
from airflow.timetables.trigger import CronTriggerTimetable
from shortlist_tasks import (
    DAG_DEFAULTS,
    LAKE,
    NEXT_TICK,
    alert,
    as_of_param,
    day_param,
    in_backfill,
    is_last_to_get_here,
)


def asked_day(text: str | None) -> date | None:
    """The value of a `day_param`."""
    return date.fromisoformat(text) if text else None


@dag(
    # Another cadence or time zone than a day in UTC needs another line here: when the exports of a night have arrived.
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=NEXT_TICK),
    params={
        "as_of": as_of_param(),
        "start_date": day_param("First day", "First day to look at again; by itself, to the last finished day."),
        "end_date": day_param("Last day", "Last day to look at again, inclusive; by itself, that day alone."),
    },
    **DAG_DEFAULTS,
)
def ingest() -> None:
    """Exports to lake. One mapped task a (source, day): a broken file is one red square, and is retried alone.

    A range of days can be had in two ways. `start_date` and `end_date` are one run of many days. `airflow backfill
    create` is a run a night, several at a time: each loads its night's newest day and no other, so that no two load the
    same, and the lake is announced by the last of them. Either way `personalize` starts once, for the latest night.
    """

    @task
    def plan(**context: Any) -> list[dict[str, Any]]:
        from pipeline import clock, config, ingest

        settings = config.load()
        as_of = clock.as_of(context, settings)
        start, end = (asked_day(context["params"][name]) for name in ("start_date", "end_date"))
        if in_backfill(context) and not (start or end):
            start = end = clock.last_finished_day(as_of, settings)
        return ingest.plan(as_of, settings, start, end)

    @task(
        map_index_template="{{ task.op_kwargs['unit'].values() | select | join(' ') }}",
        max_active_tis_per_dagrun=4,
        multiple_outputs=False,
    )
    def load(unit: dict[str, Any], **context: Any) -> dict[str, Any]:
        from pipeline import clock, config, ingest

        settings = config.load()
        return ingest.load(unit, clock.as_of(context, settings), settings).to_json()

    # A night without anything to load skips `load`, and the lake is announced all the same. One at a time, since it
    # takes people out of days that another run may be loading, and for `is_last_to_get_here`.
    @task(outlets=[LAKE], trigger_rule="none_failed", max_active_tis_per_dag=1, multiple_outputs=False)
    def finish(reports: Any, **context: Any) -> dict[str, Any]:
        from pipeline import clock, config, ingest

        settings = config.load()
        as_of = clock.as_of(context, settings)
        if in_backfill(context):
            if not is_last_to_get_here(context):
                raise AirflowSkipException("other nights of the backfill are not loaded yet; the last one announces")
            started, project = context["dag_run"].start_date, settings.project
            as_of = max(as_of, clock.latest(started, project.cadence, project.timezone))
        context["outlet_events"][LAKE].extra = {"as_of": as_of.isoformat()}
        return ingest.finish(as_of, settings, list(reports)).to_json()

    loaded = load.expand(unit=plan())
    [loaded, finish(loaded)] >> alert()


ingest()
