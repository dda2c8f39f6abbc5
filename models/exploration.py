"""A few places for contents that nobody knows yet, drawn by lot: what is never scored is never read, nor learned about.

The lot of a person, a content and a night is a hash of the three, so it is the same whoever else is ranked, in whatever
order and in however many blocks; the smallest lots win. Which contents are new is the caller's to say.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.places import EMPTY, Choices
from models.products import compiled

Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Exploration:
    """At most `places` of each person's candidates are drawn from `content`.

    `content` (N,) are indices of the block's contents, `content_keys` (N,) theirs, `person_keys` the block's people's.
    """

    places: int
    content: NDArray[np.int64]
    content_keys: Keys
    person_keys: Keys

    @classmethod
    def of(
        cls,
        share: float,
        limit: int,
        content: NDArray[np.int64],
        ids: Iterable[str],
        people: NDArray[np.int64],
        night: int,
    ) -> Exploration:
        """The share of `limit` candidates, rounded up: a share above none is a place at least.

        Args:
            share: 0 to 1.
            limit: Candidates a person at the most.
            content, ids: The contents to draw from and their ids; in any order.
            people: Pseudonyms of the block's people.
            night: Which one, in microseconds: tomorrow others are drawn.
        """
        places = min(limit, math.ceil(share * limit - 1e-9))
        hashed = keys(ids)
        order = np.argsort(hashed, kind="stable")
        tonight = mixed(np.array([night], np.int64).astype(np.uint64))
        return cls(places, content[order], hashed[order], mixed(people.astype(np.uint64) ^ tonight))

    def added(self, found: Choices, source: NDArray[np.int32], eligible: NDArray[np.bool_], number: int) -> None:
        """Put what is drawn, as of source `number`, in place of the last of what was found; in place.

        What others already brought is drawn no more, and what was there to make room is.

        Args:
            found, source: (people, limit) contents in the order in which they were dealt, -1 after the last.
            eligible: (people, contents).
            number: The source of what is drawn.
        """
        lots = np.empty(len(self.content), np.uint64)
        dealt = np.zeros(eligible.shape[1], np.bool_)
        _draw(
            self.content, self.content_keys, self.person_keys, self.places, eligible, found, source, number, lots, dealt
        )


def keys(ids: Iterable[str]) -> Keys:
    """Of contents, by their ids alone."""
    return np.array(
        [int.from_bytes(hashlib.blake2b(one.encode(), digest_size=8).digest(), "little") for one in ids], np.uint64
    )


def mixed(x: Any) -> Any:
    """SplitMix64's finalizer (Steele et al. 2014) of unsigned 64-bit integers: every bit depends on every other."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


_mixed = compiled()(mixed)


@compiled()  # type: ignore[untyped-decorator]
def _draw(
    content: NDArray[np.int64],
    content_keys: Keys,
    person_keys: Keys,
    places: int,
    eligible: NDArray[np.bool_],
    found: Choices,
    source: NDArray[np.int32],
    number: int,
    lots: Keys,
    dealt: NDArray[np.bool_],
) -> None:
    """`dealt` is all False before and after each person."""
    limit = found.shape[1]
    for person in range(len(found)):
        many = 0
        while many < limit and found[person, many] != EMPTY:
            dealt[found[person, many]] = True
            many += 1
        left = 0
        for one in content:
            left += eligible[person, one] and not dealt[one]
        room = max(limit - min(places, left), 0)
        for at in range(room, many):
            dealt[found[person, at]] = False
        many = min(many, room)
        for at in range(len(content)):
            lots[at] = _mixed(person_keys[person] ^ content_keys[at])
        for _ in range(min(places, left)):
            best = -1
            for at in range(len(content)):
                usable = eligible[person, content[at]] and not dealt[content[at]]
                if usable and (best < 0 or lots[at] < lots[best]):
                    best = at
            found[person, many], source[person, many] = content[best], number
            dealt[content[best]] = True
            many += 1
        for at in range(many):
            dealt[found[person, at]] = False
