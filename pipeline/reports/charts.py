"""Pictures as SVG: lines, and means with their intervals. Drawn in the page's colours, light or dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

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


def line_chart(
    lines: Sequence[Line], x_label: str, *, diagonal: bool = False, mark: float | None = None, zero: bool = False
) -> str:
    """Lines over one pair of axes. `diagonal` draws y = x, `mark` a vertical guide, `zero` makes both axes start there.

    Points that are not finite are left out; with no point left, the picture is the empty string.
    """
    lines = [kept for kept in map(_finite, lines) if kept.x]
    if not lines:
        return ""
    x = _scale([value for line in lines for value in line.x], _LEFT, _WIDTH - _RIGHT, zero=zero)
    y = _scale([value for line in lines for value in line.y], _HEIGHT - _BOTTOM, _TOP, zero=zero)
    parts = [*_axes(x, y, x_label)]
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(_guide(x(low), y(low), x(high), y(high)))
    if mark is not None:
        parts.append(_guide(x(mark), _TOP, x(mark), _HEIGHT - _BOTTOM))
    parts += [_drawn(line, x, y, index) for index, line in enumerate(lines)]
    if len(lines) > 1:
        parts += [_legend(line.name, index) for index, line in enumerate(lines)]
    return _svg(_WIDTH, _HEIGHT, parts)


def interval_chart(rows: Sequence[tuple[str, float, float | None, float | None]]) -> str:
    """A line a row: name, mean, and its interval where there is one. The first row is the one that is judged."""
    rows = [row for row in rows if math.isfinite(row[1])]
    if not rows:
        return ""
    left, width, step = 150, 640, 28
    ends = [end for _, mean, low, high in rows for end in (mean, low, high) if end is not None and math.isfinite(end)]
    x = _scale(ends, left, width - 70, zero=True)
    bottom = step * len(rows) + 8
    parts = [_tick_line(x(tick), 4, bottom) + _label(x(tick), bottom + 16, _short(tick)) for tick in _ticks(x)]
    parts += [_interval(row, x, step * index + 20, first=index == 0) for index, row in enumerate(rows)]
    return _svg(width, bottom + 24, parts)


def figure(caption: str, svg: str) -> str:
    """A picture with its title, as HTML; nothing where there is no picture."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>" if svg else ""


def standalone(svg: str) -> bytes:
    """The picture as a file of its own, with the style that it otherwise takes from the page."""
    style = f'<style>{PALETTE}{CHART_STYLE}</style><rect width="100%" height="100%" style="fill: var(--paper)"/>'
    return svg.replace(">", f">{style}", 1).encode()


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    return f"{opening}{''.join(parts)}</svg>"


def _finite(line: Line) -> Line:
    pairs = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return Line(line.name, [x for x, _ in pairs], [y for _, y in pairs], line.dots)


def _scale(values: Sequence[float], start: float, end: float, *, zero: bool) -> Scale:
    low, high = min(values), max(values)
    low = min(low, 0.0) if zero else low
    if high - low < 1e-9 * max(1.0, abs(high)):  # one value, or as good as one: it goes in the middle
        low, high = low - 0.5, high + 0.5
    margin = 0.04 * (high - low)
    return Scale(low if zero else low - margin, high + margin, start, end)


def _ticks(scale: Scale, wanted: int = 4) -> Iterator[float]:
    """Round values inside the scale, 1, 2 or 5 times a power of ten apart."""
    rough = (scale.high - scale.low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    for index in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1):
        yield index * step


def _axes(x: Scale, y: Scale, x_label: str) -> Iterator[str]:
    floor = _HEIGHT - _BOTTOM
    for tick in _ticks(y):
        yield f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        yield _label(_LEFT - 6, y(tick) + 4, _short(tick), "end")
    for tick in _ticks(x):
        yield _label(x(tick), floor + 15, _short(tick))
    yield _label(_WIDTH - _RIGHT, _HEIGHT - 3, x_label, "end")


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


def _legend(name: str, index: int) -> str:
    return f'<text class="{_series(index)}" x="{_LEFT + 70 * index}" y="9">{escape(name)}</text>'


def _series(index: int) -> str:
    return f"s{index % 3}"


def _dot(x: float, y: float, radius: float, index: int) -> str:
    return f'<circle class="dot {_series(index)}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _guide(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="guide" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _tick_line(x: float, top: float, bottom: float) -> str:
    return f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def _label(x: float, y: float, label: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(label)}</text>'


def _short(value: float) -> str:
    return f"{value:.3g}" if value else "0"
