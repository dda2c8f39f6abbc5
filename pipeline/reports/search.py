"""The search for hyper-parameters: how trials went, which setting mattered, and the trials themselves. As HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NotRequired, TypedDict

from pipeline.reports import page as paper
from pipeline.reports.charts import Scale, axes, figure, label, picture, scale_of, tick_line

_TRIALS_SHOWN = 8
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 420, 210, 52, 10, 26, 34


class TrialRow(TypedDict):
    """One set of parameters that was tried; `value` is validation log-loss, None where there is none."""

    number: int
    params: Mapping[str, object]
    value: float | None
    state: str
    seconds: float


class Step(TypedDict):
    """One trial's place in the history: its value, whether it was whole, and the best whole one up to it."""

    number: int
    value: float
    whole: bool
    best: float | None


class Search(TypedDict):
    """What is told of one goal's search."""

    trials: NotRequired[Sequence[TrialRow]]
    history: NotRequired[Sequence[Step]]
    settings: NotRequired[Mapping[str, float] | str]
    """Each setting's share of what made trials differ; or why it is not told."""


def search_of(goal: str, search: Search) -> str:
    """A goal's pictures and its best trials."""
    trials = search.get("trials", ())
    if not trials:
        return ""
    history = figure("Validation log-loss by trial", history_chart(search.get("history", ())))
    settings = _settings(search.get("settings", {}))
    pictures = f'<div class="pair">{history}{settings}</div>' if history or settings else ""
    return f"<h3>{escape(goal)}</h3>{pictures}{_trials(trials)}"


# ---------------------------------------------------------------- history


def history_chart(steps: Sequence[Step]) -> str:
    """A dot a trial, hollow where it was pruned, and the best so far as a line. Nothing without a trial."""
    if not steps:
        return ""
    x = Scale(min(s["number"] for s in steps) - 0.6, max(s["number"] for s in steps) + 0.6, _LEFT, _WIDTH - _RIGHT)
    y = _heights(steps)
    parts = [*_frame(x, y, steps), *_best(steps, x, y)]
    for one in steps:
        height = y(min(one["value"], y.high))
        kind = "dot s0" if one["whole"] else "hollow"
        parts.append(f'<circle class="{kind}" cx="{x(one["number"]):.1f}" cy="{height:.1f}" r="3.6"/>')
    return picture(_WIDTH, _HEIGHT, parts)


def _heights(steps: Sequence[Step]) -> Scale:
    """Where values stand: what is far above all others is drawn at the top, so that the others can be told apart."""
    values = sorted(one["value"] for one in steps)
    least, middle = values[0], values[len(values) // 2]
    most = max(value for value in values if value <= middle + 3 * max(middle - least, 1e-9))
    return scale_of([least, most], _HEIGHT - _BOTTOM, _TOP, zero=False)


def _frame(x: Scale, y: Scale, steps: Sequence[Step]) -> Iterator[str]:
    yield from axes(x, y, "trial", digits=4, whole=True)
    yield tick_line(_LEFT, _TOP, _HEIGHT - _BOTTOM)
    marks = [("dot s0", "finished", _LEFT + 6.0), ("hollow", "pruned", _LEFT + 76.0)]
    for kind, said, at in marks if any(not one["whole"] for one in steps) else marks[:1]:
        yield f'<circle class="{kind}" cx="{at:.1f}" cy="9" r="3.6"/>' + label(at + 9, 13, said, "start")
    yield f'<line class="line s1" x1="{_LEFT + 138}" x2="{_LEFT + 156}" y1="9" y2="9"/>'
    yield label(_LEFT + 162, 13, "best so far", "start")


def _best(steps: Sequence[Step], x: Scale, y: Scale) -> Iterator[str]:
    known = [(one["number"], one["best"]) for one in steps if one["best"] is not None]
    if not known:
        return
    path = f"M{x(known[0][0]):.1f} {y(min(known[0][1], y.high)):.1f}"
    for number, best in known[1:]:
        path += f"H{x(number):.1f}V{y(min(best, y.high)):.1f}"
    yield f'<path class="line s1" d="{path}H{_WIDTH - _RIGHT}"/>'


# ---------------------------------------------------------------- settings


def _settings(settings: Mapping[str, float] | str) -> str:
    title = "Which setting mattered"
    if isinstance(settings, str):
        return f'<figure><figcaption>{title}</figcaption><p class="note">{escape(settings)}</p></figure>'
    if not settings:
        return ""
    most = max(settings.values())
    rows = [
        paper.row([escape(name.replace("_", " ")), paper.bar(share / most, on=True), f"{100 * share:.0f} %"], texts=2)
        for name, share in settings.items()
    ]
    note = '<p class="note">Of what made whole trials differ (fANOVA); shares below a tenth are mostly noise.</p>'
    table = paper.table(["Setting", "", "Share"], rows, texts=2)
    return f"<figure><figcaption>{title}</figcaption>{note}{table}</figure>"


# ---------------------------------------------------------------- trials


def _trials(given: Sequence[TrialRow]) -> str:
    ordered = sorted(given, key=_order)
    names = list(dict.fromkeys(name for trial in ordered for name in trial["params"]))
    rows = [_row(trial, names) for trial in ordered[:_TRIALS_SHOWN]]
    left_out = len(ordered) - len(rows)
    rest = f'<p class="note">{left_out} more in MLflow.</p>' if left_out else ""
    columns = ["Trial", "State", "Log-loss", *(name.replace("_", " ") for name in names), "Seconds"]
    return f'<div class="close">{paper.table(columns, rows, texts=2)}</div>{rest}'


def _order(trial: TrialRow) -> tuple[bool, float, int]:
    """Finished trials before pruned ones, whose value is that of an early round."""
    value = trial["value"]
    return trial["state"] != "COMPLETE", math.inf if value is None else value, trial["number"]


def _row(trial: TrialRow, names: Sequence[str]) -> str:
    params = [escape(paper.text(trial["params"].get(name))) for name in names]
    state = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}.get(trial["state"], trial["state"].lower())
    value = paper.number(trial["value"], 5)
    return paper.row([str(trial["number"]), escape(state), value, *params, paper.number(trial["seconds"], 1)], texts=2)
