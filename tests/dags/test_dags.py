"""The graphs, and what becomes of a night in them, whatever the steps do."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import deadline
from tests.dags.stand_in_house import REPOSITORY, STAND_INS, STEPS, StandIns

GRAPHS = {
    "ingest": {"plan": ["load"], "load": ["alert", "finish"], "finish": ["alert"], "alert": []},
    "personalize": {
        "build_features": ["grade"],
        "grade": ["check_drift"],
        "check_drift": ["choose"],
        "choose": ["rank", "train"],
        "train": ["rank"],
        "rank": ["publish"],
        "publish": ["alert"],
        "alert": [],
    },
    "housekeeping": {"housekeep": ["alert"], "alert": []},
}
HEAVY = {
    "deltalake", "duckdb", "great_expectations", "matplotlib", "mlflow", "numba", "numpy", "optuna", "pandas",
    "pyarrow", "scipy", "sklearn", "xgboost",
}  # fmt: skip
UNITS = [
    {"source": "web", "day": "2026-06-30"},
    {"source": "crm", "day": None},
]


def night(name: str, *, as_of: str = "2026-07-01T00:00:00+00:00", retrain: bool = False, **plan: Any) -> dict[str, Any]:
    """A night for `run_nights.py`."""
    return {"name": name, "as_of": as_of, "retrain": retrain, "plan": {"units": UNITS, **plan}}


NIGHTS = [
    night("quiet"),
    night("nothing new", units=[]),
    night("drifted", drifted=True),
    night("asked", retrain=True, as_of="2026-07-02T06:00:00+00:00"),
    night("broken export", fail={"load": "ours"}),
    night("broken code", fail={"rank": "theirs"}),
    night("interrupted", fail={"load": "ctrl-c"}),
]


@pytest.fixture(name="parsed", scope="module")
def _parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The real DAG files as a scheduler would find them, and what the process had imported by then."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    command = [sys.executable, str(STAND_INS / "parse_dags.py"), str(REPOSITORY / "dags")]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(name="lived", scope="module")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], subprocess.CompletedProcess[str], Path]:
    house = StandIns(tmp_path_factory.mktemp("stand-ins"))
    return *house.run(NIGHTS), house.world


@pytest.fixture(name="nights", scope="module")
def _nights(lived: tuple[dict[str, Any], Any, Path]) -> dict[str, Any]:
    return lived[0]


def steps(one: dict[str, Any]) -> list[str]:
    """The steps that were called, in order."""
    return [call["step"] for call in one["journal"]]


def test_every_file_parses(parsed: dict[str, Any]) -> None:
    """Each DAG file can be imported, and there are no other DAGs."""
    assert parsed["import_errors"] == {}
    assert sorted(parsed["dags"]) == sorted(GRAPHS)


@pytest.mark.parametrize("dag_id", GRAPHS)
def test_graph(parsed: dict[str, Any], dag_id: str) -> None:
    """What comes after what is written here too, so that a change of the graph is seen in review."""
    assert {name: task["then"] for name, task in parsed["dags"][dag_id]["tasks"].items()} == GRAPHS[dag_id]


def test_what_starts_what(parsed: dict[str, Any]) -> None:
    """`ingest` announces the lake at its end, which starts `personalize`, which announces the rankings at its own."""
    outlets = {
        (dag_id, name): task["outlets"]
        for dag_id, dag in parsed["dags"].items()
        for name, task in dag["tasks"].items()
        if task["outlets"]
    }
    assert outlets == {("ingest", "finish"): ["lake"], ("personalize", "publish"): ["rankings"]}
    assert {dag_id: dag["schedule"] for dag_id, dag in parsed["dags"].items()} == {
        "ingest": "0 3 * * *",
        "personalize": ["lake"],
        "housekeeping": "0 5 * * 0",
    }


def test_nothing_runs_by_surprise(parsed: dict[str, Any]) -> None:
    """No run is made up for the past, no two runs of a DAG overlap, and what has a clock waits to be unpaused."""
    for dag in parsed["dags"].values():
        assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
        assert "as_of" in dag["params"]
    assert {dag_id: dag["paused_at_first"] for dag_id, dag in parsed["dags"].items()} == {
        "ingest": None,  # Airflow's default: paused
        "housekeeping": None,
        "personalize": False,
    }
    assert {dag_id: dag["first_night_hours"] for dag_id, dag in parsed["dags"].items()} == {
        "ingest": pytest.approx(24 - 1 / 60),
        "housekeeping": pytest.approx(7 * 24 - 1 / 60),
        "personalize": None,
    }


def test_alerts_come_last(parsed: dict[str, Any]) -> None:
    """The last task of every DAG runs after failures too, and as a teardown makes no failed run look well."""
    for dag in parsed["dags"].values():
        assert dag["tasks"]["alert"]["teardown"]
        assert [name for name, task in dag["tasks"].items() if not task["then"]] == ["alert"]


def test_the_night_has_a_deadline(parsed: dict[str, Any]) -> None:
    """Six hours after it was queued, unless the configuration says otherwise; what is called can be awaited."""
    assert parsed["dags"]["personalize"]["deadlines"] == [
        {"reference": "DagRunQueuedAtDeadline", "hours": 6.0, "calls": "pipeline.deadline.missed"}
    ]
    assert inspect.iscoroutinefunction(deadline.missed)


def test_days_are_picked_from_a_calendar(parsed: dict[str, Any]) -> None:
    """The form shows a date picker, which may be left empty, for each end of a range."""
    params = parsed["dags"]["ingest"]["params"]
    for name, title in (("start_date", "First day"), ("end_date", "Last day")):
        assert params[name] == {"type": ["null", "string"], "format": "date", "title": title}


def test_retries(parsed: dict[str, Any]) -> None:
    """Every task is tried again, later and later, except after an error of ours, which would only come again."""
    for dag in parsed["dags"].values():
        for task in dag["tasks"].values():
            assert (task["retries"], task["backs_off"]) == (2, 2.0)
            assert task["no_retry_for"] == ["pipeline.errors.ShortlistError"]


def test_parsing_is_light(parsed: dict[str, Any]) -> None:
    """Parsing, which a scheduler does every few seconds, imports no library that takes seconds, nor any step."""
    assert HEAVY.isdisjoint(parsed["modules"])
    assert {name for name in parsed["modules"] if name.startswith("pipeline")} <= {
        "pipeline",
        "pipeline.deadline",
        "pipeline.errors",
    }


@pytest.mark.parametrize("verb", STEPS)
def test_steps_take_what_the_dags_give(verb: str) -> None:
    """A step can be called with the instant and the configuration alone."""
    given = inspect.signature(importlib.import_module(f"pipeline.{verb}").run).bind("as_of", "config")
    assert list(given.arguments) == ["as_of", "config"]


def test_ingest_and_drift_take_what_the_dags_give() -> None:
    """The steps that are called with more than that take it."""
    ingest, check_drift = (importlib.import_module(f"pipeline.{name}") for name in ("ingest", "check_drift"))
    inspect.signature(ingest.plan).bind("as_of", "config", "start", "end")
    inspect.signature(ingest.load).bind("unit", "as_of", "config")
    inspect.signature(ingest.finish).bind("as_of", "config", ["report"])
    inspect.signature(check_drift.run).bind("as_of", "config", retrain=True)


def test_quiet_night(nights: dict[str, Any]) -> None:
    """Without drift nothing is trained, and the champion's rankings are published."""
    ingest, personalize = ["plan", "load", "load", "finish"], ["build_features", "grade", "check_drift"]
    assert steps(nights["quiet"]) == [*ingest, "alert", *personalize, "rank", "publish", "alert"]
    assert nights["quiet"]["raised"] is None


