"""Replay past nights, learn one calibrated classifier a goal, compare with what is simple and with the champion, record it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import rfm, spec
from models import gate, learning, metrics, scorer
from models.classifier import Bundle, GoalModel
from models.learning import Budget, Learned, Sample
from models.split import Split, split_nights
from models.tuning import TrialRecord
from pipeline import tracking
from pipeline.build_features import Cuts, replayed_nights
from pipeline.config import Config
from pipeline.lake import NIGHT, Lake
from pipeline.night import Archive
from pipeline.rebuild import Rebuilt, Rows, joined, rebuild
from pipeline.records import ModelVersion, Tracker, TrainingRecord, Trial
from pipeline.report import Report
from pipeline.reports import training_pictures, training_report
from pipeline.reports.training import GoalResult, Measure, Training

K = 10
Probabilities = Mapping[str, NDArray[np.float64]]


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


@dataclass(frozen=True)
class _Data:
    """The three groups of nights as rows, RFM scores filled in by cut-points learned on the training nights."""

    split: Split
    cuts: Cuts
    train: Rows
    validation: Rows
    test: Rows
    lists: Rows


def run(as_of: datetime, config: Config, *, on_trial: Callable[[str, TrialRecord], None] | None = None) -> TrainReport:
    """Train, compare, record, and promote if the gate says so."""
    started, lake = time.monotonic(), Lake.of(config)
    archive = Archive.load(lake, config, as_of)
    data = _collect(archive, config)
    if isinstance(data, str):
        return _nothing(as_of, data)
    learned, skipped = _learn(data, as_of, config, lake, on_trial)
    if not learned:
        return _nothing(as_of, "no goal could be learned: " + "; ".join(f"{g}: {why}" for g, why in skipped.items()))
    bundle = _bundle(learned, data, as_of, config)
    contest = _Contest.of(bundle, learned, data, as_of, config, lake)
    return _record(contest, skipped, time.monotonic() - started)


# ---------------------------------------------------------------- rows


def _collect(archive: Archive, config: Config) -> _Data | str:
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
    try:
        return _Data(
            split=split,
            cuts=cuts,
            train=_newest(joined([n.shown for n in train]), config.training.max_rows).scored(cuts, goals),
            validation=joined([n.shown for n in validation]).scored(cuts, goals),
            test=joined([n.shown for n in test]).scored(cuts, goals),
            lists=joined(_lists(test)).scored(cuts, goals),
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
    labels = {goal: values[kept] for goal, values in rows.labels.items()}
    return Rows(rows.x[kept], rows.raw[kept], labels, rows.person[kept], rows.group[kept], rows.popularity[kept])


def _sample(rows: Rows, goal: str) -> Sample:
    return Sample(rows.x, rows.labels[goal], rows.person)


# ---------------------------------------------------------------- models


def _learn(
    data: _Data, as_of: datetime, config: Config, lake: Lake, on_trial: Callable[[str, TrialRecord], None] | None
) -> tuple[dict[str, Learned], dict[str, str]]:
    """Every goal that has enough engagements; and for the others why not."""
    learned, skipped = {}, {}
    storage = _fresh_journal(lake.studies / f"{as_of.strftime(NIGHT)}.log")
    least = config.training.min_positives
    for goal in config.goals:
        found = [int(rows.labels[goal].sum()) for rows in (data.train, data.validation)]
        if min(found) < least:
            skipped[goal] = (
                f"{found[0]} engagements on the training nights and {found[1]} on the validation nights; "
                f"training.min_positives is {least}"
            )
            continue
        learned[goal] = learning.learn(
            goal,
            spec.names(config.goals),
            _sample(data.train, goal),
            _sample(data.validation, goal),
            Budget(
                config.training.trials,
                config.training.seconds / len(config.goals),
                config.training.seed,
                config.training.device,
            ),
            storage=storage,
            study=goal,
            on_trial=(lambda record, goal=goal: on_trial(goal, record)) if on_trial else None,
        )
    return learned, skipped


def _fresh_journal(path: Path) -> Any:
    """Optuna's journal; one that an interrupted training left is dropped, so that this one does not depend on it."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))


