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

from models.caps import count, counters, room
from models.likeness import Likeness
from models.lottery import LEAST, lost, nearer
from models.products import compiled
from models.rerank import Limits

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
    placed above: it knows nothing of the list. `unshown` is the probability of placing there what nobody was shown.
    Below a place of probability 0 `target` is 0, and nothing is said.
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

    `utility` is log-relevance / temperature, at a temperature of 0 relevance. `value` is what a pair is expected to be
    worth where it is shown, `place` where it is pinned, 0 where it is not; `limits` are those of `rerank.top`.
    """

    person: Integers
    content: Integers
    utility: Floats
    temperature: float
    value: Floats
    place: Integers
    limits: Limits

    @classmethod
    def of(
        cls,
        person: Integers,
        content: Integers,
        relevance: Floats,
        temperature: float,
        value: Floats,
        place: Integers,
        limits: Limits,
    ) -> Policy:
        """Of pairs with these relevances, in any order.

        Raises ValueError where `temperature` is negative.
        """
        if not temperature >= 0:
            raise ValueError(f"policy: a temperature of {temperature:g}, expected 0 or more.")
        order = np.lexsort((content, person))  # sums in one order, whatever the pairs' is
        known = np.nan_to_num(relevance[order], nan=-np.inf)
        utility = np.log(np.maximum(known, LEAST)) / temperature if temperature else known
        return cls(person[order], content[order], utility, temperature, value[order], place[order], limits)

    def traced(self, people: Integers, lists: Integers, unseen: Flags) -> Traced:
        """Go down lists (L, K) of contents, or `NOTHING`, that stood before these people (L,); `unseen` are (C,).

        Raises ValueError where lists are longer than the policy's: what it would have placed there is not known.
        """
        limits = self.limits
        if lists.shape[1] > limits.k:
            raise ValueError(f"policy: lists of {lists.shape[1]} places, but it fills no more than {limits.k}.")
        starts, ends = (np.searchsorted(self.person, people, side=side) for side in ("left", "right"))
        target, shown, expected, unshown = (np.zeros(lists.shape) for _ in range(4))
        open_ = np.ones(lists.shape, bool)
        pairs = self.content, self.utility, self.temperature, self.value, self.place
        policy = *pairs, limits.k, limits.groups, limits.most, limits.spread, limits.likeness
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
    temperature: float,
    value: Floats,
    place: Integers,
    k: int,
    groups: Integers,
    most: Integers,
    spread: float,
    likeness: Likeness,
    unseen: Flags,
    target: Floats,
    open_: Flags,
    shown: Floats,
    expected: Floats,
    unshown: Floats,
) -> None:
    """Write what `Traced` says of every list, until it leaves what the policy could have listed."""
    free, given, chance = place == 0, np.empty(k, np.int64), np.empty(len(content))
    full, nearest = counters(groups), np.zeros(len(content))
    worth = utility.copy() if spread > 0 else utility
    for who in range(len(lists)):
        first, last, slot = starts[who], ends[who], 0
        theirs = np.arange(first, last)
        _begin(theirs, content, place, groups, spread, likeness, free, given, full, nearest)
        for at in range(lists.shape[1]):
            _spread(theirs, utility, temperature, spread, nearest, worth)
            slot = _slot(slot, theirs, content, worth, temperature, given, free, groups, most, full, chance)
            if slot == k:
                open_[who, at:] = False
                break
            for one in theirs:
                expected[who, at] += chance[one] * value[one]
                unshown[who, at] += chance[one] * unseen[content[one]]
            found = _found(lists[who, at], theirs, content, chance)
            if found >= 0:
                target[who, at], shown[who, at] = chance[found], value[found]
            if target[who, at] == 0:
                break
            if given[slot] < 0:
                free[found] = False
                count(content[found], groups, full, 1)
                if spread > 0:
                    nearer(content[found], theirs, content, likeness, nearest)
            slot += 1


@compiled()  # type: ignore[untyped-decorator]
def _begin(
    theirs: Integers,
    content: Integers,
    place: Integers,
    groups: Integers,
    spread: float,
    likeness: Likeness,
    free: Flags,
    given: Integers,
    full: Integers,
    nearest: Floats,
) -> None:
    """A person's empty list: what is pinned has its place, counts in its groups, and others may be like it."""
    given[:] = -1
    full[:] = 0
    for one in theirs:
        free[one] = place[one] == 0
        if not free[one]:
            given[place[one] - 1] = one
            count(content[one], groups, full, 1)
        nearest[one] = 0.0
    for one in given:
        if one >= 0 and spread > 0:
            nearer(content[one], theirs, content, likeness, nearest)


@compiled()  # type: ignore[untyped-decorator]
def _spread(
    theirs: Integers, utility: Floats, temperature: float, spread: float, nearest: Floats, worth: Floats
) -> None:
    """What a person's pairs are worth beside what stands above: as lots are drawn, or as `rerank.top` sorts."""
    for one in theirs:
        if spread == 0:
            break  # `worth` is `utility`
        if temperature > 0:
            worth[one] = utility[one] + lost(nearest[one], spread, temperature)
        elif utility[one] > 0:
            worth[one] = utility[one] * (1 - spread * nearest[one])


@compiled()  # type: ignore[untyped-decorator]
def _slot(
    slot: int,
    theirs: Integers,
    content: Integers,
    worth: Floats,
    temperature: float,
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
            for one in theirs:
                chance[one] = 1.0 if one == given[at] else 0.0
            return at
        if _chances(theirs, content, worth, temperature, free, groups, most, full, chance):
            return at
    return len(given)


@compiled()  # type: ignore[untyped-decorator]
def _found(wanted: int, theirs: Integers, content: Integers, chance: Floats) -> int:
    """Which of a person's pairs stands there; -1: none of them."""
    found = -1
    for one in theirs:
        if wanted == _LIKELIEST:
            if found < 0 or chance[one] > chance[found]:
                found = one
        elif content[one] == wanted:
            found = one
    return found


@compiled()  # type: ignore[untyped-decorator]
def _chances(
    theirs: Integers,
    content: Integers,
    worth: Floats,
    temperature: float,
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
    for one in theirs:
        chance[one] = 0.0
        if free[one] and room(content[one], groups, full, most):
            chance[one] = 1.0
            if best < 0 or worth[one] > worth[best]:
                best = one
    for one in theirs:
        if temperature == 0:
            chance[one] = 1.0 if one == best else 0.0
        elif chance[one] > 0:
            chance[one] = np.exp(worth[one] - worth[best])
            total += chance[one]
    if total > 0:
        for one in theirs:
            chance[one] /= total
    return best >= 0
