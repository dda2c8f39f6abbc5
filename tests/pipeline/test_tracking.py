"""MLflow, for real: what a training records comes back, to the right night, unharmed and once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.models import Model

from pipeline import tracking
from pipeline.errors import ShortlistError
from pipeline.records import Signature, Tracker, Trial
from tests.pipeline.trainings import DAY, FILES, NIGHT, experiment_id, record, runs, trained


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
