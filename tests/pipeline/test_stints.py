"""Which model served when: promotions and rollbacks in the order of time, for any past instant."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline import registry
from pipeline.errors import ShortlistError
from pipeline.records import Tracker
from tests.pipeline.trainings import DAY, NIGHT, trained


@pytest.fixture(name="three")
def _three(tracker: Tracker) -> list[str]:
    """Three models, promoted on the first, third and fifth night."""
    versions = [trained(tracker, NIGHT + day * DAY) for day in (0, 2, 4)]
    for version, day in zip(versions, (0, 2, 4), strict=True):
        registry.promote(tracker, version, NIGHT + day * DAY)
    return versions


def by_day(tracker: Tracker, *days: float) -> list[str | None]:
    """Who serves so many days after the first night."""
    found = [registry.champion(tracker, NIGHT + day * DAY) for day in days]
    return [None if one is None else one.version for one in found]


def alias(tracker: Tracker, client: MlflowClient) -> str:
    """Who is the champion for whoever looks at MLflow."""
    return str(client.get_model_version_by_alias(tracker.model_name, "champion").version)


def test_what_served_before_is_still_told_of_it(tracker: Tracker, client: MlflowClient, three: list[str]) -> None:
    """From the night of a rollback on the model before serves; earlier nights have theirs, and MLflow says why."""
    first, second, third = three
    assert registry.roll_back(tracker, NIGHT + 6 * DAY, None, "graded worse") == (third, second)
    assert by_day(tracker, -1, 0, 2, 4, 5.9, 6, 30) == [None, first, second, third, third, second, second]
    assert alias(tracker, client) == second
    told = client.get_model_version(tracker.model_name, third).tags["rolled_back"]
    assert told == f"from 2026-03-07T00:00:00+00:00 on version {second} serves again: graded worse"
    assert registry.rolled_back(tracker, NIGHT + 4 * DAY) == "graded worse"
    assert registry.rolled_back(tracker, NIGHT + 2 * DAY) is None


def test_the_same_again_changes_nothing(tracker: Tracker, client: MlflowClient, three: list[str]) -> None:
    """A rollback asked for twice, with or without the version's name, is one."""
    _, second, third = three
    night = NIGHT + 4 * DAY
    for to in (None, None, second):
        assert registry.roll_back(tracker, night, to, "why") == (third, second)
    tags = client.get_model_version(tracker.model_name, second).tags
    assert tags["rollbacks"] == '[["2026-03-05T00:00:00+00:00", 1, "why"]]'
    assert by_day(tracker, 3, 4, 5) == [second, second, second]


def test_going_back_again_goes_further_until_nobody_is_left(tracker: Tracker, three: list[str]) -> None:
    """Each rollback of a later night leads to an earlier model, never to one that was gone back from; then it ends."""
    first, second, third = three
    assert registry.roll_back(tracker, NIGHT + 5 * DAY, None, "one") == (third, second)
    assert registry.roll_back(tracker, NIGHT + 6 * DAY, None, "two") == (second, first)
    with pytest.raises(ShortlistError, match="nothing to go back to"):
        registry.roll_back(tracker, NIGHT + 7 * DAY, None, "three")
    assert by_day(tracker, 4, 5, 6, 7) == [third, second, first, first]


def test_to_a_version_by_its_number(tracker: Tracker, three: list[str]) -> None:
    """Further back at once; forward again to what was gone back from; not to what never served by then."""
    first, second, third = three
    refused = trained(tracker, NIGHT + 5 * DAY)
    registry.refuse(tracker, refused, "no better")
    night = NIGHT + 6 * DAY
    assert registry.roll_back(tracker, night, first, "far") == (third, first)
    assert registry.roll_back(tracker, night, third, "a mistake") == (first, third)
    assert by_day(tracker, 5, 6) == [third, third]
    assert registry.rolled_back(tracker, NIGHT + 4 * DAY) is None
    for stranger in (refused, "99"):
        with pytest.raises(ShortlistError, match=f"version {stranger} never served"):
            registry.roll_back(tracker, night, stranger, "no")
    with pytest.raises(ShortlistError, match=f"version {second} never served"):
        registry.roll_back(tracker, NIGHT + DAY, second, "not yet")


def test_a_night_run_again_does_not_bring_it_back(tracker: Tracker, client: MlflowClient, three: list[str]) -> None:
    """Whatever that night promotes after the rollback; the next night's promotion serves from then on."""
    _, second, _ = three
    night = NIGHT + 4 * DAY
    registry.roll_back(tracker, night, None, "worse")
    again = trained(tracker, night)
    registry.promote(tracker, again, night)
    assert by_day(tracker, 4, 5) == [second, second]
    assert alias(tracker, client) == second
    better = trained(tracker, night + DAY)
    registry.promote(tracker, better, night + DAY)
    assert by_day(tracker, 4, 5) == [second, better]
    assert alias(tracker, client) == better


def test_a_rollback_of_a_past_night_leaves_today_alone(
    tracker: Tracker, client: MlflowClient, three: list[str]
) -> None:
    """Nights until the next promotion have the model before; whoever was promoted since serves on."""
    first, _, third = three
    registry.roll_back(tracker, NIGHT + 3 * DAY, None, "late insight")
    assert by_day(tracker, 2, 3, 3.9, 4) == [three[1], first, first, third]
    assert alias(tracker, client) == third


@pytest.mark.parametrize("writes", range(1, 4))
def test_killed_anywhere_and_run_again_is_the_same(
    tracker: Tracker, client: MlflowClient, three: list[str], monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Before each of its three writes somebody serves, and the same again ends as if nothing had happened."""
    _, second, third = three
    left, night = [writes], NIGHT + 5 * DAY

    class Killed(BaseException):
        """As a signal would end it."""

    def dying(write: str) -> None:
        real = getattr(MlflowClient, write)

        def counted(self: MlflowClient, *values: str) -> None:
            left[0] -= 1
            if not left[0]:
                raise Killed
            real(self, *values)

        monkeypatch.setattr(MlflowClient, write, counted)

    with monkeypatch.context():
        dying("set_model_version_tag")
        dying("set_registered_model_alias")
        with pytest.raises(Killed):
            registry.roll_back(tracker, night, None, "why")
    monkeypatch.undo()
    assert by_day(tracker, 4, 5)[0] == third
    assert by_day(tracker, 5) in ([second], [third])
    assert registry.roll_back(tracker, night, None, "why") == (third, second)
    assert by_day(tracker, 4, 5, 6) == [third, second, second]
    assert alias(tracker, client) == second
    assert "rolled_back" in client.get_model_version(tracker.model_name, third).tags


def test_from_an_alias_moved_by_hand(tracker: Tracker, client: MlflowClient, three: list[str]) -> None:
    """What serves by hand is what is gone back from."""
    first, second, _ = three
    client.set_registered_model_alias(tracker.model_name, "champion", second)
    assert registry.roll_back(tracker, NIGHT + 6 * DAY, None, "why")[1] == first
    assert by_day(tracker, 6) == [first]
    assert alias(tracker, client) == first


def test_without_any_model_there_is_nothing_to_go_back_from(tracker: Tracker, tmp_path: Path) -> None:
    """Before the first promotion, and before the first training, which leaves no folder behind."""
    trained(tracker)
    with pytest.raises(ShortlistError, match="no model serves at 2026-03-01"):
        registry.roll_back(tracker, NIGHT, None, "why")
    empty = Tracker(tmp_path / "nothing", "acme")
    with pytest.raises(ShortlistError, match="no model was ever trained"):
        registry.going_back_to(empty, NIGHT, None)
    assert not empty.folder.exists()
