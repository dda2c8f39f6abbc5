"""Has data gone missing? A share of rows that jumped up is a fault of an export, not a change of people.

Missing values, and values that the reference never held, are counted a person; chance is people turned round, as for
drift, but a burst is judged at once and never warrants training: a model trained on broken data is the worst outcome.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import flips
from models.drift import benjamini_hochberg

Array = NDArray[Any]


@dataclass(frozen=True)
class Burst:
    """One column: the share of its rows at fault in the reference and now, the adjusted p-value, and the verdict."""

    name: str
    reference: float
    current: float
    adjusted: float
    burst: bool


def bursts(
    faults: Mapping[str, Array],
    person: Array,
    window: Array,
    *,
    permutations: int = 999,
    q: float = 0.01,
    floor: float = 0.05,
    seed: int = 0,
) -> tuple[Burst, ...]:
    """Which columns' rows at fault became more by `floor` or more of all rows, beyond chance, sorted by name.

    `faults` maps a column to whether each row is at fault (N,); `person` and `window` (N,) as in `drift.check`. Fewer
    faults are no burst. Raises ValueError when a window is empty.
    """
    window = np.asarray(window)
    rows = np.bincount(window, minlength=2)
    if not rows.all():
        raise ValueError(
            f"bursts: {rows[0]} rows in the reference and {rows[1]} now; expected at least one of each. Check the two "
            "windows' dates."
        )
    names = sorted(faults)
    if not names:
        return ()
    cluster, many = flips.clusters(person)
    flat = cluster * 2 + window
    every = np.bincount(flat, minlength=2 * many).reshape(many, 2)
    counts = np.empty((many, len(names), 2, 2), np.int64)
    for at, name in enumerate(names):
        counts[:, at, :, 1] = np.bincount(flat[np.asarray(faults[name])], minlength=2 * many).reshape(many, 2)
        counts[:, at, :, 0] = every - counts[:, at, :, 1]
    parts = flips.surplus(counts)[..., 1:]
    totals = counts.sum(axis=0)
    shares = totals[:, :, 1] / totals.sum(axis=2)
    rise = parts.sum(axis=(0, 2))
    most = max(permutations, math.ceil(2 * len(names) / q))
    p = flips.p_values(parts, rise, lambda difference, _: difference[:, :, 0], permutations, most, seed)
    adjusted = benjamini_hochberg(p)
    return tuple(
        Burst(name, float(then), float(now), float(a), bool(a <= q and now - then >= floor))
        for name, (then, now), a in zip(names, shares, adjusted, strict=True)
    )
