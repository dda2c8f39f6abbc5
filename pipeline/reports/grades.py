"""What published lists were worth, night by night, beside most-popular, and when the model changed. As HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from pipeline.reports import page as paper
from pipeline.reports.charts import Scale, figure, label, picture, scale_of, short, ticks

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 236, 44, 12, 40, 34
_DATES = 8
"""At most so many dates stand below the picture."""
_NAME = 58
"""Room for the name of a model; names closer than that would lie on each other."""


@dataclass(frozen=True)
class Measured:
    """A figure and the ends of its 95 % interval, None on nights of which only the figure is kept."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class NightGrade:
    """What the lists published for one night were worth (NDCG@10), most-popular's, and how many people tell so."""

    night: datetime
    ours: Measured
    popular: Measured | None = None
    people: int | None = None


@dataclass(frozen=True)
class Mark:
    """When another model began to make the lists, and in a word or two which."""

    night: datetime
    name: str
    back: bool = False
    """An older one again: somebody rolled back."""


def grades_of(grades: Sequence[NightGrade], marks: Sequence[Mark], until: datetime) -> str:
    """The section; `until` is the night of the decision, to which the picture goes. Nothing without a grade."""
    grades = [one for one in grades if math.isfinite(one.ours.value)]
    if not grades:
        return ""
    note = (
        "NDCG@10 of the lists as published, over people who then did something that a list could have held, with 95 % "
        "intervals where they are kept. The newest nights have no grade yet: their outcome is not known."
    )
    drawn = f'<div class="wide long">{_chart(grades, marks, until)}</div>'
    listed = paper.details(f"{len(grades)} nights in figures", _table(grades, marks))
    return paper.section("What the published lists were worth", note, figure(newest(grades), drawn), listed)


def newest(grades: Sequence[NightGrade]) -> str:
    """The newest grade in a sentence."""
    one = grades[-1]
    people = f" over {paper.text(one.people)} people" if one.people is not None else ""
    beside = f"; most-popular {paper.number(one.popular.value)}" if one.popular else ""
    return f"{_day(one.night)}: {paper.number(one.ours.value)}{_ends(one.ours)}{people}{beside}"


def _ends(one: Measured) -> str:
    if one.low is None or one.high is None or not (math.isfinite(one.low) and math.isfinite(one.high)):
        return ""
    return f" ({paper.number(one.low)} to {paper.number(one.high)})"


def _day(night: datetime) -> str:
    """The hour too where nights are no midnights."""
    return f"{night.date()}" if night.hour == night.minute == 0 else f"{night:%Y-%m-%d %H:%M}"


# ---------------------------------------------------------------- the picture


def _chart(grades: Sequence[NightGrade], marks: Sequence[Mark], until: datetime) -> str:
    start = min(grades[0].night, *(mark.night for mark in marks), until)
    x = scale_of([0.0, max(_days(until, start), 1e-3)], _LEFT, _WIDTH - _RIGHT, zero=False)
    y = scale_of([*_heights(grades)], _HEIGHT - _BOTTOM, _TOP, zero=True)
    parts = [
        *_frame(x, y, start, until),
        *_marked(marks, x, start),
        *_line([(one.night, one.popular) for one in grades if one.popular], x, y, start, "s2"),
        *_line([(one.night, one.ours) for one in grades], x, y, start, "s0"),
        *_legend(any(one.popular for one in grades), bool(marks)),
    ]
    return picture(_WIDTH, _HEIGHT, parts, _in_words(grades, marks))


def _heights(grades: Sequence[NightGrade]) -> Iterator[float]:
    for one in grades:
        for found in (one.ours, one.popular):
            if found:
                yield from (
                    end for end in (found.value, found.low, found.high) if end is not None and math.isfinite(end)
                )


def _days(night: datetime, start: datetime) -> float:
    return (night - start).total_seconds() / 86_400


def _frame(x: Scale, y: Scale, start: datetime, until: datetime) -> Iterator[str]:
    """Lines across at round heights, and dates below."""
    for tick in ticks(y):
        yield f'<line class="axis" x1="{x.start}" x2="{x.end}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        yield label(x.start - 6, y(tick) + 4, short(tick), "end")
    step = max(1, math.ceil(_days(until, start) / _DATES))
    for back in range(0, math.floor(_days(until, start)) + 1, step):
        date = until - timedelta(days=back)
        yield label(x(_days(date, start)), _HEIGHT - _BOTTOM + 16, f"{date.day} {date:%b}")


def _marked(marks: Sequence[Mark], x: Scale, start: datetime) -> Iterator[str]:
    """A dashed line where the model changed; its name where there is room for it."""
    free = -math.inf
    for mark in marks:
        at = x(_days(mark.night, start))
        yield f'<line class="guide" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 8}" y2="{_HEIGHT - _BOTTOM}"/>'
        if at >= free:
            yield label(min(at, _WIDTH - _RIGHT - _NAME / 2), _TOP - 11, mark.name)
            free = at + _NAME


def _line(found: Sequence[tuple[datetime, Measured]], x: Scale, y: Scale, start: datetime, kind: str) -> Iterator[str]:
    points = [(x(_days(night, start)), one) for night, one in found if math.isfinite(one.value)]
    path = " ".join(f"{at:.1f},{y(one.value):.1f}" for at, one in points)
    yield f'<polyline class="line {kind}" points="{path}"/>'
    for at, one in points:
        if _ends(one):
            ends = f'y1="{y(one.low or 0.0):.1f}" y2="{y(one.high or 0.0):.1f}"'
            yield f'<line class="reach {kind}" x1="{at:.1f}" x2="{at:.1f}" {ends}/>'
        if kind == "s0":
            yield f'<circle class="dot {kind}" cx="{at:.1f}" cy="{y(one.value):.1f}" r="3"/>'


def _legend(popular: bool, marked: bool) -> Iterator[str]:
    yield f'<text class="s0" x="{_LEFT}" y="10">published lists</text>'
    if popular:
        yield f'<text class="s2" x="{_LEFT + 96}" y="10">most popular</text>'
    if marked:
        yield label(_LEFT + 190, 10, "dashed: another model from here on", "start")


def _in_words(grades: Sequence[NightGrade], marks: Sequence[Mark]) -> str:
    values = [one.ours.value for one in grades]
    changes = "".join(f" {_day(mark.night)}: {mark.name}." for mark in marks)
    return (
        f"NDCG@10 of {len(grades)} nights, between {paper.number(min(values))} and {paper.number(max(values))}. "
        f"{newest(grades)}.{changes}"
    )


# ---------------------------------------------------------------- in figures


def _table(grades: Sequence[NightGrade], marks: Sequence[Mark]) -> str:
    changed = {mark.night: mark.name for mark in marks}
    rows = [
        paper.row(
            [
                _day(one.night),
                escape(changed.get(one.night, "")),
                paper.number(one.ours.value) + f'<span class="beside">{_ends(one.ours)}</span>',
                paper.number(one.popular.value if one.popular else None),
                paper.text(one.people),
            ],
            texts=2,
        )
        for one in reversed(grades)
    ]
    return paper.table(["Night", "Model", "NDCG@10", "most popular", "People"], rows, texts=2)
