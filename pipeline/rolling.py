"""How a training would have done at several times: a model, its rivals and most-popular on the nights after each.

For judging, not for serving: nothing is searched for, recorded or promoted. Every fold is learned with the champion's
parameters, which were found on later nights than some that are tested here; outcomes are as they are known by now.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from models import learning
from models.classifier import Bundle
from models.learning import Learned, Sample
from models.rolling import origins, spreads
from models.split import Split
from models.tuning import DEFAULTS
from pipeline import compare, registry
from pipeline.build_features import NightFeatures, replayed_nights
from pipeline.bundles import load_bundle
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.rebuild import Rebuilt, of_night
from pipeline.records import Tracker
from pipeline.report import Report
from pipeline.reports.page import DASH
from pipeline.train import each_goal
from pipeline.training_rows import TrainingRows, grouped

Params = Mapping[str, Mapping[str, Any]]
"""By goal."""


@dataclass(frozen=True)
class Fold:
    """One origin: its first and last test night, how many nights it learned from, what was not learned, and figures.

    `figures` are `ndcg_10.<name>` and `<goal>.<metric>.<name>`; None where one is not defined.
    """

    first: str
    last: str
    training_nights: int
    skipped: Mapping[str, str]
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class RollingReport(Report):
    """Every fold, oldest first, and of every figure its mean over them and their standard deviation (`Spread`)."""

    as_of: str
    params: str
    folds: tuple[Fold, ...]
    figures: Mapping[str, Mapping[str, float | int | None]]
    seconds: float


def run(
    as_of: datetime, config: Config, folds: int, *, on_fold: Callable[[int, int], None] | None = None
) -> RollingReport:
    """Learn and judge at `folds` origins before `as_of`; `on_fold` is told how many of how many are done.

    Raises:
        ShortlistError: There are not nights enough for so many folds, or in none of them could a goal be learned.
    """
    started, lake = time.monotonic(), Lake.of(config)
    archive = Archive.load(lake, config, as_of)
    try:
        splits = origins(replayed_nights(archive, config), config.horizon, folds)
    except ValueError as error:
        raise ShortlistError(f"as of {as_of.isoformat()}: {error}") from None
    said, params = _params(lake, config, as_of)
    found = []
    for done, (split, data) in enumerate(rows(archive, splits, config)):
        if on_fold:
            on_fold(done, folds)
        found.append(_fold(split, data, params, config))
    if on_fold:
        on_fold(folds, folds)
    if not any(fold.figures for fold in found):
        why = "; ".join(f"{fold.first}: {goal}: {why}" for fold in found for goal, why in fold.skipped.items())
        raise ShortlistError(f"as of {as_of.isoformat()}: no goal could be learned in any fold ({why})")
    figures = {name: asdict(one) for name, one in spreads([fold.figures for fold in found]).items()}
    return RollingReport(as_of.isoformat(), said, tuple(found), figures, round(time.monotonic() - started, 1))


def _params(lake: Lake, config: Config, as_of: datetime) -> tuple[str, Params]:
    """Whose parameters, in words, and which: the champion's, and the defaults of a goal that it does not know."""
    tracker = Tracker(lake.tracking, config.project.name)
    champion, params = registry.champion(tracker, as_of), dict.fromkeys(config.goals, DEFAULTS)
    if champion is None:
        return "the defaults: there is no champion", params
    models = load_bundle(tracker, champion.version).models
    params |= {goal: dict(models[goal].params) for goal in config.goals if goal in models}
    return f"those of the champion, version {champion.version}", params


# ---------------------------------------------------------------- rows


def rows(archive: Archive, splits: Sequence[Split], config: Config) -> Iterator[tuple[Split, TrainingRows | str]]:
    """Each fold's rows, or why there are none. A night is rebuilt once: what was tested is learned from later."""
    tested = {night for split in splits for night in split.test}
    whole = tested.union(*(split.validation for split in splits))
    waiting = sorted(whole.union(*(split.train for split in splits)))
    known: dict[datetime, Rebuilt] = {}
    archive.plan(waiting)
    for split in splits:
        while waiting and waiting[0] <= split.test[-1]:
            night = waiting.pop(0)
            features = NightFeatures.of(archive.night(night), config)
            known[night] = of_night(archive, features, config, lists=night in tested, thinned=night not in whole)
        train = [known[night].thinned for night in split.train]
        validation, test = ([known[night] for night in group] for group in (split.validation, split.test))
        yield split, grouped(split, train, validation, test, config)
        for night in split.test:
            known[night] = replace(known[night], lists=None)  # tested once: whole lists are most of what there is


# ---------------------------------------------------------------- folds


def _fold(split: Split, data: TrainingRows | str, params: Params, config: Config) -> Fold:
    first, last = split.test[0].isoformat(), split.test[-1].isoformat()
    if isinstance(data, str):
        return Fold(first, last, len(split.train), dict.fromkeys(config.goals, data), {})

    def learn(goal: str, names: tuple[str, ...], training: Sample, validation: Sample) -> Learned:
        seed, device = config.training.seed, config.training.device
        return learning.relearn(goal, names, training, validation, params[goal], seed, device)

    learned, skipped = each_goal(data, config, learn)
    if not learned:
        return Fold(first, last, len(split.train), skipped, {})
    weights = {goal: config.goals[goal].worth for goal in learned}
    bundle = Bundle({goal: one.model for goal, one in learned.items()}, weights)
    listed = compare.predictions(bundle, data.lists.x)
    goals, ndcg = compare.judged(
        compare.gate_rows(data.lists, bundle),
        data,
        compare.rivals_of(bundle, data, config),
        listed,
        compare.tested_predictions(bundle, data, listed),
    )
    figures: dict[str, float | None] = {f"ndcg_10.{name}": _number(one.mean) for name, one in ndcg.items()}
    for goal, by_name in goals.items():
        for name, measured in by_name.items():
            figures |= {f"{goal}.{metric}.{name}": _number(value) for metric, value in measured.items()}
    return Fold(first, last, len(split.train), skipped, figures)


def _number(value: float | None) -> float | None:
    """What JSON can say: a figure that is not defined is none."""
    return None if value is None or math.isnan(value) else value


# ---------------------------------------------------------------- on a screen


def draw(report: RollingReport, out: Console) -> None:
    """A table a thing that was measured: everybody's mean and spread, and every fold."""
    for title in dict.fromkeys(name.rpartition(".")[0] for name in report.figures):
        found = Table("", "mean", "spread", *(fold.first[:10] for fold in report.folds), title=title)
        for name, one in report.figures.items():
            if name.rpartition(".")[0] == title:
                each = (fold.figures.get(name) for fold in report.folds)
                found.add_row(
                    name.rpartition(".")[2].replace("_", " "), *map(_cell, (one["mean"], one["deviation"], *each))
                )
        out.print(found)
    for fold in report.folds:
        for goal, why in fold.skipped.items():
            out.print(f"{fold.first[:10]}: {goal} not learned ({why})", markup=False)
    out.print(f"{len(report.folds)} folds in {report.seconds:.0f} s, parameters: {report.params}", markup=False)


def _cell(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"
