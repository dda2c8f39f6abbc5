"""What stands beside the model in a training's tables: each challenger on the same rows, for goals and for lists."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mlflow.tracking import MlflowClient

from features import crm
from models import scorer
from models.calibration import IDENTITY
from models.challengers import CHALLENGERS
from models.classifier import Bundle, GoalModel
from models.metrics import auc
from models.split import Split
from pipeline import compare
from pipeline.build_features import NO_CRM
from pipeline.config import Config
from pipeline.rows import Rows
from pipeline.training_rows import TrainingRows, sample
from tests.pipeline.lakes import config_in
from tests.worlds import World

NIGHT = datetime(2026, 3, 10, tzinfo=UTC)
WEIGHTS = {"click": 0.2, "purchase": 1.0}


def rows(seed: int, lists: int = 100) -> Rows:
    """Lists of six: `a` draws clicks, `b` draws purchases, both at random."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6 * lists, 2)).astype(np.float32)
    p = 1 / (1 + np.exp(1 - 2 * x.astype(np.float64)))
    reached = (rng.random(x.shape) < p).astype(np.float32)
    return Rows(
        said=x,
        raw=np.zeros((len(x), 3)),
        labels={"click": reached[:, 0], "purchase": reached[:, 1]},
        person=np.arange(len(x)) // 12,
        content=np.arange(len(x), dtype=np.int32) % 6,
        ids=pa.array([f"c{number}" for number in range(6)]),
        group=np.arange(len(x)) // 6,
        nights=((0, NIGHT),),
        popularity=np.zeros(len(x)),
        crm=crm.FACTS.empty_table(),
        drawn=np.ones(len(x), bool),
        negatives=1.0,
    )


@pytest.fixture(scope="module", name="data")
def _data() -> TrainingRows:
    """Rows to learn from, shown rows and whole lists."""
    split = Split((NIGHT,), (NIGHT,), (NIGHT,))
    return TrainingRows(split, {}, NO_CRM, rows(1), rows(2), rows(3), rows(4, lists=30))


BUNDLE = Bundle({goal: GoalModel(goal, ("a", "b"), b"", IDENTITY, 0, {}) for goal in WEIGHTS}, WEIGHTS)


def asked(folder: Path, *names: str, **more: Any) -> Config:
    """A configuration that wants these challengers."""
    return config_in(folder, training={"challengers": names, **more})


def test_one_that_says_probabilities_learns_every_goal(data: TrainingRows, tmp_path: Path) -> None:
    """Lists are sorted by the sum of weight x probability, as the model's are; `seed` is the configuration's."""
    (rival,) = compare.rivals_of(BUNDLE, data, asked(tmp_path, "mlp", seed=3))
    said = {
        goal: CHALLENGERS["mlp"].answers(sample(data.train, goal), data.test.x, data.lists.x, seed=3)
        for goal in WEIGHTS
    }
    assert rival.probabilities
    for goal, (test, _) in said.items():
        np.testing.assert_array_equal(rival.test[goal], test)
    expected = scorer.relevance({goal: lists for goal, (_, lists) in said.items()}, WEIGHTS)
    np.testing.assert_array_equal(rival.lists, expected)


def test_a_ranker_learns_once_what_all_goals_are_worth(data: TrainingRows, tmp_path: Path) -> None:
    """It sorts by what is worth five times as much before what is not, and is asked so for every goal."""
    (rival,) = compare.rivals_of(BUNDLE, data, asked(tmp_path, "rank_ndcg"))
    assert not rival.probabilities
    assert len(rival.lists) == data.lists.size
    assert rival.test["click"] is rival.test["purchase"]
    assert auc(data.test.labels["purchase"], rival.test["purchase"]) > 0.75
    assert auc(data.test.labels["purchase"], rival.test["click"]) > auc(data.test.labels["click"], rival.test["click"])


def test_what_is_listed_is_asked_once_where_it_is_what_is_tested(data: TrainingRows, tmp_path: Path) -> None:
    """Without impressions the test's rows are the lists', and answers for the one are answers for the other."""
    same = TrainingRows(data.split, {}, NO_CRM, data.train, data.validation, data.lists, data.lists)
    (one,) = compare.rivals_of(BUNDLE, same, asked(tmp_path, "logistic_regression"))
    np.testing.assert_array_equal(one.lists, scorer.relevance(dict(one.test), WEIGHTS))
    (other,) = compare.rivals_of(BUNDLE, data, asked(tmp_path, "logistic_regression"))
    np.testing.assert_allclose(one.lists, other.lists, rtol=1e-6)


def test_what_is_tested_is_predicted_once_where_it_is_listed(
    data: TrainingRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without impressions nothing is predicted again: the lists' probabilities are the test's."""
    asked: list[object] = []
    monkeypatch.setattr(GoalModel, "predict", lambda _, x: asked.append(x) or x[:, 0].astype(np.float64))
    listed = compare.predictions(BUNDLE, data.lists.x)
    asked.clear()
    same = replace(data, test=data.lists)
    assert compare.tested_predictions(BUNDLE, same, listed) is listed
    assert asked == []
    np.testing.assert_array_equal(compare.tested_predictions(BUNDLE, data, listed)["click"], data.test.x[:, 0])


def test_they_stand_in_the_order_in_which_they_are_asked_for(data: TrainingRows, tmp_path: Path) -> None:
    """And nobody does where nobody is asked for."""
    names = ("rank_ndcg", "logistic_regression")
    assert tuple(one.name for one in compare.rivals_of(BUNDLE, data, asked(tmp_path, *names))) == names
    assert compare.rivals_of(BUNDLE, data, asked(tmp_path)) == []


def test_they_stand_in_every_table_of_a_training(small_night: World) -> None:
    """Each by its own figures: a score has an AUC, but no log-loss."""
    mlflow = MlflowClient(f"sqlite:///{small_night.folder / 'state' / 'mlflow' / 'mlflow.db'}")
    run = mlflow.get_run(str(mlflow.search_model_versions("name = 'example-ranker'")[0].run_id))
    found = run.data.metrics
    for name in ("logistic_regression", "mlp", "rank_ndcg"):
        assert 0 < found[f"ndcg_10.{name}"] <= 1
        assert 0.3 < found[f"click.auc.{name}"] <= 1
        assert (f"click.log_loss.{name}" in found) == (name != "rank_ndcg")
