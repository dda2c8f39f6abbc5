"""Why a content stands in a list, in words that a customer may read: up to three reasons, the strongest first.

A reason is given where it is true of the row (they did read that author) and, where a model made the list, where its
theme took the score up (`models.contributions`). Words are templates; what is not to be named is never named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Array = NDArray[Any]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MOST = 3
"""Reasons a row."""

NEW_DAYS = 2.0

_FEATURES = {
    "category": r"affinity_category_\w+|category_response|category_engaged_30d|last_session_category",
    "tag": r"affinity_tags",
    "author": r"affinity_author",
    "readers": r"covisit|neighbours_\w+|followed|beside|sessions|factors",
    "new": r"age_\w+|born_after_days|(events|days)_since_born",
    "popular": r"people_\d+d|(\w+_)?popularity_\w+|trend|gravity\w*|readers_busy_\w+|reach\w*|content_\w+",
}
"""By theme the features of a content, and of a person with it, that speak of it."""

THEMES = tuple(_FEATURES)
"""In the order in which they are given where no model says which is stronger."""

TEMPLATES: Mapping[str, str] = {
    "rule": "Picked by our editors",
    "category_counted": "Because you read {count} pieces about {category} this week",
    "category": "Because you like {category}",
    "tag": "Because you read about {tag}",
    "author": "More by {author}, whom you read",
    "readers": "Popular with people who read what you read",
    "new_since": "New since your last visit",
    "new": "New",
    "popular": "Popular right now",
    "other": "Selected for you",
}
"""What is said unless the configuration says it otherwise."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "category_counted": ("category", "count"),
    "category": ("category",),
    "tag": ("tag",),
    "author": ("author",),
}
"""What a template may name in braces."""

_KINDS, _MANY = tuple(TEMPLATES), 1 << 24


def themes(names: Sequence[str]) -> Integers:
    """(F,): which of `THEMES` each feature speaks of, -1 for none."""
    found = np.full(len(names), -1, np.int64)
    for theme, pattern in enumerate(_FEATURES.values()):
        found[[re.fullmatch(pattern, name) is not None for name in names]] = theme
    return found


@dataclass(frozen=True)
class Facts:
    """What is true of N rows. `category`, `tag` and `author` are codes, -1 where there is nothing to name.

    `count` are contents of the category that the person turned to of late; `readers`, `popular` and `ruled` whether
    that is so; `age_days` is the content's, `missed` whether it came after the person's last visit.
    """

    category: Integers
    count: Integers
    tag: Integers
    author: Integers
    readers: Flags
    age_days: Array
    missed: Flags
    popular: Flags
    ruled: Flags


@dataclass(frozen=True)
class Words:
    """What is said: `templates` by kind of reason; one that says nothing is never given, but for `other`.

    `names` are the categories, tags and authors that codes stand for, under `category`, `tag` and `author`.
    """

    names: Mapping[str, Sequence[str]]
    templates: Mapping[str, str] = field(default_factory=lambda: TEMPLATES)
    _said: dict[int, str | None] = field(default_factory=dict, compare=False, repr=False)

    def reasons(self, facts: Facts, strength: Array | None) -> list[pa.Array]:
        """`MOST` columns of texts (N,): the strongest reason, which every row has, then what else there is, or null.

        Args:
            facts: Of the rows.
            strength: (N, themes) what each of `THEMES` adds to the row's score; None where no model made the list.
        """
        kinds = _kinds(facts)
        true = (kinds >= 0) & np.array([bool(self.templates[kind]) for kind in _KINDS])[kinds]
        if strength is None:
            worth = np.broadcast_to(-np.arange(kinds.shape[1], dtype=np.float64), kinds.shape)
        else:
            worth = np.column_stack([np.full(len(strength), np.inf), strength])
            true &= worth > 0
        chosen = _strongest(kinds, np.where(true, worth, -np.inf))
        chosen[chosen[:, 0] < 0, 0] = _KINDS.index("other")
        return [self._column(chosen[:, place], facts) for place in range(MOST)]

    def _column(self, kind: Integers, facts: Facts) -> pa.Array:
        """Every text once, and who is told it: there are few of them."""
        code = np.zeros(len(kind), np.int64)
        for at, one in enumerate(_KINDS):
            for named in NAMES.get(one, ()):
                if named != "count":
                    code[kind == at] = getattr(facts, named)[kind == at]
        count = np.where(kind == _KINDS.index("category_counted"), np.minimum(facts.count, _MANY - 1), 0)
        told = pa.array((kind + 1) * _MANY * _MANY + code * _MANY + count).dictionary_encode()
        return pa.array([self._text(key) for key in told.dictionary.to_pylist()], pa.string()).take(told.indices)

    def _text(self, key: int) -> str | None:
        """The text of a kind, a code and a count, which are one number; made once."""
        if key not in self._said:
            kind, code, count = key // _MANY // _MANY - 1, key // _MANY % _MANY, key % _MANY
            self._said[key] = None if kind < 0 else self._filled(_KINDS[kind], code, count)
        return self._said[key]

    def _filled(self, kind: str, code: int, count: int) -> str:
        values = {named: str(count) if named == "count" else self.names[named][code] for named in NAMES.get(kind, ())}
        return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], self.templates[kind])


def _strongest(kinds: Integers, worth: Array) -> Integers:
    """(N, MOST): of each row the kinds of what is worth most, -1 for none; what is not true is worth minus infinity.

    Of as much the first. `worth` is spoiled.
    """
    chosen, rows = np.full((len(kinds), MOST), -1, np.int64), np.arange(len(kinds))
    for place in range(MOST):
        best = worth.argmax(axis=1)
        chosen[:, place] = np.where(worth[rows, best] > -np.inf, kinds[rows, best], -1)
        worth[rows, best] = -np.inf
    return chosen


def _kinds(facts: Facts) -> Integers:
    """(N, 1 + themes): which template a rule, and each theme, has for a row, -1 where it would not be true."""

    def either(*options: tuple[str, Flags]) -> Integers:
        return np.select([flags for _, flags in options], [_KINDS.index(kind) for kind, _ in options], -1)

    liked, new = facts.category >= 0, facts.age_days < NEW_DAYS
    return np.stack(
        [
            either(("rule", facts.ruled)),
            either(("category_counted", liked & (facts.count > 1)), ("category", liked)),
            either(("tag", facts.tag >= 0)),
            either(("author", facts.author >= 0)),
            either(("readers", facts.readers)),
            either(("new_since", new & facts.missed), ("new", new)),
            either(("popular", facts.popular)),
        ],
        axis=1,
    )
