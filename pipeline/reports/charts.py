"""Pictures as SVG: lines, bars, and means with their intervals. Drawn in the page's colours, light or dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from pipeline.reports.page import CHART_STYLE, PALETTE

_WIDTH, _HEIGHT = 240, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 8, 14, 32


@dataclass(frozen=True)
class Line:
    """One line: a name, its points, and whether each point is marked."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False


@dataclass(frozen=True)
class Scale:
    """From what is measured to where it is drawn."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The position of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class Apart:
    """A bar that stands by itself, with its share written on it: on a scale from 0 to 1, whatever the others are."""

    label: str
    now: float
    before: float | None = None
    first: bool = False
    """Left of the others, not right of them."""


@dataclass(frozen=True)
class Histogram:
    """Shares of rows by bar, now and before; either a label a bar or where bars end (one more than there are bars)."""

    now: Sequence[float]
    before: Sequence[float] | None = None
    edges: Sequence[float] = ()
    labels: Sequence[str] = ()
    log: bool = False
    apart: Sequence[Apart] = ()


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    *,
    diagonal: bool = False,
    mark: float | None = None,
    zero: bool = False,
    width: int = _WIDTH,
) -> str:
    """Lines over one pair of axes. `diagonal` draws y = x, `mark` a vertical guide, `zero` makes both axes start there.

    Points that are not finite are left out; with no point left, the picture is the empty string.
    """
    lines = [kept for kept in map(_finite, lines) if kept.x]
    if not lines:
        return ""
    x = scale_of([value for line in lines for value in line.x], _LEFT, width - _RIGHT, zero=zero)
    y = scale_of([value for line in lines for value in line.y], _HEIGHT - _BOTTOM, _TOP, zero=zero)
    parts = [*axes(x, y, x_label)]
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(_guide(x(low), y(low), x(high), y(high)))
    if mark is not None:
        parts.append(_guide(x(mark), _TOP, x(mark), _HEIGHT - _BOTTOM))
    parts += [_drawn(line, x, y, index) for index, line in enumerate(lines)]
    if len(lines) > 1:
        parts += [_legend(line.name, index, width) for index, line in enumerate(lines)]
    return picture(width, _HEIGHT, parts)


def interval_chart(rows: Sequence[tuple[str, float, float | None, float | None]]) -> str:
    """A line a row: name, mean, and its interval where there is one. The first row is the one that is judged."""
    rows = [row for row in rows if math.isfinite(row[1])]
    if not rows:
        return ""
    left, width, step = 150, 640, 28
    ends = [end for _, mean, low, high in rows for end in (mean, low, high) if end is not None and math.isfinite(end)]
    x = scale_of(ends, left, width - 70, zero=True)
    bottom = step * len(rows) + 8
    parts = [tick_line(x(tick), 4, bottom) + label(x(tick), bottom + 16, short(tick)) for tick in ticks(x)]
    parts += [_interval(row, x, step * index + 20, first=index == 0) for index, row in enumerate(rows)]
    return picture(width, bottom + 24, parts)


def histogram(bars: Histogram, *, width: int = 420, height: int = 150, told: str = "") -> str:
    """Bars of now with the outline of before over them. What stands apart has a scale of its own."""
    room, floor = _Room.of(bars, width), height - 18
    tallest = max((*bars.now, *(bars.before or ()), 1e-9))
    scale = Scale(0.0, tallest, floor, 16)
    parts = [f'<path class="bars" d="{_columns(bars.now, room, scale)}"/>']
    if bars.before is not None:
        parts.append(f'<path class="then" d="{_outline(bars.before, room, scale)}"/>')
    parts += [_stands(one, at, floor) for one, at in zip(bars.apart, room.apart, strict=True)]
    parts.append(f'<line class="axis" x1="0" x2="{width}" y1="{floor}" y2="{floor}"/>')
    parts += [label(x, floor + 13, text) for x, text in _bar_labels(bars, room)]
    if bars.log:
        parts.append(label(room(len(bars.now)), 9, "logarithmic scale", "end"))
    return picture(width, height, parts, told)


def sparkline(bars: Histogram, *, told: str = "") -> str:
    """The same picture for a line of a table: no words."""
    width, height = 150, 34
    room, scale = (
        _Room.of(bars, width, apart=10, gap=5, margin=1),
        Scale(0.0, max((*bars.now, *(bars.before or ()), 1e-9)), 33, 2),
    )
    parts = [f'<path class="bars" d="{_columns(bars.now, room, scale)}"/>']
    if bars.before is not None:
        parts.append(f'<path class="then" d="{_outline(bars.before, room, scale)}"/>')
    parts += [_stands(one, at, 33, top=2, words=False) for one, at in zip(bars.apart, room.apart, strict=True)]
    floor = f'<line class="axis" x1="0" x2="{width}" y1="33.5" y2="33.5"/>'
    return picture(width, height, [*parts, floor], told)


def figure(caption: str, svg: str) -> str:
    """A picture with its title, as HTML; nothing where there is no picture."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>" if svg else ""


