"""What was trained, decided and graded, kept as runs in MLflow: SQLite and plain files.

`<folder>/mlflow.db` holds the records and `<folder>/artifacts/<run>/artifacts/` the files; see `pipeline.registry` for
the models among them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline import records, registry
from pipeline.mlflow_client import BATCH, exclusive
from pipeline.records import Grade, Tracker, TrainingRecord, Trial

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_LONGEST = 6000  # MLflow's limit on a parameter's characters
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def log_training(tracker: Tracker, training: TrainingRecord) -> str:
    """Record one training as one run with its trials nested below it, and register its model. Returns the new version.

    The version has no alias yet: `registry.promote` or `refuse` follows. A run that was killed half-way is closed by
    the next training; one that fails is marked FAILED. Raises ShortlistError when a model file is neither UBJ nor JSON,
    or MLflow refuses.
    """
    records.require_model_files(training.files)
    with exclusive(tracker) as client:
        experiment = _experiment(client, tracker, tracker.project)
        _close_killed(client, experiment)
        started = _now() - round(1000 * training.seconds)
        name = f"training {records.short(training.as_of)}"
        run_id = _start(client, experiment, name, records.training_tags(training), started)
        try:
            records.write_files(tracker.artifacts(run_id), records.training_files(training))
            _log_numbers(client, run_id, training)
            _log_trials(client, experiment, run_id, training.trials, started)
            version = registry.register(client, tracker, run_id, training)
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")
        return version


def log_decision(tracker: Tracker, as_of: datetime, record: Mapping[str, Any], html: str) -> str:
    """Record whether this night trains, and why: one run a night, updated if the night is run again. Returns its id.

    `record` becomes `decision.json`, `html` becomes `decision.html`; the `psi` of every entry of `record["features"]`
    becomes the metric `psi.<name>`, and `record["verdict"]` the run's description.
    """
    with _one_run(tracker, "decisions", records.iso(as_of), f"decision {records.short(as_of)}") as (client, run_id):
        records.write_files(tracker.artifacts(run_id), records.decision_files(record, html))
        _log_changes(client, run_id, records.psi(record))
        client.set_tag(run_id, "mlflow.note.content", str(record.get("verdict", "")))
        client.set_tag(run_id, "retrain", str(record.get("retrain", "")).lower())
        return run_id


def log_features(
    tracker: Tracker, as_of: datetime, html: str, metrics: Mapping[str, float], description: str = ""
) -> str:
    """Keep the report on a night's features: one run a night, put in place of what it said before. Returns its id.

    `html` becomes `features.html`. A metric that the night no longer has becomes NaN: MLflow takes none away.
    """
    with _one_run(tracker, "features", records.iso(as_of), f"features {records.short(as_of)}") as (client, run_id):
        records.write_files(tracker.artifacts(run_id), {"features.html": html.encode()})
        _log_changes(client, run_id, metrics, no_others=True)
        client.set_tag(run_id, "mlflow.note.content", description)
        return run_id


def log_replay(tracker: Tracker, name: str, record: Mapping[str, Any], figures: Mapping[str, float], html: str) -> str:
    """Keep a replay as the run of that name, the same again in its place; returns where its page lies."""
    with _one_run(tracker, "replays", name, name) as (client, run_id):
        _log_changes(client, run_id, figures, no_others=True)
        client.log_text(run_id, html, "index.html")
        client.log_dict(run_id, dict(record), "replay.json")
    return str(tracker.artifacts(run_id) / "index.html")


def log_grades(tracker: Tracker, grades: Sequence[Grade]) -> str:
    """Add grades to the one run of `<project>-grades`: a line a metric, a point a night. Returns the run's id.

    The step is the hour of `as_of` since 1970 (UTC), because a snapshot may be made several times a day; the point's
    time is `as_of` itself. A grade that is there already is not added again; a corrected one is added 1 ms later, and
    the latest counts.
    """
    with _one_run(tracker, "grades", "every night", "grades") as (client, run_id):
        history = {
            key: _latest_points(client, run_id, key) for key in {records.metric_name(grade.metric) for grade in grades}
        }
        _log_batches(client, run_id, metrics=_new_points(history, grades))
        return run_id


def trainings_page(tracker: Tracker) -> str | None:
    """Where an MLflow server shows the project's trainings, after its own address; None before the first.

    An address that says no kind of work opens on whatever kind the browser saw last, and one of them shows no run.
    """
    if not tracker.exists:
        return None
    with exclusive(tracker) as client:
        found = client.get_experiment_by_name(tracker.project)
    return f"/#/experiments/{found.experiment_id}?workflowType=machine_learning" if found else None


def _experiment(client: MlflowClient, tracker: Tracker, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        location = (tracker.folder.resolve() / "artifacts").as_uri()
        return str(client.create_experiment(name, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _close_killed(client: MlflowClient, experiment: str) -> None:
    """Whoever holds the lock is the only writer, so a run that still says RUNNING belongs to a process that died."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=BATCH):
        client.set_terminated(run.info.run_id, "KILLED")


