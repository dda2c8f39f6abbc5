"""Rows put together from parts, and relevance summed over goals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import IDENTITY
from models.classifier import GoalModel, matrix, train
from models.scorer import Scorer, relevance, rows

PEOPLE = np.array([[1, 2], [3, 4]], np.float32)
CONTENTS = np.array([[10], [20], [30]], np.float32)
PAIRS = np.array([[0.1], [0.2], [0.3]], np.float32)


def test_a_row_is_its_person_its_content_the_pair_and_the_position() -> None:
    """Every pair gets the features of its own person and content, in that order, as float32."""
    x = rows(PEOPLE, CONTENTS, PAIRS, np.array([1, 0, 1]), np.array([2, 0, 0]), np.array([1.0, 5.0, np.nan]))
    expected = [[3, 4, 30, 0.1, 1], [1, 2, 10, 0.2, 5], [3, 4, 10, 0.3, np.nan]]
    np.testing.assert_array_equal(x, np.array(expected, np.float32))
    assert x.dtype == np.float32


def test_everybody_may_be_scored_at_one_position() -> None:
    """A single number stands in every row, and the parts are left alone."""
    before = PEOPLE.copy()
    x = rows(PEOPLE, CONTENTS, PAIRS, np.array([0, 0, 1]), np.array([0, 1, 2]), 1.0)
    assert x[:, -1].tolist() == [1, 1, 1]
    x[:] = 0
    np.testing.assert_array_equal(PEOPLE, before)


def test_no_pairs_are_no_rows() -> None:
    """A block in which nobody has candidates still has its columns."""
    nothing = np.zeros(0, np.int64)
    assert rows(PEOPLE, CONTENTS, PAIRS[:0], nothing, nothing, np.nan).shape == (0, 5)


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(st.floats(0, 2), st.lists(st.floats(0, 1), min_size=3, max_size=3)),
        min_size=1,
    ),
    st.randoms(use_true_random=False),
)
def test_relevance_is_the_weighted_sum_whatever_order_goals_come_in(
    goals: dict[str, tuple[float, list[float]]], random: object
) -> None:
    """To the last bit the same for goals in any order, and the sum of weight x probability."""
    names = list(goals)
    random.shuffle(names)  # type: ignore[attr-defined]
    weights = {name: weight for name, (weight, _) in goals.items()}
    found = [relevance({name: np.array(goals[name][1]) for name in order}, weights) for order in (list(goals), names)]
    np.testing.assert_array_equal(found[0], found[1])
    expected = np.sum([weight * np.array(values) for weight, values in goals.values()], axis=0)
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_each_goal_is_scored_by_its_own_model_with_its_own_weight() -> None:
    """Two models that learned opposite things of a content: relevance follows the one that weighs more."""
    people, contents = np.zeros((1, 1), np.float32), np.array([[0.0], [1.0]], np.float32)
    x = np.tile(rows(people, contents, PAIRS[:2], np.zeros(2, int), np.arange(2), 1.0), (20, 1))
    y = x[:, 1]
    models = {"up": _model("up", x, y), "down": _model("down", x, 1 - y)}
    scorer = Scorer.of(models, people, contents)
    found = scorer.score({"up": 1.0, "down": 0.25}, PAIRS[:2], np.zeros(2, int), np.arange(2), 1.0)
    assert found.probabilities["up"][1] > 0.5 > found.probabilities["up"][0]
    assert found.probabilities["down"][0] > 0.5 > found.probabilities["down"][1]
    np.testing.assert_allclose(found.relevance, found.probabilities["up"] + 0.25 * found.probabilities["down"])
    assert found.relevance[1] > found.relevance[0]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_pairs_are_scored_as_their_rows_by_any_number_of_workers(workers: int) -> None:
    """To the last bit what the models say of the rows put together, calibrated and with what was left out put right."""
    rng = np.random.default_rng(workers)
    people, contents = (rng.normal(size=(many, 3)).astype(np.float32) for many in (9, 14))
    person, content = np.repeat(np.arange(9), 7), rng.integers(0, 14, 63)
    pairs = rng.normal(size=(63, 2)).astype(np.float32)
    x = rows(people, contents, pairs, person, content, 1.0)
    y = (x[:, 0] + x[:, 4] + x[:, 6] > 0).astype(np.float32)
    calibrated = _model("read", x, y, rounds=30).calibrated(x, y, person)
    models = {"read": replace(calibrated, negatives=0.1), "buy": _model("buy", x, 1 - y)}
    found = Scorer.of(models, people, contents, workers).score({"read": 1, "buy": 2}, pairs, person, content, 1.0)
    for goal, model in models.items():
        np.testing.assert_array_equal(found.probabilities[goal], model.predict(x))
    nobody = np.zeros(0, np.int64)
    none = Scorer.of(models, people, contents, workers).score({"read": 1, "buy": 2}, pairs[:0], nobody, nobody, 1.0)
    assert none.relevance.shape == (0,)


def test_a_model_that_cannot_be_compiled_is_asked_itself() -> None:
    """One with categorical splits: the same answers, from XGBoost."""
    rng = np.random.default_rng(0)
    people, contents = rng.normal(size=(20, 1)).astype(np.float32), rng.integers(0, 4, (20, 1)).astype(np.float32)
    person, content, pairs = np.arange(20), rng.integers(0, 20, 20), np.zeros((20, 1), np.float32)
    x = rows(people, contents, pairs, person, content, 1.0)
    y = (x[:, 1] == 2).astype(np.float32)
    kinds = ["q", "c", "q", "q"]
    data = xgb.DMatrix(x, y, feature_names=list("abcd"), feature_types=kinds, enable_categorical=True)
    booster = xgb.train({"max_depth": 2, "min_child_weight": 0, "objective": "binary:logistic"}, data, 5)
    trees = bytes(booster.save_raw("ubj"))
    model = GoalModel("click", ("a", "b", "c", "d"), trees, IDENTITY, 4, {})
    scorer = Scorer.of({"click": model}, people, contents)
    assert scorer.forest is None
    found = scorer.score({"click": 1.0}, pairs, person, content, 1.0)
    np.testing.assert_array_equal(found.relevance, model.predict(x))
    assert len(np.unique(found.relevance)) > 1


def _model(goal: str, x: np.ndarray, y: np.ndarray, rounds: int = 5) -> GoalModel:
    names = [f"f{at}" for at in range(x.shape[1])]
    built = matrix(x, names, y)
    booster = train(built, built, {"max_depth": 3, "min_child_weight": 0}, rounds, rounds, 1)
    model = GoalModel.of(goal, booster, {})
    assert model.calibration == IDENTITY
    return model
