"""From relevance to lists: the best of each person, as caps allow, and apart from one another as far as is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from models.about import About, forget, nearest, nothing_yet, tell
from models.caps import count, room
from models.likeness import NOTHING, Likeness
from models.places import nth_largest
from models.products import without_counting

Array = NDArray[Any]
Integers = NDArray[np.int64]

_inlined: Any = numba.njit(inline="always", cache=True, nogil=True)

_LANES = 3
"""Times the places of a list that a person's pairs are looked at side by side."""


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

    @cached_property
    def sizes(self) -> tuple[int, int, int]:
        """How many codes and traits there are, and the most traits of a content."""
        codes, traits = (int(some.max(initial=-1)) + 1 for some in (self.groups, self.likeness.traits))
        return codes, traits, int(np.diff(self.likeness.starts).max(initial=0))


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
    content = np.ascontiguousarray(content)  # a column of a wider array would be compiled for anew
    worth = np.where(np.isnan(relevance), -np.inf, relevance)
    place = np.zeros(len(person), np.int64) if place is None else place
    pair, rank = np.empty((2, min(limits.k * (len(starts) - 1), len(person))), np.int64)
    rules = limits.k, limits.groups, limits.most, limits.spread, limits.likeness
    codes, traits, most = limits.sizes
    full, about = np.zeros((codes, limits.groups.shape[1]), np.int64), nothing_yet(traits, most * limits.k, limits.k)
    own = _own(int(np.diff(starts).max(initial=0)), limits.k)
    listed = _walk(order, starts, content, worth, place, *rules, pair, rank, full, about, own)
    return Listed(pair[:listed], rank[:listed])


@without_counting()  # type: ignore[untyped-decorator]
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
    full: Integers,
    about: About,
    own: _Own,
) -> int:
    """Write the listed pairs and their ranks; returns how many.

    On the heap is first what is best by far (`_bound`): few lists get to the end of that, and then comes all the rest.
    """
    listed = 0
    for who in range(len(starts) - 1):
        first, size = listed, _taken(order, starts[who], starts[who + 1], worth, place, own)
        held = _pinned(content, groups, full, likeness, about, own)
        bound = _bound(own.value, size, own.lanes)
        waiting, rest = _more(0, size, bound, True, worth, content, own), True
        for at in range(k):
            best = own.given[at]
            while best < 0 and (waiting > 0 or rest):
                if spread > 0:
                    _settle(waiting, held, spread, worth, content, likeness, about, own)
                if rest and (waiting == 0 or own.value[own.heap[0]] < bound):
                    waiting, rest = _more(waiting, size, bound, False, worth, content, own), False
                else:
                    waiting -= 1
                    best = _popped(waiting, content, own)
                    if room(content[best], groups, full, most):
                        held = _shown(content[best], held, groups, full, likeness, about)
                    else:
                        best = -1
            if best >= 0:
                pair[listed], rank[listed] = best, listed - first + 1
                listed += 1
        for at in range(first, listed):
            count(content[pair[at]], groups, full, -1)
        forget(about)
    return listed


class _Own(NamedTuple):
    """A person's pairs by number: which they are, and what each is worth by now.

    `heap` has numbers, the best first. `nearest` is the likeness to what is listed, of which `against` so many are
    compared. `given` (k,) are the pairs that have their place, -1 is none.
    """

    pairs: Integers
    value: Array
    heap: Integers
    nearest: Array
    against: Integers
    given: Integers
    lanes: Array


def _own(most: int, k: int) -> _Own:
    """Room for a person with so many pairs."""
    return _Own(
        np.empty(most, np.int64),
        np.empty(most),
        np.empty(most, np.int64),
        np.empty(most),
        np.empty(most, np.int64),
        np.empty(k, np.int64),
        np.empty(_LANES * k),
    )