def standalone(svg: str) -> bytes:
    """The picture as a file of its own, with the style that it otherwise takes from the page."""
    style = f'<style>{PALETTE}{CHART_STYLE}</style><rect width="100%" height="100%" style="fill: var(--paper)"/>'
    return svg.replace(">", f">{style}", 1).encode()


def picture(width: float, height: float, parts: Iterable[str], told: str = "") -> str:
    """The parts as one SVG; `told` is what it shows in words, for who cannot see it."""
    name = f' aria-label="{escape(told)}"' if told else ""
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"{name}>'
    return f"{opening}{''.join(parts)}</svg>"


def _finite(line: Line) -> Line:
    pairs = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return Line(line.name, [x for x, _ in pairs], [y for _, y in pairs], line.dots)


def scale_of(values: Sequence[float], start: float, end: float, *, zero: bool) -> Scale:
    """A scale that holds all values, with a margin; `zero` makes it begin there."""
    low, high = min(values), max(values)
    low = min(low, 0.0) if zero else low
    if high - low < 1e-9 * max(1.0, abs(high)):  # one value, or as good as one: it goes in the middle
        low, high = low - 0.5, high + 0.5
    margin = 0.04 * (high - low)
    return Scale(low if zero else low - margin, high + margin, start, end)


def ticks(scale: Scale, wanted: int = 4) -> Iterator[float]:
    """Round values inside the scale, 1, 2 or 5 times a power of ten apart."""
    rough = (scale.high - scale.low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    for index in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1):
        yield index * step


def axes(x: Scale, y: Scale, x_label: str, *, digits: int = 3, whole: bool = False) -> Iterator[str]:
    """Lines across at round heights, `digits` of each beside it; below, round values of x, or only `whole` ones."""
    for tick in ticks(y):
        yield f'<line class="axis" x1="{x.start}" x2="{x.end}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        yield label(x.start - 6, y(tick) + 4, short(tick, digits), "end")
    for tick in ticks(x):
        if not whole or tick == round(tick):
            yield label(x(tick), y.start + 15, short(tick))
    yield label(x.end, y.start + 29, x_label, "end")


def _drawn(line: Line, x: Scale, y: Scale, index: int) -> str:
    path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in zip(line.x, line.y, strict=True))
    drawn = f'<polyline class="line {_series(index)}" points="{path}"/>'
    if not line.dots:
        return drawn
    return drawn + "".join(_dot(x(px), y(py), 3, index) for px, py in zip(line.x, line.y, strict=True))


def _interval(row: tuple[str, float, float | None, float | None], x: Scale, y: float, *, first: bool) -> str:
    name, mean, low, high = row
    index = 0 if first else 2
    whisker = ""
    if low is not None and high is not None:
        whisker = f'<line class="line {_series(index)}" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y}" y2="{y}"/>'
    value = f'<text class="name" x="640" y="{y + 4}" text-anchor="end">{mean:.4f}</text>'
    return f'<text class="name" x="0" y="{y + 4}">{escape(name)}</text>{whisker}{_dot(x(mean), y, 4.5, index)}{value}'


def _legend(name: str, index: int, width: int) -> str:
    """Names stand side by side, as far apart as the picture is wide."""
    return f'<text class="{_series(index)}" x="{_LEFT + 70 * width / _WIDTH * index:.0f}" y="9">{escape(name)}</text>'


def _series(index: int) -> str:
    return f"s{index % 3}"


