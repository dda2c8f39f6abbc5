"""What a list is about so far, and how alike that is to what might come next. For compiled loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from models.likeness import Likeness

Array = NDArray[Any]
Integers = NDArray[np.int64]

_inlined: Any = numba.njit(inline="always", cache=True, nogil=True)


class About(NamedTuple):
    """What a list is about so far: by trait which of the listed have it, the last one first, and with what weight.

    `newest` (traits,) leads to an entry and `before` from it to the next, -1 is none; `many` (1,) entries there are.
    `shared` (k,) is 0 between uses.
    """

    newest: Integers
    before: Integers
    trait: Integers
    whose: Integers
    weight: Array
    many: Integers
    shared: Array


def nothing_yet(traits: int, most: int, k: int) -> About:
    """Of a list of up to `k` contents, which have at most so many traits together: nothing yet."""
    entries = np.empty((3, most), np.int64)
    return About(
        np.full(traits, -1),
        entries[0],
        entries[1],
        entries[2],
        np.empty(most),
        np.zeros(1, np.int64),
        np.zeros(k),
    )


@_inlined  # type: ignore[untyped-decorator]
def tell(one: int, place: int, likeness: Likeness, about: About) -> None:
    """A content stands in the list, as so many others before it."""
    for at in range(likeness.starts[one], likeness.starts[one + 1]):
        entry, trait = about.many[0], likeness.traits[at]
        about.before[entry], about.newest[trait] = about.newest[trait], entry
        about.trait[entry], about.whose[entry], about.weight[entry] = trait, place, likeness.weights[at]
        about.many[0] += 1


@_inlined  # type: ignore[untyped-decorator]
def forget(about: About) -> None:
    """The list is finished."""
    for entry in range(about.many[0]):
        about.newest[about.trait[entry]] = -1
    about.many[0] = 0


@_inlined  # type: ignore[untyped-decorator]
def nearest(found: float, one: int, since: int, held: int, likeness: Likeness, about: About) -> float:
    """The likeness to the most alike of the listed; to those before `since` it is `found`.

    Most contents share nothing, so we go by traits. What two share is added up in the order of traits, as
    `models.likeness.alike` does: the same to the last bit.
    """
    for at in range(likeness.starts[one], likeness.starts[one + 1]):
        entry = about.newest[likeness.traits[at]]
        while entry >= 0 and about.whose[entry] >= since:
            about.shared[about.whose[entry]] += likeness.weights[at] * about.weight[entry]
            entry = about.before[entry]
    for other in range(since, held):
        found = max(found, about.shared[other])
        about.shared[other] = 0.0
    return found
