"""The drift check's curves beside the usual rules': how often each cries wolf, and what each sees. A panel a rule.

The pictures go to benchmarks/results/, and those of the last full run stand in docs/pictures/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from pipeline.reports import charts
from pipeline.reports.charts import Scale

OURS = "Shortlist"

Points = Sequence[tuple[float, float]]
Curves = Mapping[str, Points]
"""By rule: how many people, or how far a feature was moved, and in which share of windows the rule fired."""

_STEP, _WIDTH, _HEIGHT = 190, 150, 170


def draw(false_alarms: Curves, power: Curves, folder: Path) -> None:
    """Write `drift-false-alarms.svg` and `drift-power.svg`."""
    by_power_of_ten = {rule: [(math.log10(people), share) for people, share in at] for rule, at in false_alarms.items()}
    for name, curves, axis in (
        ("drift-false-alarms", by_power_of_ten, "people, power of ten"),
        ("drift-power", power, "moved by, sd"),
    ):
        ends = [x for points in curves.values() for x, _ in points]
        parts = [
            part
            for at, (rule, points) in enumerate(curves.items())
            for part in _panel(rule, points, axis, 38 + at * _STEP, (min(ends), max(ends)))
        ]
        drawn = charts.picture(_STEP * len(curves), _HEIGHT, parts, told=f"{name}: {', '.join(curves)}")
        (folder / f"{name}.svg").write_bytes(charts.standalone(drawn))


def _panel(rule: str, points: Points, axis: str, left: int, ends: tuple[float, float]) -> Iterator[str]:
    """All panels have the same axes: from 0 to 1, and over what any rule was asked."""
    x, y = Scale(*ends, left + 6, left + _WIDTH - 12), Scale(0.0, 1.0, _HEIGHT - 36, 26)
    yield from charts.axes(x, y, axis)
    ours = "s0" if rule == OURS else "s1"
    yield f'<text class="{ours}" x="{left}" y="12">{escape(rule)}</text>'
    yield f'<polyline class="line {ours}" points="{" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)}"/>'
    for a, b in points:
        yield f'<circle class="dot {ours}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3"/>'
