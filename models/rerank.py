"""From relevance to lists: the best of each person, as caps allow, and apart from one another as far as is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from models.likeness import NOTHING, Likeness, alike
from models.products import compiled

Array = NDArray[Any]
Integers = NDArray[np.int64]

_inlined: Any = numba.njit(inline="always", cache=True, nogil=True)


@dataclass(frozen=True)
class Limits:
    """What lists may be: `k` places, and of the contents of one group at most so many.

    `groups` (C, G) has the codes of each content's groups, -1 for none, which is never capped: a column for its
    category, one for its author. `most` (G,) are the caps.

    `spread` is how much of its relevance a content loses that is just like one above it in the list: what comes next is
    the largest relevance x (1 - spread x the likeness to the most alike above). That is maximal marginal relevance
    (Carbonell & Goldstein 1998) with the penalty as a share of the relevance, so that it is the same for everybody,
    however likely they are to read anything. 0: nothing.
    """

    k: int
    groups: Integers
    most: Integers
    spread: float = 0.0
    likeness: Likeness = NOTHING

    def __post_init__(self) -> None:
        """Refuse a spread outside 0..1, or one that has nothing to go by."""
        if not 0 <= self.spread <= 1:
            raise ValueError(f"lists: a spread of {self.spread:g}, expected 0 to 1.")
        if self.spread and len(self.likeness.starts) <= len(self.groups):
            raise ValueError(f"lists: a spread of {self.spread:g} over contents of which no likeness is known.")


@dataclass(frozen=True)
class Listed:
    """Which of the pairs stand in the lists, ordered by person and rank, and at which rank (from 1)."""

    pair: Integers
    rank: Integers


def top(
    person: Integers, content: Integers, relevance: Array, limits: Limits, *, place: Integers | None = None
) -> Listed:
    """The most relevant pairs of each person, as `limits` allow.

    Down each person's pairs goes a walk that skips what full groups do not allow; they are a heap, of which no more is
    sorted than is walked. As a list grows contents only lose by what they are like, so only what has come up is looked
    at again (lazy greedy, Minoux 1978). Ties go to the smaller content index. Fastest where all pairs of a person stand
    together.

    Args:
        person, content: (N,) indices; relevance: (N,), NaN is the least.
        place: (N,) 1 to `k` for what has its place already, no place twice a person; 0 for what has none. It counts in
            its groups and for what others are like, but is never too many. A list that ends before it moves it up.
    """
    order = np.argsort(person, kind="stable")  # of what is sorted already this is one look at each
    starts = np.concatenate([np.flatnonzero(np.diff(person[order], prepend=-1)), [len(person)]])
    worth = np.where(np.isnan(relevance), -np.inf, relevance)
    place = np.zeros(len(person), np.int64) if place is None else place
    pair, rank = np.empty((2, min(limits.k * (len(starts) - 1), len(person))), np.int64)
    rules = limits.k, limits.groups, limits.most, limits.spread, limits.likeness
    listed = _walk(order, starts, content, worth, place, *rules, pair, rank)
    return Listed(pair[:listed], rank[:listed])


@compiled()  # type: ignore[untyped-decorator]
def _walk(
    order: Integers,
    starts: Integers,
    content: Integers,
    worth: Array,
    place: Integers,
    k: int,
    groups: Integers,
    most: Integers,
    spread: float,
    likeness: Likeness,
    pair: Integers,
    rank: Integers,
) -> int:
    """Write the listed pairs and their ranks; returns how many. A spread spoils `worth`."""
    full, heap = counters(groups), np.empty(len(order), np.int64)
    spreading = len(order) if spread > 0 else 0
    relevance, nearest = worth[:spreading].copy(), np.zeros(spreading)
    against = np.zeros(spreading, np.int64)  # with how many of the listed a pair has been compared
    given, shown, listed = np.empty(k, np.int64), np.empty(k, np.int64), 0
    for who in range(len(starts) - 1):
        first, size = listed, _heaped(order[starts[who] : starts[who + 1]], content, worth, place, heap, given)
        held = _pinned(given, content, groups, full, shown)
        for at in range(k):
            best = given[at]
            while best < 0 and size > 0:
                if spread > 0:
                    while against[heap[0]] < held:
                        one = heap[0]
                        nearest[one] = _nearest(nearest[one], content[one], shown[against[one] : held], likeness)
                        against[one] = held
                        if relevance[one] > 0:
                            worth[one] = relevance[one] * (1 - spread * nearest[one])
                        _sink(heap, 0, size, content, worth)
                best = heap[0]
                size = _popped(heap, size, content, worth)
                if room(content[best], groups, full, most):
                    count(content[best], groups, full, 1)
                    shown[held] = content[best]
                    held += 1
                else:
                    best = -1
            if best >= 0:
                pair[listed], rank[listed] = best, listed - first + 1
                listed += 1
        for at in range(first, listed):
            count(content[pair[at]], groups, full, -1)
    return listed


@_inlined  # type: ignore[untyped-decorator]
def _pinned(given: Integers, content: Integers, groups: Integers, full: Integers, shown: Integers) -> int:
    """Count what has its place in its groups, and among what is `shown`; returns how many that are."""
    held = 0
    for one in given:
        if one >= 0:
            count(content[one], groups, full, 1)
            shown[held] = content[one]
            held += 1
    return held


@_inlined  # type: ignore[untyped-decorator]
def _nearest(found: float, one: int, others: Integers, likeness: Likeness) -> float:
    """The likeness to the most alike, of which `found` is known already."""
    for other in others:
        found = max(found, alike(one, other, likeness))
    return found


@_inlined  # type: ignore[untyped-decorator]
def counters(groups: Integers) -> Integers:
    """Of every group (codes, G) how many of its contents stand in a list: none yet."""
    codes = 0
    for row in range(groups.shape[0]):
        for group in range(groups.shape[1]):
            codes = max(codes, groups[row, group] + 1)
    return np.zeros((codes, groups.shape[1]), np.int64)


@_inlined  # type: ignore[untyped-decorator]
def room(content: int, groups: Integers, full: Integers, most: Integers) -> bool:
    """Whether none of a content's groups is full."""
    found = True
    for group in range(groups.shape[1]):
        code = groups[content, group]
        if code >= 0 and full[code, group] >= most[group]:
            found = False
    return found


