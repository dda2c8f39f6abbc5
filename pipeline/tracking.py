"""What was trained, decided and graded, kept in MLflow: SQLite and plain files. Only here is mlflow imported.

`<folder>/mlflow.db` holds the records and `<folder>/artifacts/<run>/artifacts/` the files. A model is a registered
version of `<project>-ranker`: UBJ and JSON files under `model/`, each with its sha256 in the version's tags. They are
read back by exact name from this folder and checked; nothing is unpickled, and MLflow's own loaders are not used
(CVE-2024-37052 and kin).
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from pipeline import disk, records, stints
from pipeline.errors import ShortlistError
from pipeline.records import Grade, ModelVersion, Tracker, TrainingRecord, Trial

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

CHAMPION = "champion"
CHALLENGER = "challenger"

_BATCH = 1000  # MLflow's limit on entities a request; parameters and tags have one of 100
_LONGEST = 6000  # MLflow's limit on a parameter's characters
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def log_training(tracker: Tracker, training: TrainingRecord) -> str:
    """Record one training as one run with its trials nested below it, and register its model. Returns the new version.

    The version has no alias yet: `promote` or `refuse` follows. A run that was killed half-way is closed by the next
    training; one that fails is marked FAILED. Raises ShortlistError when a model file is neither UBJ nor JSON, or
    MLflow refuses.
    """
    records.require_model_files(training.files)
    with _exclusive(tracker) as client:
        experiment = _experiment(client, tracker, tracker.project)
        _close_killed(client, experiment)
        started = _now() - round(1000 * training.seconds)
        name = f"training {records.short(training.as_of)}"
        run_id = _start(client, experiment, name, records.training_tags(training), started)
        try:
            records.write_files(tracker.artifacts(run_id), records.training_files(training))
            _log_numbers(client, run_id, training)
            _log_trials(client, experiment, run_id, training.trials, started)
            version = _register(client, tracker, run_id, training)
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")
        return version


def promote(tracker: Tracker, version: str, as_of: datetime) -> None:
    """Make `version` the champion from `as_of` on.

    The alias stays where it is if another serves later: one that a later night promoted or went back to.
    """
    with _exclusive(tracker) as client:
        _tag_version(client, tracker, version, {"promoted": "true", "promoted_as_of": records.iso(as_of)})
        _follow(client, tracker, int(version))
        if _aliases(client, tracker).get(CHALLENGER) == version:
            client.delete_registered_model_alias(tracker.model_name, CHALLENGER)


def roll_back(tracker: Tracker, as_of: datetime, to: str | None, reason: str) -> tuple[str, str]:
    """From `as_of` on let `to` serve again; by default who was promoted before the model that serves then.

    What served before `as_of` is still told of it. The same again changes nothing, and ends what was interrupted.
    Returns the versions that served and that serves. Raises ShortlistError, and changes nothing, where there is
    nothing to go back to, or `to` never served by then.
    """
    with _exclusive(tracker) as client:
        instant, found = records.utc(as_of), _promoted(client, tracker)
        known = stints.of(found)
        begun = stints.back(known, _served(client, tracker, known, instant), instant, to, reason)
        if begun not in known:
            tags = next(one.tags for one in found if one.number == begun.version)
            _tag_version(client, tracker, str(begun.version), {stints.ROLLBACKS: stints.with_rollback(tags, begun)})
        left = stints.left(sorted({*known, begun}))
        gone = [number for number, stint in left.items() if stint == begun]
        for number in gone:
            why = f"from {records.iso(as_of)} on version {begun.version} serves again: {begun.reason}"
            _tag_version(client, tracker, str(number), {"rolled_back": why})
        _follow(client, tracker, begun.version)
        return str(max(gone, default=begun.version)), str(begun.version)


def going_back_to(tracker: Tracker, as_of: datetime, to: str | None) -> str:
    """The version that `roll_back` would let serve; changes nothing. Raises as it does."""
    if not tracker.exists:
        raise ShortlistError(f"no model was ever trained (nothing in {tracker.folder}), so there is none to go back to")
    with _exclusive(tracker) as client:
        instant, known = records.utc(as_of), stints.of(_promoted(client, tracker))
        return str(stints.back(known, _served(client, tracker, known, instant), instant, to, "").version)


def predecessor(tracker: Tracker, as_of: datetime) -> str | None:
    """The version that `roll_back` would let serve again at `as_of`; None where there is nothing to go back to."""
    if not tracker.exists:
        return None
    with _exclusive(tracker) as client:
        instant, known = records.utc(as_of), stints.of(_promoted(client, tracker))
        current = _served(client, tracker, known, instant)
        found = None if current is None else stints.previous(known, current, instant)
        return None if found is None else str(found)


def rolled_back(tracker: Tracker, trained: datetime) -> str | None:
    """Why the model that was trained for this night serves no more, where somebody went back from it; else None."""
    if not tracker.exists:
        return None
    with _exclusive(tracker) as client:
        found = _promoted(client, tracker)
        gone = stints.left(stints.of(found))
        told = [gone[one.number] for one in found if one.number in gone and one.tags["as_of"] == records.iso(trained)]
        return told[-1].reason if told else None


def refuse(tracker: Tracker, version: str, reason: str) -> None:
    """Keep `version` as the challenger, with the reason why it did not become the champion."""
    with _exclusive(tracker) as client:
        _tag_version(client, tracker, version, {"promoted": "false", "reason": reason})
        client.set_registered_model_alias(tracker.model_name, CHALLENGER, version)


def champion(tracker: Tracker, as_of: datetime) -> ModelVersion | None:
    """The model that serves at `as_of`, as it was promoted or gone back to by then; None before the first.

    So a past night that is run again meets the model of that night, and never one that had yet to be trained. Whoever
    moved the alias by hand has the last word on every night since that model was first promoted.
    """
    if not tracker.exists:
        return None
    with _exclusive(tracker) as client:
        number = _served(client, tracker, stints.of(_promoted(client, tracker)), records.utc(as_of))
        return None if number is None else _version(tracker, client.get_model_version(tracker.model_name, str(number)))


def versions(tracker: Tracker) -> list[ModelVersion]:
    """Every registered version, newest first."""
    if not tracker.exists:
        return []
    with _exclusive(tracker) as client:
        found = [_version(tracker, version) for version in _search_versions(client, tracker)]
        return sorted(found, key=lambda version: int(version.version), reverse=True)


def load_bundle_files(tracker: Tracker, version: str) -> dict[str, bytes]:
    """The model's files by name, each checked against the sha256 recorded when it was registered.

    Raises ShortlistError naming the version when it is unknown, and naming the file when it is missing or has changed.
    """
    found = next((known for known in versions(tracker) if known.version == version), None)
    if found is None:
        raise ShortlistError(
            f"model {tracker.model_name} has no version {version} in {tracker.folder}. Run `shortlist train` for one"
        )
    records.require_model_files(found.sha256)
    return {name: records.checked_bytes(found, name, sha256) for name, sha256 in found.sha256.items()}


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


def page(tracker: Tracker, version: str | None = None) -> str:
    """What to tell a person who wants to see it: the command that opens MLflow, and the report of a given version."""
    opens = f"`shortlist up` opens MLflow ({tracker.folder})"
    report = next((known.report for known in versions(tracker) if known.version == version), None)
    return opens if report is None else f"{opens}; the report of version {version} is {report}"


@contextmanager
def _exclusive(tracker: Tracker) -> Iterator[MlflowClient]:
    """An MLflow client with the folder to ourselves: SQLite has one writer, and two first uses would make it twice.

    What MLflow refuses comes out as ShortlistError.
    """
    tracker.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(tracker):
        _calm_mlflow()
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield MlflowClient(tracking_uri=tracker.uri, registry_uri=tracker.uri)
        except (MlflowException, SQLAlchemyError) as error:
            raise ShortlistError(
                f"MLflow in {tracker.folder} refused: {error}. If another release of MLflow made mlflow.db, run "
                "`mlflow db upgrade` on it; if the file is damaged, restore it from a backup"
            ) from error


def _lock(tracker: Tracker) -> IO[bytes]:
    lock = disk.wait_for_lock(path := tracker.folder / ".lock", tracker.lock_seconds)
    if lock is None:
        raise ShortlistError(
            f"MLflow in {tracker.folder} was busy for {tracker.lock_seconds:g} s: another process holds {path}. "
            "Wait for it or end it, then run this again"
        )
    return lock


def _calm_mlflow() -> None:
    """Before MLflow is imported, as it reads its switches then: nothing is sent anywhere, and progress goes unreported.

    MLflow and alembic tell of each migration of a new database at INFO; their warnings and errors still come through.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow  # noqa: F401  it sets up its own logger, so ours comes after

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


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
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=_BATCH):
        client.set_terminated(run.info.run_id, "KILLED")


