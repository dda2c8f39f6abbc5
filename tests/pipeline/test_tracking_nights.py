"""MLflow, for real: a night's decision, features and grades are one run each, however often it is run."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest
from mlflow import MlflowClient

from pipeline import tracking
from pipeline.records import Grade, Tracker
from tests.pipeline.trainings import DAY, NIGHT, runs


def decision(psi: dict[str, float | None], verdict: str = "Keep.") -> dict[str, Any]:
    """A decision on these movements."""
    return {"verdict": verdict, "retrain": False, "features": [{"name": name, "psi": psi[name]} for name in psi]}


def test_a_night_decides_once(tracker: Tracker, client: MlflowClient) -> None:
    """Deciding a night again updates its one run, down as well as up; another night has another run."""
    nan = float("nan")
    first = tracking.log_decision(tracker, NIGHT, decision({"score": 0.3, "age": 0.1, "gone": nan}), "<p>one")
    again = tracking.log_decision(tracker, NIGHT, decision({"score": 0.2, "age": 0.1}, "Train."), "<p>two")
    other = tracking.log_decision(tracker, NIGHT + DAY, decision({"score": 0.4}), "<p>three")
    run = client.get_run(first)

    assert first == again != other
    assert len(runs(client, f"{tracker.project}-decisions")) == 2
    assert run.data.metrics == {"psi.score": 0.2, "psi.age": 0.1}
    assert len(client.get_metric_history(first, "psi.age")) == 1
    assert (tracker.artifacts(first) / "decision.html").read_text() == "<p>two"
    assert json.loads((tracker.artifacts(first) / "decision.json").read_text())["verdict"] == "Train."
    assert run.data.tags["mlflow.note.content"] == "Train."


def test_a_decision_is_json_whatever_is_in_it(tracker: Tracker) -> None:
    """Instants become text and NaN null, so that any reader can parse the record."""
    run_id = tracking.log_decision(tracker, NIGHT, {"as_of": NIGHT, "p": float("nan"), "arms": ({"fired": True},)}, "")
    found = json.loads((tracker.artifacts(run_id) / "decision.json").read_text(), parse_constant=pytest.fail)
    assert found == {"as_of": str(NIGHT), "p": None, "arms": [{"fired": True}]}


def test_a_night_reports_its_features_once(tracker: Tracker, client: MlflowClient) -> None:
    """Reporting a night again replaces page, figures and words; what it no longer has is NaN; nothing is said twice."""
    first = tracking.log_features(tracker, NIGHT, "<p>one", {"coverage.age": 1.0, "psi.age": 0.1, "psi.a b+": 0.2}, "1")
    for _ in range(2):
        again = tracking.log_features(tracker, NIGHT, "<p>two", {"coverage.age": 1.0, "psi.age": 0.05}, "2")
    other = tracking.log_features(tracker, NIGHT + DAY, "<p>three", {})
    run = client.get_run(first)

    assert first == again != other
    assert len(runs(client, f"{tracker.project}-features")) == 2
    assert {name: value for name, value in run.data.metrics.items() if not math.isnan(value)} == {
        "coverage.age": 1.0, "psi.age": 0.05,
    }  # fmt: skip
    assert [len(client.get_metric_history(first, name)) for name in ("coverage.age", "psi.age", "psi.a b_")] == [
        1,
        2,
        2,
    ]
    assert (tracker.artifacts(first) / "features.html").read_text() == "<p>two"
    assert (run.data.tags["mlflow.note.content"], run.info.status) == ("2", "FINISHED")


def test_grades_are_one_line_a_metric(tracker: Tracker, client: MlflowClient) -> None:
    """A grade given twice is one point, snapshots of one day are two, and a corrected grade replaces what is shown."""
    grades = [Grade(NIGHT + hours * timedelta(hours=1), "ndcg_10", value) for hours, value in ((0, 0.3), (6, 0.2))]
    run_id = tracking.log_grades(tracker, grades)
    assert tracking.log_grades(tracker, [*grades, Grade(NIGHT + DAY, "ndcg_10", 0.1)]) == run_id
    hour = int(NIGHT.timestamp()) // 3600
    history = client.get_metric_history(run_id, "ndcg_10")
    assert [(point.step - hour, point.value) for point in history] == [(0, 0.3), (6, 0.2), (24, 0.1)]
    assert history[0].timestamp == int(NIGHT.timestamp() * 1000)

    tracking.log_grades(tracker, [Grade(NIGHT + DAY, "ndcg_10", 0.05)])
    tracking.log_grades(tracker, [Grade(NIGHT + DAY, "ndcg_10", 0.05)])
    assert client.get_run(run_id).data.metrics == {"ndcg_10": 0.05}
    assert len(client.get_metric_history(run_id, "ndcg_10")) == 4
    assert len(runs(client, f"{tracker.project}-grades")) == 1
