"""One goal, learned: search, final trees, calibration; and how it and its rivals do on rows nobody learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from models import metrics
from models.batches import Batch, Stream
from models.classifier import Binned, GoalModel, binned, grow, held_out, train
from models.mapped import let_go
from models.tuning import Recorder, Trained, TrialRecord, Tuned, tune

Array = NDArray[Any]
Floats = NDArray[np.float64]

ROUNDS, EARLY_STOPPING = 400, 20
BATCH = 65_536
"""Rows that are copied at a time to be binned."""

_CURVE_POINTS = 101


@dataclass(frozen=True)
class Sample:
    """Rows of one goal: `x` (N, F), `y` (N,) 0 or 1, `people` (N,) pseudonyms.

    `drawn` (N,) are the rows that a model may learn from, a share `negatives` of those that are no positives: what is
    left out of them is put right in the probabilities. None: all. `group` (N,) is one number a list (a person on a
    night), `weight` (N,) how much each row counts when trees are grown and judged; None: unknown, and all alike.
    """

    x: Array
    y: Array
    people: Array
    drawn: NDArray[np.bool_] | None = None
    negatives: float = 1.0
    group: Array | None = None
    weight: Array | None = None

    @property
    def taught(self) -> NDArray[np.bool_] | None:
        """Which rows (N,) a model learns from: positives and what was drawn. None: all."""
        return None if self.drawn is None else self.drawn | (self.y > 0)

    @property
    def to_learn(self) -> Sample:
        """The positives, and the negatives that were drawn."""
        kept = self.taught
        if kept is None or kept.all():
            return self
        group, weight = (None if one is None else one[kept] for one in (self.group, self.weight))
        return Sample(self.x[kept], self.y[kept], self.people[kept], None, self.negatives, group, weight)


@dataclass(frozen=True)
class Learned:
    """A goal's calibrated model, every trial, and validation log-loss by round."""

    model: GoalModel
    trials: tuple[TrialRecord, ...]
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Budget:
    """What a search may cost, and the parameters that it tries before it looks for any itself.

    `pages`: how the names of XGBoost's files may begin for what is too large for memory (`classifier.binned`), while it
    is learned from; of no use to a GPU.
    """

    trials: int
    seconds: float
    seed: int
    device: str = "cpu"
    known: Sequence[Mapping[str, float]] = ()
    pages: str | None = None


def learn(
    goal: str,
    features: Sequence[str],
    training: Sample,
    validation: Sample,
    budget: Budget,
    *,
    storage: optuna.storages.BaseStorage | None = None,
    study: str = "study",
    on_trial: Callable[[TrialRecord], None] | None = None,
) -> Learned:
    """Tune, train with the best parameters, stop early on validation, and calibrate on it.

    The two matrices are built once and serve every trial and the final training. Both hold the rows to learn from;
    calibration is on all rows of the validation.
    """
    pages = budget.pages if budget.device == "cpu" else None
    built, judged = _matrices(features, training, validation, pages)
    tuned: Tuned = tune(
        built,
        judged,
        trials=budget.trials,
        seconds=budget.seconds,
        seed=budget.seed,
        rounds=ROUNDS,
        early_stopping=EARLY_STOPPING,
        fixed={"device": budget.device},
        known=budget.known,
        storage=storage,
        study_name=study,
        on_trial=on_trial,
    )
    best = tuned.trained or _trained(built, judged, tuned.best_params, budget.seed)
    return _learned(goal, best, tuned.best_params, training, validation, tuned.trials)


def relearn(
    goal: str,
    features: Sequence[str],
    training: Sample,
    validation: Sample,
    params: Mapping[str, Any],
    seed: int,
    device: str = "cpu",
) -> Learned:
    """The same without a search: with the parameters of an earlier one (`GoalModel.params`), wherever that one ran."""
    here = {**params, "device": device}
    best = _trained(*_matrices(features, training, validation), here, seed)
    return _learned(goal, best, here, training, validation, ())


def anew(
    model: GoalModel, samples: Sequence[Sample], seed: int, device: str = "cpu", *, pages: str | None = None
) -> GoalModel:
    """The recipe of `model` (parameters, rounds, calibration), its trees grown on what may be learned from `samples`.

    For what serves: `model` was judged on rows that it must not have learned from, and those are the newest ones. The
    trees grow on `device`, wherever those of `model` did; `pages` as in `Budget`.
    """
    built = binned(stream(samples), model.features, pages=pages if device == "cpu" else None)
    booster = grow(built, {**model.params, "device": device}, model.best_iteration + 1, seed)
    return replace(model, booster_ubj=bytes(booster.save_raw("ubj")))


