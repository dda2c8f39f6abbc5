"""Replay past nights, learn one calibrated classifier a goal, compare it with its rivals, and record it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from features import spec
from models import grid, leak, learning
from models.classifier import Bundle
from models.learning import Budget, Learned, Sample
from models.mapped import let_go
from models.tuning import TrialRecord
from pipeline import decisions, registry, scratch, tracking
from pipeline.build_features import goals_of
from pipeline.compare import Contest
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.known_trials import journal, known_trials, storage
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.records import Tracker
from pipeline.report import Report
from pipeline.training_record import training_record
from pipeline.training_rows import TrainingRows, collect, to_learn

Learn = Callable[[str, tuple[str, ...], Sample, Sample], Learned]
"""Learns a goal, from features of these names, out of a training's and a validation's rows."""


@dataclass(frozen=True)
class TrainReport(Report):
    """What came of a training. `version` is None when there was nothing to learn from, and `reason` says why."""

    as_of: str
    version: str | None
    promoted: bool
    reason: str
    goals: Mapping[str, Mapping[str, float | None]]
    ndcg_10: Mapping[str, float]
    skipped: Mapping[str, str]
    rows: Mapping[str, int]
    nights: Mapping[str, int]
    trials: int
    seconds: float
    report: str | None = None


def run(as_of: datetime, config: Config, *, on_trial: Callable[[str, TrialRecord], None] | None = None) -> TrainReport:
    """Train, compare, record, and promote if the gate says so."""
    started, lake = time.monotonic(), Lake.of(config)
    archive = Archive.load(lake, config, as_of)
    data = collect(archive, config)
    if isinstance(data, str):
        return _nothing(as_of, data)
    _require_no_leak(data, as_of, config)
    with scratch.folder_in(lake.scratch) as folder:
        pages = str(folder / "bins")
        learned, skipped = _learn(data, as_of, config, lake, on_trial, pages)
        if not learned:
            reasons = "; ".join(f"{goal}: {why}" for goal, why in skipped.items())
            return _nothing(as_of, f"no goal could be learned: {reasons}")
        bundle = served(bundle_of(learned, data, as_of, config), data, config, pages)
    dipping = decisions.dipping(lake, as_of)
    contest = Contest.of(bundle, learned, data, as_of, config, lake, champion_dipping=dipping)
    return _record(contest, skipped, time.monotonic() - started)


# ---------------------------------------------------------------- models


def _require_no_leak(data: TrainingRows, as_of: datetime, config: Config) -> None:
    """Raise ShortlistError when a single feature tells the answer: it was made from what came after the night."""
    names = spec.names(config.goals, crm=data.vocabulary.attributes)
    found = {goal: leak.leaks(data.train.x, names, data.train.labels[goal], data.train.person) for goal in config.goals}
    let_go(data.train.x)
    told = "; ".join(f"{goal}: {', '.join(map(str, leaks))}" for goal, leaks in found.items() if leaks)
    if told:
        raise ShortlistError(
            f"training as of {as_of.isoformat()}: a feature alone tells who will engage, so it must have been made of "
            f"what came after the night ({told}; {leak.ABOVE:g} is too good to be true). Nothing was trained. Look at "
            "when the export's rows say that they could be known (`available_at`, delay_minutes), and at what the goal "
            "counts; `shortlist features --explain PERSON` shows a person's values."
        )


def _learn(
    data: TrainingRows,
    as_of: datetime,
    config: Config,
    lake: Lake,
    on_trial: Callable[[str, TrialRecord], None] | None,
    pages: str | None = None,
) -> tuple[dict[str, Learned], dict[str, str]]:
    """Every goal that has enough engagements, searched for; and for the others why not."""
    kept, budget = _fresh_journal(journal(as_of, lake)), replace(budget_of(config), pages=pages)
    known = known_trials(as_of, config, lake) if config.training.search == "tpe" else {}

    def search(goal: str, names: tuple[str, ...], training: Sample, validation: Sample) -> Learned:
        told = partial(on_trial, goal) if on_trial else None
        begun = replace(budget, known=(*known.get(goal, ()), *budget.known))
        return learning.learn(goal, names, training, validation, begun, storage=kept, study=goal, on_trial=told)

    return each_goal(data, config, search)


def each_goal(data: TrainingRows, config: Config, learn: Learn) -> tuple[dict[str, Learned], dict[str, str]]:
    """What `learn` makes of every goal that has enough engagements; and for the others why not."""
    learned, skipped, least = {}, {}, config.training.min_positives
    names = spec.names(config.goals, crm=data.vocabulary.attributes)
    for goal in config.goals:
        found = [int(rows.labels[goal].sum()) for rows in (data.train, data.validation)]
        if min(found) < least:
            skipped[goal] = (
                f"{found[0]} engagements on the training nights and {found[1]} on the validation nights; "
                f"training.min_positives is {least}"
            )
        else:
            training, validation = (to_learn(rows, goal, config) for rows in (data.train, data.validation))
            learned[goal] = learn(goal, names, training, validation)
    return learned, skipped


def budget_of(config: Config) -> Budget:
    """What the search for one goal may cost."""
    training = config.training
    seconds = training.seconds / len(config.goals)
    if training.search == "tpe":
        return Budget(training.trials, seconds, training.seed, training.device)
    points = grid.points(training.seed)
    trials = min(training.trials, 1 + len(points))  # the defaults, which every search tries first, and the grid
    return Budget(trials, seconds, training.seed, training.device, points)


def _fresh_journal(path: Path) -> Any:
    """Optuna's journal; one that an interrupted training left is dropped, so that this one does not depend on it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return storage(path)


