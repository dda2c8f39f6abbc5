"""A challenger against its rivals on the same test rows: what is simple, and the champion; and the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from models import gate, learning, metrics, scorer
from models.challengers import CHALLENGERS
from models.classifier import Bundle
from models.learning import Learned
from pipeline import tracking
from pipeline.build_features import crm_of, fits
from pipeline.bundles import load_bundle
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.rebuild import Rows
from pipeline.records import ModelVersion, Tracker
from pipeline.training_rows import TrainingRows, sample

K = 10
Probabilities = Mapping[str, NDArray[np.float64]]
Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Contest:
    """The challenger, its rivals on the same test rows, and the gate's verdict.

    `listed` are the challenger's probabilities of the lists' rows, `tested` those of the test's.
    """

    bundle: Bundle
    learned: Mapping[str, Learned]
    data: TrainingRows
    as_of: datetime
    config: Config
    lake: Lake
    rivals: Sequence[Rival]
    listed: Probabilities
    tested: Probabilities
    goals: Mapping[str, Mapping[str, Figures]]
    ndcg: Mapping[str, metrics.Interval]
    verdict: gate.Verdict
    champion: ModelVersion | None

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        learned: Mapping[str, Learned],
        data: TrainingRows,
        as_of: datetime,
        config: Config,
        lake: Lake,
    ) -> Contest:
        """Grade everybody on the test nights, and ask the gate whether the challenger may serve from `as_of`."""
        champion = tracking.champion(Tracker(lake.tracking, config.project.name), as_of)
        ours = predictions(bundle, data.lists.x)
        theirs = champion_predictions(_champion_bundle(champion, config, lake), bundle, data.lists, config)
        rivals = rivals_of(bundle, data, config)
        rows, tested = gate_rows(data.lists, bundle), tested_predictions(bundle, data, ours)
        goals, ndcg = judged(rows, data, rivals, ours, tested, theirs)
        stale = is_stale(champion.as_of if champion else None, as_of, config)
        verdict = gate.promote(rows, ours, theirs, champion_stale=stale, k=K)
        return cls(bundle, learned, data, as_of, config, lake, rivals, ours, tested, goals, ndcg, verdict, champion)


def judged(
    rows: gate.TestRows,
    data: TrainingRows,
    rivals: Sequence[Rival],
    ours: Probabilities,
    tested: Probabilities,
    theirs: Probabilities | None = None,
) -> tuple[dict[str, dict[str, Figures]], dict[str, metrics.Interval]]:
    """The model beside its rivals on the test nights: figures by goal and name, and NDCG@10 of the lists by name.

    `ours` and `theirs`, the champion's, are probabilities of the lists' rows (`rows`); `tested` are ours of the test's.
    """
    scores = {
        "model": scorer.relevance(ours, rows.weights),
        **{rival.name: rival.lists for rival in rivals},
        "most_popular": data.lists.popularity,
        **({"champion": scorer.relevance(theirs, rows.weights)} if theirs else {}),
    }
    goals = {goal: _measured(goal, p, data.test, rivals) for goal, p in tested.items()}
    return goals, {name: _interval(rows, score) for name, score in scores.items()}


@dataclass(frozen=True)
class Rival:
    """A challenger's answers: `test` (T,) by goal for the test's rows, `lists` (N,) to sort the lists' rows by."""

    name: str
    test: Mapping[str, NDArray[np.float64]]
    lists: NDArray[np.float64]
    probabilities: bool


def rivals_of(bundle: Bundle, data: TrainingRows, config: Config) -> list[Rival]:
    """Every challenger of `training.challengers`, learned from the rows that our model learned from.

    One that gives probabilities learns each goal, as ours does; one that gives scores learns once, from what the goals
    are worth together, and is asked for every goal how it sorts.
    """
    return [_rival(name, bundle, data, config.training.seed) for name in config.training.challengers]


def _rival(name: str, bundle: Bundle, data: TrainingRows, seed: int) -> Rival:
    challenger, goals = CHALLENGERS[name], tuple(bundle.models)
    rows = [data.test.x] if data.test is data.lists else [data.test.x, data.lists.x]
    if challenger.probabilities:
        found = {goal: challenger.answers(sample(data.train, goal), *rows, seed=seed) for goal in goals}
        lists = scorer.relevance({goal: answers[-1] for goal, answers in found.items()}, bundle.weights)
        return Rival(name, {goal: answers[0] for goal, answers in found.items()}, lists, probabilities=True)
    worth = scorer.relevance({goal: data.train.labels[goal].astype(np.float64) for goal in goals}, bundle.weights)
    together = replace(sample(data.train, goals[0]), y=worth)
    answers = challenger.answers(together, *rows, seed=seed)
    return Rival(name, dict.fromkeys(goals, answers[0]), answers[-1], probabilities=False)


def _measured(goal: str, p: NDArray[np.float64], test: Rows, rivals: Sequence[Rival]) -> dict[str, Figures]:
    y = test.labels[goal]
    return {
        "model": learning.measures(y, p, probabilities=True),
        **{one.name: learning.measures(y, one.test[goal], probabilities=one.probabilities) for one in rivals},
        "most_popular": learning.measures(y, test.popularity, probabilities=False),
    }


def predictions(bundle: Bundle, x: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Probabilities by goal."""
    return {goal: model.predict(x) for goal, model in bundle.models.items()}


def tested_predictions(bundle: Bundle, data: TrainingRows, listed: Probabilities) -> Probabilities:
    """Probabilities by goal of the test's rows: `listed`, those of the lists' rows, where they are the same rows."""
    return listed if data.test is data.lists else predictions(bundle, data.test.x)


def gate_rows(lists: Rows, bundle: Bundle) -> gate.TestRows:
    """What the gate judges by, of the goals that were learned."""
    labels = {goal: lists.labels[goal] for goal in bundle.models}
    return gate.TestRows(lists.person, lists.group, labels, dict(bundle.weights), lists.popularity)


def champion_predictions(
    champion: Bundle | None, challenger: Bundle, lists: Rows, config: Config
) -> Probabilities | None:
    """The champion's probabilities on the same rows; None where it cannot be compared (other goals or features)."""
    if champion is None or not fits(champion, config) or set(champion.models) != set(challenger.models):
        return None
    return predictions(champion, lists.scored(champion.context["cuts"], tuple(config.goals), crm_of(champion)).x)


def is_stale(promoted: datetime | None, as_of: datetime, config: Config) -> bool:
    """Whether a champion promoted then has become too old."""
    return promoted is not None and (as_of - promoted).days >= config.retrain.max_age_days


def _champion_bundle(champion: ModelVersion | None, config: Config, lake: Lake) -> Bundle | None:
    if champion is None:
        return None
    return load_bundle(Tracker(lake.tracking, config.project.name), champion.version)


def _interval(rows: gate.TestRows, score: NDArray[np.float64]) -> metrics.Interval:
    """Mean NDCG@10 over lists in which something was relevant, with its interval over people."""
    values = metrics.ndcg_by_group(rows.group, score, rows.relevance(rows.labels), K)
    people = rows.person[np.unique(rows.group, return_index=True)[1]]
    known = ~np.isnan(values)
    if not known.any():
        return metrics.Interval(float("nan"), float("nan"), float("nan"))
    return metrics.bootstrap_difference(values[known], np.zeros(int(known.sum())), people[known])
