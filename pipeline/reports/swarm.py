"""What moves the odds: a cloud of rows a feature, each row at how far the feature moved it, coloured by its value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from operator import itemgetter
from typing import TypedDict

from pipeline.reports.charts import Scale, label, picture
from pipeline.reports.page import TIMES

_WIDTH, _LEFT, _RIGHT, _STEP = 940, 372, 78, 37
_DOTS = 400
"""Dots a feature: more only make the page heavy."""
_COLUMN, _GAP, _HALF = 2.6, 2.4, 14.5
_LEVELS = 5
_FACTORS = (
    (10.0, 100.0, 1e3, 1e4, 1e5, 1e6),
    (2.0, 5.0, 10.0, 20.0, 50.0),
    (1.5, 2.0, 3.0, 5.0),
    (1.2, 1.5, 2.0),
    (1.1, 1.2, 1.3, 1.5),
    (1.05, 1.1, 1.15, 1.2),
    (1.01, 1.02, 1.03, 1.05),
    (1.001, 1.002, 1.005),
)
_APART = 44
_MEANING = 66
_OVER = "\N{DIVISION SIGN}"


class EffectRow(TypedDict):
    """One feature: what it means, the mean of how far it moves the log-odds, and by row how far and at which level.

    `levels` are 0 (lowest value) to 1 (highest), None where the value is missing.
    """

    name: str
    meaning: str
    mean: float
    contributions: Sequence[float]
    levels: Sequence[float | None]


def swarm(effects: Sequence[EffectRow]) -> str:
    """The picture; nothing without effects."""
    if not effects:
        return ""
    x = _scale([value for one in effects for value in one["contributions"]])
    bottom = _STEP * len(effects) + 26
    parts = [*_axis(x, bottom), *_legend()]
    largest = max(one["mean"] for one in effects)
    for index, one in enumerate(effects):
        parts += _feature(one, x, 26 + _STEP * index + _STEP / 2, largest)
    return picture(_WIDTH, bottom + 34, parts)


def _scale(values: Sequence[float]) -> Scale:
    """From the far left to the far right but for the last half per cent, which is drawn at the edge; 0 is inside."""
    ordered = sorted(values)
    cut = len(ordered) // 200
    low, high = min(ordered[cut], 0.0), max(ordered[-1 - cut], 0.0)
    margin = max(0.06 * (high - low), 1e-6)
    return Scale(low - margin, high + margin, _LEFT, _WIDTH - _RIGHT)


def _axis(x: Scale, bottom: float) -> Iterator[str]:
    for at, words in _marks(x):
        kind = "axis" if at else "guide"
        yield f'<line class="{kind}" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="24" y2="{bottom}"/>'
        yield label(x(at), bottom + 15, words)
    yield label((_LEFT + _WIDTH - _RIGHT) / 2, bottom + 31, "what the feature made of the odds")
    yield label(_WIDTH, 14, "on average", "end")


def _marks(x: Scale) -> Iterator[tuple[float, str]]:
    """Where round factors stand, in log-odds, and their words: the coarsest that mark the wider side twice."""
    widest = math.exp(max(x.high, -x.low))
    factors = next((some for some in _FACTORS if sum(one <= widest for one in some) >= 2), _FACTORS[-1])
    yield 0.0, "1"
    for sign, words in ((1, TIMES), (-1, _OVER)):
        before = 0.0
        for factor in factors:
            at = sign * math.log(factor)
            if x.low <= at <= x.high and abs(x(at) - x(before)) >= _APART:
                yield at, f"{words} {factor:g}"
                before = at


def _legend() -> Iterator[str]:
    yield label(_LEFT, 14, "low value", "start")
    for level in range(_LEVELS):
        yield f'<path class="swarm v{level}" d="M{_LEFT + 62 + 9 * level} 10.5h0"/>'
    yield label(_LEFT + 108, 14, "high", "start")
    yield f'<path class="swarm vn" d="M{_LEFT + 152} 10.5h0"/>' + label(_LEFT + 160, 14, "missing", "start")


def _feature(one: EffectRow, x: Scale, y: float, largest: float) -> Iterator[str]:
    meaning = one["meaning"]
    short = meaning if len(meaning) <= _MEANING else f"{meaning[: _MEANING - 1].rstrip()}…"
    yield f'<text class="name" x="0" y="{y - 2:.1f}">{escape(one["name"])}</text>'
    yield f'<text class="small" x="0" y="{y + 11:.1f}">{escape(short)}<title>{escape(meaning)}</title></text>'
    yield f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    for name, path in _dots(one, x, y).items():
        yield f'<path class="swarm {name}" d="{path}"/>'
    wide = 44 * one["mean"] / largest
    yield f'<rect class="bars" x="{_WIDTH - 62}" y="{y + 3:.1f}" width="{wide:.1f}" height="4"/>'
    factor = f"{TIMES} {math.exp(one['mean']):.2f}"
    yield f'<text class="name" x="{_WIDTH}" y="{y - 2:.1f}" text-anchor="end">{factor}</text>'


def _dots(one: EffectRow, x: Scale, y: float) -> dict[str, str]:
    """By class of colour one path of dots: rows of about one place stand above and below each other, low ones first."""
    rows = list(zip(one["contributions"], one["levels"], strict=True))
    step = max(1, math.ceil(len(rows) / _DOTS))
    columns: dict[int, list[tuple[float, float]]] = {}
    for value, level in rows[::step]:
        at = x(min(max(value, x.low), x.high))
        columns.setdefault(round(at / _COLUMN), []).append((-1.0 if level is None else level, at))
    paths: dict[str, list[str]] = {}
    for dots in columns.values():
        gap = min(_GAP, 2 * _HALF / len(dots))
        for place, (level, at) in enumerate(sorted(dots, key=itemgetter(0))):
            up = y - gap * (place - (len(dots) - 1) / 2)
            paths.setdefault(_colour(level), []).append(f"M{at:.1f} {up:.1f}h0")
    return {name: "".join(paths[name]) for name in sorted(paths, reverse=True)}


def _colour(level: float) -> str:
    """The class of a level; below 0, of what is missing."""
    return "vn" if level < 0 else f"v{min(int(level * _LEVELS), _LEVELS - 1)}"
