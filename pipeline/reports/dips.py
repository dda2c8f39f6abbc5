"""Whether the champion does as well as it did: each figure then and now, its drop against what is allowed. As HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from models.performance import CANNOT_TELL, DIPPED, STEADY, Dip
from pipeline.reports import page as paper
from pipeline.reports.charts import Scale, picture

_WIDTH, _HEIGHT, _EDGE = 260, 22, 6
_SIGNED = "+.3f"
_BADGES = {
    DIPPED: paper.badge("fires", "dipped"),
    STEADY: paper.badge("fine", "steady"),
    CANNOT_TELL: paper.badge("cannot tell"),
}
_RANK = {DIPPED: 0, CANNOT_TELL: 1, STEADY: 2}


@dataclass(frozen=True)
class Beside:
    """What the champion's lists were worth (`current`), and what those of the version before it would have been."""

    champion: str
    before: str
    dip: Dip


def dips_of(dips: Sequence[Dip], beside: Beside | None, promised: Mapping[str, Sequence[float]], margin: float) -> str:
    """The section: what labels say, and below it what the scores promise while labels mature.

    `promised` is the expected AUC by goal, then and now, and `margin` what it may drop by.
    """
    judged = _judged(dips) + _beside(beside)
    return paper.section(
        "Does the champion do as well as it did?", _note(dips) if dips else "", judged, _expected(promised, margin)
    )


def _note(dips: Sequence[Dip]) -> str:
    worst = max(dips, key=lambda dip: dip.level)
    return (
        f"The bar is where the drop lies, {100 * worst.level:.4g} % sure to each side, so that looking every night "
        "cries no wolf; the dashed line is the drop that is allowed. A bar wholly right of it is a dip. With fewer "
        "positives than are needed a drop that matters could hide, and the answer is that nobody can tell."
    )


# ---------------------------------------------------------------- what labels say


def _judged(dips: Sequence[Dip]) -> str:
    if not dips:
        return ""
    scale = _scale(dips)
    columns = [
        "Figure",
        "",
        f"Where the drop lies (line: 0, dashed: {dips[0].margin:g})",
        "Then",
        "Now",
        "Drop",
        "Positives",
    ]
    ordered = sorted(dips, key=lambda dip: (_RANK[dip.verdict], dip.name))
    return paper.table(columns, [_row(dip, scale) for dip in ordered], texts=3)


def _row(dip: Dip, scale: Scale) -> str:
    ends = f'<span class="interval">{_signed(dip.low)} to {_signed(dip.high)}</span>'
    return paper.row(
        [
            escape(dip.name),
            _BADGES[dip.verdict],
            f'<div class="drop">{_whisker(dip, scale, f"{dip}")}</div>',
            paper.number(dip.reference),
            paper.number(dip.current),
            _signed(dip.drop) + ends,
            f'{paper.text(dip.positives)}<span class="interval">{_needed(dip)}</span>',
        ],
        texts=3,
    )


def _needed(dip: Dip) -> str:
    """No number would do where the reference has too few itself; but then a dip may be proven all the same."""
    if dip.needed is not None:
        return f"{paper.text(dip.needed)} needed"
    return "more reference nights needed" if dip.verdict == CANNOT_TELL else ""


def _signed(value: float) -> str:
    return f"{value:{_SIGNED}}" if math.isfinite(value) else paper.DASH


def _scale(dips: Sequence[Dip]) -> Scale:
    """One for all, so that their margins stand below each other; 0 is always in it."""
    ends = [end for dip in dips for end in (dip.low, dip.high, dip.drop, dip.margin) if math.isfinite(end)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    wide = max(high - low, 1e-9)
    return Scale(low - 0.03 * wide, high + 0.03 * wide, _EDGE, _WIDTH - _EDGE)


def _whisker(dip: Dip, scale: Scale, told: str) -> str:
    middle, kind = _HEIGHT / 2, {DIPPED: "s1", STEADY: "s0", CANNOT_TELL: "s2"}[dip.verdict]
    parts = [_upright("axis", scale(0.0)), _upright("guide", scale(dip.margin))]
    if math.isfinite(dip.low) and math.isfinite(dip.high):
        ends = f'x1="{scale(dip.low):.1f}" x2="{scale(dip.high):.1f}"'
        parts.append(f'<line class="line {kind}" {ends} y1="{middle}" y2="{middle}"/>')
    if math.isfinite(dip.drop):
        dot = "hollow" if dip.verdict == CANNOT_TELL else f"dot {kind}"
        parts.append(f'<circle class="{dot}" cx="{scale(dip.drop):.1f}" cy="{middle}" r="4.5"/>')
    return picture(_WIDTH, _HEIGHT, parts, told)


def _upright(kind: str, x: float) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}"/>'


# ---------------------------------------------------------------- the model before


def _beside(one: Beside | None) -> str:
    """The same people on the same nights, so that what is hard about a night is hard for both."""
    if one is None:
        return ""
    dip = one.dip
    told = (
        f"Version {one.champion} reached {paper.number(dip.current)}, version {one.before} would have reached "
        f"{paper.number(dip.reference)}: between {_signed(dip.low)} and {_signed(dip.high)} less."
    )
    row = paper.row(
        [
            escape(dip.name),
            paper.badge("rolls back", "worse") if dip.verdict == DIPPED else _BADGES[dip.verdict],
            f'<div class="drop">{_whisker(dip, _scale([dip]), told)}</div>',
            paper.number(dip.reference),
            paper.number(dip.current),
            f'{_signed(dip.drop)}<span class="interval">{_signed(dip.low)} to {_signed(dip.high)}</span>',
        ],
        texts=3,
    )
    names = [f"Version {version}" for version in (one.before, one.champion)]
    note = (
        "What the model before would have listed for the same people on the nights since. A champion that is surely "
        "worse is taken back."
    )
    table = paper.table(["Figure", "", "Where the loss lies", *names, "Loss"], [row], texts=3)
    return f'<h3>Beside the model before</h3><p class="note">{note}</p>{table}'


# ---------------------------------------------------------------- what scores promise


def _expected(promised: Mapping[str, Sequence[float]], margin: float) -> str:
    if not promised:
        return ""
    rows = [_promise(goal, then, now, margin) for goal, (then, now) in sorted(promised.items())]
    note = (
        "What the champion's own probabilities promise of its AUC (confidence-based performance estimation), before "
        "anybody's outcome is known: a warning, never a reason to train."
    )
    return (
        f'<h3>Expected, while labels mature</h3><p class="note">{note}</p>'
        f"{paper.table(['Goal', '', 'AUC then', 'AUC now', 'Drop', 'Allowed'], rows, texts=2)}"
    )


def _promise(goal: str, then: float, now: float, margin: float) -> str:
    warns = then - now > margin
    return paper.row(
        [
            escape(goal),
            paper.badge("warns") if warns else paper.badge("quiet"),
            paper.number(then),
            paper.number(now),
            _signed(then - now),
            paper.number(margin),
        ],
        texts=2,
    )
