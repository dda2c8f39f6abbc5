"""A universe so small that one can go through all its lists: policies by their definition, what lists are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.likeness import NOTHING, Likeness
from models.off_policy import Logged
from models.policy import Policy
from models.rerank import Limits

List = tuple[int, ...]
PLACES = 3
GROUPS = np.array([[0, 0], [0, 1], [1, 1], [-1, 2], [2, -1], [1, 0]])
"""The categories and authors of six contents."""
TRAITS = [(one, kind * 9 + code) for one, row in enumerate(GROUPS) for kind, code in enumerate(row) if code >= 0]
LIKENESS = Likeness.of(*np.array(TRAITS).T, len(GROUPS))
READ = np.array([0.5, 0.3, 0.2, 0.6, 0.1, 0.4])
"""How likely each is to be read, where nothing stands above it."""


@dataclass(frozen=True)
class Law:
    """A policy for one person: relevance by content, `pins` by place, at most `most` of a category and of an author."""

    relevance: Mapping[int, float]
    temperature: float = 1.0
    pins: Mapping[int, int] = field(default_factory=dict)
    most: tuple[int, int] = (9, 9)
    spread: float = 0.0

    def next(self, above: List) -> dict[int, float]:
        """With which probability each content comes next; nothing where the list has ended."""
        pinned = [content for _, content in sorted(self.pins.items()) if content not in above]
        due = self.pins.get(len(above) + 1)  # as long as anything can be drawn, no place is skipped
        if due in pinned:
            return {due: 1.0}
        held = {*above, *self.pins.values()}
        left = [one for one in self.relevance if one not in held and self._room(one, held)]
        if not left:
            return {pinned[0]: 1.0} if pinned else {}
        worth = {one: self.relevance[one] * (1 - self.spread * self._like(one, held)) for one in left}
        if not self.temperature:
            return {min(left, key=lambda one: (-worth[one], one)): 1.0}
        rate = {one: worth[one] ** (1 / self.temperature) for one in left}
        return {one: value / sum(rate.values()) for one, value in rate.items()}

    @staticmethod
    def _like(one: int, held: set[int]) -> float:
        return max((LIKENESS.between(one, other) for other in held), default=0.0)

    def _room(self, one: int, held: set[int]) -> bool:
        return all(
            GROUPS[one, kind] < 0 or sum(GROUPS[other, kind] == GROUPS[one, kind] for other in held) < most
            for kind, most in enumerate(self.most)
        )

    def chance(self, shown: List) -> list[float]:
        """Of each place of a list, given those above it; nothing more below one of 0."""
        found = [self.next(shown[:at]).get(one, 0.0) for at, one in enumerate(shown)]
        return [chance if all(found[:at]) else 0.0 for at, chance in enumerate(found)]

    def lists(self, above: List = (), chance: float = 1.0) -> dict[List, float]:
        """The probability of every list."""
        coming = self.next(above) if len(above) < PLACES else {}
        if not coming:
            return {above: chance}
        found: dict[List, float] = {}
        for one, probability in coming.items():
            found |= self.lists((*above, one), chance * probability)
        return found

    def policy(self, people: np.ndarray, value: np.ndarray = READ) -> Policy:
        """The same, for each of these people."""
        content = np.array(sorted({*self.relevance, *self.pins.values()}))
        person, every = np.repeat(people, len(content)), np.tile(content, len(people))
        place = {content: place for place, content in self.pins.items()}
        return Policy.of(
            person,
            every,
            np.array([self.relevance.get(one, 0.1) for one in every.tolist()]),
            self.temperature,
            value[every],
            np.array([place.get(one, 0) for one in every.tolist()]),
            Limits(PLACES, GROUPS, np.array(self.most), self.spread, LIKENESS if self.spread else NOTHING),
        )


def reading(shown: List, at: int) -> float:
    """How likely the content at a place is to be read: less below others, and less below one of its own category."""
    like = sum(GROUPS[one, 0] == GROUPS[shown[at], 0] for one in shown[:at])
    return float(READ[shown[at]] * 0.8**at * 0.5**like)


def worth(law: Law, places: int = PLACES) -> float:
    """What the lists of a policy are truly worth, by going through all of them."""
    return sum(
        chance * reading(shown, at) for shown, chance in law.lists().items() for at in range(min(places, len(shown)))
    )


def logged(
    law: Law, target: Law, people: int, rng: np.random.Generator, value: np.ndarray = READ, first: int = 0
) -> Logged:
    """Lists that one policy showed to so many people, what they read, and what another one makes of it."""
    every = law.lists()
    which = rng.choice(len(every), people, p=np.array(list(every.values())))
    shown, said = np.full((len(every), PLACES), -1), np.ones((len(every), PLACES))
    likely = np.zeros((len(every), PLACES))
    for row, one in enumerate(every):
        shown[row, : len(one)], said[row, : len(one)] = one, law.chance(one)
        likely[row, : len(one)] = [reading(one, at) for at in range(len(one))]
    person = first + np.arange(people)
    unseen = ~np.isin(np.arange(len(READ)), shown[which])
    traced = target.policy(person, value).traced(person, shown[which], unseen)
    read = (rng.random((people, PLACES)) < likely[which]).astype(np.float64)
    return Logged(person=person, reward=read, propensity=said[which], **vars(traced))
