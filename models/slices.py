"""How well a goal's model serves each group of people: ranking, calibration, and places in lists. The bias audit.

A group of fewer than 11 people is counted with the others of its kind that are as few: what a handful of people do is
nobody else's business, and says nothing about a model either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from models.metrics import Interval
from models.resampling import Draws, interval

Array = NDArray[Any]
Floats = NDArray[np.float64]

K = 11
OTHER = "other"

LEAST_POSITIVES = 10
"""With fewer positives an AUC has an interval from nowhere to everywhere, and is not compared."""


@dataclass(frozen=True)
class Slice:
    """One group of one kind, on the rows of people that belong to it.

    `auc` with its interval and `error`, the standard deviation of the draws; NaN where one outcome is missing.
    `expected` and `observed` are the mean probability and the share that engaged, with its interval. `exposure` is the
    group's share of the listed places over its share of the lists' people; NaN where it has no list.
    """

    kind: str
    name: str
    rows: int
    people: int
    positives: int
    auc: Interval
    error: float
    expected: float
    observed: Interval
    exposure: float

    @property
    def off(self) -> bool:
        """Whether the probabilities of the group are off by more than chance explains."""
        return self.positives >= LEAST_POSITIVES and not self.observed.low <= self.expected <= self.observed.high


@dataclass(frozen=True)
class Worst:
    """The group that is ranked worst, compared with the others of its kind: `others` is their mean AUC.

    Within a group an AUC is mostly lower than over everybody, whose AUC also has what tells groups apart; so groups are
    compared with groups. `chance` is how probable it is that the worst of so many groups lies this far below by chance
    alone, 0 to 1: the one-sided tail of the difference's error, times the number of groups compared (Bonferroni).
    """

    slice: Slice
    others: float
    compared: int
    chance: float

    @property
    def sure(self) -> bool:
        """Whether chance is no good explanation."""
        return self.chance < 0.05


def merged(names: Array, people: Array, least: int = K) -> NDArray[Any]:
    """The groups' names by row (N,), those of fewer than `least` people as "other"."""
    known, code, pairs = _memberships(names, people)
    few = np.bincount(pairs, minlength=len(known)) < least
    kept: NDArray[Any] = np.where(few, OTHER, known).astype(object)[code]
    return kept


def exposures(names: Array, people: Array, places: Array) -> dict[str, float]:
    """By group: its share of all `places` over its share of the people. About 1 is fair.

    Args:
        names, people, places: (L,) of each list, whose it is and how many places were filled. Somebody whose lists are
            in two groups (on two nights) is one of both.
    """
    known, code, pairs = _memberships(names, people)
    heads = np.bincount(pairs, minlength=len(known)).astype(np.float64)
    filled = np.bincount(code, weights=np.asarray(places, np.float64), minlength=len(known))
    ratio = (filled / max(filled.sum(), 1.0)) / (heads / max(heads.sum(), 1.0))
    return dict(zip(known.tolist(), ratio.tolist(), strict=True))


def _memberships(names: Array, people: Array) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """The groups' names, each row's group, and the group of every person in it, once each."""
    known, code = np.unique(np.asarray(names).astype(str), return_inverse=True)
    distinct, owner = np.unique(people, return_inverse=True)
    pairs = np.unique(code.astype(np.int64) * max(len(distinct), 1) + owner)
    return known, code.astype(np.int64), pairs // max(len(distinct), 1)


@dataclass(frozen=True)
class Members:
    """Which rows (N,) are of a group's people, and these people drawn again and again."""

    kind: str
    name: str
    mine: NDArray[np.bool_]
    draws: Draws


def members(groups: Mapping[str, Array], people: Array) -> list[Members]:
    """Every group of every kind that is at least `K` people, the kinds in their order, the largest group first.

    Args:
        groups: Kind to the names (N,) of the group that each row's person is in, small ones `merged`.
        people: (N,) whose row it is.
    """
    found = []
    for kind, names in groups.items():
        some = [_members_of(kind, name, names == name, people) for name in sorted(set(names.tolist()))]
        large = [one for one in some if one.draws.people >= K]
        found += sorted(large, key=lambda one: (-len(one.draws.owner), one.name))
    return found


def _members_of(kind: str, name: str, mine: NDArray[np.bool_], people: Array) -> Members:
    return Members(kind, name, mine, Draws.of(np.asarray(people)[mine]))


def slice_of(one: Members, y: Array, p: Array, exposure: float) -> Slice:
    """How a group is served, by the outcomes `y` (N,) 0 or 1 and probabilities `p` (N,) of everybody's rows."""
    y, p = np.asarray(y)[one.mine], np.asarray(p)[one.mine]
    auc = one.draws.figures(y, p, ("auc",))["auc"]
    spread = auc[1:][np.isfinite(auc[1:])]
    return Slice(
        kind=one.kind,
        name=one.name,
        rows=len(y),
        people=one.draws.people,
        positives=int((y > 0).sum()),
        auc=interval(auc),
        error=float(spread.std()) if len(spread) else float("nan"),
        expected=float(np.mean(p)),
        observed=interval(one.draws.means(y > 0)),
        exposure=exposure,
    )


def judged(found: Sequence[Slice]) -> list[Slice]:
    """The groups whose AUC says anything: of `LEAST_POSITIVES`, and with an error."""
    return [one for one in found if one.positives >= LEAST_POSITIVES and one.error > 0]


def typical(found: Sequence[Slice]) -> dict[str, float]:
    """By kind the mean AUC of its judged groups, each weighing what engaged in it."""
    some = judged(found)
    kinds = dict.fromkeys(one.kind for one in some)
    return {kind: _mean([one for one in some if one.kind == kind])[0] for kind in kinds}


def worst(found: Sequence[Slice]) -> Worst | None:
    """The group whose AUC is furthest below the others of its kind, by the error of the difference.

    None where no kind has two groups that can be compared.
    """
    lowest: tuple[float, Slice, float] | None = None
    compared, some = 0, judged(found)
    for one in some:
        rest = [other for other in some if other.kind == one.kind and other is not one]
        if not rest:
            continue
        compared += 1
        others, error = _mean(rest)
        distance = (one.auc.mean - others) / float(np.hypot(one.error, error))
        if lowest is None or distance < lowest[0]:
            lowest = distance, one, others
    if lowest is None:
        return None
    return Worst(lowest[1], lowest[2], compared, min(1.0, float(ndtr(lowest[0])) * compared))


def _mean(some: Sequence[Slice]) -> tuple[float, float]:
    """The mean AUC of groups, each weighing what engaged in it, and its error: their people are not the same."""
    weights = np.array([one.positives for one in some], np.float64)
    weights /= weights.sum()
    auc, errors = np.array([one.auc.mean for one in some]), np.array([one.error for one in some])
    return float(weights @ auc), float(np.sqrt(np.square(weights * errors).sum()))
