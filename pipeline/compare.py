"""A challenger against its rivals on the same test rows: what is simple, and the champion; and the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from models import gate, learning, metrics, scorer
from models.classifier import Bundle, GoalModel
from models.learning import Learned
from pipeline import tracking
from pipeline.build_features import crm_of, fits
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.rebuild import Rows
from pipeline.records import ModelVersion, Tracker
from pipeline.training_rows import TrainingRows, sample

K = 10
Probabilities = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Contest:
    """The challenger, its rivals' figures on the same test rows, and the gate's verdict."""

    bundle: Bundle
    learned: Mapping[str, Learned]
    data: TrainingRows
    as_of: datetime
    config: Config
    lake: Lake
    goals: Mapping[str, Mapping[str, Mapping[str, float | None]]]
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
        ours, linear = predictions(bundle, data.lists.x), {}
        measured = {}
        for goal, model in bundle.models.items():
            p_test, linear[goal] = learning.logistic(sample(data.train, goal), data.test.x, data.lists.x)
            measured[goal] = _measured(model, data.test, goal, p_test)
        rows = gate_rows(data.lists, bundle)
        theirs = champion_predictions(_champion_bundle(champion, config, lake), bundle, data.lists, config)
        scores = {
            "model": scorer.relevance(ours, bundle.weights),
            "logistic_regression": scorer.relevance(linear, bundle.weights),
            "most_popular": data.lists.popularity,
            **({"champion": scorer.relevance(theirs, bundle.weights)} if theirs else {}),
        }
        ndcg = {name: _interval(rows, score) for name, score in scores.items()}
        stale = is_stale(champion.as_of if champion else None, as_of, config)
        verdict = gate.promote(rows, ours, theirs, champion_stale=stale, k=K)
        return cls(bundle, learned, data, as_of, config, lake, measured, ndcg, verdict, champion)


def _measured(
    model: GoalModel, test: Rows, goal: str, linear: NDArray[np.float64]
) -> dict[str, dict[str, float | None]]:
    y = test.labels[goal]
    return {
        "model": learning.measures(y, model.predict(test.x), probabilities=True),
        "logistic_regression": learning.measures(y, linear, probabilities=True),
        "most_popular": learning.measures(y, test.popularity, probabilities=False),
    }


def predictions(bundle: Bundle, x: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Probabilities by goal."""
    return {goal: model.predict(x) for goal, model in bundle.models.items()}


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
    return Bundle.from_files(tracking.load_bundle_files(Tracker(lake.tracking, config.project.name), champion.version))


def _interval(rows: gate.TestRows, score: NDArray[np.float64]) -> metrics.Interval:
    """Mean NDCG@10 over lists in which something was relevant, with its interval over people."""
    values = metrics.ndcg_by_group(rows.group, score, rows.relevance(rows.labels), K)
    people = rows.person[np.unique(rows.group, return_index=True)[1]]
    known = ~np.isnan(values)
    if not known.any():
        return metrics.Interval(float("nan"), float("nan"), float("nan"))
    return metrics.bootstrap_difference(values[known], np.zeros(int(known.sum())), people[known])
