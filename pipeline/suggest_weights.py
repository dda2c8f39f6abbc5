"""Weights of the goals to look at: looked for on the validation nights, judged on the test nights, never used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features import spec
from models import goal_weights, scorer
from models.goal_weights import Lists, Suggestion
from pipeline.compare import Contest, Probabilities, predictions
from pipeline.rows import Rows


def suggestions(contest: Contest) -> tuple[Suggestion, ...]:
    """By each measure, what other weights than the configuration's would have made of the judged model's lists.

    The validation's lists are whole where no impressions are logged, else what was shown to a person on a night: their
    rows are sorted among themselves. The test's are whole.
    """
    bundle, goals = contest.bundle, contest.config.goals
    if len(bundle.models) < 2:
        return ()
    return goal_weights.suggestions(
        _searched(contest),
        _judged(contest),
        {goal: goals[goal].weight for goal in bundle.models},
        {goal: goals[goal].value for goal in bundle.models},
    )


def _searched(contest: Contest) -> Lists:
    """Every row as if it stood at the top, as in the lists that people get."""
    rows, goals, data = contest.data.validation, tuple(contest.bundle.models), contest.data
    kept = np.flatnonzero(goal_weights.chosen(rows.group, _labels(rows, goals), goal_weights.SEARCHED))
    x = rows.x[kept]
    at = spec.names(contest.config.goals, crm=data.vocabulary.attributes).index(scorer.POSITION)
    x[:, at] = np.where(np.isnan(x[:, at]), np.nan, scorer.TOP)
    return _lists(rows, kept, predictions(contest.bundle, x), goals)


def _judged(contest: Contest) -> Lists:
    rows, goals = contest.data.lists, tuple(contest.bundle.models)
    kept = np.flatnonzero(goal_weights.chosen(rows.group, _labels(rows, goals), goal_weights.JUDGED))
    return _lists(rows, kept, {goal: p[kept] for goal, p in contest.listed.items()}, goals)


def _labels(rows: Rows, goals: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
    return {goal: rows.labels[goal] for goal in goals}


def _lists(rows: Rows, kept: NDArray[np.int64], p: Probabilities, goals: tuple[str, ...]) -> Lists:
    labels = {goal: values[kept] for goal, values in _labels(rows, goals).items()}
    return Lists(rows.person[kept], rows.group[kept], p, labels)
