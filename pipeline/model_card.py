"""A model's card in Markdown, from what its page says: what it is for, how good, where weak, and how to go back."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from pipeline.reports.page import DASH, text
from pipeline.reports.training import GoalResult, Measure, Training

LONGEST = 7_500
"""MLflow keeps 8,000 characters of a description."""

_FEATURES = 8
_COLUMNS = {"auc": ("AUC", 3), "pr_auc": ("PR-AUC", 3), "lift_10": ("Lift at 10 %", 2), "ece": ("ECE", 4)}


def model_card(training: Training) -> str:
    """The card; the verdict's sentence comes first, as it stands.

    What does not fit into MLflow's limit is left out from the end, whole sections at a time.
    """
    sections = [_head(training), *filter(None, _sections(training))]
    while len(sections) > 1 and len("\n\n".join(sections)) > LONGEST:
        sections.pop(-2 if len(sections) > 2 else -1)  # the last one says how to roll back
    return "\n\n".join(sections)[:LONGEST]


def _head(training: Training) -> str:
    goals = ", ".join(f"`{goal['name']}`" for goal in training["goals"])
    return (
        f"**{training['verdict']}**\n\n"
        f"One calibrated XGBoost classifier a goal ({goals}) ranks content for people who may be ranked; the page "
        "`index.html` among the artifacts has pictures and trials."
    )


def _sections(training: Training) -> Iterator[str]:
    yield _checks(training)
    yield _facts(training)
    yield _lists(training)
    for goal in training["goals"]:
        yield _goal(goal)
    yield _limits(training)
    yield (
        "### Rolling back\n"
        "`shortlist rollback-model` lets the model before it serve again, from a night on; `--to VERSION` another one. "
        "Published snapshots never change."
    )


def _facts(training: Training) -> str:
    told = _bullets(f"{name}: {text(value)}" for name, value in training.get("facts", ()))
    return f"### Data\n{told}" + (f"\n\n{serves}" if (serves := training.get("serves")) else "")


def _checks(training: Training) -> str:
    """What failed; the page has all."""
    checks = training.get("checks", ())
    if not checks:
        return ""
    failed = [one for one in checks if not one.passed]
    rows = [[_plain(one.name), _interval(one.value, one.low, one.high, 4), f"{one.bound:.4f}"] for one in failed]
    told = f"### Decision\n{len(checks) - len(failed)} of {len(checks)} checks passed."
    return told + ("\n\n" + _table(["Not passed", "Value, 95 % interval", "Bound"], rows) if rows else "")


def _lists(training: Training) -> str:
    rows = [[_plain(name), _interval(mean, low, high, 4)] for name, mean, low, high in training.get("ranking", ())]
    return "### Lists (NDCG@10 on the test nights)\n" + _table(["", "Mean, 95 % interval"], rows) if rows else ""


def _goal(goal: GoalResult) -> str:
    rows = [
        [_plain(name), *(_measured(measures.get(key), digits) for key, (_, digits) in _COLUMNS.items())]
        for name, measures in goal["models"].items()
    ]
    lines = [
        f"### Goal `{goal['name']}`",
        goal.get("note", ""),
        "",
        _table(["", *(title for title, _ in _COLUMNS.values())], rows),
    ]
    if effects := goal.get("effects"):
        names = ", ".join(f"`{one['name']}`" for one in effects[:_FEATURES])
        lines += ["", f"Moves the odds most: {names}."]
    if goal.get("audit"):
        lines += ["", f"Groups of people: {goal['audit']}"]
    return "\n".join(lines)


def _limits(training: Training) -> str:
    told = [
        "It learned from what people did with what they could see; what nobody was shown, nobody could engage with.",
        "Probabilities are of the goal's horizon after a night like the test nights; they drift as people do.",
    ]
    told += [f"`{goal}` was not learned: {why}." for goal, why in training.get("skipped", ())]
    return "### Limits\n" + _bullets(told)


# ---------------------------------------------------------------- Markdown


def _measured(measure: Measure, digits: int) -> str:
    if isinstance(measure, tuple):
        return _interval(*measure, digits)
    return DASH if measure is None or not math.isfinite(measure) else f"{measure:.{digits}f}"


def _interval(mean: float, low: float | None, high: float | None, digits: int) -> str:
    if not math.isfinite(mean):
        return DASH
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _table(columns: list[str], rows: Iterable[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _plain(words: str) -> str:
    """Without what Markdown would read as a column or as HTML."""
    return re.sub(r"[|<>\n]", " ", words)
