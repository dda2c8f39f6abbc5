"""MLflow, for real: what is recorded comes back, to the right night, unharmed, once, and whoever else is writing."""

from __future__ import annotations

import fcntl
import itertools
import json
import logging
import math
import multiprocessing
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.models import Model

from pipeline import tracking
from pipeline.errors import ShortlistError
from pipeline.records import Grade, Signature, Tracker, TrainingRecord, Trial

NIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FILES = {"click.ubj": b"\x00\x01click", "read.ubj": b"\x00\x01read", "bundle.json": b'{"weights": {}}'}

_numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for the module: making it costs seconds, a new project in it nothing."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def tracker(folder: Path) -> Tracker:
    """A project that no other test knows."""
    return Tracker(folder, f"project{next(_numbers)}")


@pytest.fixture
def client(tracker: Tracker) -> MlflowClient:
    """MLflow as anyone else sees it."""
    return MlflowClient(tracking_uri=tracker.uri, registry_uri=tracker.uri)


def record(as_of: datetime = NIGHT, **changes: Any) -> TrainingRecord:
    """The least that a training records, with changes."""
    return replace(TrainingRecord(as_of=as_of, goals=("click", "read"), files=FILES), **changes)


def trained(tracker: Tracker, as_of: datetime = NIGHT) -> str:
    """The version of a model trained for a night."""
    return tracking.log_training(tracker, record(as_of))


def runs(client: MlflowClient, experiment: str, condition: str = "") -> list[Any]:
    """The runs of an experiment, newest first."""
    return list(client.search_runs([experiment_id(client, experiment)], condition))


def experiment_id(client: MlflowClient, name: str) -> str:
    """The number of an experiment that exists."""
    found = client.get_experiment_by_name(name)
    assert found is not None
    return str(found.experiment_id)


def test_nothing_recorded_is_no_champion_and_leaves_no_trace(tmp_path: Path) -> None:
    """Asking before the first training answers None and creates nothing."""
    tracker = Tracker(tmp_path / "mlflow", "acme")
    assert tracking.champion(tracker, NIGHT) is None
    assert tracking.versions(tracker) == []
    assert not tracker.folder.exists()


def test_training_is_one_run_with_everything_in_its_place(tracker: Tracker, client: MlflowClient) -> None:
    """Numbers, settings, data versions and files of a training are found where MLflow and a person look for them."""
    version = tracking.log_training(
        tracker,
        record(
            params={"training": {"nights": 60}, "goals": ["click"]},
            metrics={"click.auc": 0.75, "click.auc.most popular+": 0.5, "click.ece": None},
            curves={"click.log_loss.validation": [0.3, 0.2, 0.25]},
            tables={"importance": pa.table({"feature": ["=HYPERLINK()", "age"], "gain": [0.5, -1.0]})},
            pictures={"click-roc.svg": b"<svg/>"},
            lake_versions={"events": 12},
            tags={"config_sha": "abc"},
            html="<!doctype html>report",
            seconds=60,
        ),
    )
    (found,) = tracking.versions(tracker)
    run = client.get_run(found.run_id)
    history = client.get_metric_history(found.run_id, "click.log_loss.validation")

    assert (found.version, run.info.status) == (version, "FINISHED")
    assert run.data.params == {"training.nights": "60", "goals": '["click"]'}
    assert run.data.metrics["click.auc"] == 0.75
    assert run.data.metrics["click.auc.most popular_"] == 0.5
    assert "click.ece" not in run.data.metrics
    assert [(point.step, point.value) for point in history] == [(0, 0.3), (1, 0.2), (2, 0.25)]
    assert {run.data.tags[tag] for tag in ("as_of", "config_sha", "lake.events")} == {NIGHT.isoformat(), "abc", "12"}
    assert run.inputs is not None
    assert [(used.dataset.name, used.dataset.digest) for used in run.inputs.dataset_inputs] == [("events", "v12")]
    assert found.report.read_text() == "<!doctype html>report"
    assert (found.folder / "tables" / "importance.csv").read_text().splitlines()[1] == '"\'=HYPERLINK()",0.5'
    assert {entry.path for entry in client.list_artifacts(found.run_id)} == {
        "index.html", "model", "pictures", "tables",
    }  # fmt: skip
    assert run.info.end_time - run.info.start_time >= 60_000


