"""Parses a folder of DAG files as a scheduler would, in a process of its own, and prints as JSON what it found.

Usage: python parse_dags.py <folder>
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from airflow.dag_processing.dagbag import BundleDagBag
from airflow.timetables.base import TimeRestriction


def described(dag: Any) -> dict[str, Any]:
    """What a reader of the graph would want to be told of when it changes."""
    schedule = dag.schedule
    return {
        "schedule": [asset.name for asset in schedule] if isinstance(schedule, list) else schedule.summary,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "deadlines": [_deadline(one) for one in dag.deadline or ()],
        "paused_at_first": dag.is_paused_upon_creation,
        "first_night_hours": None if isinstance(schedule, list) else _first_night_hours(schedule),
        "params": {name: param.schema for name, param in dag.params.items()},
        "tasks": {task.task_id: _task(task) for task in dag.tasks},
    }


def _first_night_hours(timetable: Any) -> float:
    """How long a DAG that is turned on a minute after its time waits for its first run."""

    def first() -> Any:
        run = timetable.next_dagrun_info(
            last_automated_data_interval=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
        )
        return run.run_after

    with mock.patch("airflow.timetables.trigger.utcnow", return_value=first() + timedelta(minutes=1)) as now:
        return float((first() - now.return_value).total_seconds() / 3600)


def _deadline(one: Any) -> dict[str, Any]:
    return {
        "reference": one.reference.reference_name,
        "hours": one.interval.total_seconds() / 3600,
        "calls": one.callback.path,
    }


def _task(task: Any) -> dict[str, Any]:
    return {
        "then": sorted(task.downstream_task_ids),
        "rule": task.trigger_rule.value,
        "teardown": task.is_teardown,
        "outlets": [asset.name for asset in task.outlets],
        "retries": task.retries,
        "backs_off": task.retry_exponential_backoff,
        "no_retry_for": [rule.exception for rule in task.retry_policy.rules],
    }


folder = Path(sys.argv[1])
bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="shortlist")
found = {
    "dags": {dag_id: described(dag) for dag_id, dag in bag.dags.items()},
    "import_errors": bag.import_errors,
    "modules": sorted(sys.modules),
}
sys.stdout.write(json.dumps(found))
