"""The page about one training: did it help, how much, can its probabilities be believed, what does it look at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NotRequired, TypedDict

from pipeline.reports import charts
from pipeline.reports import page as paper
from pipeline.reports.examples import Example, examples_of
from pipeline.reports.search import Search, history_chart, search_of
from pipeline.reports.slices import SliceRow, slices_of
from pipeline.reports.swarm import EffectRow, swarm
from pipeline.reports.weights import WeightsRow, weights_section

if TYPE_CHECKING:
    from models.gate_rows import Check  # which takes a second to import, and whoever writes any page would wait for it

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
_FEATURES_SHOWN = 12


class GoalResult(Search):
    """What is known about one goal, its search too.

    `models` maps a name (ours first) to its measures, all on the same test rows.
    """

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
    effects: NotRequired[Sequence[EffectRow]]
    slices: NotRequired[Sequence[SliceRow]]
    audit: NotRequired[str]
    """Which group is served worst, and whether that may be chance."""


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
    checks: NotRequired[Sequence[Check]]
    unjudged: NotRequired[Sequence[str]]
    """What was too small for a check."""
    examples: NotRequired[Sequence[Example]]
    examples_note: NotRequired[str]
    """Which rows they are, and how they were chosen."""
    serves: NotRequired[str]
    """Which trees make lists, where they are not those that are judged here."""
    weights: NotRequired[Sequence[WeightsRow]]
    weights_note: NotRequired[str]
    """What today's are, what the others were looked for on, and what they were judged on."""
    footer: NotRequired[str]


def training_report(training: Training) -> str:
    """The whole page as one HTML file."""
    reason, serves = training.get("reason", ""), training.get("serves", "")
    body = [
        f"<p>{escape(reason)}</p>" if reason else "",
        paper.facts(training.get("facts", ())),
        f'<p class="note">{escape(serves)}</p>' if serves else "",
        _checks_section(training.get("checks", ()), training.get("unjudged", ())),
        _ranking_section(training),
        _goals_section(training["goals"]),
        weights_section(training.get("weights_note", ""), training.get("weights", ())),
        _examples_section(training),
        _effects_section(training["goals"]),
        _slices_section(training["goals"]),
        _shape_section(training["goals"]),
        _search_section(training["goals"]),
        _importance_section(training["goals"]),
        _skipped_section(training.get("skipped", ())),
    ]
    verdict = training["verdict"][:1].upper() + training["verdict"][1:]
    kicker = f"{training['project']} · training · {training['as_of']}"
    return paper.page(f"Training {training['as_of']}", kicker, verdict, body, training.get("footer", ""))


def training_pictures(training: Training) -> dict[str, bytes]:
    """The same pictures as SVG files by name, to keep beside the page."""
    drawn = {"ranking": charts.interval_chart(training.get("ranking", ()))}
    for goal in training["goals"]:
        drawn |= {f"{goal['name']}-{name}": svg for name, (_, svg) in _goal_charts(goal).items()}
        drawn[f"{goal['name']}-effects"] = swarm(goal.get("effects", ()))
        drawn[f"{goal['name']}-trials"] = history_chart(goal.get("history", ()))
    return {f"{name}.svg": charts.standalone(svg) for name, svg in drawn.items() if svg}


def _checks_section(checks: Sequence[Check], unjudged: Sequence[str]) -> str:
    """What failed comes first."""
    rows = [_check_row(one) for one in sorted(checks, key=lambda one: one.passed)]
    note = (
        "Both models on identical rows, 95 % intervals over people, the same ones for both. Bold is what is held "
        "against the bound: an end of the interval where something must be proven, or must be beyond doubt."
    )
    left_out = f'<p class="note">Too small to be judged: {escape("; ".join(unjudged))}.</p>' if unjudged else ""
    columns = ["Check", "Difference", "Interval", "Bound", ""]
    return paper.section("Decision", note, paper.table(columns, rows) if rows else "", left_out)


def _check_row(one: Check) -> str:
    value, low, high = (
        f'<span class="best">{shown}</span>' if one.held == name else shown
        for name, shown in (("value", _signed(one.value)), ("low", _signed(one.low)), ("high", _signed(one.high)))
    )
    fate = '<span class="good">passed</span>'
    if not one.passed:
        fate = f'<span class="yes">not passed, by {one.beyond:.4f}</span>'
    note = f'<span class="interval">{escape(one.note)}</span>' if one.note else ""
    ends = f"{low} to {high}" if math.isfinite(one.low) else paper.DASH
    return paper.row([escape(one.name) + note, value, ends, _signed(one.bound), fate])


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _ranking_section(training: Training) -> str:
    note = (
        "NDCG@10 of whole lists on the test nights, each person counted once. A line is the 95 % interval over people; "
        "further to the right is better."
    )
    drawn = charts.interval_chart(training.get("ranking", ()))
    return paper.section("Lists", note, f'<div class="lists">{drawn}</div>' if drawn else "")


def _goals_section(goals: Sequence[GoalResult]) -> str:
    if not goals:
        return ""
    note = (
        "All on the same test rows, small figures are 95 % intervals over people. The best in a column is bold; for "
        "log-loss and ECE (how far probabilities are off) lower is better."
    )
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


def _examples_section(training: Training) -> str:
    note = training.get("examples_note", "")
    return paper.section("Three rows in words", note, examples_of(training.get("examples", ())))


def _effects_section(goals: Sequence[GoalResult]) -> str:
    note = (
        "Every dot is a row of the test nights: how far right, so much did the feature raise the odds there. Its "
        "colour says how high the feature's value was. To the right: the factor by which it moves the odds on average, "
        "either way. It says what the model does, not what causes anything."
    )
    parts = []
    for goal in goals:
        drawn = swarm(goal.get("effects", ()))
        parts.append(f'<h3>{escape(goal["name"])}</h3><div class="wide">{drawn}</div>' if drawn else "")
    return paper.section("What moves the odds", note, *parts)


def _slices_section(goals: Sequence[GoalResult]) -> str:
    note = (
        "Does it work for everybody? AUC within each group with its interval (dashed: the mean of the kind's "
        "groups; amber lies surely below it), the engagement that was expected against what was observed (red: "
        "they differ beyond the interval), and the group's part of the first ten places over its part of the people. "
        "Groups of fewer than 11 people are counted as other."
    )
    parts = [
        slices_of(goal["name"], goal.get("audit", ""), goal.get("slices", ()), opened=index == 0)
        for index, goal in enumerate(goals)
    ]
    return paper.section("Groups of people", note, *parts)


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
    note = "Share of the total gain in training."
    tables = "".join(_importance(goal) for goal in goals)
    return paper.section("What the trees split on", note, f'<div class="pair">{tables}</div>' if tables else "")


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


def _search_section(goals: Sequence[GoalResult]) -> str:
    note = (
        "Log-loss on the validation nights: less is better, and what is far behind is drawn at the upper edge. A "
        "pruned trial was stopped early because it was behind. Below, the best trials first."
    )
    return paper.section("Search", note, *(search_of(goal["name"], goal) for goal in goals))


def _skipped_section(skipped: Sequence[tuple[str, str]]) -> str:
    lines = paper.bullets(f"{goal}: {reason}" for goal, reason in skipped)
    return paper.section("Left out", "Goals that were not trained, and why.", lines)