def test_the_card_is_the_run_s_and_the_verdict_the_version_s(tracker: Tracker, client: MlflowClient) -> None:
    """The run's description is the card, the version's the verdict; a training without a card shows the verdict."""
    version = tracking.log_training(tracker, record(description="Promoted.", card="**Promoted.** And why."))
    bare = tracking.log_training(tracker, record(description="Kept."))
    described = {number: client.get_model_version(tracker.model_name, number) for number in (version, bare)}
    notes = [client.get_run(str(one.run_id)).data.tags["mlflow.note.content"] for one in described.values()]
    assert notes == ["**Promoted.** And why.", "Kept."]
    assert [one.description for one in described.values()] == ["Promoted.", "Kept."]


def test_a_version_has_a_signature_and_can_still_not_be_loaded_by_mlflow(tracker: Tracker) -> None:
    """MLflow reads what goes in and what comes out, and finds no flavor that would unpickle anything."""
    signature = Signature(("age_days", "crm_country"), ("p_click", "p_read"))
    tracking.log_training(tracker, record(signature=signature))
    (found,) = tracking.versions(tracker)
    model = Model.load(str(found.folder / "model"))
    assert model.signature is not None
    assert [(one.name, str(one.type), one.required) for one in model.signature.inputs.inputs] == [
        ("age_days", "DataType.float", False),
        ("crm_country", "DataType.float", False),
    ]
    assert model.signature.outputs.input_names() == ["p_click", "p_read"]
    assert model.flavors == {}
    assert tracking.load_bundle_files(tracker, found.version) == FILES


