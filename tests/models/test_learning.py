"""One goal, learned, and how it is measured beside its rivals."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import classifier
from models.classifier import Bundle, GoalModel, matrix, train
from models.learning import Budget, Learned, Sample, anew, curves, importance, learn, measures, relearn
from models.metrics import auc

FEATURES = ("signal", "noise", "constant")


def sample(seed: int, rows: int = 2000) -> Sample:
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


def test_how_the_held_out_rows_are_kept_changes_nothing(learned: Learned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many to be held out plain, they stand in the training's bins: the same trees, losses and calibration."""
    monkeypatch.setattr(classifier, "PLAIN_CELLS", 0)
    binned = learn("click", FEATURES, sample(1), sample(2), Budget(trials=2, seconds=60, seed=5))
    assert binned.model == learned.model
    assert binned.curve == learned.curve


def test_the_curve_has_its_lowest_point_where_the_trees_end(learned: Learned) -> None:
    """Validation loss by round, the best of which is where the model was cut."""
    assert int(np.argmin(learned.curve)) == learned.model.best_iteration


def test_relearning_with_what_was_found_gives_the_same_model(learned: Learned) -> None:
    """The parameters of a model, its rows and its seed make it again, to the last byte, without any trial."""
    again = relearn("click", FEATURES, sample(1), sample(2), learned.model.params, 5)
    assert again.model == learned.model
    assert again.model.booster_ubj == learned.model.booster_ubj
    assert (again.curve, again.trials) == (learned.curve, ())


def test_what_was_learned_on_a_gpu_is_read_and_learned_again_without_one() -> None:
    """Where the search ran is no part of what it found: nothing asks for a GPU after it, so nothing can miss one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no GPU, XGBoost says so and takes the processor
        found = learn("click", FEATURES, sample(1), sample(2), Budget(trials=1, seconds=60, seed=5, device="cuda"))
    assert found.model.params["device"] == "cuda"
    bundle = Bundle({"click": found.model}, {"click": 1.0})
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        read = Bundle.from_files(bundle.to_files()).models["click"]
        assert np.array_equal(read.predict(sample(3).x), found.model.predict(sample(3).x))
        again = relearn("click", FEATURES, sample(1), sample(2), read.params, 5)
        serves = anew(read, [sample(1), sample(2)], 5)
    assert not [str(one.message) for one in heard]
    assert again.model.params["device"] == "cpu"
    assert auc(sample(3).y, serves.predict(sample(3).x)) > 0.8


def test_relearning_learns_from_the_rows_that_it_gets(learned: Learned) -> None:
    """Other nights, other trees, with the parameters that were there."""
    other = relearn("click", FEATURES, sample(4), sample(2), learned.model.params, 5)
    assert other.model.booster_ubj != learned.model.booster_ubj
    assert other.model.params == learned.model.params


def thinned(whole: Sample, share: float, seed: int) -> Sample:
    """The same rows, of which a share was drawn whatever came of them."""
    return replace(whole, drawn=np.random.default_rng(seed).random(len(whole.y)) < share, negatives=share)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_all_positives_are_learned_from_and_the_negatives_that_were_drawn(rows: list[tuple[bool, bool]]) -> None:
    """In their order, each with its person; nothing is drawn a second time, and the whole is as it was."""
    y, drawn = (np.array([row[i] for row in rows], bool) for i in (0, 1))
    whole = Sample(np.arange(len(y))[:, None], y.astype(np.float32), np.arange(len(y)) + 100, drawn, 0.25)
    found = whole.to_learn
    expected = [n for n, (positive, taken) in enumerate(rows) if positive or taken]
    assert found.x[:, 0].tolist() == expected
    assert found.people.tolist() == [100 + n for n in expected]
    assert found.y.tolist() == [float(rows[n][0]) for n in expected]
    assert found.negatives == 0.25
    assert found.to_learn is found
    assert len(whole.y) == len(rows)


def test_without_a_draw_all_is_learned_from() -> None:
    """Where every impression is logged nothing is left out, and nothing is put right."""
    whole = sample(1, rows=20)
    assert whole.to_learn is whole
    assert whole.negatives == 1.0


def test_few_negatives_teach_the_same_probabilities(learned: Learned) -> None:
    """A fifth of the negatives ranks about as well, and means what it says because the share is put right."""
    training, validation, test = thinned(sample(1, 4_000), 0.2, 0), thinned(sample(2, 4_000), 0.2, 1), sample(3, 4_000)
    model = relearn("click", FEATURES, training, validation, learned.model.params, 5).model
    assert model.negatives == 0.2
    assert model.predict(test.x).mean() == pytest.approx(test.y.mean(), abs=0.02)
    assert auc(test.y, model.predict(test.x)) > 0.83
    before_calibration = 1 / (1 + np.exp(-model.margin(test.x)))
    assert before_calibration.mean() == pytest.approx(test.y.mean(), abs=0.03)


def test_trees_see_drawn_rows_only_and_calibration_sees_all(learned: Learned) -> None:
    """Rows that were not drawn may hold anything: the trees stay the same. In validation they move the calibration."""
    params, training, validation = learned.model.params, thinned(sample(1), 0.3, 0), thinned(sample(2), 0.3, 1)
    model = relearn("click", FEATURES, training, validation, params, 5).model

    def spoiled(whole: Sample) -> Sample:
        assert whole.drawn is not None
        left_out = ~(whole.drawn | (whole.y > 0))
        return replace(whole, x=np.where(left_out[:, None], np.float32(9), whole.x))

    same = relearn("click", FEATURES, spoiled(training), validation, params, 5).model
    other = relearn("click", FEATURES, training, spoiled(validation), params, 5).model
    assert same == model
    assert other.booster_ubj == model.booster_ubj
    assert other.calibration != model.calibration


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


def test_anew_on_the_same_rows_is_the_same_model(learned: Learned) -> None:
    """The recipe is all of it: parameters, rounds, seed and calibration."""
    again, x = anew(learned.model, [sample(1)], 5), sample(3).x
    assert np.array_equal(again.predict(x), learned.model.predict(x))
    assert again.booster.num_boosted_rounds() == learned.model.booster.num_boosted_rounds()


def test_anew_learns_from_all_that_it_gets(learned: Learned) -> None:
    """Newer rows in which all is turned round change its mind, though neither rounds nor calibration."""
    turned = [replace(one, y=1 - one.y) for one in (sample(4), sample(5), sample(6))]
    again, x = anew(learned.model, [sample(1), *turned], 5), np.array([[2, 0, 1], [-2, 0, 1]], np.float32)
    assert np.diff(learned.model.predict(x))[0] < 0 < np.diff(again.predict(x))[0]
    assert (again.calibration, again.best_iteration) == (learned.model.calibration, learned.model.best_iteration)


def test_anew_learns_from_what_was_drawn_and_as_it_weighs(learned: Learned) -> None:
    """Held-out nights have all their negatives; of them too only those count that were drawn. Weight 0 counts not."""
    first, second = sample(1), sample(4)
    drawn = np.random.default_rng(0).random(2000) < 0.3
    kept = drawn | (second.y > 0)
    few = replace(second, x=second.x[kept], y=second.y[kept], people=second.people[kept])
    x = sample(3).x
    some = anew(learned.model, [first, replace(second, drawn=drawn)], 5)
    assert np.array_equal(some.predict(x), anew(learned.model, [first, few], 5).predict(x))
    heavy = anew(learned.model, [first, replace(second, y=1 - second.y, weight=np.zeros(2000))], 5)
    assert auc(sample(3).y, heavy.predict(x)) > 0.8
