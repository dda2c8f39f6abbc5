"""Hyper-parameters by Optuna: TPE proposes, the median of earlier trials stops the hopeless, two budgets end it.

The matrices are built once and shared by all trials (construction costs as much as some 20 rounds).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import optuna
import xgboost as xgb
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from models.classifier import Binned, train

Json = Any
Metric = Literal["logloss", "auc", "aucpr"]

SPACE: Mapping[str, BaseDistribution] = MappingProxyType(
    {
        "learning_rate": FloatDistribution(0.02, 0.15, log=True),
        "max_depth": IntDistribution(2, 6),  # 6 levels are 64 leaves: one machine word in the leaf-bitmask scorer
        "min_child_weight": FloatDistribution(1.0, 100.0, log=True),
        "subsample": FloatDistribution(0.5, 0.9),
        "colsample_bytree": FloatDistribution(0.3, 0.8),
        "reg_lambda": FloatDistribution(5.0, 200.0, log=True),
        "reg_alpha": FloatDistribution(1e-3, 10.0, log=True),
        "gamma": FloatDistribution(1e-3, 5.0, log=True),
    }
)
"""Where the search looks, by XGBoost's own names.

Nothing bold: on a real log the boldest trees had the best log-loss on validation nights and the worst lists.
"""

DEFAULTS: Mapping[str, float] = MappingProxyType(
    {
        "learning_rate": 0.05,
        "max_depth": 3,
        "min_child_weight": 10.0,
        "subsample": 0.7,
        "colsample_bytree": 0.5,
        "reg_lambda": 20.0,
        "reg_alpha": 1e-3,
        "gamma": 1e-3,
    }
)
"""The first trial: no search may end below sane defaults."""

EVERY = 5
"""Rounds between two looks at a trial."""

_DIRECTIONS: Mapping[str, Literal["minimize", "maximize"]] = MappingProxyType(
    {"logloss": "minimize", "auc": "maximize", "aucpr": "maximize"}
)


@dataclass(frozen=True)
class TrialRecord:
    """One trial. `value` is the validation metric at the best round (pruned: when it was stopped)."""

    number: int
    params: Mapping[str, float]
    value: float | None
    state: str
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Trained:
    """What a whole trial trained, and the validation metric after each of its rounds."""

    booster: xgb.Booster
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Tuned:
    """The best parameters (fixed ones and metric included: ready for `train`), their value, and every trial.

    `trained` is what `train` makes of the best parameters: the best trial's, unless it was made in an earlier search or
    ran out of time.
    """

    best_params: Mapping[str, Json]
    best_value: float
    trials: tuple[TrialRecord, ...]
    trained: Trained | None


def tune(
    train_matrix: Binned,
    validation_matrix: xgb.DMatrix,
    *,
    trials: int,
    seconds: float,
    seed: int,
    rounds: int = 500,
    early_stopping: int = 30,
    fixed: Mapping[str, Json] = MappingProxyType({}),
    known: Sequence[Mapping[str, float]] = (),
    metric: Metric = "logloss",
    storage: optuna.storages.BaseStorage | None = None,
    study_name: str = "tuning",
    warm_start: bool = False,
    on_trial: Callable[[TrialRecord], None] | None = None,
    stopwatch: Callable[[], float] = time.monotonic,
) -> Tuned:
    """Search SPACE for the parameters with the best validation `metric`.

    Stops after `trials` trials or `seconds`, whichever comes first; a trial that runs into the end of the time is
    stopped and does not count, unless it is the first. DEFAULTS are tried first, then `known` (the champion's
    parameters, say). `fixed` are XGBoost parameters for all trials (`device`, `nthread`). `storage` keeps the study;
    one of that name is continued with `warm_start` (its trials count) and refused without. `stopwatch` gives seconds
    and decides only how many trials there are: with time to spare, a seed determines the result.
    """
    if trials < 1 or seconds <= 0:
        raise ValueError(f"tune: trials={trials} and seconds={seconds}, expected at least one trial and some time.")
    search = _Search(
        train_matrix,
        validation_matrix,
        {**fixed, "eval_metric": metric},
        rounds,
        early_stopping,
        seed,
        stopwatch() + seconds,
        stopwatch,
    )
    with quiet_optuna():
        study = _study(storage, study_name, metric, seed, warm_start)
        for params in (DEFAULTS, *known):
            study.enqueue_trial(dict(params), skip_if_exists=True)
        for _ in range(trials - len(_finished(study))):
            if search.out_of_time() and _finished(study):
                break
            number = search.run(study)
            if on_trial:
                on_trial(_record(study.trials[number]))
    return _tuned(study, search)


class Recorder(xgb.callback.TrainingCallback):
    """Keeps the validation metric of every round."""

    def __init__(self, metric: str = "logloss") -> None:
        self.metric = metric
        self.losses: list[float] = []

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        """Return False: this callback never stops the training."""
        self.losses.append(float(evals_log["validation"][self.metric][-1]))
        return False


class _Referee(Recorder):
    """Reports a trial's validation metric, and ends it when the pruner or the clock says so."""

    def __init__(self, trial: Trial, metric: str, out_of_time: Callable[[], bool]) -> None:
        super().__init__(metric)
        self.trial, self.out_of_time = trial, out_of_time
        self.cut = False

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        """Return True to stop after this round."""
        super().after_iteration(model, epoch, evals_log)
        if (epoch + 1) % EVERY == 0:
            self.trial.report(self.losses[-1], epoch)
            if self.trial.should_prune():
                raise optuna.TrialPruned
        # Not after the first round: stopping there would keep XGBoost from noting a best one.
        self.cut = epoch > 0 and self.out_of_time()
        return self.cut


