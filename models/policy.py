"""With which probability a policy would have placed what stands in lists that it did not make itself.

A policy lists as `models.lottery` draws: a place goes to one of what is still allowed, in proportion to
relevance^(1 / temperature); at a temperature of 0 to the most relevant. It is asked place by place, given what stands
above, whoever put it there. A list may hold what the policy would never have shown: that has probability 0, and nothing
below it can have come of the policy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.lottery import LEAST
from models.products import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

NOTHING = -1
"""In a list: the end of it, or a content that the night does not know."""

_LIKELIEST = -2
"""In a list: whatever the policy would most likely place there."""


@dataclass(frozen=True)
class Traced:
    """Lists (L) by place (K), as a policy sees them.

    `target` is the probability of what stands there, given what stands above; `open` says whether the policy would have
    placed anything there at all. `shown` is the value of what stands there, `expected` the policy's expectation of the
    value at that place, given what stands above, and `guess` the same given what the policy would most likely have
    placed above: it knows nothing of the list. `unshown` is the probability of placing there what nobody
    was shown. Below a
    place of probability 0 `target` is 0, and nothing is said.
    """

    target: Floats
    open: Flags
    shown: Floats
    expected: Floats
    guess: Floats
    unshown: Floats


@dataclass(frozen=True)
class Policy:
    """What may be listed to whom: pairs (N,) of people and contents, no pair twice.

    `utility` is log-relevance / temperature, `certain` whether the largest wins instead of a lot. `value` is what a
    pair is expected to be worth where it is shown. `place` is where it is pinned, 0 where it is not; lists have `k`
    places. `groups` (C, G) are codes of the contents' groups, -1 for none, of which a list holds at most `most` (G,).
    """

    person: Integers
    content: Integers
    utility: Floats
    certain: bool
    value: Floats
    place: Integers
    k: int
    groups: Integers
    most: Integers

    @classmethod
    def of(
        cls,
        person: Integers,
        content: Integers,
        relevance: Floats,
        temperature: float,
        value: Floats,
        place: Integers,
        *,
        k: int,
        groups: Integers,
        most: Integers,
    ) -> Policy:
        """Of pairs with these relevances, in any order.

        Raises ValueError where `temperature` is negative.
        """
        if not temperature >= 0:
            raise ValueError(f"policy: a temperature of {temperature:g}, expected 0 or more.")
        order = np.lexsort((content, person))  # sums in one order, whatever the pairs' is
        known = np.nan_to_num(relevance[order], nan=-np.inf)
        utility = np.log(np.maximum(known, LEAST)) / temperature if temperature else known
        pairs = person[order], content[order], utility, not temperature, value[order], place[order]
        return cls(*pairs, k, groups, most)

    def traced(self, people: Integers, lists: Integers, unseen: Flags) -> Traced:
        """Go down lists (L, K) of contents, or `NOTHING`, that stood before these people (L,); `unseen` are (C,).

        Raises ValueError where lists are longer than the policy's: what it would have placed there is not known.
        """
        if lists.shape[1] > self.k:
            raise ValueError(f"policy: lists of {lists.shape[1]} places, but it fills no more than {self.k}.")
        starts, ends = (np.searchsorted(self.person, people, side=side) for side in ("left", "right"))
        target, shown, expected, unshown = (np.zeros(lists.shape) for _ in range(4))
        open_ = np.ones(lists.shape, bool)
        policy = self.content, self.utility, self.certain, self.value, self.place, self.k, self.groups, self.most
        _trace(starts, ends, lists, *policy, unseen, target, open_, shown, expected, unshown)
        guess = np.zeros(lists.shape)
        likeliest, unread = np.full(lists.shape, _LIKELIEST), [np.zeros(lists.shape) for _ in range(3)]
        _trace(starts, ends, likeliest, *policy, unseen, unread[0], open_.copy(), unread[1], guess, unread[2])
        return Traced(target, open_, shown, expected, guess, unshown)


@compiled()  # type: ignore[untyped-decorator]
def _trace(
    starts: Integers,
    ends: Integers,
    lists: Integers,
    content: Integers,
    utility: Floats,
    certain: bool,
    value: Floats,
    place: Integers,
    k: int,
    groups: Integers,
    most: Integers,
    unseen: Flags,
    target: Floats,
    open_: Flags,
    shown: Floats,
    expected: Floats,
    unshown: Floats,
) -> None:
    """Write what `Traced` says of every list, until it leaves what the policy could have listed."""
    free, given, chance = place == 0, np.empty(k, np.int64), np.empty(len(content))
    full = np.zeros((groups.max() + 1 if groups.size else 1, groups.shape[1]), np.int64)
    for who in range(len(lists)):
        first, last, slot = starts[who], ends[who], 0
        _begin(first, last, content, place, groups, free, given, full)
        for at in range(lists.shape[1]):
            slot = _slot(slot, first, last, content, utility, certain, given, free, groups, most, full, chance)
            if slot == k:
                open_[who, at:] = False
                break
            for one in range(first, last):
                expected[who, at] += chance[one] * value[one]
                unshown[who, at] += chance[one] * unseen[content[one]]
            found = _found(lists[who, at], first, last, content, chance)
            if found >= 0:
                target[who, at], shown[who, at] = chance[found], value[found]
            if target[who, at] == 0:
                break
            if given[slot] < 0:
                free[found] = False
                _count(content[found], groups, full)
            slot += 1


@compiled()  # type: ignore[untyped-decorator]
def _begin(
    first: int,
    last: int,
    content: Integers,
    place: Integers,
    groups: Integers,
    free: Flags,
    given: Integers,
    full: Integers,
) -> None:
    """A person's empty list: what is pinned has its place, and counts in its groups."""
    given[:] = -1
    full[:] = 0
    for one in range(first, last):
        free[one] = place[one] == 0
        if not free[one]:
            given[place[one] - 1] = one
            _count(content[one], groups, full)


