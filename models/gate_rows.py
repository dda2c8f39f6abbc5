"""What two models are graded on, and what a comparison of them says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
ByGoal = Mapping[str, Array]


@dataclass(frozen=True)
class TestRows:
    """The full candidate set of the test nights, one row a candidate (N,), and what people then did.

    `person` whose list it is; `group` the list (a person on a night), integers; `labels` by goal, 0 or 1; `weights`
    by goal; `popularity` the most-popular baseline's scores, where there is one; `content` what each row is of, as any
    integer; `groups` by kind the name of the group that each list's person is in (L,), lists in the order of `group`.
    """

    __test__ = False  # pytest would take the name for a test

    person: Array
    group: Array
    labels: ByGoal
    weights: Mapping[str, float]
    popularity: Array | None = None
    content: Array | None = None
    groups: Mapping[str, Array] = field(default_factory=dict)

    def relevance(self, by_goal: ByGoal) -> Floats:
        """Sum of weight x label, or of weight x probability (N,)."""
        return np.asarray(
            sum(self.weights[goal] * np.asarray(by_goal[goal], np.float64) for goal in sorted(self.weights))
        )


@dataclass(frozen=True)
class Shown:
    """What people could respond to (M rows), which is what probabilities are of; both models' are by goal (M,).

    `person` whose row it is, `labels` by goal 0 or 1; `champion` is None where there is none.
    """

    person: Array
    labels: ByGoal
    challenger: ByGoal
    champion: ByGoal | None


@dataclass(frozen=True)
class Check:
    """One comparison: its value and 95 % interval, the bound, and whether it held.

    `held` is the figure that is held against the bound: the value, or an end of its interval. Without an interval
    its ends are NaN. `note` says what else counts.
    """

    name: str
    value: float
    low: float
    high: float
    bound: float
    passed: bool
    held: Literal["value", "low", "high"] = "value"
    note: str = ""

    @property
    def beyond(self) -> float:
        """How far the figure that counts is on the wrong side of the bound; 0 where the check held."""
        return 0.0 if self.passed else abs(float(getattr(self, self.held)) - self.bound)

    def __str__(self) -> str:
        """Name and figures, as they stand in a reason."""
        ends = f" (95 % {self.low:+.4f} to {self.high:+.4f})" if np.isfinite(self.low) else ""
        return f"{self.name} {self.value:+.4f}{ends}"


def fingerprint(rows: TestRows, shown: Shown) -> str:
    """sha256 of what both models were graded on: whose rows, which lists and contents, and what came of each."""
    digest = hashlib.sha256()
    content = () if rows.content is None else (rows.content,)
    for column in (rows.person, rows.group, *content, shown.person):
        digest.update(np.asarray(column, np.int64).tobytes())
    for labels in (rows.labels, shown.labels):
        for goal in sorted(rows.weights):
            digest.update(goal.encode())
            digest.update((np.asarray(labels[goal]) > 0).tobytes())
    return digest.hexdigest()
