"""What a training leaves to look at: its figures, curves, trials, tables and pictures for MLflow, its page and card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from features import spec
from models import learning
from models.classifier import GoalModel
from models.gate_rows import Check
from models.goal_weights import Suggestion
from models.shap_summary import Effect
from models.slices import Slice
from models.tuning import TrialRecord
from pipeline.compare import Contest
from pipeline.model_card import model_card
from pipeline.records import Signature, TrainingRecord, Trial
from pipeline.reports import training_pictures, training_report
from pipeline.reports.weights import in_words
from pipeline.training_page import Evidence, training_page


def training_record(contest: Contest, skipped: Mapping[str, str], seconds: float) -> TrainingRecord:
    """Everything about a training that MLflow keeps; `skipped` says why other goals were not learned."""
    evidence, config = Evidence(contest), contest.config
    page = training_page(evidence, skipped)
    return TrainingRecord(
        as_of=contest.as_of,
        goals=tuple(contest.bundle.models),
        files=contest.bundle.to_files(),
        params=config.model_dump(mode="json", exclude={"file", "sources"}),
        metrics=_figures(contest) | _weights_figures(evidence.suggestions),
        curves={f"{goal}.validation_log_loss": one.curve for goal, one in contest.learned.items()},
        trials=[_trial(goal, record) for goal, one in contest.learned.items() for record in one.trials],
        tables=_tables(evidence),
        pictures=training_pictures(page),
        lake_versions=contest.lake.versions(),
        tags={
            "configuration_sha256": config.sha256,
            "nights": f"{contest.data.split.train[0].date()} .. {contest.data.split.test[-1].date()}",
            "verdict": contest.verdict.reason,
            "graded_rows_sha256": contest.verdict.rows,
            **{f"suggested_weights.{one.metric}": _suggested(one) for one in evidence.suggestions},
        },
        html=training_report(page),
        description=contest.verdict.reason,
        card=model_card(page),
        signature=Signature(
            spec.names(config.goals, crm=contest.data.vocabulary.attributes),
            tuple(f"p_{goal}" for goal in contest.bundle.models),
        ),
        seconds=seconds,
    )


def _figures(contest: Contest) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for goal, models in contest.goals.items():
        for model, measured in models.items():
            suffix = "" if model == "model" else f".{model}"
            figures.update({f"{goal}.{name}{suffix}": value for name, value in measured.items()})
    for model, interval in contest.ndcg.items():
        figures["ndcg_10" + ("" if model == "model" else f".{model}")] = interval.mean
    checks = contest.verdict.checks
    return figures | {"gate.checks": float(len(checks)), "gate.failed": float(sum(not one.passed for one in checks))}


def _weights_figures(found: Sequence[Suggestion]) -> dict[str, float | None]:
    return {
        f"weights.{one.metric}.{name}": value
        for one in found
        for name, value in (("today", one.today), ("tried", one.suggested), ("difference", one.difference.mean))
    }


def _suggested(one: Suggestion) -> str:
    return in_words(one.weights) if one.better else "none"


def _trial(goal: str, record: TrialRecord) -> Trial:
    return Trial(goal, record.number, dict(record.params), record.value, record.state.upper(), record.seconds)


def _tables(evidence: Evidence) -> dict[str, pa.Table]:
    contest = evidence.contest
    return {
        "gate": _checks_table(contest.verdict.checks),
        **{f"importance_{goal}": _importance_table(one.model) for goal, one in contest.learned.items()},
        **{f"effects_{goal}": _effects_table(found) for goal, found in evidence.effects.items()},
        **{f"groups_{goal}": _groups_table(found) for goal, found in evidence.slices.items()},
        **({"goal_weights": _weights_table(evidence.suggestions)} if evidence.suggestions else {}),
    }


def _checks_table(checks: Sequence[Check]) -> pa.Table:
    """As on the page, with all digits."""
    return pa.table(
        {
            "check": pa.array([one.name for one in checks], pa.string()),
            **{
                name: pa.array([getattr(one, name) for one in checks], pa.float64())
                for name in ("value", "low", "high", "bound")
            },
            "held": pa.array([one.held for one in checks], pa.string()),
            "passed": pa.array([one.passed for one in checks], pa.bool_()),
            "note": pa.array([one.note for one in checks], pa.string()),
        }
    )


def _importance_table(model: GoalModel) -> pa.Table:
    ranked = learning.importance(model)
    return pa.table({"feature": [name for name, _ in ranked], "share_of_gain": [share for _, share in ranked]})


def _effects_table(effects: Sequence[Effect]) -> pa.Table:
    return pa.table(
        {
            "feature": pa.array([one.name for one in effects], pa.string()),
            "mean_absolute_log_odds": pa.array([one.mean for one in effects], pa.float64()),
        }
    )


def _weights_table(found: Sequence[Suggestion]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "measure": one.metric,
                **{f"weight_{goal}": weight for goal, weight in one.weights.items()},
                "today": one.today,
                "tried": one.suggested,
                "difference": one.difference.mean,
                "difference_low": one.difference.low,
                "difference_high": one.difference.high,
                "suggested": one.better,
            }
            for one in found
        ]
    )


def _groups_table(found: Sequence[Slice]) -> pa.Table:
    columns = {
        "kind": [one.kind for one in found],
        "group": [one.name for one in found],
        "people": [one.people for one in found],
        "rows": [one.rows for one in found],
        "auc": [one.auc.mean for one in found],
        "auc_low": [one.auc.low for one in found],
        "auc_high": [one.auc.high for one in found],
        "expected": [one.expected for one in found],
        "observed": [one.observed.mean for one in found],
        "observed_low": [one.observed.low for one in found],
        "observed_high": [one.observed.high for one in found],
        "places_by_people": [one.exposure for one in found],
    }
    texts, counts = ("kind", "group"), ("people", "rows")
    types = {name: pa.string() if name in texts else pa.int64() if name in counts else pa.float64() for name in columns}
    return pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