@compiled()  # type: ignore[untyped-decorator]
def _slot(
    slot: int,
    first: int,
    last: int,
    content: Integers,
    utility: Floats,
    certain: bool,
    given: Integers,
    free: Flags,
    groups: Integers,
    most: Integers,
    full: Integers,
    chance: Floats,
) -> int:
    """The first slot from here on that something comes to, and what with which `chance`; behind the last: none is left.

    Where nothing is left to be drawn, what is pinned further down moves up.
    """
    for at in range(slot, len(given)):
        if given[at] >= 0:
            chance[first:last] = 0.0
            chance[given[at]] = 1.0
            return at
        if _chances(first, last, content, utility, certain, free, groups, most, full, chance):
            return at
    return len(given)


@compiled()  # type: ignore[untyped-decorator]
def _found(wanted: int, first: int, last: int, content: Integers, chance: Floats) -> int:
    """Which of a person's pairs stands there; -1: none of them."""
    found = -1
    for one in range(first, last):
        if wanted == _LIKELIEST:
            if found < 0 or chance[one] > chance[found]:
                found = one
        elif content[one] == wanted:
            found = one
    return found


@compiled()  # type: ignore[untyped-decorator]
def _chances(
    first: int,
    last: int,
    content: Integers,
    utility: Floats,
    certain: bool,
    free: Flags,
    groups: Integers,
    most: Integers,
    full: Integers,
    chance: Floats,
) -> bool:
    """Write with which probability each of a person's pairs is drawn next; returns whether any can be.

    By the largest of them, so that no term vanishes that tells, and in the order of `Lots.propensities`: the same bits.
    """
    best, total = -1, 0.0
    chance[first:last] = 0.0
    for one in range(first, last):
        if free[one] and _room(content[one], groups, full, most):
            chance[one] = 1.0
            if best < 0 or utility[one] > utility[best]:
                best = one
    for one in range(first, last):
        if certain:
            chance[one] = 1.0 if one == best else 0.0
        elif chance[one] > 0:
            chance[one] = np.exp(utility[one] - utility[best])
        total += chance[one]
    if best >= 0:
        chance[first:last] /= total
    return best >= 0


@compiled()  # type: ignore[untyped-decorator]
def _room(content: int, groups: Integers, full: Integers, most: Integers) -> bool:
    """Whether none of a content's groups is full."""
    for group in range(groups.shape[1]):
        code = groups[content, group]
        if code >= 0 and full[code, group] >= most[group]:
            return False
    return True


@compiled()  # type: ignore[untyped-decorator]
def _count(content: int, groups: Integers, full: Integers) -> None:
    """Count a content in its groups."""
    for group in range(groups.shape[1]):
        if groups[content, group] >= 0:
            full[groups[content, group], group] += 1
