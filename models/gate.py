"""May a new model replace the one that publishes? Both are graded on identical test rows, and people are resampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics import Interval, bootstrap_difference, log_losses, ndcg_by_group

Array = NDArray[Any]
Floats = NDArray[np.float64]

NDCG_MARGIN = -0.002
"""A challenger may not lose more NDCG than this, as far as the interval can tell."""

LOG_LOSS_MARGIN = 0.01
"""A challenger's log-loss may be worse by this part of the champion's."""


@dataclass(frozen=True)
class TestRows:
    """The full candidate set of the test nights, one row a candidate (N,), and what people then did.

    `person` whose list it is; `group` the list (a person on a night), integers; `labels` by goal, 0 or 1; `weights`
    by goal; `popularity` the most-popular baseline's scores, where there is one.
    """

    __test__ = False  # pytest would take the name for a test

    person: Array
    group: Array
    labels: Mapping[str, Array]
    weights: Mapping[str, float]
    popularity: Array | None = None

    def relevance(self, by_goal: Mapping[str, Array]) -> Floats:
        """Sum of weight x label, or of weight x probability (N,)."""
        return np.asarray(
            sum(self.weights[goal] * np.asarray(by_goal[goal], np.float64) for goal in sorted(self.weights))
        )


@dataclass(frozen=True)
class Check:
    """One comparison, challenger minus the other: its value and 95 % interval, the bound, and whether it held."""

    name: str
    value: float
    low: float
    high: float
    bound: float
    passed: bool

    def __str__(self) -> str:
        """Name and figures, as they stand in a reason."""
        return f"{self.name} {self.value:+.4f} (95 % {self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True)
class Verdict:
    """Whether to promote, why in one sentence with figures, and every check."""

    promote: bool
    reason: str
    checks: tuple[Check, ...]


def promote(
    rows: TestRows,
    challenger: Mapping[str, Array],
    champion: Mapping[str, Array] | None,
    *,
    champion_stale: bool = False,
    k: int = 10,
    resamples: int = 1000,
    seed: int = 0,
) -> Verdict:
    """Decide between the two models' calibrated probabilities, by goal (N,), on `rows`.

    Without a champion the challenger is refused only when its NDCG@k is below most-popular's beyond doubt (the whole
    interval below 0): a first model that may be equal is how everything begins. With a champion it must not lose NDCG
    (interval above NDCG_MARGIN) nor log-loss (LOG_LOSS_MARGIN, every goal), and it must win NDCG (interval above 0)
    unless the champion is stale. Raises ValueError when a goal is missing or rows do not match.
    """
    _check_rows(rows, challenger, champion)
    truth = rows.relevance(rows.labels)
    if not truth.any():
        return Verdict(champion is None, "nobody engaged on the test nights, so nothing could be compared.", ())
    compare = _Comparison(rows, truth, k, resamples, seed)
    if champion is None:
        return _first(compare, challenger)
    return _against_champion(compare, challenger, champion, champion_stale)


@dataclass(frozen=True)
class _Comparison:
    """Paired differences on the test rows."""

    rows: TestRows
    truth: Floats
    k: int
    resamples: int
    seed: int

    def ndcg(self, score: Array, other: Array) -> Interval:
        people = self.rows.person[np.unique(self.rows.group, return_index=True)[1]]
        values = [ndcg_by_group(self.rows.group, s, self.truth, self.k) for s in (score, other)]
        return bootstrap_difference(values[0], values[1], people, self.resamples, self.seed)

    def log_loss(self, goal: str, p: Array, other: Array) -> Interval:
        """Difference of log-loss as a part of the other's."""
        labels = self.rows.labels[goal]
        losses, others = log_losses(labels, p), log_losses(labels, other)
        difference = bootstrap_difference(losses, others, self.rows.person, self.resamples, self.seed)
        return Interval(*(part / float(others.mean()) for part in difference))


def _first(compare: _Comparison, challenger: Mapping[str, Array]) -> Verdict:
    if compare.rows.popularity is None:
        return Verdict(True, "first model, and no popularity to compare it with.", ())
    interval = compare.ndcg(compare.rows.relevance(challenger), compare.rows.popularity)
    check = Check(f"NDCG@{compare.k} against most-popular", *interval, bound=0.0, passed=interval.high >= 0)
    verdict = "first model" if check.passed else "refused: the first model ranks worse than most-popular beyond doubt"
    return Verdict(check.passed, f"{verdict}: {check}.", (check,))


def _against_champion(
    compare: _Comparison, challenger: Mapping[str, Array], champion: Mapping[str, Array], stale: bool
) -> Verdict:
    rows = compare.rows
    ndcg = compare.ndcg(rows.relevance(challenger), rows.relevance(champion))
    name = f"NDCG@{compare.k} against the champion"
    safe = Check(f"{name}, not worse", *ndcg, bound=NDCG_MARGIN, passed=ndcg.low > NDCG_MARGIN)
    better = Check(f"{name}, better", *ndcg, bound=0.0, passed=ndcg.low > 0)
    losses = tuple(_log_loss_check(compare, goal, challenger[goal], champion[goal]) for goal in sorted(rows.weights))
    return _verdict((safe, *losses), better, stale)


def _log_loss_check(compare: _Comparison, goal: str, p: Array, other: Array) -> Check:
    interval = compare.log_loss(goal, p, other)
    return Check(
        f"log-loss of {goal}, relative", *interval, bound=LOG_LOSS_MARGIN, passed=interval.mean <= LOG_LOSS_MARGIN
    )


def _verdict(required: tuple[Check, ...], better: Check, stale: bool) -> Verdict:
    checks = (*required, better)
    failed = [check for check in required if not check.passed]
    if failed:
        bounds = "; ".join(f"{check}, bound {check.bound:+.4f}" for check in failed)
        return Verdict(False, f"champion kept, the challenger may be worse: {bounds}.", checks)
    if better.passed:
        return Verdict(True, f"challenger promoted: {better}.", checks)
    if stale:
        return Verdict(True, f"challenger promoted in place of a stale champion, not worse: {better}.", checks)
    return Verdict(False, f"champion kept, the challenger is not proven better: {better}.", checks)


def _check_rows(rows: TestRows, challenger: Mapping[str, Array], champion: Mapping[str, Array] | None) -> None:
    columns = {
        "labels": rows.labels,
        "challenger": challenger,
        **({"champion": champion} if champion is not None else {}),
    }
    for side, by_goal in columns.items():
        missing = sorted(set(rows.weights) - set(by_goal))
        if missing:
            raise ValueError(
                f"gate.promote: {side} lacks the goals {missing} (found: {sorted(by_goal)}); grade the same goals."
            )
        lengths = {goal: len(by_goal[goal]) for goal in rows.weights}
        if set(lengths.values()) != {len(rows.person)}:
            raise ValueError(
                f"gate.promote: {side} has rows {lengths}, expected {len(rows.person)}; grade identical rows."
            )
