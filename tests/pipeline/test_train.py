"""A training that would learn from the answer does not begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from features import rfm, spec
from models.calibration import IDENTITY
from models.classifier import Bundle, GoalModel
from models.learning import Learned, Sample
from models.split import Split
from pipeline import compare, registry, score, train
from pipeline import config as configuration
from pipeline.build_features import NO_CRM, NightFeatures
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.records import Tracker
from pipeline.serving import Model
from pipeline.training_rows import TrainingRows
from tests.pipeline.lakes import config_in, fortnight, rebuilt
from tests.worlds import World

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)


def test_a_feature_that_tells_the_answer_stops_the_training_and_is_named(
    small_night: World, copy_of: Callable[[World], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label put in as a feature: nothing is trained, and the message says which goal, which feature, how surely."""
    world = copy_of(small_night)
    config = configuration.load(world.config)
    tracker = Tracker(Lake.of(config).tracking, config.project.name)
    before = len(registry.versions(tracker))
    collect = train.collect

    def planted(*arguments: object) -> TrainingRows | str:
        data = collect(*arguments)  # type: ignore[arg-type]
        assert not isinstance(data, str)
        rows = np.tile(np.arange(data.train.size), 20)  # the world is so small that nothing in it could be judged
        x, clicked = data.train.x[rows], data.train.labels["click"][rows]
        x[:, spec.names(config.goals, crm=data.vocabulary.attributes).index("quality")] = clicked
        labels = {goal: found[rows] for goal, found in data.train.labels.items()}
        return replace(data, train=replace(data.train, said=x, labels=labels, person=np.arange(len(rows))))

    monkeypatch.setattr(train, "collect", planted)
    with pytest.raises(ShortlistError) as raised:
        train.run(AS_OF, config)
    assert "click: quality (AUC 1.0000 by itself)" in str(raised.value)
    assert "Nothing was trained" in str(raised.value)
    assert len(registry.versions(tracker)) == before


def test_what_serves_knows_the_newest_nights_and_what_is_judged_does_not(small_night: World) -> None:
    """Lists come of trees grown on all nights; the gate asks their twins, for whom the test nights are news."""
    config = configuration.load(small_night.config)
    tracker = Tracker(Lake.of(config).tracking, config.project.name)
    version = registry.versions(tracker)[0].version
    bundle = Bundle.from_files(registry.load_bundle_files(tracker, version))
    assert set(bundle.anew) == set(bundle.models)
    x = np.random.default_rng(0).normal(size=(50, len(next(iter(bundle.models.values())).features)))
    for goal, served in bundle.anew.items():
        assert served.booster_ubj != bundle.models[goal].booster_ubj
        assert (served.params, served.calibration) == (bundle.models[goal].params, bundle.models[goal].calibration)
        assert np.array_equal(compare.predictions(bundle, x)[goal], bundle.models[goal].predict(x))


def test_lists_are_made_by_what_serves(small_night: World) -> None:
    """Not by its judged twin: one that serves and says half as much is heard."""
    config = configuration.load(small_night.config)
    model = Model.serving(AS_OF, config, Lake.of(config)).bundle
    assert model is not None
    found = NightFeatures.of(Archive.load(Lake.of(config), config, AS_OF).night(AS_OF), config)
    bold = {goal: replace(one, calibration=IDENTITY) for goal, one in model.serving.items()}
    timid = {goal: replace(one, negatives=one.negatives / 2) for goal, one in bold.items()}
    said, halved = (
        score.score(found, replace(model, anew=one), config, np.arange(5)).relevance for one in (bold, timid)
    )
    assert (halved < said).all()
    goals = {goal: one.model_copy(update={"value": 3.0}) for goal, one in config.goals.items()}
    dear = score.score(found, model, config.model_copy(update={"goals": goals}), np.arange(5)).relevance
    np.testing.assert_allclose(np.sort(dear), 3 * np.sort(score.score(found, model, config, np.arange(5)).relevance))


@pytest.mark.parametrize("balance", ["none", "segment"])
def test_trees_are_grown_and_stopped_by_the_same_weights(balance: str, tmp_path: Path) -> None:
    """Balanced, rows count differently in training and in validation alike; otherwise they all count for one."""
    config = config_in(tmp_path, training={"balance": balance, "min_positives": 2})
    night = rebuilt(fortnight(), config)
    rows = night.shown.scored(rfm.cut_points([night.people]), tuple(config.goals))
    data = TrainingRows(Split((), (), ()), {}, NO_CRM, rows, rows, rows, rows)
    seen: list[Sample] = []

    def learn(goal: str, names: tuple[str, ...], training: Sample, validation: Sample) -> Learned:
        seen.extend((training, validation))
        return Learned(GoalModel(goal, names, b"", IDENTITY, 0, {}), (), ())

    learned, _ = train.each_goal(data, config, learn)
    assert len(seen) == 2 * len(learned) > 0
    for one in seen:
        assert (one.weight is None) == (balance == "none")
        assert one.weight is None or len(np.unique(one.weight)) > 1
