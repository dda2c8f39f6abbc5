"""When the lake is fresh: features, grade the last tables, look for drift, retrain if need be, rank, publish."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from shortlist_tasks import DAG_DEFAULTS, LAKE, RANKINGS, alert, as_of_param, step

from pipeline import deadline


@dag(
    schedule=[LAKE],
    # The asset starts it, so it costs nothing while `ingest` is paused; paused itself, it would miss the lake's news.
    is_paused_upon_creation=False,
    # Runs that an asset starts have no logical date. The scheduler sees it pass, and the triggerer calls.
    deadline=DeadlineAlert(
        DeadlineReference.DAGRUN_QUEUED_AT, deadline.interval(), AsyncCallback("pipeline.deadline.missed")
    ),
    params={
        "as_of": as_of_param(),
        "retrain": Param(False, type="boolean", description="Train a challenger whatever the drift check says."),
    },
    **DAG_DEFAULTS,
)
def personalize() -> None:
    """Lake to published rankings."""

    @task(multiple_outputs=False)
    def check_drift(**context: Any) -> dict[str, Any]:
        from pipeline import check_drift, clock, config

        settings = config.load()
        return check_drift.run(clock.as_of(context, settings), settings, retrain=context["params"]["retrain"]).to_json()

    @task.branch
    def choose(drift: Any) -> str:
        return "train" if drift["retrain"] else "rank"

    drift = check_drift()
    chosen = choose(drift)
    rank = step("rank", trigger_rule="none_failed_min_one_success")
    step("build_features") >> step("grade") >> drift
    chosen >> step("train") >> rank
    chosen >> rank >> step("publish", outlets=[RANKINGS]) >> alert()


personalize()
