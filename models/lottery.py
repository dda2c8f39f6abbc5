"""Lists drawn by lot, each place with the known probability of what stands there: what explores can be judged later.

Plackett-Luce: a place goes to one of what is still allowed, with probability in proportion to
relevance^(1 / temperature). It is drawn by the Gumbel trick (Yellott 1977): noise of that law is added to log-relevance
/ temperature, and the list is the plain walk down the sum. Skipping what a full category no longer allows keeps the
law, as in a race of exponential clocks who comes next does not depend on those who were passed over.

The noise of a person, a content and a night is a hash of the three: the same whoever else is ranked, and in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.exploration import Keys, mixed
from models.products import compiled
from models.rerank import Listed

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

LEAST = 1e-12
"""The relevance below which contents are alike."""


@dataclass(frozen=True)
class Lots:
    """Pairs (N,) with their `utility`, log-relevance / temperature, and their `noise`."""

    utility: Floats
    noise: Floats

    @classmethod
    def of(cls, relevance: Floats, person: Keys, content: Keys, night: int, temperature: float) -> Lots:
        """Of pairs with these relevances, and keys of their people and contents (N,); `night` in microseconds.

        Raises ValueError unless `temperature` is positive.
        """
        if not temperature > 0:
            raise ValueError(f"lots: a temperature of {temperature:g}, expected more than 0.")
        tonight = mixed(np.array([night], np.int64).astype(np.uint64))
        drawn = mixed(mixed(person ^ tonight) ^ content)
        uniform = ((drawn >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53  # never 0, never 1
        return cls(np.log(np.maximum(relevance, LEAST)) / temperature, -np.log(-np.log(uniform)))

    @property
    def worth(self) -> Floats:
        """What to sort by (N,)."""
        return self.utility + self.noise

    def propensities(
        self,
        listed: Listed,
        person: Integers,
        content: Integers,
        category: NDArray[Any],
        place: Integers,
        *,
        max_per_category: int,
    ) -> Floats:
        """With which probability each listed pair (M,) came next, given those above it; 1 of what has its place.

        Args:
            listed: What `rerank.top` made of `worth`, with the same pairs, places and cap.
        """
        order = np.lexsort((content, person))  # sums in one order, whatever the pairs' is
        heads = person[listed.pair[listed.rank == 1]]
        starts, ends = (np.searchsorted(person[order], heads, side=side) for side in ("left", "right"))
        firsts = np.append(np.flatnonzero(listed.rank == 1), len(listed.pair))
        found, free = np.ones(len(listed.pair)), place == 0
        _replay(order, starts, ends, firsts, listed.pair, category, free, self.utility, max_per_category, found)
        return found


@compiled()  # type: ignore[untyped-decorator]
def _replay(
    order: Integers,
    starts: Integers,
    ends: Integers,
    firsts: Integers,
    pair: Integers,
    category: NDArray[Any],
    free: Flags,
    utility: Floats,
    most: int,
    found: Floats,
) -> None:
    """Go down every list again; `free` (N,) are the pairs that may come next, and none is left so behind us."""
    full = np.zeros(max(category.max(), 0) + 1 if len(category) else 0, np.int64)
    for who in range(len(starts)):
        theirs, shown = order[starts[who] : ends[who]], pair[firsts[who] : firsts[who + 1]]
        for one in theirs:
            if not free[one] and category[one] >= 0:
                full[category[one]] += 1
        for at in range(len(shown)):
            chosen = shown[at]
            if free[chosen]:
                found[firsts[who] + at] = _share(chosen, theirs, category, free, utility, full, most)
                free[chosen] = False
                if category[chosen] >= 0:
                    full[category[chosen]] += 1
        full[:] = 0


@compiled()  # type: ignore[untyped-decorator]
def _share(
    chosen: int, theirs: Integers, category: NDArray[Any], free: Flags, utility: Floats, full: Integers, most: int
) -> float:
    """Of all that could have come next, by the largest of them, so that no term vanishes that tells."""
    best, total = -np.inf, 0.0
    for one in theirs:
        if free[one] and (category[one] < 0 or full[category[one]] < most):
            best = max(best, utility[one])
    for one in theirs:
        if free[one] and (category[one] < 0 or full[category[one]] < most):
            total += np.exp(utility[one] - best)
    found: float = np.exp(utility[chosen] - best) / total
    return found