def stream(samples: Sequence[Sample]) -> Stream:
    """The rows that may be learned from, sample after sample, none of them copied before its batch is asked for.

    Where some samples say how much each row counts and others do not, theirs count 1.
    """
    weighted = any(sample.weight is not None for sample in samples)
    masks = [sample.taught for sample in samples]
    rows = sum(len(one.y) if mask is None else int(mask.sum()) for one, mask in zip(samples, masks, strict=True))

    def batches() -> Iterator[Batch]:
        for sample, mask in zip(samples, masks, strict=True):
            yield from _batches(sample, mask, weighted)

    return Stream(rows, batches)


def _batches(sample: Sample, mask: NDArray[np.bool_] | None, weighted: bool) -> Iterator[Batch]:
    weight = np.ones(len(sample.y)) if weighted and sample.weight is None else sample.weight
    for start in range(0, max(1, len(sample.y)), BATCH):  # of no rows, one batch of none
        part = slice(start, start + BATCH)
        batch = Batch(sample.x[part], sample.y[part], None if weight is None else weight[part])
        yield batch if mask is None else batch.where(mask[part])
        let_go(sample.x)


def _matrices(
    features: Sequence[str], training: Sample, validation: Sample, pages: str | None = None
) -> tuple[Binned, xgb.DMatrix]:
    """Rows to learn from, and rows to be judged on, those with their weights too.

    Judged otherwise than learned, trees would end where the weights begin to tell.
    """
    built = binned(stream([training]), features, pages=pages)
    return built, held_out(stream([validation]), features, built)


def _learned(
    goal: str,
    best: Trained,
    params: Mapping[str, Any],
    training: Sample,
    validation: Sample,
    trials: tuple[TrialRecord, ...],
) -> Learned:
    model = GoalModel.of(goal, best.booster, params, training.negatives)
    return Learned(model.calibrated(validation.x, validation.y, validation.people), trials, best.losses)


def _trained(built: Binned, judged: xgb.DMatrix, params: Mapping[str, Any], seed: int) -> Trained:
    """Trees with these parameters: of an earlier search, or of a best trial that ran out of time."""
    recorder = Recorder()
    booster = train(built, judged, params, ROUNDS, EARLY_STOPPING, seed, [recorder])
    return Trained(booster, tuple(recorder.losses))


def measures(y: Array, p: Array, *, probabilities: bool) -> dict[str, float | None]:
    """AUC, PR-AUC and lift at 10 % of scores `p` (N,); log-loss and ECE only of what claims to be a probability."""
    return {
        "auc": metrics.auc(y, p),
        "pr_auc": metrics.pr_auc(y, p),
        "log_loss": metrics.log_loss(y, p) if probabilities else None,
        "ece": metrics.ece(y, p) if probabilities else None,
        "lift_10": metrics.lift(y, p, 0.1),
    }


def importance(model: GoalModel) -> list[tuple[str, float]]:
    """Every feature with its share of the trees' total gain, the largest first."""
    gains: dict[str, Any] = model.booster.get_score(importance_type="total_gain")  # of trees: a number a feature
    total = sum(gains.values()) or 1.0
    shares = [(name, float(gains.get(name, 0.0)) / total) for name in model.features]
    return sorted(shares, key=lambda pair: (-pair[1], pair[0]))


def curves(y: Array, p: Array) -> dict[str, tuple[list[float], list[float]]]:
    """`reliability`, `roc` and `precision_recall` as points to draw."""
    table = metrics.reliability(y, p)
    false_positive, true_positive, _ = roc_curve(y, p)
    precision, recall, _ = precision_recall_curve(y, p)
    return {
        "reliability": (table["predicted"].to_pylist(), table["observed"].to_pylist()),
        "roc": _thinned(false_positive, true_positive),
        "precision_recall": _thinned(recall[::-1], precision[::-1]),
    }


def _thinned(x: Array, y: Array) -> tuple[list[float], list[float]]:
    at = np.unique(np.linspace(0, len(x) - 1, _CURVE_POINTS).astype(int))
    return x[at].tolist(), y[at].tolist()
