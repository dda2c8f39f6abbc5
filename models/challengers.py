"""Other ways to learn from the same rows: logistic regression, a random forest, a small neural network, and a ranker.

None of them ever publishes: they stand beside XGBoost's classifiers and say what those are worth. Each learns from at
most ROWS rows, chosen and ordered by what they hold, so that the same rows in another order teach the same; all count
alike (`Sample.weight` is not theirs), and none is tuned or calibrated. Where a method cannot do without a value, the
column's median stands for it, with an indicator beside it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from models.learning import Sample

Array = NDArray[Any]
Floats = NDArray[np.float64]
Answers = tuple[Floats, ...]
Predict = Callable[[Array], Array]

ROWS = 40_000
"""What a challenger learns from at the most: enough to say what its kind is worth, and cheap."""

_FAR = 5.0
"""Standard deviations beyond which a neural network is told no more: a few huge values would drown all others."""

_STEPS = 600
"""Of 512 rows each: eight times over ROWS rows."""

_AT_ONCE = 1 << 16
_HASHED = 1 << 14


@dataclass(frozen=True)
class Challenger:
    """A way to learn. `answers` takes rows to learn from, further rows (M, F) each, and a seed; gives (M,) of each.

    `probabilities`: whether the answers are probabilities of `y`, to be held to their word; otherwise they are scores
    that mean nothing but an order, and `y` may be any relevance of 0 or more.
    """

    answers: Callable[..., Answers]
    probabilities: bool


# ---------------------------------------------------------------- probabilities


def _logistic(x: Array, y: Array, seed: int) -> Predict:
    """Logistic regression on standardised features."""
    ready = _Standardised.of(x)
    model = LogisticRegression(max_iter=500).fit(ready(x), y)
    return lambda rows: np.asarray(model.predict_proba(ready(rows))[:, 1])


def _forest(x: Array, y: Array, seed: int) -> Predict:
    """A random forest (Breiman 2001) whose leaves are large enough to hold a rare outcome; it splits on NaN itself."""
    model = RandomForestClassifier(
        60, min_samples_leaf=20, max_depth=10, max_samples=0.25, n_jobs=-1, random_state=seed
    )
    model.fit(x, y).set_params(n_jobs=1)  # threads that answer add up in whatever order they end: never twice the same
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1])


def _network(x: Array, y: Array, seed: int) -> Predict:
    """One hidden layer of 32 on standardised features, as many steps for few rows as for many (Kingma and Ba 2015)."""
    ready = _Standardised.of(x, far=_FAR)
    batch = min(512, len(y))
    times = math.ceil(_STEPS * batch / len(y))
    model = MLPClassifier((32,), alpha=1e-3, batch_size=batch, max_iter=times, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops when it has had its share of time
        model.fit(ready(x), y)
    return lambda rows: np.asarray(model.predict_proba(ready(rows))[:, 1])


def _probabilities(fit: Callable[[Array, Array, int], Predict]) -> Callable[..., Answers]:
    """What `fit` makes of a sample, put right where negatives were left out as a model is (`GoalModel.negatives`)."""

    def answers(training: Sample, *others: Array, seed: int = 0) -> Answers:
        drawn = training.to_learn
        rows = _chosen(drawn.x, drawn.y, drawn.people)
        x, y = np.asarray(drawn.x[rows], np.float32), drawn.y[rows]
        if len(np.unique(y)) < 2:  # nothing to tell apart: the rate is all that is known
            return tuple(np.full(len(one), float(y.mean())) for one in others)
        with threadpool_limits(1, "blas"):  # small matrices: threads mostly wait, and sums would depend on their number
            predict = fit(x, y, seed)
            found = [_in_blocks(predict, one) for one in others]
        return tuple(p / (p + (1 - p) / training.negatives) for p in found)

    return answers


@dataclass(frozen=True)
class _Standardised:
    """Makes rows (M, F) complete and comparable, by the training's medians, gaps, means and standard deviations."""

    medians: NDArray[np.float32]
    gaps: NDArray[np.bool_]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    far: float

    @classmethod
    def of(cls, x: Array, far: float = math.inf) -> _Standardised:
        missing = np.isnan(x)
        gaps = np.asarray(missing.any(axis=0))
        medians = np.nanmedian(np.where(missing.all(axis=0), np.float32(0), x), axis=0).astype(np.float32)
        mean, spread = (found.astype(np.float32) for found in _moments(_filled(x, medians, gaps)))
        return cls(medians, gaps, mean, np.where(spread > 0, spread, np.float32(1)), far)

    def __call__(self, x: Array) -> NDArray[np.float32]:
        scaled = _filled(x, self.medians, self.gaps)
        scaled -= self.mean
        scaled /= self.spread
        return np.clip(scaled, -self.far, self.far, out=scaled) if self.far < math.inf else scaled


