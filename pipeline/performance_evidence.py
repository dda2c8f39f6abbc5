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
from pipeline import looks
from pipeline.build_features import crm_of
from pipeline.compared_nights import ComparedNights, ripe_after
from pipeline.config import Config
from pipeline.looks import Arrays
from pipeline.records import ModelVersion
from pipeline.rows import Rows

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
K = 10
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Answered:
    """Candidates of some lists (N,): whose they are, what people did, and what a model says, the last two by goal.

    `group` is one number a list. What the model was told is let go of: of several nights it is larger than all else.
    """

    people: Ints
    group: Ints
    labels: Mapping[str, Array]
    probabilities: Mapping[str, Floats]

    @classmethod
    def by(cls, models: Mapping[str, GoalModel], bundle: Bundle, rows: Rows, config: Config) -> Answered:
        """By models of a bundle; an answer of nothing where there is nothing to ask about."""
        said = {goal: np.zeros(0) for goal in models}
        if rows.size:
            x = rows.scored(bundle.context["cuts"], tuple(config.goals), crm_of(bundle)).x
            said = {goal: model.predict(x) for goal, model in models.items()}
        return cls(rows.person, rows.group, rows.labels, said)

    @classmethod
    def from_arrays(cls, kept: Arrays) -> Answered:
        """What `arrays` gave."""
        labels, said = (looks.below(name, kept) for name in ("labels", "probabilities"))
        return cls(kept[looks.PEOPLE], kept["group"], labels, said)

    @property
    def arrays(self) -> Arrays:
        """All of it, to be kept."""
        said = {**looks.under("labels", self.labels), **looks.under("probabilities", self.probabilities)}
        return {looks.PEOPLE: self.people, "group": self.group, **said}


@dataclass(frozen=True)
class Answers:
    """What models say of one night's lists; its predecessor is asked on nights since the champion was tested only."""

    champion: Answered
    predecessor: Answered | None = None

    @classmethod
    def from_arrays(cls, kept: Arrays) -> Answers:
        """What `arrays` gave."""
        champion, predecessor = (looks.below(name, kept) for name in ("champion", "predecessor"))
        return cls(Answered.from_arrays(champion), Answered.from_arrays(predecessor) if predecessor else None)

    @property
    def arrays(self) -> Arrays:
        """All of it, to be kept."""
        rival = looks.under("predecessor", self.predecessor.arrays) if self.predecessor else {}
        return {**looks.under("champion", self.champion.arrays), **rival}


@dataclass(frozen=True)
class Performance:
    """How the champion does beside itself (`dips`), and beside the model that served before it (`predecessor`)."""

    dips: tuple[Dip, ...] = ()
    predecessor: Dip | None = None


def answers(
    night: datetime, rows: Rows, bundle: Bundle, predecessor: Bundle | None, nights: ComparedNights, config: Config
) -> Answers:
    """Of the lists of one of the compared nights.

    On those that it was tested on the model is asked as it was judged; since then, as it serves. Its predecessor is
    asked on the very same nights since then: what it would have listed for the same people.
    """
    if night in nights.reference:
        return Answers(Answered.by(bundle.models, bundle, rows, config))
    rival = Answered.by(predecessor.serving, predecessor, rows, config) if predecessor else None
    return Answers(Answered.by(bundle.serving, bundle, rows, config), rival)


def found(
    said: Mapping[datetime, Answers], bundle: Bundle, nights: ComparedNights, looks: int, config: Config
) -> Performance:
    """AUC a goal and NDCG@10 of the lists, then and now, at this many looks; nothing where no nights can be compared.

    What is `said` is of the compared nights.
    """
    if nights.note:
        return Performance()
    then, now = ([said[night] for night in side] for side in (nights.reference, nights.current))
    ours, theirs = [one.champion for one in now], [one.predecessor for one in now if one.predecessor]
    return Performance(
        compared([one.champion for one in then], ours, bundle, looks, config),
        _against(ours, theirs, bundle, looks, config) if theirs else None,
    )


def compared(
    then: Sequence[Answered], now: Sequence[Answered], bundle: Bundle, looks: int, config: Config
) -> tuple[Dip, ...]:
    """The same of lists that people had on the nights of the reference, and on nights of now, at this many looks."""
    before, after = _together(then), _together(now)
    if before is None or after is None:
        return ()
    figures = [
        *(_auc(goal, before, after, config) for goal in sorted(bundle.models)),
        _ndcg(before, after, bundle, config),
    ]
    return dips(figures, looks, alpha=config.retrain.dip_alpha, seed=config.training.seed)


def _against(
    ours: Sequence[Answered], theirs: Sequence[Answered], bundle: Bundle, looks: int, config: Config
) -> Dip | None:
    """NDCG@10 of the lists that another model would have made, and of the champion's, for the same people."""
    other, own = _together(theirs), _together(ours)
    if other is None or own is None:
        return None
    sides = [_of_lists(one, bundle.weights) for one in (other, own)]
    figure = _figure(f"NDCG@{K}", sides, config)
    return dips([replace(figure, margin=0.0)], looks, alpha=config.retrain.dip_alpha, seed=config.training.seed)[0]


def look(champion: ModelVersion, as_of: datetime, config: Config) -> int:
    """How many nights of the champion's have matured: as often it was looked at, counted from 1."""
    return max(1, int((as_of - champion.as_of - ripe_after(config)) / _DAY) + 1)


def _together(nights: Sequence[Answered]) -> Answered | None:
    """Several nights as one window; None where there was nobody on any."""
    parts = [part for part in nights if len(part.people)]
    if not parts:
        return None
    offsets = np.cumsum([0, *(int(part.group.max()) + 1 for part in parts)])[:-1]
    return Answered(
        np.concatenate([part.people for part in parts]),
        np.concatenate([part.group + offset for part, offset in zip(parts, offsets, strict=True)]),
        _concatenated([part.labels for part in parts]),
        _concatenated([part.probabilities for part in parts]),
    )


def _concatenated(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {goal: np.concatenate([part[goal] for part in parts]) for goal in parts[0]}


def _auc(goal: str, then: Answered, now: Answered, config: Config) -> Figure:
    sides = [(one.labels[goal], one.probabilities[goal], one.people) for one in (then, now)]
    return _figure(f"AUC of {goal}", sides, config)


def _ndcg(then: Answered, now: Answered, bundle: Bundle, config: Config) -> Figure:
    return _figure(f"NDCG@{K}", [_of_lists(one, bundle.weights) for one in (then, now)], config)


def _of_lists(one: Answered, weights: Mapping[str, float]) -> tuple[Floats, None, NDArray[np.int64]]:
    """NDCG@10 of every list in which something was wanted, and whose it is."""
    wanted = scorer.relevance({goal: one.labels[goal].astype(np.float64) for goal in weights}, weights)
    values = metrics.ndcg_by_group(one.group, scorer.relevance(one.probabilities, weights), wanted, K)
    people = one.people[np.unique(one.group, return_index=True)[1]]
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
