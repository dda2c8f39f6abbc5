"""One goal, learned, and how it is measured beside its rivals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.classifier import GoalModel, matrix, train
from models.learning import Budget, Learned, Sample, curves, importance, learn, logistic, measures
from models.metrics import auc

FEATURES = ("signal", "noise", "constant")


def sample(seed: int, rows: int = 600) -> Sample:
    """Rows in which `signal` decides with what chance somebody engages; a tenth of it is missing."""
    rng = np.random.default_rng(seed)
    signal, noise = rng.normal(size=rows), rng.normal(size=rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(2 - 2 * signal))).astype(np.float32)
    signal[rng.random(rows) < 0.1] = np.nan
    x = np.column_stack([signal, noise, np.ones(rows)]).astype(np.float32)
    return Sample(x, y, rng.integers(0, 60, rows))


@pytest.fixture(scope="module")
def learned() -> Learned:
    """A goal learned on a budget of two trials."""
    return learn("click", FEATURES, sample(1), sample(2), Budget(trials=2, seconds=60, seed=5))


def test_it_learns_what_there_is_to_learn(learned: Learned) -> None:
    """On rows that nobody has seen it ranks well, and its probabilities mean what they say."""
    test = sample(3)
    p = learned.model.predict(test.x)
    assert auc(test.y, p) > 0.8
    assert p.mean() == pytest.approx(test.y.mean(), abs=0.04)


def test_the_same_seed_gives_the_same_model(learned: Learned) -> None:
    """Trials, trees, calibration and the curve: all but how long it took."""
    again = learn("click", FEATURES, sample(1), sample(2), Budget(trials=2, seconds=60, seed=5))
    assert again.model == learned.model
    assert again.curve == learned.curve
    assert [replace(t, seconds=0) for t in again.trials] == [replace(t, seconds=0) for t in learned.trials]


def test_the_curve_has_its_lowest_point_where_the_trees_end(learned: Learned) -> None:
    """Validation loss by round, the best of which is where the model was cut."""
    assert int(np.argmin(learned.curve)) == learned.model.best_iteration


def test_importance_shares_out_all_the_gain(learned: Learned) -> None:
    """The shares add up to one, the largest first, and a feature that no tree asks for has none."""
    shares = importance(learned.model)
    assert shares[0][0] == "signal"
    assert dict(shares)["constant"] == 0.0
    assert sum(share for _, share in shares) == pytest.approx(1)
    assert [share for _, share in shares] == sorted((share for _, share in shares), reverse=True)


def test_a_model_without_a_split_has_no_importance() -> None:
    """Where no tree found anything, every share is zero rather than a division by it."""
    x = np.ones((20, 1), np.float32)
    built = matrix(x, ["f"], np.array([0, 1] * 10))
    model = GoalModel.of("g", train(built, built, {}, 2, 2, 1), {})
    assert importance(model) == [("f", 0.0)]


def test_logistic_regression_answers_for_each_of_the_others() -> None:
    """Rivals' probabilities come back set by set, in their own lengths, and rank the rows too."""
    test, validation = sample(3), sample(2, rows=50)
    first, second = logistic(sample(1), validation.x, test.x)
    assert (len(first), len(second)) == (50, 600)
    assert auc(test.y, second) > 0.75


def test_logistic_regression_learns_on_evenly_spaced_rows_of_many() -> None:
    """Of more than 40,000 rows every other is enough: the rest may say what it likes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80_002, 1)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    lying = y.copy()
    lying[1::2] = 1 - y[1::2]
    told = Sample(x, lying, np.arange(len(y)))
    (p,) = logistic(told, np.array([[-2.0], [2.0]], np.float32))
    assert p[0] < 0.1
    assert p[1] > 0.9


def test_logistic_regression_without_both_outcomes_says_the_rate() -> None:
    """Where nobody ever engaged there is nothing to fit, and the rate is all that is known."""
    nobody = Sample(np.ones((5, 1)), np.zeros(5), np.arange(5))
    (p,) = logistic(nobody, np.ones((3, 1)))
    assert p.tolist() == [0, 0, 0]


def test_only_probabilities_are_held_to_their_word() -> None:
    """A popularity score has an AUC and a lift, but neither a log-loss nor a calibration error."""
    y, p = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8])
    honest = measures(y, p, probabilities=True)
    assert honest["log_loss"] == pytest.approx(-(2 * np.log(0.9) + 2 * np.log(0.8)) / 4)
    score = measures(y, 7 * p, probabilities=False)
    assert (score["auc"], score["log_loss"], score["ece"]) == (1.0, None, None)


def test_curves_run_from_end_to_end_and_are_thin_enough_to_draw() -> None:
    """ROC from (0, 0) to (1, 1), recall from 0 to 1, and never more than about a hundred points."""
    test = sample(3, rows=5000)
    found = curves(test.y, np.clip(np.nan_to_num(test.x[:, 0]) / 8 + 0.5, 0, 1))
    x, y = found["roc"]
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    recall, _ = found["precision_recall"]
    assert (recall[0], recall[-1]) == (0, 1)
    for across, up in found.values():
        assert len(across) == len(up) <= 101
        assert across == sorted(across)