def _moments(whole: Array) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column, in double precision: the values may be amounts of money, or times."""
    return whole.mean(axis=0, dtype=np.float64), whole.std(axis=0, dtype=np.float64)


def _filled(x: Array, medians: NDArray[np.float32], gaps: NDArray[np.bool_]) -> NDArray[np.float32]:
    """With `medians` for what is missing, and behind it a column for each of `gaps` that says so."""
    missing, width = np.isnan(x), x.shape[1]
    found = np.empty((len(x), width + int(gaps.sum())), np.float32)
    found[:, :width] = x
    np.copyto(found[:, :width], medians, where=missing)
    found[:, width:] = missing[:, gaps]
    return found


# ---------------------------------------------------------------- scores


def _ranker(training: Sample, *others: Array, seed: int = 0) -> Answers:
    """LambdaMART (Burges 2010) on whole lists, for NDCG at 10 with the linear gains that lists are graded by.

    A list is a `group` of the sample; those in which all is worth the same teach nothing. Raises ValueError where the
    sample has no groups.
    """
    drawn = training.to_learn
    if drawn.group is None:
        raise ValueError("rank_ndcg: the sample says nothing of lists; give `Sample.group`, a person on a night.")
    rows = _lists(drawn.x, drawn.y, drawn.group)
    if not len(rows):
        return tuple(np.zeros(len(one)) for one in others)
    built = xgb.QuantileDMatrix(np.asarray(drawn.x[rows], np.float32), label=drawn.y[rows], qid=drawn.group[rows])
    params = {
        "objective": "rank:ndcg",
        "ndcg_exp_gain": False,
        "lambdarank_pair_method": "topk",
        "lambdarank_num_pair_per_sample": 10,
        "learning_rate": 0.1,
        "max_depth": 4,
        "min_child_weight": 1.0,
        "reg_lambda": 10.0,
        "colsample_bytree": 0.5,
        "seed": seed,
    }
    booster = xgb.train(params, built, 80)
    return tuple(
        _in_blocks(lambda part: np.asarray(booster.inplace_predict(part, predict_type="margin")), one) for one in others
    )


def _lists(x: Array, y: Array, group: Array) -> NDArray[np.intp]:
    """Rows of at most ROWS, list by list: evenly spaced ones among the lists in which something is worth more."""
    order = np.lexsort((_hashes(x, y), group))
    start = np.flatnonzero(np.diff(group[order], prepend=-1) != 0)
    if not len(start):
        return order
    size = np.diff(start, append=len(order))
    y = y[order]
    tells = np.flatnonzero(np.maximum.reduceat(y, start) > np.minimum.reduceat(y, start))
    taken = tells[:: max(1, math.ceil(size[tells].sum() / ROWS))]
    taken = taken[np.cumsum(size[taken]) <= ROWS]
    return np.concatenate([order[:0], *(order[start[one] : start[one] + size[one]] for one in taken)])


# ---------------------------------------------------------------- rows


def _chosen(x: Array, y: Array, people: Array) -> NDArray[np.intp]:
    """Which rows are learned from, and in which order: by what they hold, so the same ones wherever they stand."""
    hashes = _hashes(x, y, people)
    if len(hashes) <= ROWS:
        return np.argsort(hashes, kind="stable")
    lowest = np.argpartition(hashes, ROWS - 1)[:ROWS]
    return lowest[np.argsort(hashes[lowest], kind="stable")]


def _hashes(x: Array, *beside: Array) -> NDArray[np.uint64]:
    """A number a row (N,) of its values and nothing else: multiply-shift (Dietzfelbinger et al. 1997), 64 bits."""
    columns = [np.asarray(one).astype(np.float64).view(np.uint64)[:, None] for one in beside]
    odd = np.random.default_rng(0).integers(0, 1 << 63, x.shape[1] + len(columns), np.uint64) * 2 + 1
    found = np.zeros(len(x), np.uint64)
    for start in range(0, len(x), _HASHED):
        part = slice(start, start + _HASHED)
        bits = np.ascontiguousarray(x[part], np.float32).view(np.uint32).astype(np.uint64)
        found[part] = np.concatenate([bits, *(one[part] for one in columns)], axis=1) @ odd
    mixed: NDArray[np.uint64] = (found ^ (found >> np.uint64(32))) * odd[0]
    return mixed


def _in_blocks(predict: Predict, x: Array) -> Floats:
    """Answers (M,) for rows (M, F), some at a time: complete rows of a whole month's lists would not fit."""
    found = [predict(np.asarray(x[at : at + _AT_ONCE], np.float32)) for at in range(0, len(x), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *found]).astype(np.float64)


CHALLENGERS: Mapping[str, Challenger] = MappingProxyType(
    {
        "logistic_regression": Challenger(_probabilities(_logistic), probabilities=True),
        "random_forest": Challenger(_probabilities(_forest), probabilities=True),
        "mlp": Challenger(_probabilities(_network), probabilities=True),
        "rank_ndcg": Challenger(_ranker, probabilities=False),
    }
)
"""All of them, by the name that `training.challengers` knows."""
