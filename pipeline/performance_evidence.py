"""How the champion does on nights whose outcome is known, beside how it did on the nights that it was tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics, scorer
from models.classifier import Bundle, GoalModel
from models.performance import Dip, Figure, dips
from pipeline.build_features import crm_of
from pipeline.compared_nights import ComparedNights
from pipeline.config import Config
from pipeline.records import ModelVersion
from pipeline.rows import Rows, joined

Array = NDArray[Any]
Floats = NDArray[np.float64]
K = 10
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class _Answered:
    """One window's candidates (N,): what was asked, what people did, and what the model had said, by goal."""

    rows: Rows
    probabilities: Mapping[str, Floats]


@dataclass(frozen=True)
class Performance:
    """How the champion does beside itself (`dips`), and beside the model that served before it (`predecessor`)."""

    dips: tuple[Dip, ...] = ()
    predecessor: Dip | None = None


def found(
    lists: Mapping[datetime, Rows],
    bundle: Bundle,
    predecessor: Bundle | None,
    nights: ComparedNights,
    looks: int,
    config: Config,
) -> Performance:
    """AUC a goal and NDCG@10 of the lists, then and now, at this many looks; nothing where no nights can be compared.

    `lists` are of the compared nights. On those that it was tested on the model is asked as it was judged; since then,
    as it serves. Its predecessor is asked on the very same nights since then: what it would have listed for the same
    people.
    """
    if nights.note:
        return Performance()
    then, now = ([lists[night] for night in side] for side in (nights.reference, nights.current))
    return Performance(
        compared(then, now, bundle, looks, config),
        against(now, bundle, predecessor, looks, config) if predecessor is not None else None,
    )


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


def against(nights: Sequence[Rows], bundle: Bundle, other: Bundle, looks: int, config: Config) -> Dip | None:
    """NDCG@10 of the lists that another model would have made, and of the champion's, for the same people."""
    theirs, ours = (_answered(nights, one, one.serving, config) for one in (other, bundle))
    if theirs is None or ours is None:
        return None
    sides = [_of_lists(one, bundle.weights) for one in (theirs, ours)]
    figure = _figure(f"NDCG@{K}", sides, config)
    return dips([replace(figure, margin=0.0)], looks, alpha=config.retrain.dip_alpha, seed=config.training.seed)[0]


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
