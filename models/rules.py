"""What an editor wants, over what a model thinks: which rule is about whom and what, and what it does to their lists.

The order is always this. (1) `exclude` and `require` say what may be listed at all, before candidates are chosen, so
that lists still fill; nothing brings back what they took. (2) `boost` and `bury` multiply relevance, all that match.
(3) `pin` gives places, in the order of priority, then of the file: who comes second to a place takes the next free one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expectations.schemas import Action
from models.places import place_within

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Conditions = Mapping[str, tuple[str, ...]]
"""By field the values of which one has to be there; nothing: everybody, or everything."""


@dataclass(frozen=True)
class Rule:
    """What to do with `content` in the lists of `people`, from `since` until `until` (not included).

    `factor` multiplies relevance, of boost and bury. A pin gives at most `count` contents the places from `place` on.
    `max_age_days` and `min_age_days` are conditions on how long ago a content was published.
    """

    name: str
    action: Action
    people: Conditions = field(default_factory=dict)
    content: Conditions = field(default_factory=dict)
    factor: float = 1.0
    place: int = 1
    count: int = 1
    priority: int = 0
    since: datetime | None = None
    until: datetime | None = None
    max_age_days: float | None = None
    min_age_days: float | None = None

    def active(self, as_of: datetime) -> bool:
        """Whether it counts for the table of this night."""
        return (self.since is None or self.since <= as_of) and (self.until is None or as_of < self.until)


@dataclass(frozen=True)
class Field:
    """What each of N people or contents has in one field: `value[i]` is a value of `at[i]`, which may have several."""

    at: Ints
    value: NDArray[np.object_]

    @classmethod
    def of(cls, values: Iterable[Any]) -> Field:
        """One value each, or None, or a sequence of values."""
        at: list[int] = []
        found: list[str] = []
        for place, value in enumerate(values):
            every = [value] if isinstance(value, str) else (value or ())
            at += [place] * len(every)
            found += every
        return cls(np.array(at, np.int64), np.array(found, np.object_))

    def has(self, wanted: Sequence[str], size: int) -> Flags:
        """Which of `size` have any of the values; case does not count."""
        folded = {one.casefold() for one in wanted}
        hit = np.zeros(size, bool)
        hit[self.at[np.array([str(one).casefold() in folded for one in self.value], bool)]] = True
        return hit


@dataclass(frozen=True)
class Facts:
    """N people, or N contents, by field; `age_days` (N,) is of contents, NaN where unknown."""

    size: int
    fields: Mapping[str, Field]
    age_days: Floats | None = None

    def meet(self, conditions: Conditions) -> Flags:
        """Who meets all conditions (N,); nobody has a value in a field that is not there."""
        found = np.ones(self.size, bool)
        for name, wanted in conditions.items():
            found &= self.fields[name].has(wanted, self.size) if name in self.fields else False
        return found

    def nearest(self, name: str, value: str) -> str | None:
        """The value of a field that is most like this one, which nobody has; None where it is there, or none is."""
        known = {str(one) for one in self.fields[name].value} if name in self.fields else set()
        if value.casefold() in {one.casefold() for one in known}:
            return None
        return next(iter(difflib.get_close_matches(value, known, n=1)), None)


@dataclass(frozen=True)
class Matched:
    """A rule, and whom (P,) and what (C,) it is about."""

    rule: Rule
    people: Flags
    content: Flags

    def about(self, person: Ints, content: Ints) -> Flags:
        """Which pairs (N,)."""
        return np.asarray(self.people[person] & self.content[content])


@dataclass(frozen=True)
class Rules:
    """The rules of one night, the first in priority first."""

    matched: tuple[Matched, ...]

    @classmethod
    def of(cls, rules: Sequence[Rule], as_of: datetime, people: Facts, contents: Facts) -> Rules:
        """Those that are active, matched."""
        active = sorted((rule for rule in rules if rule.active(as_of)), key=lambda rule: -rule.priority)
        return cls(tuple(Matched(rule, people.meet(rule.people), _contents(rule, contents)) for rule in active))

    def without(self, name: str) -> Rules:
        """All others."""
        return Rules(tuple(one for one in self.matched if one.rule.name != name))

    def allowed(self, people: Ints, contents: Ints) -> Flags:
        """What may be listed for whom (people, contents)."""
        found = np.ones((len(people), len(contents)), bool)
        for one in self._doing("exclude", "require"):
            unwanted = one.content[contents] if one.rule.action == "exclude" else ~one.content[contents]
            found[np.ix_(one.people[people], unwanted)] = False
        return found

    def factor(self, person: Ints, content: Ints) -> Floats:
        """What each pair's relevance is multiplied by (N,)."""
        found = np.ones(len(person))
        for one in self._doing("boost", "bury"):
            found[one.about(person, content)] *= one.rule.factor
        return found

    def wanted(self, people: Ints, contents: Ints) -> Flags:
        """What somebody pins for whom (people, contents): it has to be scored, whoever else proposes it."""
        found = np.zeros((len(people), len(contents)), bool)
        for one in self._doing("pin"):
            found[np.ix_(one.people[people], one.content[contents])] = True
        return found

    def places(self, person: Ints, content: Ints, relevance: Floats, k: int) -> Ints:
        """The place among `k` that each pair is pinned to, from 1 on (N,); 0: none. Nobody has two at one place.

        Of what a rule is about the most relevant is pinned. A pin beyond the last place is none.
        """
        found, pins = np.zeros(len(person), np.int64), self._doing("pin")
        whose, row = np.unique(person, return_inverse=True) if pins else (person[:0], person)
        free = np.ones((len(whose), k), bool)
        for one in pins:
            pairs = np.flatnonzero(one.about(person, content) & (found == 0))
            order = place_within((person[pairs],), relevance[pairs], content[pairs])
            for at in range(one.rule.count):
                chosen = pairs[order == at]
                open_ = free[row[chosen], one.rule.place + at - 1 :]
                chosen, open_ = chosen[open_.any(axis=1)], open_[open_.any(axis=1)]
                found[chosen] = open_.argmax(axis=1) + one.rule.place + at if open_.size else 0
                free[row[chosen], found[chosen] - 1] = False
        return found

    @cached_property
    def changes(self) -> bool:
        """Whether there is anything that they are about."""
        return any(one.people.any() and one.content.any() for one in self.matched)

    def _doing(self, *actions: Action) -> list[Matched]:
        return [one for one in self.matched if one.rule.action in actions]


NONE = Rules(())


def _contents(rule: Rule, contents: Facts) -> Flags:
    found = contents.meet(rule.content)
    if rule.max_age_days is None and rule.min_age_days is None:
        return found
    age = np.full(contents.size, np.nan) if contents.age_days is None else contents.age_days
    least, most = rule.min_age_days or 0.0, np.inf if rule.max_age_days is None else rule.max_age_days
    return np.asarray(found & (age >= least) & (age <= most))
