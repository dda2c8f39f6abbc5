"""The values of one feature as bars that can be read: whole numbers by themselves, long tails in steps that grow.

What is 0 for many, and what is missing, stands apart: beside a bar of 95 % the others would be none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.reports.charts import Apart, Histogram

Array = NDArray[Any]
Floats = NDArray[np.float64]

_BARS = 24
_FEW = 12
"""Up to so many different values get a bar each."""
_MANY_ZEROS = 0.15
_LARGEST, _LARGEST_WHOLE = 1e15, 2.0**31
"""Values beyond are in the last bar; beyond the second, whole numbers are no counts."""
_LONG_TAIL = 6.0
"""The 95th percentile over the median, from which on equal steps would leave one bar and a desert."""


def histogram(now: Floats, before: Floats | None) -> Histogram | None:
    """Bars of the values (N,), NaN where missing, and of those of an earlier night; None where nobody has any.

    The same bars serve both nights: their ends are those of the two together.
    """
    sides = [now] if before is None else [now, before]
    pooled = np.concatenate([_present(side) for side in sides])
    if not len(pooled):
        return None
    zeros = float((pooled == 0).mean())
    apart = _MANY_ZEROS <= zeros < 1
    cut = _cut(pooled[pooled != 0] if apart else pooled)
    shares = [_shares(side, cut, apart=apart) for side in sides]
    return Histogram(
        now=shares[0].tolist(),
        before=shares[1].tolist() if before is not None else None,
        edges=cut.ends.tolist() if not cut.labels else (),
        labels=cut.labels,
        log=cut.log,
        apart=[*([Apart("0", *_of(sides, lambda side: side == 0), first=True)] if apart else []), *_missing(sides)],
    )


def tenths(now: Floats, before: Floats, edges: Floats) -> tuple[Histogram, Array, Array]:
    """Both nights by the bins of the stability index, and the counts of the earlier and of this night.

    `edges` are upper ends, inclusive (`models.drift.quantile_edges`); the last bin holds what is missing.
    """
    counts = [_binned(side, edges) for side in (now, before)]
    shares = [(found / max(found.sum(), 1)).tolist() for found in counts]
    labels = [*(f"\N{LESS-THAN OR EQUAL TO}\N{THIN SPACE}{_label(edge)}" for edge in edges), "more", "none"]
    used = [i for i in range(len(labels)) if counts[0][i] or counts[1][i]]
    picture = Histogram([shares[0][i] for i in used], [shares[1][i] for i in used], labels=[labels[i] for i in used])
    return picture, counts[1], counts[0]


def _binned(values: Floats, edges: Floats) -> Array:
    bin_of = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="left"))
    return np.bincount(bin_of, minlength=len(edges) + 2)


class _Cut:
    """Where bars end (n + 1), what they are called, and whether the steps grow."""

    def __init__(self, ends: Floats, labels: tuple[str, ...] = (), *, log: bool = False) -> None:
        self.ends, self.labels, self.log = ends, labels, log


def _cut(values: Floats) -> _Cut:
    distinct = np.unique(values)
    whole = bool((distinct == np.round(distinct)).all()) and np.abs(distinct).max() <= _LARGEST_WHOLE
    if len(distinct) <= _FEW:
        middles = (distinct[1:] + distinct[:-1]) / 2
        ends = np.concatenate([[-np.inf], middles, [np.inf]])
        return _Cut(ends, tuple(_label(value) for value in distinct))
    low, median, high = np.quantile(np.clip(values, -_LARGEST, _LARGEST), [0.005, 0.5, 0.995])
    tailed = low > 0 and np.quantile(values, 0.95) > _LONG_TAIL * median
    if whole:
        return _doubling(high) if tailed else _steps(low, high)
    if tailed:
        return _Cut(np.geomspace(low, high, _BARS + 1), log=True)
    least = 1e-6 * max(1.0, abs(low))
    return _Cut(np.linspace(low, max(high, low + least), _BARS + 1))


def _steps(low: float, high: float) -> _Cut:
    """Equal steps that each hold the same number of whole numbers: no comb where there is none."""
    width = max(1, int(np.ceil((high - low + 1) / _BARS)))
    first = np.floor(low)
    return _Cut(first - 0.5 + width * np.arange(int(np.ceil((high - first + 1) / width)) + 1))


def _doubling(high: float) -> _Cut:
    """1, 2, 3 to 4, 5 to 8 …: steps that double."""
    uppers = [1, *(2**power for power in range(1, int(np.ceil(np.log2(max(high, 2)))) + 1))]
    labels = [_range(lower + 1, upper) for lower, upper in zip([0, *uppers], uppers, strict=False)]
    return _Cut(np.array([0.5, *(upper + 0.5 for upper in uppers)]), tuple(labels))


def _range(first: int, last: int) -> str:
    return _label(last) if first == last else f"{_label(first)}\N{EN DASH}{_label(last)}"


def _shares(values: Floats, cut: _Cut, *, apart: bool) -> Floats:
    """The share of all rows in each bar; what is beyond the ends is in the bars there."""
    there = _present(values)
    there = there[there != 0] if apart else there
    at = np.clip(np.searchsorted(cut.ends, there, side="right") - 1, 0, len(cut.ends) - 2)
    counts = np.bincount(at, minlength=len(cut.ends) - 1)
    return np.asarray(counts / max(len(values), 1), np.float64)


def _missing(sides: list[Floats]) -> list[Apart]:
    shares = _of(sides, np.isnan)
    return [Apart("none", *shares)] if any(shares) else []


def _of(sides: list[Floats], condition: Any) -> tuple[float, float | None]:
    found = [float(np.mean(condition(side))) if len(side) else 0.0 for side in sides]
    return found[0], found[1] if len(found) > 1 else None


def _present(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _label(value: float) -> str:
    if value == round(value) and abs(value) < 10_000:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value / 1000:.3g}k"
