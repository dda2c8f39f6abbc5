"""Groups of people: how well each is ranked, whether its probabilities hold, and its part of the places. As HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TypedDict

from pipeline.reports import page as paper
from pipeline.reports.charts import Scale, picture

Ends = tuple[float, float, float]
"""A figure and the ends of its 95 % interval."""

_WIDTH, _HEIGHT = 150, 18
_COLUMNS = ["Group", "People", "Rows", "AUC", "", "Expected", "Observed", "Places"]


class SliceRow(TypedDict):
    """One group of a kind, as `models.slices.Slice` has it; `off` says that observed and expected differ surely."""

    kind: str
    name: str
    people: int
    rows: int
    auc: Ends
    typical: float
    """The mean AUC of the kind's groups."""
    expected: float
    observed: Ends
    exposure: float
    off: bool


def slices_of(goal: str, said: str, rows: Sequence[SliceRow], *, opened: bool) -> str:
    """A goal's groups, to be folded in; `said` is what to make of them."""
    if not rows:
        return ""
    scale = _scale(rows)
    lines: list[str] = []
    kind = ""
    for one in rows:
        if one["kind"] != kind:
            kind = one["kind"]
            lines.append(paper.group_row(kind, "", len(_COLUMNS)))
        lines.append(_row(one, scale))
    table = paper.table(_COLUMNS, lines)
    return (
        f"<details{' open' if opened else ''}><summary><b>{escape(goal)}</b> {escape(said)}</summary>{table}</details>"
    )


def _scale(rows: Sequence[SliceRow]) -> Scale:
    """Of the intervals that are not from nowhere to everywhere; the others are cut at the edge."""
    ends = [end for one in rows for end in (*one["auc"], one["typical"]) if math.isfinite(end)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = max(0.04 * (high - low), 0.005)
    return Scale(max(low - margin, 0.0), min(high + margin, 1.0 + margin), 4, _WIDTH - 4)


def _row(one: SliceRow, scale: Scale) -> str:
    observed = (
        f'<span class="yes">{_percent(one["observed"][0])}</span>' if one["off"] else _percent(one["observed"][0])
    )
    places = paper.number(one["exposure"], 2)
    return paper.row(
        [
            escape(one["name"]),
            paper.text(one["people"]),
            paper.text(one["rows"]),
            paper.number(one["auc"][0]) + _ends(one["auc"], paper.number),
            f'<span class="whisker">{_whisker(one["auc"], scale, one["typical"])}</span>',
            _percent(one["expected"]),
            observed + _ends(one["observed"], _percent),
            places if places == paper.DASH else f"{paper.TIMES} {places}",
        ]
    )


def _ends(figure: Ends, said: Callable[[float], str]) -> str:
    known = all(map(math.isfinite, figure[1:]))
    return f'<span class="beside">{f"{said(figure[1])} {paper.DASH} {said(figure[2])}" if known else ""}</span>'


def _percent(share: float) -> str:
    """Two digits also of what is rare: expected and observed are compared, and "less than 0.1 %" would hide both."""
    if not math.isfinite(share):
        return paper.DASH
    value = 100 * share
    return f"{value:.0f} %" if value >= 20 else f"{value:.1f} %" if value >= 1 else f"{value:.2g} %"


def _whisker(auc: Ends, scale: Scale, typical: float) -> str:
    """The group's AUC with its interval; the dashed line is the mean of its kind's groups."""
    middle = _HEIGHT / 2
    parts = []
    if math.isfinite(typical):
        at = scale(typical)
        parts.append(f'<line class="guide" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{_HEIGHT}"/>')
    mean, low, high = auc
    if math.isfinite(low) and math.isfinite(high):
        below = math.isfinite(typical) and high < typical
        kind = "s1" if below else "s0"
        parts.append(
            f'<line class="line {kind}" x1="{scale(low):.1f}" x2="{scale(high):.1f}" y1="{middle}" y2="{middle}"/>'
        )
        parts.append(f'<circle class="dot {kind}" cx="{scale(mean):.1f}" cy="{middle}" r="4"/>')
    return picture(_WIDTH, _HEIGHT, parts)