def test_loads_hand_their_reports_on(nights: dict[str, Any]) -> None:
    """Every planned unit is loaded once, and its report reaches the end in the plan's order."""
    journal = nights["quiet"]["journal"]
    assert sorted((c["unit"]["source"], c["unit"]["day"]) for c in journal if c["step"] == "load") == [
        ("crm", None),
        ("web", "2026-06-30"),
    ]
    reports = next(c["reports"] for c in journal if c["step"] == "finish")
    assert [report["step"] for report in reports] == ["load web", "load crm"]


def test_night_without_news(nights: dict[str, Any]) -> None:
    """When there is nothing to load, the night goes on all the same."""
    assert steps(nights["nothing new"])[:4] == ["plan", "finish", "alert", "build_features"]
    assert steps(nights["nothing new"])[-2:] == ["publish", "alert"]


@pytest.mark.parametrize("name", ["drifted", "asked"])
def test_training_comes_before_ranking(nights: dict[str, Any], name: str) -> None:
    """A model is trained when the drift check or a human calls for it, and the rankings wait for it."""
    assert steps(nights[name])[-5:] == ["check_drift", "train", "rank", "publish", "alert"]


def test_every_step_is_for_the_same_instant(nights: dict[str, Any]) -> None:
    """The instant that was asked for reaches every step of both DAGs, also when it is no midnight."""
    assert {call["as_of"] for call in nights["asked"]["journal"]} == {"2026-07-02T06:00:00+00:00"}
    assert {call["as_of"] for call in nights["quiet"]["journal"]} == {"2026-07-01T00:00:00+00:00"}


