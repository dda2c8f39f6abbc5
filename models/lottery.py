"""Lists drawn by lot, each place with the known probability of what stands there: what explores can be judged later.

Plackett-Luce: a place goes to one of what is still allowed, with probability in proportion to
relevance^(1 / temperature). It is drawn by the Gumbel trick (Yellott 1977): noise of that law is added to log-relevance
/ temperature, and the list is the plain walk down the sum. Skipping what a full group no longer allows keeps the law,
as in a race of exponential clocks who comes next does not depend on those who were passed over. Where likeness to what
stands above takes relevance away, the race changes as it goes, and every place is drawn with noise of its own.

The noise of a person, a content and a night is a hash of the three: the same whoever else is ranked, and in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from models.caps import count, counters, room
from models.exploration import Keys, mixed
from models.likeness import Likeness, alike
from models.products import compiled
from models.rerank import Limits, Listed, top

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

LEAST = 1e-12
"""The relevance below which contents are alike."""

_inlined: Any = numba.njit(inline="always", cache=True, nogil=True)


@dataclass(frozen=True)
class Lots:
    """Pairs (N,) with their `utility`, log-relevance / temperature, and the `key` that their noise is made of."""

    utility: Floats
    key: Keys
    temperature: float

    @classmethod
    def of(cls, relevance: Floats, person: Keys, content: Keys, night: int, temperature: float) -> Lots:
        """Of pairs with these relevances, and keys of their people and contents (N,); `night` in microseconds.

        Raises ValueError unless `temperature` is positive.
        """
        if not temperature > 0:
            raise ValueError(f"lots: a temperature of {temperature:g}, expected more than 0.")
        tonight = mixed(np.array([night], np.int64).astype(np.uint64))
        key = mixed(mixed(person ^ tonight) ^ content)
        return cls(np.log(np.maximum(relevance, LEAST)) / temperature, key, temperature)

    def drawn(self, person: Integers, content: Integers, place: Integers, limits: Limits) -> tuple[Listed, Floats]:
        """Everybody's list, drawn from their pairs (N,), and the propensity of each of its places.

        Args:
            place: As `rerank.top` takes it.
        """
        if limits.spread:
            listed = self._spread(person, content, place, limits)
        else:
            listed = top(person, content, self.utility + gumbel(self.key), limits, place=place)
        return listed, self.propensities(listed, person, content, place, limits)

    def propensities(
        self, listed: Listed, person: Integers, content: Integers, place: Integers, limits: Limits
    ) -> Floats:
        """With which probability each listed pair (M,) comes next, given those above it; 1 of what has its place."""
        order = np.lexsort((content, person))  # sums in one order, whatever the pairs' is
        heads = person[listed.pair[listed.rank == 1]]
        starts, ends = (np.searchsorted(person[order], heads, side=side) for side in ("left", "right"))
        firsts = np.append(np.flatnonzero(listed.rank == 1), len(listed.pair))
        found = np.ones(len(listed.pair))
        shown = firsts, listed.pair, content, place == 0, self.utility, self.temperature
        _replay(order, starts, ends, *shown, limits.groups, limits.most, limits.spread, limits.likeness, found)
        return found

    def _spread(self, person: Integers, content: Integers, place: Integers, limits: Limits) -> Listed:
        order = np.lexsort((content, person))
        starts = np.append(np.flatnonzero(np.diff(person[order], prepend=-1)), len(person))
        pair, rank = np.empty((2, min(limits.k * (len(starts) - 1), len(person))), np.int64)
        pairs = content, place, self.utility, self.key, self.temperature
        rules = limits.k, limits.groups, limits.most, limits.spread, limits.likeness
        many = _draw(order, starts, *pairs, *rules, pair, rank)
        return Listed(pair[:many], rank[:many])


def gumbel(key: Any) -> Any:
    """Noise of the standard Gumbel law out of hashed bits, unsigned 64-bit integers."""
    uniform = ((key >> np.uint64(11)) + 0.5) / 2.0**53  # never 0, never 1
    return -np.log(-np.log(uniform))


_gumbel = compiled()(gumbel)
_mixed = compiled()(mixed)


@compiled()  # type: ignore[untyped-decorator]
def _draw(
    order: Integers,
    starts: Integers,
    content: Integers,
    place: Integers,
    utility: Floats,
    key: Keys,
    temperature: float,
    k: int,
    groups: Integers,
    most: Integers,
    spread: float,
    likeness: Likeness,
    pair: Integers,
    rank: Integers,
) -> int:
    """Draw place after place, each with noise of its own; returns how many pairs are listed."""
    full, nearest, free = counters(groups), np.zeros(len(order)), place == 0
    given, listed = np.empty(k, np.int64), 0
    for who in range(len(starts) - 1):
        theirs, first = order[starts[who] : starts[who + 1]], listed
        given[:] = -1
        for one in theirs:
            if not free[one]:
                given[place[one] - 1] = one
                count(content[one], groups, full, 1)
                nearer(content[one], theirs, content, likeness, nearest)
        for at in range(k):
            best, highest = given[at], np.inf if given[at] >= 0 else -np.inf
            for one in theirs:
                if highest < np.inf and free[one] and room(content[one], groups, full, most):
                    noise = _gumbel(_mixed(key[one] ^ np.uint64(at + 1)))
                    reached = utility[one] + lost(nearest[one], spread, temperature) + noise
                    if reached > highest:
                        best, highest = one, reached
            if best >= 0 and free[best]:
                free[best] = False
                count(content[best], groups, full, 1)
                nearer(content[best], theirs, content, likeness, nearest)
            if best >= 0:
                pair[listed], rank[listed] = best, listed - first + 1
                listed += 1
        full[:] = 0
    return listed


@compiled()  # type: ignore[untyped-decorator]
def _replay(
    order: Integers,
    starts: Integers,
    ends: Integers,
    firsts: Integers,
    pair: Integers,
    content: Integers,
    free: Flags,
    utility: Floats,
    temperature: float,
    groups: Integers,
    most: Integers,
    spread: float,
    likeness: Likeness,
    found: Floats,
) -> None:
    """Go down every list again; `free` (N,) are the pairs that may come next, and none is left so behind us."""
    full, nearest = counters(groups), np.zeros(len(order))
    worth = utility.copy() if spread > 0 else utility
    for who in range(len(starts)):
        theirs, shown = order[starts[who] : ends[who]], pair[firsts[who] : firsts[who + 1]]
        for one in theirs:
            if not free[one]:
                count(content[one], groups, full, 1)
                if spread > 0:
                    nearer(content[one], theirs, content, likeness, nearest)
        for at in range(len(shown)):
            chosen = shown[at]
            if free[chosen]:
                if spread > 0:
                    for one in theirs:
                        worth[one] = utility[one] + lost(nearest[one], spread, temperature)
                    nearer(content[chosen], theirs, content, likeness, nearest)
                found[firsts[who] + at] = _share(chosen, theirs, content, free, worth, groups, full, most)
                free[chosen] = False
                count(content[chosen], groups, full, 1)
        full[:] = 0


@_inlined  # type: ignore[untyped-decorator]
def nearer(shown: int, theirs: Integers, content: Integers, likeness: Likeness, nearest: Floats) -> None:
    """How like their most alike listed content each pair's is, with one more that is listed."""
    for one in theirs:
        nearest[one] = max(nearest[one], alike(content[one], shown, likeness))


@_inlined  # type: ignore[untyped-decorator]
def lost(nearest: float, spread: float, temperature: float) -> float:
    """What likeness adds to a utility: log(1 - spread x likeness) / temperature."""
    found: float = np.log(max(1 - spread * nearest, LEAST)) / temperature
    return found


@compiled()  # type: ignore[untyped-decorator]
def _share(
    chosen: int,
    theirs: Integers,
    content: Integers,
    free: Flags,
    utility: Floats,
    groups: Integers,
    full: Integers,
    most: Integers,
) -> float:
    """Of all that could have come next, by the largest of them, so that no term vanishes that tells."""
    best, total = -np.inf, 0.0
    for one in theirs:
        if free[one] and room(content[one], groups, full, most):
            best = max(best, utility[one])
    for one in theirs:
        if free[one] and room(content[one], groups, full, most):
            total += np.exp(utility[one] - best)
    found: float = np.exp(utility[chosen] - best) / total
    return found
