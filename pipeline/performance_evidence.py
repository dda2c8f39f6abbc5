"""How the champion does on nights whose outcome is known, beside how it did on the nights that it was tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics, scorer
from models.classifier import Bundle, GoalModel
from models.performance import Dip, Figure, dips
from pipeline.build_features import NightFeatures, crm_of
from pipeline.compared_nights import ComparedNights
from pipeline.config import Config
from pipeline.night import Archive
from pipeline.rebuild import Rows, joined, lists_of
from pipeline.records import ModelVersion

Array = NDArray[Any]
Floats = NDArray[np.float64]
K = 10
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class _Answered:
    """One window's candidates (N,): what was asked, what people did, and what the model had said, by goal."""

    rows: Rows
    probabilities: Mapping[str, Floats]


def found(
    archive: Archive, bundle: Bundle, champion: ModelVersion, nights: ComparedNights, as_of: datetime, config: Config
) -> tuple[Dip, ...]:
    """AUC a goal and NDCG@10 of the lists, then and now; nothing where there are no nights to compare.

    On the nights that it was tested on the model is asked as it was judged; since then, as it serves.
    """
    if nights.note:
        return ()
    then, now = (
        [
            lists_of(archive, NightFeatures.of(archive.night(night), config), config, config.retrain.dip_people)
            for night in side
        ]
        for side in (nights.reference, nights.current)
    )
    return compared(then, now, bundle, look(champion, as_of, config), config)


def compared(then: Sequence[Rows], now: Sequence[Rows], bundle: Bundle, looks: int, config: Config) -> tuple[Dip, ...]:
    """The same of lists that people had on the nights of the reference, and on nights of now, at this many looks."""
    before, after = _answered(then, bundle, bundle.models, config), _answered(now, bundle, bundle.serving, config)
    if before is None or after is None:
        return ()
    figures = [
        *(_auc(goal, before, after, config) for goal in sorted(bundle.models)),
        _ndcg(before, after, bundle, config),
    ]
    return dips(figures, looks, alpha=config.retrain.dip_alpha, seed=config.training.seed)


def look(champion: ModelVersion, as_of: datetime, config: Config) -> int:
    """How many nights of the champion's have matured: as often it was looked at, counted from 1."""
    return max(1, int((as_of - champion.as_of - config.outcome_after) / _DAY) + 1)


def _answered(
    nights: Sequence[Rows], bundle: Bundle, models: Mapping[str, GoalModel], config: Config
) -> _Answered | None:
    parts = [part for part in nights if part.size]
    if not parts:
        return None
    rows = joined(parts)
    x = rows.scored(bundle.context["cuts"], tuple(config.goals), crm_of(bundle)).x
    return _Answered(rows, {goal: model.predict(x) for goal, model in models.items()})


def _auc(goal: str, then: _Answered, now: _Answered, config: Config) -> Figure:
    sides = [(one.rows.labels[goal], one.probabilities[goal], one.rows.person) for one in (then, now)]
    return _figure(f"AUC of {goal}", sides, config)


def _ndcg(then: _Answered, now: _Answered, bundle: Bundle, config: Config) -> Figure:
    return _figure(f"NDCG@{K}", [_of_lists(one, bundle.weights) for one in (then, now)], config)


def _of_lists(one: _Answered, weights: Mapping[str, float]) -> tuple[Floats, None, NDArray[np.int64]]:
    """NDCG@10 of every list in which something was wanted, and whose it is."""
    wanted = scorer.relevance({goal: one.rows.labels[goal].astype(np.float64) for goal in weights}, weights)
    values = metrics.ndcg_by_group(one.rows.group, scorer.relevance(one.probabilities, weights), wanted, K)
    people = one.rows.person[np.unique(one.rows.group, return_index=True)[1]]
    return values[~np.isnan(values)], None, people[~np.isnan(values)]


def _figure(name: str, sides: Sequence[tuple[Array, Array | None, NDArray[np.int64]]], config: Config) -> Figure:
    labels, scores, people = zip(*sides, strict=True)
    return Figure(
        name,
        np.concatenate(labels),
        None if scores[0] is None else np.concatenate(scores),
        np.concatenate(people),
        np.repeat([0, 1], [len(label) for label in labels]),
        config.retrain.dip_margin,
        config.retrain.dip_detectable,
    )