def test_our_errors_come_out_as_they_are(nights: dict[str, Any]) -> None:
    """A step's own message is what the caller gets, and nothing after the step has run but the alert."""
    assert nights["broken export"]["raised"] == ["ShortlistError", "load failed"]
    assert set(steps(nights["broken export"])) == {"plan", "load", "alert"}


def test_alerts_know_what_failed(nights: dict[str, Any]) -> None:
    """With the words of our own errors, and only the kind of others; of what was not reached nothing is said."""
    told = {name: [call["ran"] for call in one["journal"] if call["step"] == "alert"] for name, one in nights.items()}
    assert told["broken export"] == [{"plan": None, "load": "load failed"}]
    assert told["broken code"][1]["rank"] == "ZeroDivisionError; the log has more"
    assert told["broken code"][1].keys() == {"build_features", "grade", "check_drift", "choose", "train", "rank"}
    assert set(told["drifted"][1].values()) == {None}
    assert told["interrupted"] == []


def test_other_errors_come_out_as_they_are(nights: dict[str, Any]) -> None:
    """An unexpected exception keeps its type, is not tried again, and stops the night before anything is published."""
    assert nights["broken code"]["raised"] == ["ZeroDivisionError", "rank failed"]
    assert steps(nights["broken code"])[-3:] == ["check_drift", "rank", "alert"]


def test_ctrl_c_stops_at_once(nights: dict[str, Any]) -> None:
    """An interrupted load is the last one, though another was waiting."""
    assert nights["interrupted"]["raised"] == ["KeyboardInterrupt", "load failed"]
    assert steps(nights["interrupted"]) == ["plan", "load"]


def test_task_ends_are_told(nights: dict[str, Any]) -> None:
    """A progress display is told of each task's start and of how it ended, mapped tasks one by one."""
    told = [tuple(event) for event in nights["quiet"]["told"]]
    assert told[:2] == [("ingest", "plan", -1, "running"), ("ingest", "plan", -1, "success")]
    assert {event for event in told if event[1] == "load"} == {
        ("ingest", "load", index, state) for index in (0, 1) for state in ("running", "success")
    }
    assert ["personalize", "rank", -1, "failed"] in nights["broken code"]["told"]


def test_reports_come_back(nights: dict[str, Any]) -> None:
    """Each task's report is returned under its name; a mapped task's are a list in the plan's order."""
    results = nights["drifted"]["results"]
    assert results["personalize.train"] == {"step": "train", "retrain": False}
    assert [report["step"] for report in results["ingest.load"]] == ["load web", "load crm"]


def test_terminal_stays_clean(lived: tuple[Any, subprocess.CompletedProcess[str], Path]) -> None:
    """Airflow writes its log to a file, with the traceback of what failed, and nothing to the terminal."""
    _, process, world = lived
    assert (process.stdout, process.stderr) == ("", "")
    assert "ZeroDivisionError: rank failed" in (world / "state/airflow/local/logs/run.log").read_text()
