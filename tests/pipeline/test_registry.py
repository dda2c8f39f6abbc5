"""The registered model, in MLflow for real: it comes back byte for byte, and to the right night."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline import registry
from pipeline.errors import ShortlistError
from pipeline.records import Tracker
from tests.pipeline.trainings import DAY, FILES, NIGHT, trained


def test_nothing_recorded_is_no_champion_and_leaves_no_trace(tmp_path: Path) -> None:
    """Asking before the first training answers None and creates nothing."""
    tracker = Tracker(tmp_path / "mlflow", "acme")
    assert registry.champion(tracker, NIGHT) is None
    assert registry.versions(tracker) == []
    assert not tracker.folder.exists()


def test_a_model_comes_back_byte_for_byte(tracker: Tracker) -> None:
    """What was trained is what is loaded, and a file that someone laid beside it is not."""
    version = trained(tracker)
    (found,) = registry.versions(tracker)
    (found.folder / "model" / "evil.pkl").write_bytes(b"never read")
    assert registry.load_bundle_files(tracker, version) == FILES


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_harmed_model_file_is_named_and_not_loaded(tracker: Tracker, harm: str) -> None:
    """One flipped byte or a missing file stops the load, and the message says which file."""
    version = trained(tracker)
    path = registry.versions(tracker)[0].folder / "model" / "read.ubj"
    path.unlink()
    if harm == "changed":
        path.write_bytes(FILES["read.ubj"][:-1] + b"?")
    with pytest.raises(ShortlistError, match=r"read\.ubj"):
        registry.load_bundle_files(tracker, version)


def test_an_unknown_version_says_so(tracker: Tracker) -> None:
    """Loading a version that never was names it."""
    trained(tracker)
    with pytest.raises(ShortlistError, match="no version 99"):
        registry.load_bundle_files(tracker, "99")


def test_each_night_meets_the_champion_of_that_night(tracker: Tracker) -> None:
    """A night sees the newest model promoted by then: never a later one, never one that was refused or not judged."""
    first, refused, second, unjudged = (trained(tracker, NIGHT + day * DAY) for day in (0, 1, 2, 3))
    registry.promote(tracker, first, NIGHT)
    registry.refuse(tracker, refused, "no better")
    registry.promote(tracker, second, NIGHT + 2 * DAY)

    def serving(day: float) -> str | None:
        found = registry.champion(tracker, NIGHT + day * DAY)
        return None if found is None else found.version

    assert [serving(day) for day in (-1, 0, 1, 1.9, 2, 9)] == [None, first, first, first, second, second]
    assert unjudged not in {serving(day) for day in range(10)}


def test_who_is_gone_back_to_serves_since_then(tracker: Tracker) -> None:
    """Challengers that were refused before met another champion: they are no answer for the one that serves again."""
    first, second = trained(tracker), trained(tracker, NIGHT + 2 * DAY)
    registry.promote(tracker, first, NIGHT)
    registry.promote(tracker, second, NIGHT + 2 * DAY)
    registry.roll_back(tracker, NIGHT + 5 * DAY, None, "worse")
    since = [registry.serving_since(tracker, NIGHT + day * DAY) for day in (-1, 1, 3, 5, 9)]
    assert since == [None, NIGHT, NIGHT + 2 * DAY, NIGHT + 5 * DAY, NIGHT + 5 * DAY]


def test_a_night_run_again_does_not_take_the_alias_from_a_later_one(tracker: Tracker, client: MlflowClient) -> None:
    """Promoting for a past night leaves today's champion in place, and that past night has its own."""
    today = trained(tracker, NIGHT + 5 * DAY)
    registry.promote(tracker, today, NIGHT + 5 * DAY)
    past = trained(tracker, NIGHT)
    registry.promote(tracker, past, NIGHT)
    assert str(client.get_model_version_by_alias(tracker.model_name, "champion").version) == today
    assert [registry.champion(tracker, NIGHT + day * DAY).version for day in (0, 5)] == [past, today]  # type: ignore[union-attr]


def test_an_alias_moved_by_hand_counts(tracker: Tracker, client: MlflowClient) -> None:
    """Setting `champion` in MLflow's own page is a rollback that the next night follows."""
    old, new = trained(tracker, NIGHT), trained(tracker, NIGHT + DAY)
    registry.promote(tracker, new, NIGHT + DAY)
    client.set_registered_model_alias(tracker.model_name, "champion", old)
    found = registry.champion(tracker, NIGHT + 2 * DAY)
    assert found is not None
    assert (found.version, found.as_of) == (old, NIGHT)


def test_a_model_of_someone_else_is_not_served(tracker: Tracker, client: MlflowClient) -> None:
    """A version without our tags stands in nobody's way, and as champion it stops the night with its number."""
    ours = trained(tracker)
    theirs = client.create_model_version(tracker.model_name, (tracker.folder / "x").as_uri(), await_creation_for=0)
    assert [version.version for version in registry.versions(tracker)] == [ours]
    client.set_registered_model_alias(tracker.model_name, "champion", str(theirs.version))
    with pytest.raises(ShortlistError, match=f"version {theirs.version} .* as_of"):
        registry.champion(tracker, NIGHT)


def test_a_challenger_that_wins_later_is_no_challenger(tracker: Tracker, client: MlflowClient) -> None:
    """Refusing sets the alias and keeps the reason; promoting the same version takes the alias away."""
    version = trained(tracker)
    registry.refuse(tracker, version, "NDCG@10 no better")
    refused = client.get_model_version_by_alias(tracker.model_name, "challenger")
    assert (str(refused.version), refused.tags["reason"]) == (version, "NDCG@10 no better")
    registry.promote(tracker, version, NIGHT)
    assert client.get_registered_model(tracker.model_name).aliases == {"champion": int(version)}


def test_time_zones_name_the_same_instant(tracker: Tracker) -> None:
    """Midnight in Tokyo is 15:00 UTC the day before, and a time without a zone is refused."""
    tokyo = datetime(2026, 3, 2, tzinfo=timezone(9 * timedelta(hours=1)))
    version = trained(tracker, tokyo)
    registry.promote(tracker, version, tokyo)
    assert registry.champion(tracker, datetime(2026, 3, 1, 14, 59, tzinfo=UTC)) is None
    assert registry.champion(tracker, datetime(2026, 3, 1, 15, tzinfo=UTC)) is not None
    with pytest.raises(ShortlistError, match="time zone"):
        registry.champion(tracker, datetime(2026, 3, 1))
