"""The rows of a training: past nights, split in time, rebuilt, and joined in three groups that never look ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features import crm, rfm, spec
from features.crm import Vocabulary
from models import listing, weighting
from models.learning import Sample
from models.split import Split, split_nights
from pipeline.build_features import Cuts, replayed_nights
from pipeline.config import Config
from pipeline.night import Archive
from pipeline.rebuild import Rebuilt, rebuild
from pipeline.rows import Rows, scored


@dataclass(frozen=True)
class TrainingRows:
    """The three groups of nights as rows, with RFM scores and CRM codes as learned on the training nights."""

    split: Split
    cuts: Cuts
    vocabulary: Vocabulary
    train: Rows
    validation: Rows
    test: Rows
    lists: Rows


def collect(archive: Archive, config: Config) -> TrainingRows | str:
    """The rows of all nights, or why there are none."""
    nights = replayed_nights(archive, config)
    try:
        split = split_nights(nights, config.horizon)
    except ValueError as error:
        return f"the lake is too young to learn from: {error}"
    train = list(rebuild(archive, split.train, config, lists=False, thinned=True))
    validation = list(rebuild(archive, split.validation, config, lists=False))
    test = list(rebuild(archive, split.test, config, lists=True))
    return grouped(split, train, validation, test, config, archive.lake.scratch if archive.lake else None)


def grouped(
    split: Split,
    train: Sequence[Rebuilt],
    validation: Sequence[Rebuilt],
    test: Sequence[Rebuilt],
    config: Config,
    root: Path | None = None,
) -> TrainingRows | str:
    """Rebuilt nights as rows, with what is learned on the training nights; or why there are none.

    Many rows to learn from lie in a file below `root`, where one is given.
    """
    cuts = rfm.cut_points([night.people for night in train])
    goals = tuple(config.goals)
    vocabulary = crm.vocabulary([night.shown.crm for night in train])
    try:
        lists = scored(_lists(test), cuts, goals, vocabulary)
        same = all(night.shown is night.lists for night in test)  # no impressions: what is learned from is listed
        return TrainingRows(
            split=split,
            cuts=cuts,
            vocabulary=vocabulary,
            train=scored(_newest([n.shown for n in train], config.training.max_rows), cuts, goals, vocabulary, root),
            validation=scored([n.shown for n in validation], cuts, goals, vocabulary),
            test=lists if same else scored([n.shown for n in test], cuts, goals, vocabulary),
            lists=lists,
        )
    except ValueError as error:
        return str(error)


def _lists(nights: Sequence[Rebuilt]) -> list[Rows]:
    return [night.lists for night in nights if night.lists is not None]


def _newest(parts: Sequence[Rows], limit: int) -> list[Rows]:
    """The newest `limit` rows: nights are in order, so the oldest go first."""
    found: list[Rows] = []
    for part in reversed(parts):
        found.append(part if part.size <= limit else part.where(slice(part.size - limit, None)))
        limit -= found[-1].size
    return found[::-1]


def sample(rows: Rows, goal: str) -> Sample:
    """The rows as one goal sees them."""
    return Sample(rows.x, rows.labels[goal], rows.person, rows.drawn, rows.negatives, rows.group)


def to_learn(rows: Rows, goal: str, config: Config) -> Sample:
    """The training's rows as one goal learns from them, weighted where propensities are logged or balance is wanted."""
    found = sample(rows, goal)
    balance = config.training.balance == "segment"
    if rows.propensity is None and not balance:
        return found
    kept = rows.drawn | (found.y > 0)
    learned = None if rows.propensity is None else weighting.inverse_propensity(rows.propensity[kept])
    if balance:
        events = rows.x[kept, spec.names(tuple(config.goals)).index("events_30d")]
        learned = weighting.balanced(listing.activity(events.astype(np.float64)), learned)
    weight = np.zeros(rows.size)
    weight[kept] = learned
    return replace(found, weight=weight)
