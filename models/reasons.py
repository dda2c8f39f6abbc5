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

from models.products import compiled
from models.templates import NAMES, TEMPLATES

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

_KINDS, _MANY, _THEMES = tuple(TEMPLATES), 1 << 24, len(THEMES)
_RULE, _COUNTED, _LIKED, _TAG, _AUTHOR, _READERS, _SINCE, _NEW, _POPULAR, _OTHER = range(len(_KINDS))
_NOTHING = -1
"""Places of `TEMPLATES`, in its order; and a reason that would not be true."""


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
        given = np.array([bool(self.templates[kind]) for kind in _KINDS])
        keys = np.empty((MOST, len(facts.ruled)), np.int64)
        worth = np.zeros((0, len(THEMES))) if strength is None else strength
        _choose(
            facts.category,
            facts.count,
            facts.tag,
            facts.author,
            facts.readers,
            facts.age_days < NEW_DAYS,
            facts.missed,
            facts.popular,
            facts.ruled,
            given,
            worth,
            strength is not None,
            keys,
        )
        return [self._column(place) for place in keys]

    def _column(self, keys: Integers) -> pa.Array:
        """Every text once, and who is told it: there are few of them."""
        told = pa.array(keys).dictionary_encode()
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


@compiled()  # type: ignore[untyped-decorator]
def _choose(
    category: Integers,
    count: Integers,
    tag: Integers,
    author: Integers,
    readers: Flags,
    new: Flags,
    missed: Flags,
    popular: Flags,
    ruled: Flags,
    given: Flags,
    strength: Array,
    weighed: bool,
    keys: Integers,
) -> None:
    """Write to `keys` (MOST, N) kind, code and count of each row's reasons, as one number.

    A rule comes first, then what is worth most, of as much the first; 0 where nothing is left that is true.
    """
    kind, code, worth = np.empty(1 + _THEMES, np.int64), np.zeros(1 + _THEMES, np.int64), np.empty(1 + _THEMES)
    for row in range(len(ruled)):
        liked = _COUNTED if count[row] > 1 else _LIKED
        kind[0] = _RULE if ruled[row] else _NOTHING
        kind[1], code[1] = liked if category[row] >= 0 else _NOTHING, category[row]
        kind[2], code[2] = _TAG if tag[row] >= 0 else _NOTHING, tag[row]
        kind[3], code[3] = _AUTHOR if author[row] >= 0 else _NOTHING, author[row]
        kind[4] = _READERS if readers[row] else _NOTHING
        kind[5] = (_SINCE if missed[row] else _NEW) if new[row] else _NOTHING
        kind[6] = _POPULAR if popular[row] else _NOTHING
        for at in range(len(kind)):
            worth[at] = np.inf if at == 0 else strength[row, at - 1] if weighed else _THEMES - at + 1
            if kind[at] == _NOTHING or not given[kind[at]] or not worth[at] > 0:
                worth[at] = -np.inf
        for place in range(len(keys)):
            best = 0
            for at in range(1, len(kind)):
                if worth[at] > worth[best]:
                    best = at
            if worth[best] > -np.inf:
                counted = min(count[row], _MANY - 1) if kind[best] == _COUNTED else 0
                keys[place, row] = ((kind[best] + 1) * _MANY + code[best]) * _MANY + counted
            else:
                keys[place, row] = (_OTHER + 1) * _MANY * _MANY if place == 0 else 0
            worth[best] = -np.inf
