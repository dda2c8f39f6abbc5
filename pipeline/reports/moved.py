"""How far people and scores moved: a picture for each distribution that did, a line of a table for the others. As HTML.

All of it is drawn from the bins that the drift check counted, so that what is seen is what was judged.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping, Sequence
from html import escape

from models.drift import SCORE, TOGETHER, DriftResult, FeatureDrift, Together
from pipeline.reports import charts
from pipeline.reports import page as paper
from pipeline.reports.charts import Histogram

DRAWN = 12
"""So many have a large picture, the scores first; those beyond have a small one in the table."""

_QUOTED = "\N{LEFT DOUBLE QUOTATION MARK}{}\N{RIGHT DOUBLE QUOTATION MARK}"
_KEY = '<p class="note"><span class="key"></span>now <span class="key before"></span>reference</p>'


def moved_of(
    result: DriftResult | None, twice: Collection[str] = (), meanings: Mapping[str, str] | None = None, method: str = ""
) -> str:
    """The section: what moved, `twice` being what had moved on the night before as well, and `method` how that is told.

    `meanings` says in words what a feature is, where somebody knows.
    """
    if result is None or not result.features:
        return ""
    ordered = sorted(result.features, key=_order)
    shown = [one for one in ordered if one.drifted or one.name == SCORE][:DRAWN]
    rest = [one for one in ordered if one not in shown]
    cards = "".join(_card(one, twice, (meanings or {}).get(one.name, "")) for one in shown)
    return paper.section(
        "What moved",
        "",
        f"<p>{escape(_summary(result, twice))}</p>",
        _together(result.together, twice),
        _KEY,
        f'<div class="cards small">{cards}</div>',
        paper.details(_said_of(rest), _table(rest)) if rest else "",
        paper.details("How that is told", f'<p class="note">{escape(method)}</p>') if method else "",
    )


def _order(one: FeatureDrift) -> tuple[bool, bool, float, str]:
    """The scores, what moved, then by index: a table cut short never hides what moved."""
    return one.name != SCORE, not one.drifted, -_size(one.psi), one.name


def _size(psi: float) -> float:
    """Nothing to compare counts as no movement."""
    return psi if math.isfinite(psi) else 0.0


def _summary(result: DriftResult, twice: Collection[str]) -> str:
    tested = len(result.features) + (result.together is not None)
    if not result.moved:
        return f"None of {tested} distributions moved."
    again = sum(name in twice for name in result.moved)
    return (
        f"{len(result.moved)} of {tested} distributions moved, {again or 'none'} of them on the night before as well."
    )


def _together(found: Together | None, twice: Collection[str]) -> str:
    if found is None:
        return ""
    said = (
        f"a classifier tells people of the two windows apart with an AUC of {paper.number(found.auc)} "
        f"(0.5 is not at all; adjusted p {paper.probability(found.adjusted)})."
    )
    return f"<p>{_badge(TOGETHER, twice, drifted=found.drifted)} <b>{TOGETHER}</b>: {said}</p>"


def _badge(name: str, twice: Collection[str], *, drifted: bool) -> str:
    if not drifted:
        return paper.badge("quiet", "steady")
    return paper.badge("moved", "moved, second night" if name in twice else "moved, first night")


# ---------------------------------------------------------------- pictures


def _card(one: FeatureDrift, twice: Collection[str], meaning: str) -> str:
    heading = f"<h3>{escape(one.name)}</h3><div>{_badge(one.name, twice, drifted=one.drifted)}</div>"
    figures = f"PSI {paper.number(one.psi)}, adjusted p {paper.probability(one.adjusted)}."
    known = f'<span class="quiet">{paper.prose(meaning)}</span><br>' if meaning else ""
    told = f"<p>{known}{figures} {escape(_largest(one))}</p>"
    return f'<div class="card">{heading}{told}{_picture(one)}</div>'


def _picture(one: FeatureDrift) -> str:
    return charts.histogram(_bars(one), width=300, height=120, told=_in_words(one)) if one.bins else ""


def _bars(one: FeatureDrift) -> Histogram:
    now, before = ([_share(share) for share in side] for side in (one.current, one.reference))
    return Histogram(now, before, labels=[_short(name) for name in one.bins])


def _share(share: float) -> float:
    return share if math.isfinite(share) else 0.0


def _short(name: str) -> str:
    """What fits below a bar: of "0.2 to 0.5" the upper end."""
    words = _plain(name)
    if words.startswith("over "):
        return "more"
    _, between, upper = words.rpartition("to ")
    return f"\N{LESS-THAN OR EQUAL TO}\N{THIN SPACE}{upper}" if between else words


def _plain(name: str) -> str:
    """A bin that holds one value begins a hair below it, which nobody wants to read."""
    lower, between, upper = name.partition(" to ")
    if not between:
        return f"up {name}" if name.startswith("to ") else name
    return upper if lower == upper or 0 < abs(float(lower)) < sys.float_info.min else name


def _largest(one: FeatureDrift) -> str:
    """The bin that gained or lost most, where it moved."""
    if not one.drifted or not one.bins:
        return ""
    gains = [abs(_share(now) - _share(then)) for now, then in zip(one.current, one.reference, strict=True)]
    at = gains.index(max(gains))
    return f"Most in {_QUOTED.format(_plain(one.bins[at]))}: {_then(one, at)}."


def _then(one: FeatureDrift, at: int) -> str:
    return f"{paper.percent(one.reference[at])} then, {paper.percent(one.current[at])} now"


def _in_words(one: FeatureDrift) -> str:
    bins = "; ".join(f"{_plain(name)}: {_then(one, at)}" for at, name in enumerate(one.bins))
    return f"Shares of {one.name} by bin. {bins}"


# ---------------------------------------------------------------- all others


def _said_of(rest: Sequence[FeatureDrift]) -> str:
    moved = sum(one.drifted for one in rest)
    return f"{len(rest)} more, {moved or 'none'} of which moved"


def _table(rest: Sequence[FeatureDrift]) -> str:
    columns = ["Feature", "", "", "PSI", "p", "adjusted p", "weight"]
    return f'<div class="dense">{paper.table(columns, map(_line, rest), texts=3)}</div>'


def _line(one: FeatureDrift) -> str:
    return paper.row(
        [
            escape(one.name),
            charts.sparkline(_bars(one), told=_in_words(one)) if one.bins else "",
            paper.badge("moved") if one.drifted else paper.badge("quiet", "steady"),
            paper.number(one.psi),
            paper.probability(one.p_value),
            paper.probability(one.adjusted),
            paper.number(one.weight, 2),
        ],
        texts=3,
    )
