"""The page about one training: did it help, how much, can its probabilities be believed, what does it look at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NotRequired, TypedDict

from pipeline.reports import charts
from pipeline.reports import page as paper

Measure = float | tuple[float, float, float] | None
"""A value, or a value with the ends of its interval."""

_MEASURES = {
    "auc": ("AUC", 3, max),
    "pr_auc": ("PR-AUC", 3, max),
    "log_loss": ("Log-loss", 4, min),
    "ece": ("ECE", 4, min),
    "lift_10": ("Lift at 10 %", 2, max),
}
"""Name -> title, digits, and which of several values is the best."""
_TRIALS_SHOWN = 8
_FEATURES_SHOWN = 12


class TrialRow(TypedDict):
    """One set of parameters that was tried; `value` is validation log-loss, None where there is none."""

    number: int
    params: Mapping[str, object]
    value: float | None
    state: str
    seconds: float


class GoalResult(TypedDict):
    """What is known about one goal. `models` maps a name (ours first) to its measures, all on the same test rows."""

    name: str
    models: Mapping[str, Mapping[str, Measure]]
    note: NotRequired[str]
    """For instance rows, share of positives, weight."""
    reliability: NotRequired[tuple[Sequence[float], Sequence[float]]]
    """Mean predicted probability and observed share, a point a bin."""
    roc: NotRequired[tuple[Sequence[float], Sequence[float]]]
    """False positive rate, true positive rate."""
    precision_recall: NotRequired[tuple[Sequence[float], Sequence[float]]]
    """Recall, precision."""
    learning: NotRequired[Mapping[str, Sequence[float]]]
    """Log-loss by round, for instance of `train` and `validation`."""
    best_round: NotRequired[int]
    importance: NotRequired[Sequence[tuple[str, float]]]
    """Features with their gain; any scale, any order."""
    trials: NotRequired[Sequence[TrialRow]]


class Training(TypedDict):
    """All that the page says. `ranking` is NDCG@10 by name: mean and interval ends (None where unknown), ours first."""

    project: str
    as_of: str
    verdict: str
    goals: Sequence[GoalResult]
    reason: NotRequired[str]
    facts: NotRequired[Sequence[tuple[str, object]]]
    ranking: NotRequired[Sequence[tuple[str, float, float | None, float | None]]]
    skipped: NotRequired[Sequence[tuple[str, str]]]
    """Goals that were not trained, and why."""
    footer: NotRequired[str]


def training_report(training: Training) -> str:
    """The whole page as one HTML file."""
    reason = training.get("reason", "")
    body = [
        f"<p>{escape(reason)}</p>" if reason else "",
        paper.facts(training.get("facts", ())),
        _ranking_section(training),
        _goals_section(training["goals"]),
        _shape_section(training["goals"]),
        _importance_section(training["goals"]),
        _trials_section(training["goals"]),
        _skipped_section(training.get("skipped", ())),
    ]
    kicker = f"{training['project']} · training · {training['as_of']}"
    return paper.page(f"Training {training['as_of']}", kicker, training["verdict"], body, training.get("footer", ""))


def training_pictures(training: Training) -> dict[str, bytes]:
    """The same pictures as SVG files by name, to keep beside the page."""
    drawn = {"ranking": charts.interval_chart(training.get("ranking", ()))}
    for goal in training["goals"]:
        drawn |= {f"{goal['name']}-{name}": svg for name, (_, svg) in _goal_charts(goal).items()}
    return {f"{name}.svg": charts.standalone(svg) for name, svg in drawn.items() if svg}


def _ranking_section(training: Training) -> str:
    note = (
        "NDCG@10 of whole lists on the test nights, each person counted once. A line is the 95 % interval over people; "
        "longer to the right is better."
    )
    return paper.section("Ranking", note, charts.interval_chart(training.get("ranking", ())))


def _goals_section(goals: Sequence[GoalResult]) -> str:
    if not goals:
        return ""
    note = "All on the same test rows. The best in a column is bold; for log-loss and ECE lower is better."
    rows = [line for goal in goals for line in _goal_rows(goal)]
    return paper.section("Goals", note, paper.table(["", *(title for title, _, _ in _MEASURES.values())], rows))


def _goal_rows(goal: GoalResult) -> Iterator[str]:
    yield paper.group_row(goal["name"], goal.get("note", ""), 1 + len(_MEASURES))
    best = {measure: _best(goal["models"], measure) for measure in _MEASURES}
    for name, measures in goal["models"].items():
        cells = [
            _cell(measures.get(measure), digits, bold=name == best[measure])
            for measure, (_, digits, _) in _MEASURES.items()
        ]
        yield paper.row([escape(name), *cells])


def _best(models: Mapping[str, Mapping[str, Measure]], measure: str) -> str | None:
    """The name of the model that does best; None while there is nothing to compare."""
    values = {name: _value(measures.get(measure)) for name, measures in models.items()}
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    if len(known) < 2:
        return None
    return _MEASURES[measure][2](known, key=known.__getitem__)


def _value(measure: Measure) -> float:
    if measure is None:
        return math.nan
    return measure[0] if isinstance(measure, tuple) else measure


def _cell(measure: Measure, digits: int, *, bold: bool) -> str:
    shown = paper.number(_value(measure), digits)
    if isinstance(measure, tuple):
        ends = f" {paper.DASH} ".join(paper.number(end, digits) for end in measure[1:])
        shown += f'<span class="interval">{ends}</span>'
    return f'<span class="best">{shown}</span>' if bold else shown


def _shape_section(goals: Sequence[GoalResult]) -> str:
    note = (
        "Observed share on the dashed line means: of those given 20 %, one in five did it. "
        "The dashed round of log-loss is the one kept."
    )
    parts = []
    for goal in goals:
        figures = "".join(charts.figure(caption, svg) for caption, svg in _goal_charts(goal).values())
        parts.append(f'<h3>{escape(goal["name"])}</h3><div class="charts">{figures}</div>' if figures else "")
    return paper.section("Shape", note, *parts)


def _goal_charts(goal: GoalResult) -> dict[str, tuple[str, str]]:
    """File name -> caption and picture."""
    drawn = {}
    if "reliability" in goal:
        line = charts.Line("model", *goal["reliability"], dots=True)
        drawn["reliability"] = ("Observed share", charts.line_chart([line], "predicted", diagonal=True, zero=True))
    if "roc" in goal:
        line = charts.Line("model", *goal["roc"])
        drawn["roc"] = (
            "True positive rate",
            charts.line_chart([line], "false positive rate", diagonal=True, zero=True),
        )
    if "precision_recall" in goal:
        line = charts.Line("model", *goal["precision_recall"])
        drawn["precision-recall"] = ("Precision", charts.line_chart([line], "recall", zero=True))
    if "learning" in goal:
        lines = [charts.Line(name, list(range(len(values))), values) for name, values in goal["learning"].items()]
        drawn["learning"] = ("Log-loss", charts.line_chart(lines, "round", mark=goal.get("best_round")))
    return drawn


def _importance_section(goals: Sequence[GoalResult]) -> str:
    note = "Share of the total gain. It says what the model looks at, not what causes anything."
    tables = "".join(_importance(goal) for goal in goals)
    return paper.section("What the model looks at", note, f'<div class="pair">{tables}</div>' if tables else "")


def _importance(goal: GoalResult) -> str:
    given = goal.get("importance", ())
    total = math.fsum(gain for _, gain in given)
    if total <= 0:
        return ""
    top = sorted(given, key=lambda pair: (-pair[1], pair[0]))[:_FEATURES_SHOWN]
    rows = [
        paper.row([escape(name), paper.bar(gain / top[0][1], on=True), f"{100 * gain / total:.1f} %"], texts=2)
        for name, gain in top
    ]
    return f"<div><h3>{escape(goal['name'])}</h3>{paper.table(['Feature', '', 'Gain'], rows, texts=2)}</div>"


def _trials_section(goals: Sequence[GoalResult]) -> str:
    note = "Validation log-loss, best first. A pruned trial was stopped early because it was behind."
    return paper.section("Trials", note, *(_trials(goal) for goal in goals))


def _trials(goal: GoalResult) -> str:
    given = goal.get("trials", ())
    if not given:
        return ""
    ordered = sorted(given, key=_trial_order)
    names = list(dict.fromkeys(name for trial in ordered for name in trial["params"]))
    rows = [_trial_row(trial, names) for trial in ordered[:_TRIALS_SHOWN]]
    left_out = len(ordered) - len(rows)
    rest = f'<p class="note">{left_out} more in MLflow.</p>' if left_out else ""
    columns = ["Trial", "State", "Log-loss", *(name.replace("_", " ") for name in names), "Seconds"]
    return f"<h3>{escape(goal['name'])}</h3>" + paper.table(columns, rows, texts=2) + rest


def _trial_order(trial: TrialRow) -> tuple[bool, float, int]:
    """Finished trials before pruned ones, whose value is that of an early round."""
    value = trial["value"]
    return trial["state"] != "COMPLETE", math.inf if value is None else value, trial["number"]


def _trial_row(trial: TrialRow, names: Sequence[str]) -> str:
    params = [escape(paper.text(trial["params"].get(name))) for name in names]
    state = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}.get(trial["state"], trial["state"].lower())
    value = paper.number(trial["value"], 5)
    return paper.row([str(trial["number"]), escape(state), value, *params, paper.number(trial["seconds"], 1)], texts=2)


def _skipped_section(skipped: Sequence[tuple[str, str]]) -> str:
    lines = paper.bullets(f"{goal}: {reason}" for goal, reason in skipped)
    return paper.section("Left out", "Goals that were not trained, and why.", lines)