def test_trials_are_nested_below_their_training(tracker: Tracker, client: MlflowClient) -> None:
    """Each trial is a child run with its own parameters, value and fate, and there is one parent."""
    trials = [
        Trial("click", 0, {"max_depth": 3}, 0.25, "COMPLETE", 2.0),
        Trial("click", 1, {"max_depth": 6}, 0.40, "PRUNED", 1.0),
        Trial("read", 0, {"max_depth": 4}, None, "FAIL", 0.5),
    ]
    tracking.log_training(tracker, record(trials=trials, seconds=5))
    (parent,) = runs(client, tracker.project, "attributes.run_name LIKE 'training%'")
    children = runs(client, tracker.project, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    shown = {
        run.info.run_name: (run.info.status, run.data.params["max_depth"], run.data.metrics.get("value"))
        for run in children
    }
    assert shown == {
        "click 00": ("FINISHED", "3", 0.25),
        "click 01": ("KILLED", "6", 0.40),
        "read 00": ("FAILED", "4", None),
    }


def test_more_numbers_than_mlflow_takes_at_once(tracker: Tracker, client: MlflowClient) -> None:
    """2,500 rounds and 150 settings arrive whole, although a request takes 1,000 and 100."""
    many = {f"p{index}": index for index in range(150)}
    tracking.log_training(tracker, record(params=many, curves={"loss": [float(step) for step in range(2500)]}))
    (found,) = tracking.versions(tracker)
    assert len(client.get_run(found.run_id).data.params) == 150
    assert len(client.get_metric_history(found.run_id, "loss")) == 2500


def test_a_model_comes_back_byte_for_byte(tracker: Tracker) -> None:
    """What was trained is what is loaded, and a file that someone laid beside it is not."""
    version = trained(tracker)
    (found,) = tracking.versions(tracker)
    (found.folder / "model" / "evil.pkl").write_bytes(b"never read")
    assert tracking.load_bundle_files(tracker, version) == FILES


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_harmed_model_file_is_named_and_not_loaded(tracker: Tracker, harm: str) -> None:
    """One flipped byte or a missing file stops the load, and the message says which file."""
    version = trained(tracker)
    path = tracking.versions(tracker)[0].folder / "model" / "read.ubj"
    path.unlink()
    if harm == "changed":
        path.write_bytes(FILES["read.ubj"][:-1] + b"?")
    with pytest.raises(ShortlistError, match=r"read\.ubj"):
        tracking.load_bundle_files(tracker, version)


def test_an_unknown_version_says_so(tracker: Tracker) -> None:
    """Loading a version that never was names it."""
    trained(tracker)
    with pytest.raises(ShortlistError, match="no version 99"):
        tracking.load_bundle_files(tracker, "99")


@pytest.mark.parametrize("name", ["model.pkl", "../click.ubj", "a/click.ubj", ".ubj", "click.ubj\n"])
def test_only_plain_ubj_and_json_files_are_models(tracker: Tracker, name: str) -> None:
    """A pickle or a path is refused before anything is recorded."""
    with pytest.raises(ShortlistError, match=r"\.ubj and \.json"):
        tracking.log_training(tracker, record(files={**FILES, name: b""}))
    assert tracking.versions(tracker) == []


def test_each_night_meets_the_champion_of_that_night(tracker: Tracker) -> None:
    """A night sees the newest model promoted by then: never a later one, never one that was refused or not judged."""
    first, refused, second, unjudged = (trained(tracker, NIGHT + day * DAY) for day in (0, 1, 2, 3))
    tracking.promote(tracker, first, NIGHT)
    tracking.refuse(tracker, refused, "no better")
    tracking.promote(tracker, second, NIGHT + 2 * DAY)

    def serving(day: float) -> str | None:
        found = tracking.champion(tracker, NIGHT + day * DAY)
        return None if found is None else found.version

    assert [serving(day) for day in (-1, 0, 1, 1.9, 2, 9)] == [None, first, first, first, second, second]
    assert unjudged not in {serving(day) for day in range(10)}


def test_a_night_run_again_does_not_take_the_alias_from_a_later_one(tracker: Tracker, client: MlflowClient) -> None:
    """Promoting for a past night leaves today's champion in place, and that past night has its own."""
    today = trained(tracker, NIGHT + 5 * DAY)
    tracking.promote(tracker, today, NIGHT + 5 * DAY)
    past = trained(tracker, NIGHT)
    tracking.promote(tracker, past, NIGHT)
    assert str(client.get_model_version_by_alias(tracker.model_name, "champion").version) == today
    assert [tracking.champion(tracker, NIGHT + day * DAY).version for day in (0, 5)] == [past, today]  # type: ignore[union-attr]


def test_an_alias_moved_by_hand_counts(tracker: Tracker, client: MlflowClient) -> None:
    """Setting `champion` in MLflow's own page is a rollback that the next night follows."""
    old, new = trained(tracker, NIGHT), trained(tracker, NIGHT + DAY)
    tracking.promote(tracker, new, NIGHT + DAY)
    client.set_registered_model_alias(tracker.model_name, "champion", old)
    found = tracking.champion(tracker, NIGHT + 2 * DAY)
    assert found is not None
    assert (found.version, found.as_of) == (old, NIGHT)


def test_a_model_of_someone_else_is_not_served(tracker: Tracker, client: MlflowClient) -> None:
    """A version without our tags stands in nobody's way, and as champion it stops the night with its number."""
    ours = trained(tracker)
    theirs = client.create_model_version(tracker.model_name, (tracker.folder / "x").as_uri(), await_creation_for=0)
    assert [version.version for version in tracking.versions(tracker)] == [ours]
    client.set_registered_model_alias(tracker.model_name, "champion", str(theirs.version))
    with pytest.raises(ShortlistError, match=f"version {theirs.version} .* as_of"):
        tracking.champion(tracker, NIGHT)


def test_a_challenger_that_wins_later_is_no_challenger(tracker: Tracker, client: MlflowClient) -> None:
    """Refusing sets the alias and keeps the reason; promoting the same version takes the alias away."""
    version = trained(tracker)
    tracking.refuse(tracker, version, "NDCG@10 no better")
    refused = client.get_model_version_by_alias(tracker.model_name, "challenger")
    assert (str(refused.version), refused.tags["reason"]) == (version, "NDCG@10 no better")
    tracking.promote(tracker, version, NIGHT)
    assert client.get_registered_model(tracker.model_name).aliases == {"champion": int(version)}


def test_time_zones_name_the_same_instant(tracker: Tracker) -> None:
    """Midnight in Tokyo is 15:00 UTC the day before, and a time without a zone is refused."""
    tokyo = datetime(2026, 3, 2, tzinfo=timezone(9 * timedelta(hours=1)))
    version = trained(tracker, tokyo)
    tracking.promote(tracker, version, tokyo)
    assert tracking.champion(tracker, datetime(2026, 3, 1, 14, 59, tzinfo=UTC)) is None
    assert tracking.champion(tracker, datetime(2026, 3, 1, 15, tzinfo=UTC)) is not None
    with pytest.raises(ShortlistError, match="time zone"):
        tracking.champion(tracker, datetime(2026, 3, 1))


def test_a_killed_training_is_closed_by_the_next(tracker: Tracker, client: MlflowClient) -> None:
    """What a dead process left RUNNING, parent and trial, is marked KILLED, and nothing is left running."""
    trained(tracker)
    experiment = experiment_id(client, tracker.project)
    dead = client.create_run(experiment, run_name="training that died").info.run_id
    child = client.create_run(experiment, tags={"mlflow.parentRunId": dead}).info.run_id
    trained(tracker)
    assert {client.get_run(run_id).info.status for run_id in (dead, child)} == {"KILLED"}
    assert runs(client, tracker.project, "attributes.status = 'RUNNING'") == []


def test_a_training_that_fails_is_failed_and_registers_nothing(tracker: Tracker, client: MlflowClient) -> None:
    """An error half-way reaches the caller, the run says FAILED, and there is no version to promote."""
    broken = Trial("click", 0, {}, value="no number", state="COMPLETE", seconds=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no number"):
        tracking.log_training(tracker, record(trials=[broken]))
    (parent,) = runs(client, tracker.project, "attributes.run_name LIKE 'training%'")
    assert parent.info.status == "FAILED"
    assert tracking.versions(tracker) == []


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


def test_the_folder_may_move(tracker: Tracker, tmp_path: Path) -> None:
    """Copied elsewhere, the folder still serves its models and takes new ones, and the old place is left alone."""
    old = trained(tracker)
    moved = Tracker(tmp_path / "elsewhere", tracker.project)
    shutil.copytree(tracker.folder, moved.folder)
    files_before = sorted(tracker.folder.rglob("*"))
    new = tracking.log_training(moved, record(files={"click.ubj": b"new"}))
    assert tracking.load_bundle_files(moved, old) == FILES
    assert tracking.load_bundle_files(moved, new) == {"click.ubj": b"new"}
    assert sorted(tracker.folder.rglob("*")) == files_before


@pytest.fixture
def busy(tracker: Tracker) -> Iterator[Tracker]:
    """A folder that someone else is writing to, and little patience."""
    tracker.folder.mkdir(exist_ok=True)
    with (tracker.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield replace(tracker, lock_seconds=0.1)


def test_a_busy_folder_says_what_to_do(busy: Tracker) -> None:
    """When another process keeps writing, the wait ends with the lock's name and not with a traceback of SQLite."""
    with pytest.raises(ShortlistError, match=r"busy for 0\.1 s.*\.lock"):
        tracking.log_training(busy, record())


def test_what_mlflow_refuses_is_our_error(tmp_path: Path) -> None:
    """A database that is not MLflow's stops the work with the folder's name."""
    tracker = Tracker(tmp_path, "acme")
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ShortlistError, match=str(tmp_path)):
        tracking.champion(tracker, NIGHT)


def _train_once(arguments: tuple[Path, int]) -> str:
    folder, day = arguments
    return tracking.log_training(Tracker(folder, "shared"), record(NIGHT + day * DAY, metrics={"auc": 0.5}))


def test_two_processes_at_an_empty_folder_both_finish(tmp_path: Path) -> None:
    """Both make the database and train at once: two versions, no error, a sound file."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        made = pool.map(_train_once, [(tmp_path, 0), (tmp_path, 1)])
    assert sorted(made) == ["1", "2"]
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_new_database_is_made_quietly_and_for_its_owner_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """No migration chatter on any channel, and nobody else may look into the folder."""
    tracker = Tracker(tmp_path / "mlflow", "acme")
    with caplog.at_level(logging.INFO):
        version = tracking.log_training(tracker, record())
    out = capfd.readouterr()
    assert (out.out, out.err, caplog.text) == ("", "", "")
    assert tracker.folder.stat().st_mode & 0o077 == 0
    assert str(tracking.versions(tracker)[0].report) in tracking.page(tracker, version)