@dataclass
class _Search:
    """What all trials of one search share; `best` is the number of the best whole one, and what it trained."""

    train_matrix: Binned
    validation_matrix: xgb.DMatrix
    fixed: Mapping[str, Json]
    rounds: int
    early_stopping: int
    seed: int
    deadline: float
    stopwatch: Callable[[], float]
    best: tuple[int, Trained] | None = None

    def out_of_time(self) -> bool:
        return self.stopwatch() >= self.deadline

    def run(self, study: optuna.Study) -> int:
        """Run one trial and return its number."""
        trial, started = study.ask(dict(SPACE)), self.stopwatch()
        referee = _Referee(trial, self.fixed["eval_metric"], self.out_of_time)
        first = not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        try:
            booster = self._train(trial.params, referee)
        except optuna.TrialPruned:
            booster = None
        trial.set_user_attr("seconds", self.stopwatch() - started)
        if booster is None or (referee.cut and not first):
            study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr("rounds", booster.best_iteration + 1)
            study.tell(trial, booster.best_score)
            if not referee.cut and study.best_trial.number == trial.number:
                self.best = trial.number, Trained(booster, tuple(referee.losses))
        return trial.number

    def _train(self, params: Mapping[str, Any], referee: _Referee) -> xgb.Booster:
        settings = {**self.fixed, **params}
        matrices = (self.train_matrix, self.validation_matrix)
        return train(*matrices, settings, self.rounds, self.early_stopping, self.seed, (referee,))


def _study(
    storage: optuna.storages.BaseStorage | None, name: str, metric: Metric, seed: int, warm_start: bool
) -> optuna.Study:
    try:
        study = optuna.create_study(
            storage=storage,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2 * EVERY, interval_steps=EVERY),
            study_name=name,
            direction=_DIRECTIONS[metric],
            load_if_exists=warm_start,
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise ValueError(
            f"tune: a study {name!r} exists; continue it with warm_start=True, or name another."
        ) from error
    # A continued study must not propose its first trials again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), multivariate=True)
    return study


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in study.trials if trial.state.is_finished()]


def _record(trial: FrozenTrial) -> TrialRecord:
    rounds = trial.user_attrs.get("rounds", (trial.last_step or 0) + 1)
    seconds = trial.user_attrs.get("seconds", 0.0)
    return TrialRecord(trial.number, dict(trial.params), trial.value, trial.state.name.lower(), rounds, seconds)


def _tuned(study: optuna.Study, search: _Search) -> Tuned:
    records = tuple(_record(trial) for trial in _finished(study))
    if not any(record.state == "complete" for record in records):
        raise ValueError(
            f"tune: none of {len(records)} trials has a validation metric; check that the validation nights hold "
            "both outcomes."
        )
    number, trained = search.best or (None, None)
    return Tuned(
        {**search.fixed, **study.best_params},
        study.best_value,
        records,
        trained if number == study.best_trial.number else None,
    )


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Only warnings while we search; the caller's setting afterwards."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