@_inlined  # type: ignore[untyped-decorator]
def _taken(order: Integers, begin: int, end: int, worth: Array, place: Integers, own: _Own) -> int:
    """Number a person's pairs but for those that have their place; returns how many there are."""
    own.given[:] = -1
    size = 0
    for at in range(begin, end):
        one = order[at]
        if place[one] > 0:
            own.given[place[one] - 1] = one
        else:
            own.pairs[size], own.value[size] = one, worth[one]
            own.nearest[size], own.against[size] = 0.0, 0
            size += 1
    return size


@_inlined  # type: ignore[untyped-decorator]
def _pinned(content: Integers, groups: Integers, full: Integers, likeness: Likeness, about: About, own: _Own) -> int:
    """Show what has its place; returns how many that are."""
    held = 0
    for one in own.given:
        if one >= 0:
            held = _shown(content[one], held, groups, full, likeness, about)
    return held


@_inlined  # type: ignore[untyped-decorator]
def _shown(one: int, held: int, groups: Integers, full: Integers, likeness: Likeness, about: About) -> int:
    """Count a content in its groups, and among what is shown; returns how many that are."""
    count(one, groups, full, 1)
    if len(likeness.starts) > 1:
        tell(one, held, likeness, about)
    return held + 1


@_inlined  # type: ignore[untyped-decorator]
def _bound(value: Array, size: int, lanes: Array) -> float:
    """What two in three lanes have a value for that reaches it, so not many values do; minus infinity of a few values.

    The best of every lane is found by looking at many lanes at a time.
    """
    if size < 2 * len(lanes):
        return -np.inf
    lanes[:] = -np.inf
    for start in range(0, size, len(lanes)):
        some = value[start : min(start + len(lanes), size)]
        for lane in range(len(some)):
            lanes[lane] = some[lane] if some[lane] > lanes[lane] else lanes[lane]  # noqa: FURB136  (as an instruction)
    return float(nth_largest(lanes, len(lanes) * 2 // 3))


@_inlined  # type: ignore[untyped-decorator]
def _more(waiting: int, size: int, bound: float, above: bool, worth: Array, content: Integers, own: _Own) -> int:
    """Put what reaches the bound, or else all other pairs, on the heap; returns how many are on it."""
    for one in range(size):
        if (worth[own.pairs[one]] >= bound) == above:
            own.heap[waiting] = one
            waiting += 1
    for at in range(waiting // 2 - 1, -1, -1):
        _sink(at, waiting, content, own)
    return waiting


@_inlined  # type: ignore[untyped-decorator]
def _settle(
    waiting: int,
    held: int,
    spread: float,
    worth: Array,
    content: Integers,
    likeness: Likeness,
    about: About,
    own: _Own,
) -> None:
    """Until the best of the heap is worth what it is beside all that is listed."""
    while waiting > 0 and own.against[own.heap[0]] < held:
        one = own.heap[0]
        pair = own.pairs[one]
        own.nearest[one] = nearest(own.nearest[one], content[pair], own.against[one], held, likeness, about)
        own.against[one] = held
        if worth[pair] > 0:
            own.value[one] = worth[pair] * (1 - spread * own.nearest[one])
        _sink(0, waiting, content, own)


@_inlined  # type: ignore[untyped-decorator]
def _popped(waiting: int, content: Integers, own: _Own) -> int:
    """Take the best pair off the heap, on which so many are left."""
    best: int = own.pairs[own.heap[0]]
    own.heap[0] = own.heap[waiting]
    _sink(0, waiting, content, own)
    return best


@_inlined  # type: ignore[untyped-decorator]
def _sink(at: int, size: int, content: Integers, own: _Own) -> None:
    """Let what stands at a place of the heap sink below all that are better."""
    heap, sinking = own.heap, own.heap[at]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _better(heap[child + 1], heap[child], content, own):
            child += 1
        if not _better(heap[child], sinking, content, own):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = sinking


@_inlined  # type: ignore[untyped-decorator]
def _better(one: int, other: int, content: Integers, own: _Own) -> bool:
    found: bool = own.value[one] > own.value[other] or (
        own.value[one] == own.value[other] and content[own.pairs[one]] < content[own.pairs[other]]
    )
    return found