def bundle_of(learned: Mapping[str, Learned], data: TrainingRows, as_of: datetime, config: Config) -> Bundle:
    """Everything that scoring needs of what was learned, as it is judged."""
    models = {goal: one.model for goal, one in learned.items()}
    context = {
        "as_of": as_of.isoformat(),
        "cuts": dict(data.cuts),
        "crm": data.vocabulary.to_json(),
        "nights": [night.isoformat() for night in data.split.train],
        "tested": [night.isoformat() for night in data.split.test],
        "configuration_sha256": config.sha256,
        "goals": goals_of(config),
    }
    weights = {goal: config.goals[goal].worth for goal in learned}
    return Bundle(models, weights, context)


def served(bundle: Bundle, data: TrainingRows, config: Config, pages: str | None = None) -> Bundle:
    """The same with what serves in the place of what was judged: it learns from the newest nights too.

    `pages` as in `learning.Budget`.
    """
    every, seed, device = (data.train, data.validation, data.test), config.training.seed, config.training.device
    anew = {
        goal: learning.anew(model, [to_learn(rows, goal, config) for rows in every], seed, device, pages=pages)
        for goal, model in bundle.models.items()
    }
    return replace(bundle, anew=anew)


# ---------------------------------------------------------------- records


def _record(contest: Contest, skipped: Mapping[str, str], seconds: float) -> TrainReport:
    config, as_of = contest.config, contest.as_of
    tracker = Tracker(contest.lake.tracking, config.project.name)
    version = tracking.log_training(tracker, training_record(contest, skipped, seconds))
    if contest.verdict.promote:
        registry.promote(tracker, version, as_of)
    else:
        registry.refuse(tracker, version, contest.verdict.reason)
    data = contest.data
    return TrainReport(
        as_of=as_of.isoformat(),
        version=version,
        promoted=contest.verdict.promote,
        reason=contest.verdict.reason,
        goals={goal: dict(figures["model"]) for goal, figures in contest.goals.items()},
        ndcg_10={name: interval.mean for name, interval in contest.ndcg.items()},
        skipped=dict(skipped),
        rows={
            "train": data.train.size,
            "validation": data.validation.size,
            "test": data.test.size,
            "lists": data.lists.size,
        },
        nights={"train": len(data.split.train), "validation": len(data.split.validation), "test": len(data.split.test)},
        trials=sum(len(one.trials) for one in contest.learned.values()),
        seconds=round(seconds, 1),
        report=next((str(v.report) for v in registry.versions(tracker) if v.version == version), None),
    )


def _nothing(as_of: datetime, reason: str) -> TrainReport:
    return TrainReport(as_of.isoformat(), None, False, reason, {}, {}, {}, {}, {}, 0, 0.0)
