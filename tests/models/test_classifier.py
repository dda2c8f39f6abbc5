"""One goal's model and the bundle it travels in."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb
from scipy.special import expit

from models.calibration import IDENTITY
from models.classifier import Bundle, GoalModel, matrix, train
from models.metrics import auc, ece

FEATURES = ("recency", "affinity", "age", "noise")
PARAMS = {"max_depth": 3, "learning_rate": 0.3, "subsample": 0.8, "nthread": 2}


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Float32 rows with missing values, labels that the first two features make, and people of four rows."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(FEATURES))).astype(np.float32)
    y = (rng.random(n) < expit(1.5 * x[:, 0] * (x[:, 1] > 0) - 1)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x, y, rng.integers(0, n // 4, n)


@pytest.fixture(scope="module", name="matrices")
def build_matrices() -> tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix]:
    """Training and validation matrices, binned once."""
    x, y, _ = rows(4_000, 0)
    train_matrix = matrix(x, FEATURES, y)
    x, y, _ = rows(2_000, 1)
    return train_matrix, matrix(x, FEATURES, y, ref=train_matrix)


@pytest.fixture(scope="module", name="model")
def train_model(matrices: tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix]) -> GoalModel:
    """A calibrated model."""
    model = GoalModel.of("click", train(*matrices, PARAMS, 200, 5, seed=7), PARAMS)
    return model.calibrated(*rows(2_000, 1))


def test_a_seed_determines_every_byte(matrices: tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix]) -> None:
    """The same rows, parameters and seed give the same model file; another seed does not."""
    files = [GoalModel.of("click", train(*matrices, PARAMS, 30, 5, seed), PARAMS).booster_ubj for seed in (1, 1, 2)]
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_trees_after_the_best_round_are_cut(matrices: tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix]) -> None:
    """The stored trees are those up to the best validation round, and they alone predict."""
    booster = train(*matrices, PARAMS, 200, 5, seed=7)
    model = GoalModel.of("click", booster, PARAMS)
    assert booster.num_boosted_rounds() == booster.best_iteration + 1 + 5
    assert model.booster.num_boosted_rounds() == model.best_iteration + 1
    x = rows(50, 3)[0]
    until_best = booster.inplace_predict(x, iteration_range=(0, booster.best_iteration + 1), predict_type="margin")
    assert model.margin(x) == pytest.approx(until_best, abs=1e-6)


def test_predictions_rank_and_mean_what_they_say_on_new_people(model: GoalModel) -> None:
    """On rows that nothing was fitted to, the model finds the signal and its probabilities hold."""
    x, y, _ = rows(4_000, 5)
    p = model.predict(x)
    assert auc(y, p) > 0.68
    assert ece(y, p) < 0.04


def test_probabilities_follow_from_margins(model: GoalModel) -> None:
    """Whoever adds up the trees gets the same probabilities from the same log-odds."""
    x = rows(100, 6)[0]
    assert np.array_equal(model.predict(x), model.probabilities(model.margin(x)))
    assert model.calibration != IDENTITY


def test_contributions_add_up_to_the_margin(model: GoalModel) -> None:
    """Each row's contributions and base sum to its log-odds, and the features that matter carry them."""
    x = rows(200, 8)[0]
    parts = model.contributions(x)
    assert parts.shape == (200, len(FEATURES) + 1)
    assert parts.sum(axis=1) == pytest.approx(model.margin(x), abs=1e-4)
    weight = np.abs(parts).mean(axis=0)
    assert min(weight[:2]) > max(weight[2:4])


SHARE = 0.2


@pytest.fixture(scope="module", name="thinned")
def train_on_few_negatives() -> GoalModel:
    """A model that learned from all positives and a fifth of the negatives; not calibrated."""
    drawn, parts = np.random.default_rng(11), []
    for seed in (0, 1):
        x, y, _ = rows(8_000, seed)
        kept = (y > 0) | (drawn.random(len(y)) < SHARE)
        parts.append((x[kept], y[kept]))
    train_matrix = matrix(parts[0][0], FEATURES, parts[0][1])
    held_out = matrix(parts[1][0], FEATURES, parts[1][1], ref=train_matrix)
    params = {**PARAMS, "learning_rate": 0.1}
    return GoalModel.of("click", train(train_matrix, held_out, params, 200, 10, seed=7), params, SHARE)


def test_few_negatives_are_put_right_before_calibration(thinned: GoalModel) -> None:
    """Who learned from a fifth of the negatives still says how often it happens, not how often it was in the sample."""
    x, y, _ = rows(8_000, 5)
    p = expit(thinned.margin(x))
    assert p.mean() == pytest.approx(y.mean(), abs=0.02)
    assert expit(replace(thinned, negatives=1.0).margin(x)).mean() > 1.8 * y.mean()
    assert ece(y, p) < 0.04
    assert auc(y, p) > 0.68


def test_the_odds_are_those_of_the_sample_times_the_share(thinned: GoalModel) -> None:
    """q = p / (p + (1 - p) / w), p being what the trees say; the explanation of a score adds up to the same."""
    x = rows(100, 8)[0]
    p = expit(replace(thinned, negatives=1.0).margin(x))
    assert expit(thinned.margin(x)) == pytest.approx(p / (p + (1 - p) / SHARE))
    parts, of_trees = thinned.contributions(x), replace(thinned, negatives=1.0).contributions(x)
    assert parts.sum(axis=1) == pytest.approx(thinned.margin(x), abs=1e-4)
    assert np.array_equal(parts[:, :-1], of_trees[:, :-1])


