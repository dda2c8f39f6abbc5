"""MLflow, for real: what a training records is found there, unharmed and once."""

from __future__ import annotations

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.models import Model

from pipeline import registry, tracking
from pipeline.errors import ShortlistError
from pipeline.records import Signature, Tracker, Trial
from tests.pipeline.trainings import FILES, NIGHT, experiment_id, record, runs, trained


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
    (found,) = registry.versions(tracker)
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


def test_the_page_of_trainings_is_the_experiment_of_the_project(tracker: Tracker, client: MlflowClient) -> None:
    """It leads to trainings, not to the nights that were logged before; before any training there is none."""
    assert tracking.trainings_page(tracker) is None
    tracking.log_decision(tracker, NIGHT, {"retrain": False}, "<!doctype html>")
    assert tracking.trainings_page(tracker) is None
    version = tracking.log_training(tracker, record())
    run = client.get_run(client.get_model_version(tracker.model_name, version).run_id)
    expected = f"/#/experiments/{run.info.experiment_id}?workflowType=machine_learning"
    assert tracking.trainings_page(tracker) == expected


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
    (found,) = registry.versions(tracker)
    model = Model.load(str(found.folder / "model"))
    assert model.signature is not None
    assert [(one.name, str(one.type), one.required) for one in model.signature.inputs.inputs] == [
        ("age_days", "DataType.float", False),
        ("crm_country", "DataType.float", False),
    ]
    assert model.signature.outputs.input_names() == ["p_click", "p_read"]
    assert model.flavors == {}
    assert registry.load_bundle_files(tracker, found.version) == FILES


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
    (found,) = registry.versions(tracker)
    assert len(client.get_run(found.run_id).data.params) == 150
    assert len(client.get_metric_history(found.run_id, "loss")) == 2500


@pytest.mark.parametrize("name", ["model.pkl", "../click.ubj", "a/click.ubj", ".ubj", "click.ubj\n"])
def test_only_plain_ubj_and_json_files_are_models(tracker: Tracker, name: str) -> None:
    """A pickle or a path is refused before anything is recorded."""
    with pytest.raises(ShortlistError, match=r"\.ubj and \.json"):
        tracking.log_training(tracker, record(files={**FILES, name: b""}))
    assert registry.versions(tracker) == []


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
    assert registry.versions(tracker) == []
