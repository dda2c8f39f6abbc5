"""Complete Journey: who redeems a coupon of the campaign that they are mailed, learned before a day, judged after it.

A row is a household and a campaign when it starts. Learned from exposures before 2017-09-01, and from what was known of
them by then: a coupon that is redeemed later is no label yet. Judged on every exposure after, by all that was redeemed
until the study ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import quality_bag
from benchmarks.quality_journey_features import WATCHED, Columns, exposures, groups
from benchmarks.table import Row
from models import metrics
from models.learning import Sample

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

HOME = Path(__file__).resolve().parents[2] / "shared" / "data" / "completejourney"
LEARNED_BEFORE = datetime(2017, 9, 1)  # noqa: DTZ001  (the study's times have no zone)
FIRST_RECEIPT = datetime(2017, 1, 1)  # noqa: DTZ001
LAST_CAMPAIGN = "23"
"""It starts three days before the study ends, and its coupons are good for 38."""


@dataclass(frozen=True)
class Journey:
    """Every exposure, in the order of time, and what was known then, in named groups of features."""

    exposed: pa.Table
    groups: Mapping[str, Columns]

    @classmethod
    def read(cls, home: Path = HOME) -> Journey:
        """From the study's exports."""
        exposed = exposures(home)
        return cls(exposed, groups(home, exposed, LEARNED_BEFORE))

    @cached_property
    def known(self) -> Flags:
        """What is learned from: exposures of households whose receipts were there for `WATCHED` days."""
        ts = self.exposed["ts"].to_numpy()
        return np.asarray((ts >= np.datetime64(FIRST_RECEIPT + timedelta(WATCHED))) & ~self.judged)

    @cached_property
    def judged(self) -> Flags:
        """What is judged."""
        return np.asarray(self.exposed["ts"].to_numpy() >= np.datetime64(LEARNED_BEFORE))

    @cached_property
    def people(self) -> NDArray[np.int64]:
        """Whose each exposure is."""
        return np.asarray(self.exposed["household"])

    def answered(self, before: datetime | None = None) -> Floats:
        """Whether each was answered, before an instant or ever."""
        first = self.exposed["answered"].to_numpy()
        return np.asarray(~np.isnat(first) if before is None else first < np.datetime64(before)).astype(np.float64)

    def predicted(self, names: Iterable[str], trials: int, y: Floats | None = None, times: int = 1) -> Floats:
        """Probabilities of those that are judged, by these groups of features; `y` are other labels to learn from."""
        chosen = {f"{group} {name}": values for group in names for name, values in self.groups[group].items()}
        x = np.column_stack(list(chosen.values())).astype(np.float32)
        labels = self.answered(LEARNED_BEFORE) if y is None else y
        sample = Sample(x[self.known], labels[self.known], self.people[self.known])
        return quality_bag.predicted(list(chosen), sample, x[self.judged], trials, times=times)


def rows(trials: int, times: int, home: Path = HOME) -> list[Row]:
    """The table's lines."""
    journey = Journey.read(home)
    y, people = journey.answered()[journey.judged], journey.people[journey.judged]
    p = journey.predicted(journey.groups, trials, times=times)
    found = [Row("completejourney: exposures learned from", float(journey.known.sum()))]
    for name, metric, must, moonshot in (("AUC", metrics.auc, 0.82, 0.84), ("PR-AUC", metrics.pr_auc, 0.50, 0.54)):
        low, high = interval(metric, y, p, people)
        found += [
            Row(f"completejourney: {name}", metric(y, p), must, moonshot),
            Row(f"completejourney: {name}, 95 % interval from", low),
            Row(f"completejourney: {name}, 95 % interval to", high),
        ]
    found.append(Row("completejourney: ECE", metrics.ece(y, p), 0.03, better="lower"))
    ripe = np.array(journey.exposed["campaign"].to_pylist())[journey.judged] != LAST_CAMPAIGN
    found += _both("without the campaign of the study's last days", y[ripe], p[ripe])
    later = journey.predicted(journey.groups, trials, journey.answered(), times)
    found += _both("a peek: labels as they turned out by the end", y, later)
    longer = journey.predicted(journey.groups, 5 * trials)
    found += _both(f"a longer search, {5 * trials} trials", y, longer)
    return found + _ablation(journey, y, times)


def interval(
    metric: Callable[[Floats, Floats], float], y: Floats, p: Floats, people: NDArray[np.int64], resamples: int = 1000
) -> tuple[float, float]:
    """Where 95 % of the metric lie when people are drawn anew, each with all their rows."""
    order = np.argsort(people, kind="stable")
    rows_of = np.split(order, np.flatnonzero(np.diff(people[order])) + 1)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(resamples):
        drawn = np.concatenate([rows_of[i] for i in rng.integers(0, len(rows_of), len(rows_of))])
        found.append(metric(y[drawn], p[drawn]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _ablation(journey: Journey, y: Floats, times: int) -> list[Row]:
    """What is left without each group of features, and what RFM is worth alone; default parameters, no search."""
    found = _both("default parameters, all features", y, journey.predicted(journey.groups, 1, times=times))
    found += _both("RFM alone", y, journey.predicted(["rfm"], 1, times=times))
    for group in journey.groups:
        others = [other for other in journey.groups if other != group]
        found += _both(f"without {group}", y, journey.predicted(others, 1, times=times))
    return found


def _both(what: str, y: Floats, p: Floats) -> list[Row]:
    return [
        Row(f"completejourney, {what}: AUC", metrics.auc(y, p)),
        Row(f"completejourney, {what}: PR-AUC", metrics.pr_auc(y, p)),
    ]
