"""What lists that were published came to: for everybody, and for each segment of people that is large enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.metrics import Interval
from models.resampling import Draws, interval

Array = NDArray[Any]
Floats = NDArray[np.float64]

K = 11
"""A segment of fewer people is not told of by itself."""


@dataclass(frozen=True)
class Figure:
    """One figure of a night, of all people or of a `segment`, with its 95 % interval over people; NaN without one.

    `n` is what it rests on: lists, or for a goal's figure the engagements.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    segment: str | None = None


@dataclass(frozen=True)
class Lists:
    """Of each list (L,): whose (`person`), of which `segment` ("" where unknown), and what it was worth.

    `ours` are our measures by name, `ndcg_10` among them; `popular` is most-popular's NDCG.
    """

    person: Array
    segment: Array
    ours: Mapping[str, Floats]
    popular: Floats

    def figures(self) -> Iterator[Figure]:
        """Of everybody, then segment by segment."""
        yield from self._of(np.ones(len(self.person), bool), None)
        for name, mine in _segments(self.segment, self.person):
            yield from self._of(mine, name)

    def _of(self, mine: Array, segment: str | None) -> Iterator[Figure]:
        draws, n = Draws.of(self.person[mine]), int(mine.sum())
        ours = {name: draws.means(values[mine]) for name, values in self.ours.items()}
        popular = draws.means(self.popular[mine])
        with np.errstate(invalid="ignore", divide="ignore"):
            lift = ours["ndcg_10"] / popular
        drawn = {
            **ours,
            "ndcg_10.most_popular": popular,
            "ndcg_10.difference": ours["ndcg_10"] - popular,
            "ndcg_10.lift": lift,
        }
        yield from _known(drawn, n, segment)


@dataclass(frozen=True)
class Promises:
    """Rows of lists (N,): whose, of which segment, what a goal's model promised (`p`), and what came of it (0 or 1)."""

    goal: str
    person: Array
    segment: Array
    p: Floats
    y: Array

    def figures(self) -> Iterator[Figure]:
        """AUC, calibration error, log-loss, expected and observed share; of everybody, then segment by segment."""
        yield from self._of(np.ones(len(self.person), bool), None)
        for name, mine in _segments(self.segment, self.person):
            yield from self._of(mine, name)

    def _of(self, mine: Array, segment: str | None) -> Iterator[Figure]:
        if not mine.any():
            return
        draws, y, p = Draws.of(self.person[mine]), self.y[mine], self.p[mine]
        drawn = {
            "auc": draws.figures(y, p, ("auc",))["auc"],
            "ece": draws.ece(y, p),
            "log_loss": draws.means(metrics.log_losses(y, p)),
            "expected": draws.means(p),
            "observed": draws.means(y > 0),
        }
        yield from _known(
            {f"{self.goal}.{name}": values for name, values in drawn.items()}, int((y > 0).sum()), segment
        )


def _segments(segment: Array, person: Array) -> Iterator[tuple[str, Array]]:
    for name in sorted(set(segment.tolist()) - {""}):
        mine = segment == name
        if len(np.unique(person[mine])) >= K:
            yield name, mine


def _known(drawn: Mapping[str, Floats], n: int, segment: str | None) -> Iterator[Figure]:
    """What is defined: an AUC needs both outcomes, a ratio something to divide by."""
    for metric, values in drawn.items():
        found: Interval = interval(values)
        if np.isfinite(found.mean):
            yield Figure(metric, *found, n, segment)