def _bundle(learned: Mapping[str, Learned], data: _Data, as_of: datetime, config: Config) -> Bundle:
    context = {
        "as_of": as_of.isoformat(),
        "cuts": dict(data.cuts),
        "nights": [night.isoformat() for night in data.split.train],
        "configuration_sha256": config.sha256,
    }
    weights = {goal: config.goals[goal].weight for goal in learned}
    return Bundle({goal: one.model for goal, one in learned.items()}, weights, context)


# ---------------------------------------------------------------- comparison


@dataclass(frozen=True)
class _Contest:
    """The challenger, its rivals' figures on the same test rows, and the gate's verdict."""

    bundle: Bundle
    learned: Mapping[str, Learned]
    data: _Data
    as_of: datetime
    config: Config
    lake: Lake
    goals: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    ndcg: Mapping[str, metrics.Interval]
    verdict: gate.Verdict
    champion: ModelVersion | None

    @classmethod
    def of(
        cls, bundle: Bundle, learned: Mapping[str, Learned], data: _Data, as_of: datetime, config: Config, lake: Lake
    ) -> _Contest:
        champion = tracking.champion(Tracker(lake.tracking, config.project.name), as_of)
        ours, linear = _predictions(bundle.models, data.lists.x), {}
        measured = {}
        for goal, model in bundle.models.items():
            p_test, linear[goal] = learning.logistic(_sample(data.train, goal), data.test.x, data.lists.x)
            measured[goal] = _measured(model, data.test, goal, p_test)
        rows = _test_rows(data.lists, bundle)
        theirs = _champion_predictions(champion, bundle, data, config, lake)
        scores = {
            "model": scorer.relevance(ours, bundle.weights),
            "logistic_regression": scorer.relevance(linear, bundle.weights),
            "most_popular": data.lists.popularity,
            **({"champion": scorer.relevance(theirs, bundle.weights)} if theirs else {}),
        }
        ndcg = {name: _interval(rows, score) for name, score in scores.items()}
        verdict = gate.promote(rows, ours, theirs, champion_stale=_stale(champion, as_of, config), k=K)
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


def _predictions(models: Mapping[str, GoalModel], x: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    return {goal: model.predict(x) for goal, model in models.items()}


def _test_rows(lists: Rows, bundle: Bundle) -> gate.TestRows:
    labels = {goal: lists.labels[goal] for goal in bundle.models}
    return gate.TestRows(lists.person, lists.group, labels, dict(bundle.weights), lists.popularity)


def _champion_predictions(
    champion: ModelVersion | None, bundle: Bundle, data: _Data, config: Config, lake: Lake
) -> Probabilities | None:
    """The champion's probabilities on the same rows; None where it cannot be compared (other goals or features)."""
    if champion is None:
        return None
    old = Bundle.from_files(tracking.load_bundle_files(Tracker(lake.tracking, config.project.name), champion.version))
    names = spec.names(config.goals)
    if set(old.models) != set(bundle.models) or any(model.features != names for model in old.models.values()):
        return None
    return _predictions(old.models, data.lists.scored(old.context["cuts"], tuple(config.goals)).x)


def _stale(champion: ModelVersion | None, as_of: datetime, config: Config) -> bool:
    return champion is not None and (as_of - champion.as_of).days >= config.retrain.max_age_days


def _interval(rows: gate.TestRows, score: NDArray[np.float64]) -> metrics.Interval:
    """Mean NDCG@10 over lists in which something was relevant, with its interval over people."""
    values = metrics.ndcg_by_group(rows.group, score, rows.relevance(rows.labels), K)
    people = rows.person[np.unique(rows.group, return_index=True)[1]]
    known = ~np.isnan(values)
    if not known.any():
        return metrics.Interval(float("nan"), float("nan"), float("nan"))
    return metrics.bootstrap_difference(values[known], np.zeros(int(known.sum())), people[known])


# ---------------------------------------------------------------- records


def _record(contest: _Contest, skipped: Mapping[str, str], seconds: float) -> TrainReport:
    config, as_of = contest.config, contest.as_of
    tracker = Tracker(contest.lake.tracking, config.project.name)
    page = _page(contest, skipped)
    version = tracking.log_training(tracker, _training_record(contest, page, seconds))
    if contest.verdict.promote:
        tracking.promote(tracker, version, as_of)
    else:
        tracking.refuse(tracker, version, contest.verdict.reason)
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
        report=next((str(v.report) for v in tracking.versions(tracker) if v.version == version), None),
    )


