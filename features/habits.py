"""How many contents of a category, and with a tag, people turned to of late: what reasons count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.history import Catalogue, History

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

CATEGORY_DAYS, TAG_DAYS = 7, 30


@dataclass(frozen=True)
class Habits:
    """Distinct contents that each person did something with: of a category in 7 days, with a tag in 30.

    Each pair of a person and a code that there is has a key, person x codes + code, ascending, and a count.
    """

    catalogue: Catalogue
    category_keys: Integers
    category_counts: Integers
    tag_keys: Integers
    tag_counts: Integers
    tag_starts: Integers
    """The tags of content `c` are `tags_of[tag_starts[c] : tag_starts[c + 1]]`, ascending."""
    tags_of: Integers

    @classmethod
    def of(cls, history: History) -> Habits:
        """Of one night."""
        catalogue = history.catalogue
        order = np.lexsort((catalogue.tag, catalogue.tag_content))
        starts = np.searchsorted(catalogue.tag_content[order], np.arange(catalogue.size + 1))
        tags = catalogue.tag[order].astype(np.int64)
        person, content = _touched(history, CATEGORY_DAYS)
        category = catalogue.category[content]
        known = category >= 0
        by_category = np.unique(_keys(person[known], category[known], len(catalogue.categories)), return_counts=True)
        person, content = _touched(history, TAG_DAYS)
        row, tag = _tagged(content, starts, tags)
        by_tag = np.unique(_keys(person[row], tag, len(catalogue.tags)), return_counts=True)
        return cls(catalogue, *by_category, *by_tag, starts, tags)

    def in_category(self, person: Integers, content: Integers) -> Integers:
        """(N,): how many contents of the content's category the person turned to; 0 where it has none."""
        category = self.catalogue.category[content]
        keys = _keys(person, category, len(self.catalogue.categories))
        return np.where(category >= 0, _counts(self.category_keys, self.category_counts, keys), 0)

    def favourite_tag(self, person: Integers, content: Integers, unnamed: Flags) -> Integers:
        """(N,): of the content's tags the one that most contents had that the person turned to; -1 where none had any.

        Of as many the smaller code. `unnamed` (tags,) are left out.
        """
        row, tag = _tagged(content, self.tag_starts, self.tags_of)
        keys = _keys(person[row], tag, len(self.catalogue.tags))
        counts = np.where(unnamed[tag], 0, _counts(self.tag_keys, self.tag_counts, keys))
        found = np.full(len(content), -1, np.int64)
        order = np.lexsort((-tag, counts, row))  # the last of each row is its best
        order = order[counts[order] > 0]
        found[row[order]] = tag[order]
        return found


def _touched(history: History, days: int) -> tuple[Integers, Integers]:
    """Who did something with what, each pair once."""
    lately = history.read_within(days)
    return history.readings.person[lately], history.readings.content[lately]


def _tagged(content: Integers, starts: Integers, tags: Integers) -> tuple[Integers, Integers]:
    """Places of `content`, once for each of its tags, and the tags."""
    many = starts[content + 1] - starts[content]
    row = np.repeat(np.arange(len(content)), many)
    within = np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    return row, tags[starts[content[row]] + within]


def _keys(person: NDArray[np.integer], code: NDArray[np.integer], codes: int) -> Integers:
    return person.astype(np.int64) * max(codes, 1) + code


def _counts(known: Integers, counts: Integers, keys: Integers) -> Integers:
    if not len(known):
        return np.zeros(len(keys), np.int64)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[at] == keys, counts[at], 0)