def _dot(x: float, y: float, radius: float, index: int) -> str:
    return f'<circle class="dot {_series(index)}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _guide(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="guide" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def tick_line(x: float, top: float, bottom: float) -> str:
    """A quiet vertical line."""
    return f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def label(x: float, y: float, words: str, anchor: str = "middle") -> str:
    """Words in the picture."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def short(value: float, digits: int = 3) -> str:
    """A number beside an axis."""
    return f"{value:.{digits}g}" if value else "0"


# ---------------------------------------------------------------- bars


@dataclass(frozen=True)
class _Room:
    """Where the bars stand: from `start`, each `step` wide; `apart` has start and width of those by themselves."""

    start: float
    step: float
    apart: Sequence[tuple[float, float]]

    @classmethod
    def of(cls, bars: Histogram, width: float, *, apart: float = 34, gap: float = 14, margin: float = 12) -> _Room:
        first = sum(one.first for one in bars.apart)
        last = len(bars.apart) - first
        start, end = margin + first * (apart + gap), width - margin - last * (apart + gap)
        at = [(margin + i * (apart + gap), apart) for i in range(first)]
        at += [(end + gap + i * (apart + gap), apart) for i in range(last)]
        return cls(start, (end - start) / max(len(bars.now), 1), at)

    def __call__(self, bar: float) -> float:
        return self.start + bar * self.step


def _columns(shares: Sequence[float], room: _Room, scale: Scale) -> str:
    """One path for all bars; a bar that is there is never too low to be seen."""
    gap = min(1.5, room.step * 0.15)
    wide, floor = room.step - gap, scale.start
    tops = [min(scale(share), floor - 0.8) if share > 0 else floor for share in shares]
    return "".join(f"M{room(i) + gap / 2:.1f} {floor:g}V{top:.1f}h{wide:.1f}V{floor:g}z" for i, top in enumerate(tops))


def _outline(shares: Sequence[float], room: _Room, scale: Scale) -> str:
    steps = "".join(f"V{scale(share):.1f}H{room(i + 1):.1f}" for i, share in enumerate(shares))
    return f"M{room(0):.1f} {scale.start:g}{steps}V{scale.start:g}"


def _stands(one: Apart, at: tuple[float, float], floor: float, *, top: float = 16, words: bool = True) -> str:
    x, width = at
    scale = Scale(0.0, 1.0, floor, top)
    drawn = f'<path class="apart" d="M{x:.1f} {floor:g}V{scale(one.now):.1f}h{width:.1f}V{floor:g}z"/>'
    if one.before is not None:
        y = scale(one.before)
        drawn += f'<path class="then" d="M{x - 2:.1f} {y:.1f}h{width + 4:.1f}"/>'
    if not words:
        return drawn
    highest = min(scale(one.now), scale(one.before or 0.0))
    middle = x + width / 2
    return drawn + label(middle, highest - 4, _per_cent(one.now)) + label(middle, floor + 13, one.label)


def _bar_labels(bars: Histogram, room: _Room) -> Sequence[tuple[float, str]]:
    """Below every bar, or at round values; at every so many of them where there is no room for all."""
    if bars.labels:
        found = [(room(i + 0.5), words) for i, words in enumerate(bars.labels)]
    else:
        place = math.log10 if bars.log else float
        x = Scale(place(bars.edges[0]), place(bars.edges[-1]), room(0), room(len(bars.now)))
        found = [(x(place(tick)), _rounded(tick)) for tick in (_decades(bars.edges) if bars.log else ticks(x, 5))]
    widest = 6.2 * max((len(words) for _, words in found), default=0) + 6
    nearest = min((right - left for (left, _), (right, _) in pairwise(found)), default=widest)
    return found[:: max(1, math.ceil(widest / nearest))]


def _decades(edges: Sequence[float]) -> Iterator[float]:
    """Powers of ten inside the ends, or 1, 2 and 5 times such where there are few."""
    low, high = edges[0], edges[-1]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if math.log10(high / low) > 2.5 else (1, 2, 5)
    yield from (tick for p in powers for f in factors if low <= (tick := f * 10.0**p) <= high)


def _rounded(value: float) -> str:
    """Thousands and millions by their letter."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return short(value)


def _per_cent(share: float) -> str:
    """Whole ones above 1 %: there is room for no more than a bar's width. A table or a sentence says it otherwise."""
    return f"{100 * share:.1f} %" if 0 < share < 0.01 else f"{100 * share:.0f} %"
