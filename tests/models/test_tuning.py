"""The search: sane first, reproducible, and within both budgets."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import optuna
import pytest
import xgboost as xgb
from optuna.storages.journal import JournalFileBackend, JournalStorage

from models.classifier import matrix, train
from models.tuning import DEFAULTS, SPACE, TrialRecord, Tuned, tune

FEATURES = ("a", "b", "c")
Matrices = tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix]


@pytest.fixture(scope="module", name="matrices")
def build_matrices() -> Matrices:
    """Training and validation matrices with a signal in two features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1_500, 3)).astype(np.float32)
    y = (rng.random(1_500) < 1 / (1 + np.exp(1 - 2 * x[:, 0] * x[:, 1]))).astype(np.float32)
    train_matrix = matrix(x[:1_000], FEATURES, y[:1_000])
    return train_matrix, matrix(x[1_000:], FEATURES, y[1_000:], ref=train_matrix)


def search(matrices: Matrices, trials: int = 8, seconds: float = 600.0, **settings: object) -> Tuned:
    """A short search."""
    options = {"seed": 3, "rounds": 40, "early_stopping": 10, "fixed": {"nthread": 1}, **settings}
    return tune(*matrices, trials=trials, seconds=seconds, **options)  # type: ignore[arg-type]


def facts(tuned: Tuned) -> list[tuple[object, ...]]:
    """What of the trials a seed determines."""
    return [(t.number, t.params, t.value, t.state, t.rounds) for t in tuned.trials]


def test_defaults_come_first_and_are_not_beaten_by_the_result(matrices: Matrices) -> None:
    """The first trial is the defaults, so no search ends below them; the best is the best of all."""
    tuned = search(matrices)
    assert tuned.trials[0].params == DEFAULTS
    complete = [t.value for t in tuned.trials if t.state == "complete" and t.value is not None]
    assert tuned.best_value == min(complete) <= complete[0]


def test_the_best_parameters_train_the_model_that_was_measured(matrices: Matrices) -> None:
    """Training with what the search returned reaches the value that it promised, at the round that it recorded."""
    tuned = search(matrices)
    booster = train(*matrices, tuned.best_params, 40, 10, seed=3)
    best = min((t for t in tuned.trials if t.state == "complete"), key=lambda t: t.value or 0.0)
    assert booster.best_score == pytest.approx(tuned.best_value)
    assert booster.best_iteration + 1 == best.rounds
    assert tuned.best_params["nthread"] == 1
    assert tuned.trained is not None
    assert tuned.trained.booster.save_raw() == booster.save_raw()
    assert min(tuned.trained.losses) == pytest.approx(tuned.best_value)
    assert len(tuned.trained.losses) == booster.num_boosted_rounds()


def test_a_seed_determines_every_trial(matrices: Matrices) -> None:
    """Two searches with one seed run the same trials; another seed runs others."""
    assert facts(search(matrices)) == facts(search(matrices))
    assert facts(search(matrices))[1:] != facts(search(matrices, seed=4))[1:]


def test_no_tree_outgrows_the_leaf_mask() -> None:
    """The space allows at most 64 leaves, one machine word, and holds the defaults."""
    assert 2 ** SPACE["max_depth"].high <= 64  # type: ignore[attr-defined]
    assert all(SPACE[name]._contains(value) for name, value in DEFAULTS.items())
    assert set(SPACE) == set(DEFAULTS)


def test_hopeless_trials_are_pruned(matrices: Matrices) -> None:
    """After five trials the median stops what cannot win, and such a trial is never the best."""
    hopeless = [{**DEFAULTS, "learning_rate": 0.02, "reg_lambda": penalty} for penalty in (100.0, 200.0)]
    good = [{**DEFAULTS, "learning_rate": rate} for rate in (0.06, 0.08, 0.1, 0.15)]
    tuned = search(matrices, trials=7, known=[*good, *hopeless], early_stopping=40)
    assert [t.state for t in tuned.trials] == ["complete"] * 5 + ["pruned"] * 2
    assert all(t.rounds < 40 for t in tuned.trials[5:])
    assert tuned.best_params["reg_lambda"] == DEFAULTS["reg_lambda"]


def test_time_ends_the_search_within_a_trial(matrices: Matrices) -> None:
    """When the time is up the running trial stops and does not count, and no other begins."""
    ticks = count()
    tuned = search(matrices, trials=50, seconds=100, stopwatch=lambda: float(next(ticks)), early_stopping=40)
    assert 2 <= len(tuned.trials) <= 4
    assert tuned.trials[0].state == "complete"
    assert tuned.trials[-1].state == "pruned"
    assert tuned.trials[-1].rounds < 40


def test_even_no_time_at_all_gives_a_model(matrices: Matrices) -> None:
    """The first trial is cut short rather than thrown away: there is always something to train with."""
    ticks = count()
    tuned = search(matrices, seconds=3, stopwatch=lambda: float(next(ticks)))
    assert [(t.state, t.params) for t in tuned.trials] == [("complete", DEFAULTS)]
    assert tuned.trials[0].rounds < 10
    assert tuned.trained is None, "half a training is nothing to serve"


def test_a_stored_study_continues_only_when_asked(matrices: Matrices, tmp_path: Path) -> None:
    """An interrupted study goes on to its number of trials, without repeating any; uninvited reuse is refused."""

    def journal() -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))

    before = search(matrices, trials=4, storage=journal(), study_name="click")
    with pytest.raises(ValueError, match="'click' exists"):
        search(matrices, trials=6, storage=journal(), study_name="click")
    after = search(matrices, trials=12, storage=journal(), study_name="click", warm_start=True)
    assert facts(after)[:4] == facts(before)
    assert len({tuple(t.params.items()) for t in after.trials}) == 12
    assert facts(search(matrices, trials=12, storage=journal(), study_name="click", warm_start=True)) == facts(after)


def test_every_trial_is_told_as_it_ends(matrices: Matrices) -> None:
    """The caller hears of each trial, in order, with what the result will hold."""
    heard: list[TrialRecord] = []
    tuned = search(matrices, trials=5, on_trial=heard.append)
    assert tuple(heard) == tuned.trials


def test_a_metric_that_grows_is_maximised(matrices: Matrices) -> None:
    """Tuning for AUC takes the highest value, not the lowest."""
    tuned = search(matrices, metric="auc")
    values = [t.value for t in tuned.trials if t.state == "complete" and t.value is not None]
    assert tuned.best_value == max(values) > min(values)
    assert tuned.best_params["eval_metric"] == "auc"


def test_optuna_speaks_as_before_when_the_search_is_over(matrices: Matrices) -> None:
    """The search silences Optuna for itself only."""
    before = optuna.logging.get_verbosity()
    during: list[int] = []
    search(matrices, trials=1, on_trial=lambda _: during.append(optuna.logging.get_verbosity()))
    assert during == [optuna.logging.WARNING]
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize(("trials", "seconds"), [(0, 10.0), (3, 0.0)])
def test_a_search_without_budget_is_refused(matrices: Matrices, trials: int, seconds: float) -> None:
    """No trials or no time is a mistake in the configuration, and is said."""
    with pytest.raises(ValueError, match="at least one trial"):
        search(matrices, trials=trials, seconds=seconds)
