"""What our DAGs share: assets, retries, and how a step becomes a task.

It lies here because a DAG bundle puts its own folder on the import path; its name is long since names there are global.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, ExceptionRetryPolicy, Param, RetryAction, RetryRule, XComArg, task

LAKE = Asset("lake")
RANKINGS = Asset("rankings")

DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "tags": ["shortlist"],
    "default_args": {
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
        # Our own errors say that the input, the configuration or a gate is at fault: a retry would only say it later.
        "retry_policy": ExceptionRetryPolicy([RetryRule("pipeline.errors.ShortlistError", RetryAction.FAIL)]),
    },
}


def as_of_param() -> Param:
    """The instant to run for; nothing means "what the schedule or the asset says" (see `pipeline.clock.as_of`)."""
    return Param(
        None,
        type=["null", "string"],
        description="Instant to run for: a date (its midnight in the project's time zone) or an ISO 8601 time.",
    )


def step(verb: str, outlets: list[Asset] | None = None, **options: Any) -> XComArg:
    """A task called `verb` that calls `pipeline.<verb>.run(as_of, config)`; its report is the task's small JSON result.

    Args:
        verb: A module of `pipeline`; imported when the task runs, never when the DAG is parsed.
        outlets: Assets that the task updates; their event's extra says for which `as_of`.
        options: Handed on to `@task`.
    """

    @task(task_id=verb, outlets=outlets or [], **options)
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
