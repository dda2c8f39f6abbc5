"""Weights of the goals that would rank better by one measure or another, beside today's, and whether that is sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TypedDict

from pipeline.reports import page as paper


class WeightsRow(TypedDict):
    """The best weights by one measure; the difference that they make is with the ends of its interval."""

    measure: str
    weights: Mapping[str, float]
    today: float
    suggested: float
    difference: tuple[float, float, float]
    better: bool


def weights_section(note: str, rows: Sequence[WeightsRow]) -> str:
    """What was tried for each measure, and a sentence on what is left of it; nothing where nothing was tried."""
    if not rows:
        return ""
    columns = ["By", "Weights", "Today", "With them", "Difference", ""]
    table = paper.table(columns, map(_row, rows), texts=2)
    return paper.section("Weights that would rank better", note, f"<p>{escape(_said(rows))}</p>", table)


def in_words(weights: Mapping[str, float]) -> str:
    """Each goal with its weight."""
    return ", ".join(f"{goal} {weight:g}" for goal, weight in weights.items())


def _said(rows: Sequence[WeightsRow]) -> str:
    better = [row["measure"] for row in rows if row["better"]]
    if not better:
        return "There is no suggestion: by no measure do other weights rank better beyond doubt."
    return f"Better beyond doubt by {', '.join(better)}. What is gained by one measure may be lost by another."


def _row(one: WeightsRow) -> str:
    difference, low, high = (f"{value:+.4f}" for value in one["difference"])
    return paper.row(
        [
            escape(one["measure"]),
            ", ".join(
                f'<span class="whole">{escape(in_words({goal: w}))}</span>' for goal, w in one["weights"].items()
            ),
            f"{one['today']:.4f}",
            f"{one['suggested']:.4f}",
            f'{difference}<span class="interval">{low} to {high}</span>',
            '<span class="good">better</span>' if one["better"] else '<span class="no">none</span>',
        ],
        texts=2,
    )
