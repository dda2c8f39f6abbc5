"""`shortlist rollback-model`: lists are made by the model before, from a night on; and why it is not done where not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from models.gate import Verdict
from pipeline import compare, registry, rollback_model, tracking
from pipeline import config as configuration
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.records import Tracker, TrainingRecord
from pipeline.serving import Model
from tests.pipeline.small import shortlist
from tests.worlds import World

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
NEXT = AS_OF + timedelta(days=1)


def another(config: Config, trained: datetime, **changes: bytes) -> str:
    """The night's model registered once more, as if trained for another night, and promoted then."""
    tracker = Tracker(Lake.of(config).tracking, config.project.name)
    first = registry.load_bundle_files(tracker, "1")
    version = tracking.log_training(tracker, TrainingRecord(trained, ("click", "read"), {**first, **changes}))
    registry.promote(tracker, version, trained)
    return version


def test_the_model_before_makes_the_lists(
    small_night: World, copy_of: Callable[[World], World], capsys: pytest.CaptureFixture[str]
) -> None:
    """From the night on, told on standard error and as JSON; at first there is nothing to go back to, which is told."""
    world = copy_of(small_night)
    config = configuration.load(world.config)
    command = ("rollback-model", "--as-of", "2026-07-02", "--config", world.config)
    alone = shortlist(capsys, *command)
    assert alone.code == 1
    assert alone.lacks("version 1 serves", "nothing to go back to") == []
    assert another(config, NEXT) == "2"
    done = shortlist(capsys, *command, "--reason", "odd lists", "--json")
    assert done.code == 0, done.err
    assert done.json == {"as_of": "2026-07-02T00:00:00+00:00", "before": "2", "now": "1", "reason": "odd lists"}
    assert [Model.serving(night, config, Lake.of(config)).version for night in (AS_OF, NEXT)] == ["1", "1"]


def test_a_model_that_cannot_make_lists_is_not_gone_back_to(
    small_night: World, copy_of: Callable[[World], World]
) -> None:
    """One that was trained for other goals, and one whose file was harmed; who served serves on."""
    world = copy_of(small_night)
    config = configuration.load(world.config)
    another(config, NEXT)
    click = config.goals["click"].model_copy(update={"horizon_days": 2})
    other = config.model_copy(update={"goals": {**config.goals, "click": click}})
    with pytest.raises(ShortlistError, match="other goals or features"):
        rollback_model.run(NEXT, other)
    tracker = Tracker(Lake.of(config).tracking, config.project.name)
    path = next(one.folder for one in registry.versions(tracker) if one.version == "1") / "model" / "click.ubj"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ShortlistError, match=r"click\.ubj has sha256"):
        rollback_model.run(NEXT, config)
    assert Model.serving(NEXT, config, Lake.of(config)).version == "2"


def test_what_was_gone_back_from_is_not_promoted_anew() -> None:
    """Whatever the checks say; what was refused is refused for its own reason, and other nights' models are judged."""
    better = Verdict(True, "challenger promoted: better.", ())
    kept = compare._unless_rolled_back(better, "graded worse")
    assert not kept.promote
    assert "gone back from (graded worse). challenger promoted: better." in kept.reason
    worse = replace(better, promote=False, reason="worse.")
    assert compare._unless_rolled_back(worse, "graded worse") == worse
    assert compare._unless_rolled_back(better, None) == better
