"""What our DAGs share: assets, retries, params, and how a step becomes a task.

It lies here because a DAG bundle puts its own folder on the import path; its name is long since names there are global.

A report is one result: without `multiple_outputs=False` Airflow stores each of its keys once more, a request a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, DagRunState, ExceptionRetryPolicy, Param, RetryAction, RetryRule, XComArg, task
from airflow.sdk.exceptions import AirflowSkipException

LAKE = Asset("lake")
RANKINGS = Asset("rankings")

NEXT_TICK = timedelta()
"""`run_immediately` of our schedules: a DAG that is turned on waits for its next time. Airflow's own `False` makes up
the last one where that is less than a tenth of the period ago (of a night at 03:00: until 05:24), unasked.
"""

_SAID = "said"
"""Under which key a failed task leaves what it failed with, for the task `alert`."""


def say_why(context: Mapping[str, Any]) -> None:
    """Leave what a task failed with, in words for people."""
    from pipeline.errors import in_words

    context["ti"].xcom_push(key=_SAID, value=in_words(context.get("exception")))


DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "tags": ["shortlist"],
    "default_args": {
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
        "on_failure_callback": [say_why],
        # Our own errors say that the input, the configuration or a gate is at fault: a retry would only say it later.
        "retry_policy": ExceptionRetryPolicy([RetryRule("pipeline.errors.ShortlistError", RetryAction.FAIL)]),
    },
}

_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def as_of_param() -> Param:
    """The instant to run for; nothing means "what the schedule or the asset says" (see `pipeline.clock.as_of`)."""
    return Param(
        None,
        type=["null", "string"],
        title="As of",
        description="Instant to run for: a date (its midnight in the project's time zone) or an ISO 8601 time.",
    )


def day_param(title: str, description: str) -> Param:
    """A day, or nothing; a date picker in the form."""
    return Param(None, type=["null", "string"], format="date", title=title, description=description)


def in_backfill(context: Mapping[str, Any]) -> bool:
    """Whether the run is one of those that `airflow backfill create` made, a night each."""
    return bool(context["dag_run"].run_type == "backfill")


def is_last_to_get_here(context: Mapping[str, Any]) -> bool:
    """Whether this task has ended, one way or the other, in every other run of its DAG that is not over.

    For a task with `max_active_tis_per_dag=1`: no two runs then ask at the same moment, so exactly one is the last. A
    run that is over does not count, whatever its tasks say: cancelling a backfill leaves them without a state.
    """
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[ti.task_id])
    not_here_yet = [run_id for run_id, state in states.items() if state[ti.task_id] not in _ENDED]
    alive = [DagRunState.QUEUED.value, DagRunState.RUNNING.value]
    return bool(ti.get_dr_count(dag_id=ti.dag_id, run_ids=not_here_yet, states=alive) == 1)


def step(verb: str, outlets: list[Asset] | None = None, **options: Any) -> XComArg:
    """A task called `verb` that calls `pipeline.<verb>.run(as_of, config)`; its report is the task's small JSON result.

    Args:
        verb: A module of `pipeline`; imported when the task runs, never when the DAG is parsed.
        outlets: Assets that the task updates; their event's extra says for which `as_of`.
        options: Handed on to `@task`.
    """

    @task(task_id=verb, outlets=outlets or [], multiple_outputs=False, **options)
    def run(**context: Any) -> dict[str, Any]:
        from importlib import import_module

        from pipeline import clock, config

        settings = config.load()
        as_of = clock.as_of(context, settings)
        for asset in outlets or []:
            context["outlet_events"][asset].extra = {"as_of": as_of.isoformat()}
        report: dict[str, Any] = import_module(f"pipeline.{verb}").run(as_of, settings).to_json()
        return report

    return run()


def alert() -> XComArg:
    """The last task of a DAG: tells people what went wrong, or right, whatever became of the tasks before it.

    A teardown runs after failures, and does not make a run succeed that failed. Who started a backfill looks on.
    """

    @task(task_id="alert")
    def run(**context: Any) -> dict[str, Any]:
        from pipeline import alert, clock, config

        if in_backfill(context):
            raise AirflowSkipException("a backfill is nobody's night")
        settings = config.load()
        report: dict[str, Any] = alert.run(clock.as_of(context, settings), settings, ran=ran(context)).to_json()
        return report

    last = run()
    last.as_teardown()
    return last


def ran(context: Mapping[str, Any]) -> dict[str, str | None]:
    """What each task of this run that has ended failed with; None for one that succeeded, or was not needed.

    Of mapped tasks, one that failed speaks for all.
    """
    ti, names = context["ti"], context["dag"].task_ids
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
    ended = [(name if name in names else name.rpartition("_")[0], state) for name, state in states.items()]
    failed = {name: _said(ti, name) for name, state in ended if state == "failed"}
    return {name: None for name, state in ended if state in {"success", "skipped"}} | failed


def _said(ti: Any, name: str) -> str:
    """A task that was killed says nothing."""
    said = ti.xcom_pull(task_ids=name, key=_SAID)
    first = said if isinstance(said, str) else next(iter(said or ()), None)
    return first or "it ended without a word, as when it is killed for its memory; the log may have more"
