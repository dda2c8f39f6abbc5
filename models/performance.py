"""Does the champion do worse than it did? Its figures on matured nights against those on its own reference nights.

How sure we are comes from drawing people again with replacement, the same draws for both windows, so that a person in
both counts once. Looking every night would cry wolf sooner or later at any fixed level: look number t is made at
6 a / (pi^2 t^2) of the level a, which adds up to a over all nights that will ever be (the sum of 1 / t^2 is pi^2 / 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from models.resampling import Draws

Array = NDArray[Any]
Floats = NDArray[np.float64]

Verdict = Literal["dipped", "steady", "cannot tell"]

DIPPED: Final = "dipped"
STEADY: Final = "steady"
CANNOT_TELL: Final = "cannot tell"

DRAWS = 1000

LEAST = 50
"""With fewer positives in a window the figures of the draws are no bell, and no interval of theirs is to be trusted."""

POWER = 0.8
"""How surely a drop that is to be seen is seen, with as many positives as are said to be needed."""


@dataclass(frozen=True)
class Figure:
    """What one figure of the champion is made of: rows of both windows and whose they are.

    `score` (N,) against `label` (N,) 0 or 1 makes an AUC; where `score` is None the figure is the mean of `label`, as
    of NDCG@10 a list. `window` (N,) is 0 for the reference, 1 for now. Drops below `margin` do not matter; one of
    `detectable` should be seen.
    """

    name: str
    label: Array
    score: Array | None
    person: Array
    window: Array
    margin: float
    detectable: float

    def positives(self, side: int) -> int:
        """Rows in a window that say something: engagements, or lists."""
        inside = np.asarray(self.window) == side
        return int(inside.sum()) if self.score is None else int((np.asarray(self.label)[inside] > 0).sum())


@dataclass(frozen=True)
class Dip:
    """One figure then and now, how much it dropped, and between what and what that lies (one-sided each) at `level`.

    `needed` is how many positives the current nights must hold for a drop that matters to be seen with `POWER`; None
    where no number would do, because the reference has too few itself.
    """

    name: str
    reference: float
    current: float
    drop: float
    low: float
    high: float
    level: float
    positives: int
    needed: int | None
    margin: float
    verdict: Verdict

    def __str__(self) -> str:
        """A sentence with the figures."""
        moved = f"{self.name} went from {self.reference:.4f} to {self.current:.4f}"
        sure = f"a drop of {self.drop:+.4f}, at least {self.low:+.4f} at {100 * self.level:.5g} %"
        needed = "more reference nights" if self.needed is None else f"{self.needed} positives"
        told = {
            DIPPED: f"more than the {self.margin:g} allowed",
            STEADY: f"no more than the {self.margin:g} allowed is proven",
            CANNOT_TELL: f"cannot tell with {self.positives} positives: {needed} needed",
        }
        return f"{moved} ({sure}; {told[self.verdict]})"


def level_of(look: int, alpha: float, figures: int = 1) -> float:
    """The part of `alpha` that the look of this number (from 1) may spend on each of some figures."""
    if look < 1 or figures < 1:
        raise ValueError(f"performance.level_of: look {look}, {figures} figures; both are counted from 1.")
    return 6 * alpha / (math.pi**2 * look**2) / figures


def dips(figures: Sequence[Figure], look: int, *, alpha: float = 0.01, seed: int = 0) -> tuple[Dip, ...]:
    """Judge every figure at the `look`-th look since the champion serves; `alpha` is for all looks and figures."""
    if not figures:
        return ()
    spent = level_of(look, alpha, len(figures))
    return tuple(_judged(figure, spent, seed) for figure in figures)


def _judged(figure: Figure, spent: float, seed: int) -> Dip:
    then, now = _drawn(figure, seed)
    positives = [figure.positives(side) for side in (0, 1)]
    drops = then - now
    drop = float(drops[0])
    spread, before, current = (_spread(values) for values in (drops, then, now))
    reach = float(-ndtri(spent)) * spread
    needed = _needed(figure, spent, before, current, positives[1])
    return Dip(
        figure.name,
        float(then[0]),
        float(now[0]),
        drop,
        drop - reach,
        drop + reach,
        1 - spent,
        positives[1],
        needed,
        figure.margin,
        _verdict(drop - reach, positives, needed, figure.margin),
    )


def _verdict(low: float, positives: Sequence[int], needed: int | None, margin: float) -> Verdict:
    if min(positives) < LEAST or not math.isfinite(low):
        return CANNOT_TELL
    if low > margin:
        return DIPPED
    return STEADY if needed is not None and positives[1] >= needed else CANNOT_TELL


def _needed(figure: Figure, spent: float, before: float, current: float, positives: int) -> int | None:
    """Positives for the lower end of a drop of `detectable` to lie above the margin with POWER: errors shrink with
    the square root of their number, and the reference's stays as it is."""
    allowed = (figure.detectable - figure.margin) / float(ndtri(POWER) - ndtri(spent))
    left = allowed**2 - before**2
    if not math.isfinite(current) or not math.isfinite(before) or left <= 0:
        return None
    return max(LEAST, math.ceil(positives * current**2 / left))


def _drawn(figure: Figure, seed: int) -> tuple[Floats, Floats]:
    """The figure in both windows, of everybody once and of every draw (draws + 1,)."""
    known, owner = np.unique(figure.person, return_inverse=True)
    window, label = np.asarray(figure.window), np.asarray(figure.label, np.float64)
    found = []
    for side in (0, 1):
        inside = window == side
        draws = Draws(owner[inside].astype(np.int64), len(known), DRAWS, seed)
        if figure.score is None:
            found.append(draws.means(label[inside]))
        else:
            score = np.asarray(figure.score)[inside]
            found.append(draws.figures(label[inside], score, ("auc",))["auc"])
    return found[0], found[1]


def _spread(drawn: Floats) -> float:
    known = drawn[1:][np.isfinite(drawn[1:])]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")


def expected_auc(p: Array) -> float:
    """The AUC that calibrated probabilities (N,) promise of themselves, before any outcome is known.

    A row is a positive with its probability p and a negative with 1 - p, so the AUC is the share of such weighted pairs
    in which the positive has the higher p, ties counting one half (confidence-based performance estimation: NannyML,
    after Garg et al. 2022). It holds while probabilities are calibrated and people stay within what was learned from;
    NaN without rows.
    """
    values, at = np.unique(np.asarray(p, np.float64), return_inverse=True)
    rows = np.bincount(at, minlength=len(values)).astype(np.float64)
    positive, negative = rows * values, rows * (1 - values)
    beaten = negative.cumsum() - negative / 2
    every = positive.sum() * negative.sum()
    return float((positive * beaten).sum() / every) if every > 0 else float("nan")
