"""The registered model: its versions, which of them serves when, and their files.

A model is a registered version of `<project>-ranker`: UBJ and JSON files under `model/`, each with its sha256 in the
version's tags. They are read back by exact name from the tracking folder and checked; nothing is unpickled, and
MLflow's own loaders are not used (CVE-2024-37052 and kin).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline import records, stints
from pipeline.errors import ShortlistError
from pipeline.mlflow_client import BATCH, exclusive
from pipeline.records import ModelVersion, Tracker, TrainingRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

CHAMPION = "champion"
CHALLENGER = "challenger"


def register(client: MlflowClient, tracker: Tracker, run_id: str, training: TrainingRecord) -> str:
    """A new version, with no alias, of the files that a training's run holds already. Returns its number."""
    if not client.search_registered_models(f"name = '{tracker.model_name}'"):
        client.create_registered_model(tracker.model_name, description=f"The rankers of {tracker.project}.")
    source, tags = (tracker.artifacts(run_id) / "model").as_uri(), records.model_tags(training)
    made = client.create_model_version(
        tracker.model_name, source, run_id, tags, description=training.description, await_creation_for=0
    )
    return str(made.version)


def promote(tracker: Tracker, version: str, as_of: datetime) -> None:
    """Make `version` the champion from `as_of` on.

    The alias stays where it is if another serves later: one that a later night promoted or went back to.
    """
    with exclusive(tracker) as client:
        _tag_version(client, tracker, version, {"promoted": "true", "promoted_as_of": records.iso(as_of)})
        _follow(client, tracker, int(version))
        if _aliases(client, tracker).get(CHALLENGER) == version:
            client.delete_registered_model_alias(tracker.model_name, CHALLENGER)


def refuse(tracker: Tracker, version: str, reason: str) -> None:
    """Keep `version` as the challenger, with the reason why it did not become the champion."""
    with exclusive(tracker) as client:
        _tag_version(client, tracker, version, {"promoted": "false", "reason": reason})
        client.set_registered_model_alias(tracker.model_name, CHALLENGER, version)


def roll_back(tracker: Tracker, as_of: datetime, to: str | None, reason: str) -> tuple[str, str]:
    """From `as_of` on let `to` serve again; by default who was promoted before the model that serves then.

    What served before `as_of` is still told of it. The same again changes nothing, and ends what was interrupted.
    Returns the versions that served and that serves. Raises ShortlistError, and changes nothing, where there is
    nothing to go back to, or `to` never served by then.
    """
    with exclusive(tracker) as client:
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
    with exclusive(tracker) as client:
        known, current = _known(client, tracker, as_of)
        return str(stints.back(known, current, records.utc(as_of), to, "").version)


def predecessor(tracker: Tracker, as_of: datetime) -> str | None:
    """The version that `roll_back` would let serve again at `as_of`; None where there is nothing to go back to."""
    if not tracker.exists:
        return None
    with exclusive(tracker) as client:
        known, current = _known(client, tracker, as_of)
        found = None if current is None else stints.previous(known, current, records.utc(as_of))
        return None if found is None else str(found)


def rolled_back(tracker: Tracker, trained: datetime) -> str | None:
    """Why the model that was trained for this night serves no more, where somebody went back from it; else None."""
    if not tracker.exists:
        return None
    with exclusive(tracker) as client:
        found = _promoted(client, tracker)
        gone = stints.left(stints.of(found))
        told = [gone[one.number] for one in found if one.number in gone and one.tags["as_of"] == records.iso(trained)]
        return told[-1].reason if told else None


def champion(tracker: Tracker, as_of: datetime) -> ModelVersion | None:
    """The model that serves at `as_of`, as it was promoted or gone back to by then; None before the first.

    So a past night that is run again meets the model of that night, and never one that had yet to be trained. Whoever
    moved the alias by hand has the last word on every night since that model was first promoted.
    """
    if not tracker.exists:
        return None
    with exclusive(tracker) as client:
        _, number = _known(client, tracker, as_of)
        return None if number is None else _version(tracker, client.get_model_version(tracker.model_name, str(number)))


def serving_since(tracker: Tracker, as_of: datetime) -> datetime | None:
    """From when on the model that serves at `as_of` does: promoted then, or gone back to; None where none serves."""
    if not tracker.exists:
        return None
    with exclusive(tracker) as client:
        known, current = _known(client, tracker, as_of)
        begun = (one.as_of for one in known if one.version == current)
        return max((instant for instant in begun if instant <= records.utc(as_of)), default=None)


def versions(tracker: Tracker) -> list[ModelVersion]:
    """Every registered version, newest first."""
    if not tracker.exists:
        return []
    with exclusive(tracker) as client:
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
        part = client.search_model_versions(wanted, max_results=BATCH, page_token=token)
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


def _known(client: MlflowClient, tracker: Tracker, as_of: datetime) -> tuple[list[stints.Stint], int | None]:
    """Every stint, and the version that serves at an instant."""
    known = stints.of(_promoted(client, tracker))
    return known, _served(client, tracker, known, records.utc(as_of))


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
