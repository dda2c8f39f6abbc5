"""The drift check's curves, ours and the usual rules' in one picture each: how often they cry wolf, and what they see.

The pictures go to benchmarks/results/, and those of the last full run stand in docs/pictures/.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.reports import charts
from pipeline.reports.charts import Line

OURS = "Shortlist"

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""By rule its points: how many people, or how far a feature was moved, and in which share of windows it fired."""


def draw(false_alarms: Curves, power: Curves, folder: Path) -> None:
    """Write `drift-false-alarms.svg` and `drift-power.svg`."""
    by_size = {rule: [(math.log10(people), share) for people, share in points] for rule, points in false_alarms.items()}
    for name, curves, axis in (
        ("drift-false-alarms", by_size, "people in a window, power of ten"),
        ("drift-power", power, "by how many standard deviations 1 of 20 features moved"),
    ):
        lines = [Line(rule, *zip(*points, strict=True), dots=True) for rule, points in curves.items()]
        (folder / f"{name}.svg").write_bytes(charts.standalone(charts.line_chart(lines, axis, width=640)))