def _start(client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str], started: int) -> str:
    source = {"mlflow.source.name": "shortlist", "mlflow.source.type": "JOB"}
    return str(client.create_run(experiment, started, {**source, **tags}, name).info.run_id)


@contextmanager
def _one_run(tracker: Tracker, kind: str, as_of: str, name: str) -> Iterator[tuple[MlflowClient, str]]:
    """A client and the run for `as_of` of `<project>-<kind>`, made when it is not there; afterwards it is FINISHED.

    So the same night again adds no run.
    """
    with _exclusive(tracker) as client:
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

    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
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


def _register(client: MlflowClient, tracker: Tracker, run_id: str, training: TrainingRecord) -> str:
    if not client.search_registered_models(f"name = '{tracker.model_name}'"):
        client.create_registered_model(tracker.model_name, description=f"The rankers of {tracker.project}.")
    source, tags = (tracker.artifacts(run_id) / "model").as_uri(), records.model_tags(training)
    made = client.create_model_version(
        tracker.model_name, source, run_id, tags, description=training.description, await_creation_for=0
    )
    return str(made.version)


def _tag_version(client: MlflowClient, tracker: Tracker, version: str, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        client.set_model_version_tag(tracker.model_name, version, key, value)


def _aliases(client: MlflowClient, tracker: Tracker) -> dict[str, str]:
    models = client.search_registered_models(f"name = '{tracker.model_name}'")
    return {alias: str(version) for model in models for alias, version in model.aliases.items()}


def _alias(client: MlflowClient, tracker: Tracker, alias: str) -> RegisteredVersion | None:
    version = _aliases(client, tracker).get(alias)
    if version is None:
        return None
    found = client.get_model_version(tracker.model_name, version)
    if "as_of" not in found.tags:
        raise ShortlistError(
            f"version {version} of {tracker.model_name} in {tracker.folder} is the {alias} but has no tag as_of, so "
            "Shortlist did not train it. Move the alias to one that it did"
        )
    return found


def _search_versions(client: MlflowClient, tracker: Tracker, condition: str = "") -> list[RegisteredVersion]:
    wanted = f"name = '{tracker.model_name}'" + (f" and {condition}" if condition else "")
    found: list[RegisteredVersion] = []
    token: str | None = None
    while True:
        part = client.search_model_versions(wanted, max_results=_BATCH, page_token=token)
        found += [version for version in part if "as_of" in version.tags]  # the others were not made by us
        token = part.token
        if not token:
            return found


def _version(tracker: Tracker, found: RegisteredVersion) -> ModelVersion:
    return ModelVersion(
        version=str(found.version),
        as_of=datetime.fromisoformat(found.tags["as_of"]),
        run_id=str(found.run_id),
        folder=tracker.artifacts(str(found.run_id)),
        promoted=found.tags.get("promoted") == "true",
        sha256=records.sha256_by_file(found.tags),
        reason=found.tags.get("reason") or found.description or "",
    )


def _promoted(client: MlflowClient, tracker: Tracker) -> list[stints.Version]:
    """Every version that served at any time, as its tags tell it."""
    found = _search_versions(client, tracker, "tags.promoted = 'true'")
    return [stints.Version(int(one.version), dict(one.tags)) for one in found]


def _served(client: MlflowClient, tracker: Tracker, known: Sequence[stints.Stint], as_of: datetime) -> int | None:
    """The version that serves at an instant: the alias's, where somebody moved it by hand, else as promoted."""
    holder, last = _alias(client, tracker, CHAMPION), max(known, default=None)
    by_hand = holder is not None and (last is None or int(holder.version) != last.version)
    if holder is not None and by_hand and stints.promoted_as_of(holder.tags) <= as_of:
        return int(holder.version)
    found = stints.serving(known, as_of)
    return None if found is None else found.version


def _follow(client: MlflowClient, tracker: Tracker, version: int) -> None:
    """Let the alias name `version`, if that is who serves in the end."""
    if max(stints.of(_promoted(client, tracker))).version == version:
        client.set_registered_model_alias(tracker.model_name, CHAMPION, str(version))


def _now() -> int:
    """Milliseconds since 1970. Only tells people when a run was recorded; no result depends on it."""
    return time.time_ns() // 1_000_000