@_inlined  # type: ignore[untyped-decorator]
def count(content: int, groups: Integers, full: Integers, more: int) -> None:
    """Count a content in, or out, of its groups."""
    for group in range(groups.shape[1]):
        code = groups[content, group]
        if code >= 0:
            full[code, group] += more


@_inlined  # type: ignore[untyped-decorator]
def _heaped(pairs: Integers, content: Integers, worth: Array, place: Integers, heap: Integers, given: Integers) -> int:
    """Put a person's pairs where they are given a place, or on the heap; returns how many are on it."""
    given[:] = -1
    size = 0
    for one in pairs:
        if place[one] > 0:
            given[place[one] - 1] = one
        else:
            heap[size] = one
            size += 1
    for at in range(size // 2 - 1, -1, -1):
        _sink(heap, at, size, content, worth)
    return size


@_inlined  # type: ignore[untyped-decorator]
def _popped(heap: Integers, size: int, content: Integers, worth: Array) -> int:
    """Take the best off the heap; returns how many are left on it."""
    heap[0] = heap[size - 1]
    _sink(heap, 0, size - 1, content, worth)
    return size - 1


@_inlined  # type: ignore[untyped-decorator]
def _sink(heap: Integers, at: int, size: int, content: Integers, worth: Array) -> None:
    """Let what stands at a place of the heap sink below all that are better."""
    sinking = heap[at]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _better(heap[child + 1], heap[child], content, worth):
            child += 1
        if not _better(heap[child], sinking, content, worth):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = sinking


@_inlined  # type: ignore[untyped-decorator]
def _better(one: int, other: int, content: Integers, worth: Array) -> bool:
    found: bool = worth[one] > worth[other] or (worth[one] == worth[other] and content[one] < content[other])
    return found


def place_within(groups: tuple[Array, ...], relevance: Array, content: Array) -> Integers:
    """The place of each pair within its group by relevance, from 0."""
    order = np.lexsort((content, -relevance, *reversed(groups)))
    changed = np.zeros(len(order), bool)
    for group in groups:
        sorted_group = group[order]
        changed[1:] |= sorted_group[1:] != sorted_group[:-1]
    found = np.empty(len(order), np.int64)
    found[order] = _since(changed)
    return found


def _since(changed: NDArray[np.bool_]) -> Integers:
    """How many places ago `changed` was last true (or the array began)."""
    at = np.arange(len(changed))
    return at - np.maximum.accumulate(np.where(changed, at, 0)) if len(at) else at
