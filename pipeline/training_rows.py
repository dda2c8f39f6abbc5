"""The rows of a training: past nights, split in time, rebuilt, and joined in three groups that never look ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from features import crm, rfm
from features.crm import Vocabulary
from models.learning import Sample
from models.split import Split, split_nights
from pipeline.build_features import Cuts, replayed_nights
from pipeline.config import Config
from pipeline.night import Archive
from pipeline.rebuild import Rebuilt, Rows, joined, rebuild


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
    horizon = max(goal.horizon for goal in config.goals.values())
    nights = replayed_nights(archive, config)
    try:
        split = split_nights(nights, horizon)
    except ValueError as error:
        return f"the lake is too young to learn from: {error}"
    train = list(rebuild(archive, split.train, config, lists=False))
    validation = list(rebuild(archive, split.validation, config, lists=False))
    test = list(rebuild(archive, split.test, config, lists=True))
    cuts = rfm.cut_points([night.people for night in train])
    goals = tuple(config.goals)
    vocabulary = crm.vocabulary([night.shown.crm for night in train])
    try:
        return TrainingRows(
            split=split,
            cuts=cuts,
            vocabulary=vocabulary,
            train=_newest(joined([n.shown for n in train]), config.training.max_rows).scored(cuts, goals, vocabulary),
            validation=joined([n.shown for n in validation]).scored(cuts, goals, vocabulary),
            test=joined([n.shown for n in test]).scored(cuts, goals, vocabulary),
            lists=joined(_lists(test)).scored(cuts, goals, vocabulary),
        )
    except ValueError as error:
        return str(error)


def _lists(nights: Sequence[Rebuilt]) -> list[Rows]:
    return [night.lists for night in nights if night.lists is not None]


def _newest(rows: Rows, limit: int) -> Rows:
    """The newest `limit` rows: nights are in order, so the oldest go first."""
    if rows.size <= limit:
        return rows
    kept = slice(rows.size - limit, None)
    return replace(
        rows,
        x=rows.x[kept],
        raw=rows.raw[kept],
        labels={goal: values[kept] for goal, values in rows.labels.items()},
        person=rows.person[kept],
        group=rows.group[kept],
        popularity=rows.popularity[kept],
    )


def sample(rows: Rows, goal: str) -> Sample:
    """The rows as one goal sees them."""
    return Sample(rows.x, rows.labels[goal], rows.person)
