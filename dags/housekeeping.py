"""Every Sunday: drop what need not be kept (old snapshots, old versions of the lake, files that no table refers to)."""

from __future__ import annotations

from airflow.sdk import dag
from airflow.timetables.trigger import CronTriggerTimetable
from shortlist_tasks import DAG_DEFAULTS, NEXT_TICK, alert, as_of_param, step


@dag(
    schedule=CronTriggerTimetable("0 5 * * 0", timezone="UTC", run_immediately=NEXT_TICK),
    params={"as_of": as_of_param()},
    **DAG_DEFAULTS,
)
def housekeeping() -> None:
    """Retention; how much is kept is in the configuration."""
    step("housekeep") >> alert()


housekeeping()
