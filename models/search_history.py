"""What a search for hyper-parameters did: how good each trial was, the best so far, and which settings mattered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from models.tuning import SPACE, TrialRecord, quiet_optuna

LEAST = 30
"""Whole trials below which importances are mostly noise: among eight settings of which two matter, the other six get
nearly a half of the importance with 20 trials, a third with 30, a seventh with 50."""

_TREES = 24


@dataclass(frozen=True)
class Point:
    """One trial: its value, whether it was whole, and the best value of whole trials up to it (None before any)."""

    number: int
    value: float
    whole: bool
    best: float | None


def history(trials: Sequence[TrialRecord]) -> list[Point]:
    """Every trial that has a value, in their order; less is better. A pruned trial is never the best."""
    points: list[Point] = []
    best: float | None = None
    for trial in sorted(trials, key=lambda one: one.number):
        if trial.value is None or not math.isfinite(trial.value):
            continue
        whole = trial.state == "complete"
        if whole:
            best = trial.value if best is None else min(best, trial.value)
        points.append(Point(trial.number, trial.value, whole, best))
    return points


def importances(trials: Sequence[TrialRecord], seed: int = 0) -> dict[str, float] | str:
    """Each setting's share of what made trials differ (fANOVA; Hutter, Hoos and Leyton-Brown, ICML 2014).

    The largest first; they sum to 1. Or why they are not told: too few whole trials, or all alike.
    """
    whole = [one for one in trials if one.state == "complete" and one.value is not None and math.isfinite(one.value)]
    if len(whole) < LEAST:
        done = "1 whole trial" if len(whole) == 1 else f"{len(whole) or 'No'} whole trials"
        return f"{done}: which setting mattered can be told from {LEAST} on."
    space = _space(whole)
    if len({one.value for one in whole}) < 2 or not space:
        return "All whole trials came to the same: no setting mattered."
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_TREES, seed=seed)
    with quiet_optuna():
        found = optuna.importance.get_param_importances(_study(whole, space), evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _space(trials: Sequence[TrialRecord]) -> dict[str, BaseDistribution]:
    """As far as these trials went, for every setting that varies in all of them."""
    names = [name for name in trials[0].params if all(name in one.params for one in trials)]
    values = {name: [one.params[name] for one in trials] for name in names}
    return {name: _over(name, found) for name, found in values.items() if min(found) < max(found)}


def _over(name: str, values: Sequence[float]) -> BaseDistribution:
    low, high, known = min(values), max(values), SPACE.get(name)
    if isinstance(known, IntDistribution):
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=isinstance(known, FloatDistribution) and known.log and low > 0)


def _study(trials: Sequence[TrialRecord], space: dict[str, BaseDistribution]) -> optuna.Study:
    """A study in memory."""
    study = optuna.create_study(direction="minimize")
    for one in trials:
        params = {name: one.params[name] for name in space}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=one.value))
    return study