def _start(client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str], started: int) -> str:
    source = {"mlflow.source.name": "shortlist", "mlflow.source.type": "JOB"}
    return str(client.create_run(experiment, started, {**source, **tags}, name).info.run_id)


@contextmanager
def _one_run(tracker: Tracker, kind: str, as_of: str, name: str) -> Iterator[tuple[MlflowClient, str]]:
    """A client and the run for `as_of` of `<project>-<kind>`, made when it is not there; afterwards it is FINISHED.

    So the same night again adds no run.
    """
    with exclusive(tracker) as client:
        experiment = _experiment(client, tracker, f"{tracker.project}-{kind}")
        found = client.search_runs([experiment], f"tags.as_of = '{as_of}'", max_results=1)
        run_id = str(found[0].info.run_id) if found else _start(client, experiment, name, {"as_of": as_of}, _now())
        yield client, run_id
        client.set_terminated(run_id, "FINISHED")


def _log_changes(client: MlflowClient, run_id: str, values: Mapping[str, float], *, no_others: bool = False) -> None:
    """Add what the run does not say yet. With `no_others`, what else it says becomes NaN: MLflow takes none away."""
    known = client.get_run(run_id).data.metrics
    wanted = {records.metric_name(name): value for name, value in values.items()}
    changed = records.changes(known, dict.fromkeys(known, math.nan) | wanted if no_others else wanted)
    _log_batches(client, run_id, [_metric(name, value, _now()) for name, value in changed.items()])


def _log_numbers(client: MlflowClient, run_id: str, training: TrainingRecord) -> None:
    now = _now()
    metrics = [_metric(name, value, now) for name, value in training.metrics.items() if value is not None]
    for name, values in training.curves.items():
        metrics += [_metric(name, value, now, step) for step, value in enumerate(values)]
    _log_batches(client, run_id, metrics, records.flat_params(training.params))
    _log_data_versions(client, run_id, training.lake_versions)


def _log_data_versions(client: MlflowClient, run_id: str, lake_versions: Mapping[str, int]) -> None:
    """Shown by MLflow as the data sets that the run used."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    used = [InputTag("mlflow.data.context", "training")]
    datasets = [
        DatasetInput(Dataset(table, f"v{version}", "delta", json.dumps({"table": table, "version": version})), used)
        for table, version in lake_versions.items()
    ]
    if datasets:
        client.log_inputs(run_id, datasets)


def _log_trials(client: MlflowClient, experiment: str, parent: str, trials: Sequence[Trial], started: int) -> None:
    """Nested runs, laid one after another from the parent's start by the seconds that each took."""
    for trial in trials:
        ended = started + round(1000 * trial.seconds)
        tags = {"mlflow.parentRunId": parent, "goal": trial.goal, "state": trial.state}
        run_id = _start(client, experiment, f"{trial.goal} {trial.number:02d}", tags, started)
        metrics = [] if trial.value is None else [_metric("value", trial.value, ended)]
        _log_batches(client, run_id, metrics, records.flat_params(trial.params))
        client.set_terminated(run_id, _STATUS.get(trial.state, "FAILED"), ended)
        started = ended


def _log_batches(
    client: MlflowClient, run_id: str, metrics: Sequence[Metric] = (), params: Mapping[str, str] | None = None
) -> None:
    from mlflow.entities import Param

    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    pairs = [Param(records.metric_name(name), value[:_LONGEST]) for name, value in (params or {}).items()]
    for start in range(0, len(pairs), 100):
        client.log_batch(run_id, params=pairs[start : start + 100])


def _new_points(history: Mapping[str, Mapping[int, Metric]], grades: Sequence[Grade]) -> list[Metric]:
    points = []
    for grade in grades:
        key, moment = records.metric_name(grade.metric), records.utc(grade.as_of)
        known = history[key].get(records.hour(moment))
        if known is None:
            points.append(_metric(key, grade.value, round(1000 * moment.timestamp()), records.hour(moment)))
        elif known.value != grade.value:
            points.append(_metric(key, grade.value, known.timestamp + 1, known.step))
    return points


def _latest_points(client: MlflowClient, run_id: str, key: str) -> dict[int, Metric]:
    history = sorted(client.get_metric_history(run_id, key), key=lambda metric: metric.timestamp)
    return {metric.step: metric for metric in history}


def _metric(name: str, value: float, timestamp: int, step: int = 0) -> Metric:
    from mlflow.entities import Metric

    return Metric(records.metric_name(name), float(value), timestamp, step)


def _now() -> int:
    """Milliseconds since 1970. Only tells people when a run was recorded; no result depends on it."""
    return time.time_ns() // 1_000_000