def _training_record(contest: _Contest, page: Training, seconds: float) -> TrainingRecord:
    config, figures = contest.config, {}
    for goal, models in contest.goals.items():
        for model, measured in models.items():
            suffix = "" if model == "model" else f".{model}"
            figures.update({f"{goal}.{name}{suffix}": value for name, value in measured.items()})
    for model, interval in contest.ndcg.items():
        figures["ndcg_10" + ("" if model == "model" else f".{model}")] = interval.mean
    return TrainingRecord(
        as_of=contest.as_of,
        goals=tuple(contest.bundle.models),
        files=contest.bundle.to_files(),
        params=config.model_dump(mode="json", exclude={"file", "sources"}),
        metrics=figures,
        curves={f"{goal}.validation_log_loss": one.curve for goal, one in contest.learned.items()},
        trials=[_trial(goal, record) for goal, one in contest.learned.items() for record in one.trials],
        tables={f"importance_{goal}": _importance_table(one.model) for goal, one in contest.learned.items()},
        pictures=training_pictures(page),
        lake_versions=contest.lake.versions(),
        tags={
            "configuration_sha256": config.sha256,
            "nights": f"{contest.data.split.train[0].date()} .. {contest.data.split.test[-1].date()}",
            "verdict": contest.verdict.reason,
        },
        html=training_report(page),
        description=contest.verdict.reason,
        seconds=seconds,
    )


def _trial(goal: str, record: TrialRecord) -> Trial:
    return Trial(goal, record.number, dict(record.params), record.value, record.state.upper(), record.seconds)


def _importance_table(model: GoalModel) -> pa.Table:
    ranked = learning.importance(model)
    return pa.table({"feature": [name for name, _ in ranked], "share_of_gain": [share for _, share in ranked]})


def _page(contest: _Contest, skipped: Mapping[str, str]) -> Training:
    data, config = contest.data, contest.config
    return Training(
        project=config.project.name,
        as_of=contest.as_of.isoformat(),
        verdict=contest.verdict.reason,
        facts=[
            (
                "Training nights",
                f"{data.split.train[0].date()} to {data.split.train[-1].date()} ({len(data.split.train)})",
            ),
            ("Validation nights", f"{data.split.validation[0].date()} to {data.split.validation[-1].date()}"),
            ("Test nights", f"{data.split.test[0].date()} to {data.split.test[-1].date()}"),
            ("Rows", f"{data.train.size:,} + {data.validation.size:,} + {data.test.size:,}"),
            ("Graded lists", f"{len(np.unique(data.lists.group)):,} of {len(np.unique(data.lists.person)):,} people"),
            ("Features", len(spec.names(config.goals))),
        ],
        ranking=[(name.replace("_", " "), *interval) for name, interval in contest.ndcg.items()],
        goals=[_goal_result(goal, contest) for goal in contest.bundle.models],
        skipped=list(skipped.items()),
    )


def _goal_result(goal: str, contest: _Contest) -> GoalResult:
    test, one = contest.data.test, contest.learned[goal]
    y, p = test.labels[goal], one.model.predict(test.x)
    figures: dict[str, dict[str, Measure]] = {
        name.replace("_", " "): dict(m) for name, m in contest.goals[goal].items()
    }
    drawn = learning.curves(y, p)
    return GoalResult(
        name=goal,
        models=figures,
        note=f"{test.size:,} test rows, {y.mean():.2%} engaged, weight {contest.bundle.weights[goal]:g}",
        reliability=drawn["reliability"],
        roc=drawn["roc"],
        precision_recall=drawn["precision_recall"],
        learning={"validation": one.curve},
        best_round=one.model.best_iteration,
        importance=learning.importance(one.model),
        trials=[
            {"number": t.number, "params": t.params, "value": t.value, "state": t.state, "seconds": t.seconds}
            for t in one.trials
        ],
    )


def _nothing(as_of: datetime, reason: str) -> TrainReport:
    return TrainReport(as_of.isoformat(), None, False, reason, {}, {}, {}, {}, {}, 0, 0.0)
