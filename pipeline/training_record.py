"""What a training leaves to look at: its figures, curves, trials and pictures for MLflow, and its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from features import spec
from features.crm import Vocabulary
from models import learning
from models.classifier import GoalModel
from models.tuning import TrialRecord
from pipeline.compare import Contest
from pipeline.records import TrainingRecord, Trial
from pipeline.reports import training_pictures, training_report
from pipeline.reports.training import GoalResult, Measure, Training


def training_record(contest: Contest, skipped: Mapping[str, str], seconds: float) -> TrainingRecord:
    """Everything about a training that MLflow keeps; `skipped` says why other goals were not learned."""
    page, config, figures = _page(contest, skipped), contest.config, {}
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


def _page(contest: Contest, skipped: Mapping[str, str]) -> Training:
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
            ("Features", len(spec.names(config.goals, crm=data.vocabulary.attributes))),
            *_crm(data.vocabulary),
        ],
        ranking=[(name.replace("_", " "), *interval) for name, interval in contest.ndcg.items()],
        goals=[_goal_result(goal, contest) for goal in contest.bundle.models],
        skipped=list(skipped.items()),
    )


def _crm(vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    """What is learned from of the CRM, and why the rest is not."""
    if vocabulary.attributes:
        yield "CRM attributes", ", ".join(one.name for one in vocabulary.attributes)
    if vocabulary.left_out:
        yield "CRM attributes left out", "; ".join(f"{name}: {why}" for name, why in vocabulary.left_out.items())


def _goal_result(goal: str, contest: Contest) -> GoalResult:
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
