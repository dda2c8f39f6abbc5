"""From relevance to lists: caps, then the best K of each person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from models.products import compiled

Array = NDArray[Any]
Integers = NDArray[np.int64]

_inlined: Any = numba.njit(inline="always", cache=True, nogil=True)


@dataclass(frozen=True)
class Listed:
    """Which of the pairs stand in the lists, ordered by person and rank, and at which rank (from 1)."""

    pair: Integers
    rank: Integers


def top(
    person: Integers,
    content: Integers,
    relevance: Array,
    category: Array,
    *,
    k: int,
    max_per_category: int,
    place: Integers | None = None,
) -> Listed:
    """The `k` most relevant pairs of each person, at most `max_per_category` of one category.

    Down each person's pairs goes a walk that skips full categories; they are a heap, of which no more is sorted than
    is walked. Ties go to the smaller content index. Fastest where all pairs of a person stand together.

    Args:
        person, content: (N,) indices; relevance: (N,), NaN is the least; category: (N,) codes, -1 for none (never
            capped).
        place: (N,) 1 to `k` for what has its place already, no place twice a person; 0 for what has none. It counts in
            its category, but is never too many. A list that ends before it moves it up.
    """
    order = np.argsort(person, kind="stable")  # of what is sorted already this is one look at each
    starts = np.concatenate([np.flatnonzero(np.diff(person[order], prepend=-1)), [len(person)]])
    content = np.ascontiguousarray(content)  # a column of a wider array would be compiled for anew
    worth = np.where(np.isnan(relevance), -np.inf, relevance)
    place = np.zeros(len(person), np.int64) if place is None else place
    pair, rank = np.empty((2, min(k * (len(starts) - 1), len(person))), np.int64)
    listed = _walk(order, starts, content, worth, category, place, k, max_per_category, pair, rank)
    return Listed(pair[:listed], rank[:listed])


@compiled()  # type: ignore[untyped-decorator]
def _walk(
    order: Integers,
    starts: Integers,
    content: Integers,
    worth: Array,
    category: Array,
    place: Integers,
    k: int,
    most: int,
    pair: Integers,
    rank: Integers,
) -> int:
    """Write the listed pairs and their ranks; returns how many there are."""
    categories = 0
    for at in range(len(category)):
        categories = max(categories, category[at] + 1)
    full, heap = np.zeros(categories, np.int64), np.empty(len(order), np.int64)
    given, listed = np.empty(k, np.int64), 0
    for who in range(len(starts) - 1):
        first, size = listed, _heaped(order[starts[who] : starts[who + 1]], content, worth, place, heap, given)
        for at in range(k):
            _count(given[at], category, full, 1)
        for at in range(k):
            best = given[at]
            while best < 0 and size > 0:
                best, size = _popped(heap, size, content, worth)
                if category[best] >= 0 and full[category[best]] >= most:
                    best = -1
                else:
                    _count(best, category, full, 1)
            if best >= 0:
                pair[listed], rank[listed] = best, listed - first + 1
                listed += 1
        for at in range(first, listed):
            _count(pair[at], category, full, -1)
    return listed


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
def _popped(heap: Integers, size: int, content: Integers, worth: Array) -> tuple[int, int]:
    """The best of the heap, and how many are left on it."""
    best = heap[0]
    heap[0] = heap[size - 1]
    _sink(heap, 0, size - 1, content, worth)
    return best, size - 1


@_inlined  # type: ignore[untyped-decorator]
def _count(pair: int, category: Array, full: Integers, more: int) -> None:
    if pair >= 0 and category[pair] >= 0:
        full[category[pair]] += more


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