def test_calibration_starts_from_what_was_put_right(thinned: GoalModel) -> None:
    """Fitted on and applied to the same log-odds: a calibrated model of few negatives means what it says."""
    x, y, people = rows(8_000, 1)
    model = thinned.calibrated(x, y, people)
    assert model.negatives == SHARE
    x, y, _ = rows(8_000, 5)
    assert model.predict(x).mean() == pytest.approx(y.mean(), abs=0.02)
    assert np.array_equal(model.predict(x), model.probabilities(model.margin(x)))


def test_the_share_of_negatives_travels_with_the_model(thinned: GoalModel) -> None:
    """Read back it predicts the same bits; a manifest of before there was a share is one of all negatives."""
    files = bundle(thinned).to_files()
    again = Bundle.from_files(files).models["click"]
    x = rows(50, 4)[0]
    assert again == thinned
    assert again.negatives == SHARE
    assert np.array_equal(again.predict(x), thinned.predict(x))
    manifest = json.loads(files["bundle.json"])
    assert manifest["goals"]["click"].pop("negatives") == SHARE
    old = Bundle.from_files({**files, "bundle.json": json.dumps(manifest).encode()}).models["click"]
    assert old == replace(thinned, negatives=1.0)


def test_weights_reach_the_trees() -> None:
    """A row of weight 0 teaches nothing: labels turned round under it do no harm."""
    x, y, _ = rows(2_000, 9)
    spoiled, weight = np.append(y, 1 - y), np.repeat([1.0, 0.0], 2_000)
    weighted = matrix(np.vstack([x, x]), FEATURES, spoiled, weight)
    booster = train(weighted, weighted, PARAMS, 10, 5, seed=0)
    assert auc(y, booster.inplace_predict(x)) > 0.75


def test_rows_of_another_width_are_refused(model: GoalModel) -> None:
    """A feature too few is an error that names the features, not a wrong prediction."""
    for method in (model.margin, model.predict, model.contributions):
        with pytest.raises(ValueError, match="recency, affinity, age, noise"):
            method(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="matrix: rows of shape"):
        matrix(np.zeros(4, np.float32), FEATURES)


def bundle(model: GoalModel) -> Bundle:
    """A bundle of one goal with the context that features need."""
    return Bundle({"click": model}, {"click": 0.5}, {"rfm": {"recency_days": [1.5, 7.0]}, "categories": ["news", "ü"]})


def test_a_bundle_survives_its_files(model: GoalModel) -> None:
    """Written and read back, a bundle is equal, predicts the same bits, and is written the same again."""
    files = bundle(model).to_files()
    again = Bundle.from_files(files)
    assert sorted(files) == ["bundle.json", "click.ubj"]
    assert again == bundle(model)
    assert again.to_files() == files
    x = rows(50, 4)[0]
    assert np.array_equal(again.models["click"].predict(x), model.predict(x))


def test_a_changed_or_missing_file_is_named(model: GoalModel) -> None:
    """One flipped bit, or a file that is gone, stops the load with the file's name."""
    files = bundle(model).to_files()
    flipped = files["click.ubj"][:-1] + bytes([files["click.ubj"][-1] ^ 1])
    with pytest.raises(ValueError, match=r"click\.ubj: sha256"):
        Bundle.from_files({**files, "click.ubj": flipped})
    for name in files:
        with pytest.raises(ValueError, match=f"{name}: missing"):
            Bundle.from_files({other: content for other, content in files.items() if other != name})


def test_what_serves_and_what_was_judged_travel_together(model: GoalModel, thinned: GoalModel) -> None:
    """Both come back as they were, each from its own file; what serves is under the goal's plain name."""
    both = replace(bundle(model), anew={"click": thinned})
    files = both.to_files()
    assert sorted(files) == ["bundle.json", "click.judged.ubj", "click.ubj"]
    assert files["click.ubj"] == thinned.booster_ubj
    again = Bundle.from_files(files)
    assert again == both
    assert (again.models["click"], again.serving["click"]) == (model, thinned)
    with pytest.raises(ValueError, match=r"click\.judged\.ubj: sha256"):
        Bundle.from_files({**files, "click.judged.ubj": thinned.booster_ubj})


def test_a_bundle_of_before_there_were_two_serves_the_one(model: GoalModel) -> None:
    """A manifest that knows of none judged otherwise."""
    files = bundle(model).to_files()
    manifest = json.loads(files["bundle.json"])
    assert manifest.pop("judged") == {}
    old = Bundle.from_files({**files, "bundle.json": json.dumps(manifest).encode()})
    assert old.serving == old.models == {"click": model}


def test_nothing_serves_that_was_not_judged(model: GoalModel) -> None:
    """A goal learned anew that nobody ever held to account is refused."""
    with pytest.raises(ValueError, match=r"\['read'\] learned anew"):
        replace(bundle(model), anew={"read": model})


def test_a_bundle_of_another_format_is_refused(model: GoalModel) -> None:
    """A bundle that a later version wrote is not guessed at."""
    files = bundle(model).to_files()
    later = json.dumps({**json.loads(files["bundle.json"]), "format": 99}).encode()
    with pytest.raises(ValueError, match="format 99, expected 1"):
        Bundle.from_files({**files, "bundle.json": later})


@pytest.mark.parametrize("goal", ["../../etc/passwd", "a b", ""])
def test_a_goal_cannot_name_a_path(model: GoalModel, goal: str) -> None:
    """Goals become file names, so they hold no separators."""
    with pytest.raises(ValueError, match="cannot name files"):
        Bundle({goal: model}, {goal: 1.0})


def test_models_and_weights_are_of_the_same_goals(model: GoalModel) -> None:
    """A model without a weight would be scored as nothing."""
    with pytest.raises(ValueError, match="need the same goals"):
        Bundle({"click": model}, {"read": 1.0})
