"""How alike contents are by what they are about: the cosine of their traits, rare ones counting for more.

A trait is any word that a content may share with others: its category, its author, each of its tags. It weighs its
inverse document frequency, log((1 + contents) / (1 + contents with it)) (Salton & Buckley 1988), so that a tag that
nearly everything has makes nothing alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from models.products import compiled

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_inlined: Any = numba.njit(inline="always", cache=True, nogil=True)


class Likeness(NamedTuple):
    """Traits of C contents: those of content `c` are `traits[starts[c] : starts[c + 1]]`, ascending, with weights.

    The weights of a content have length 1, so that what two contents share of them adds up to a cosine, 0 to 1.
    """

    starts: Ints
    traits: Ints
    weights: Floats

    @classmethod
    def of(cls, content: NDArray[Any], trait: NDArray[Any], contents: int) -> Likeness:
        """Of rows (N,) that say which content has which trait, each a number from 0 on; repeated rows count once."""
        rows = np.unique(np.column_stack([content, trait]).astype(np.int64).reshape(-1, 2), axis=0)
        common = np.bincount(rows[:, 1]) if len(rows) else np.zeros(0, np.int64)
        weights = np.log((1.0 + contents) / (1.0 + common[rows[:, 1]]))
        length = np.sqrt(np.bincount(rows[:, 0], weights * weights, minlength=contents))[rows[:, 0]]
        starts = np.searchsorted(rows[:, 0], np.arange(contents + 1))
        return cls(starts, rows[:, 1].copy(), np.divide(weights, length, out=np.zeros(len(rows)), where=length > 0))

    def between(self, one: int, other: int) -> float:
        """The likeness of two contents."""
        return float(_alike(one, other, self))


NOTHING = Likeness(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0))


@_inlined  # type: ignore[untyped-decorator]
def alike(one: int, other: int, likeness: Likeness) -> float:
    """The likeness of two contents, for compiled code: one pass over the traits of both."""
    at, end = likeness.starts[one], likeness.starts[one + 1]
    beside, last = likeness.starts[other], likeness.starts[other + 1]
    shared = 0.0
    while at < end and beside < last:
        if likeness.traits[at] == likeness.traits[beside]:
            shared += likeness.weights[at] * likeness.weights[beside]
            at += 1
            beside += 1
        elif likeness.traits[at] < likeness.traits[beside]:
            at += 1
        else:
            beside += 1
    return shared


@compiled()  # type: ignore[untyped-decorator]
def _alike(one: int, other: int, likeness: Likeness) -> float:
    found: float = alike(one, other, likeness)
    return found
