"""Why a content stands in a list, in words that a customer may read: the strongest plain fact about the pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SHARE, _RECENT_DAYS = 0.2, 2.0


def reasons(facts: Mapping[str, Array], category: NDArray[Any], author: NDArray[Any]) -> list[str]:
    """One sentence a row.

    Args:
        facts: (N,) each: `affinity_category`, `affinity_author` (shares, 0..1), `covisit`, `age_days`.
        category, author: (N,) names, empty where there is none.
    """
    liked = (facts["affinity_category"] >= _SHARE) & (category != "")
    by_author = (facts["affinity_author"] >= _SHARE) & (author != "")
    together = facts["covisit"] > 0
    fresh = facts["age_days"] < _RECENT_DAYS
    words = np.select(
        [liked & fresh, liked, by_author, together, fresh],
        [
            _join("New in ", category, ", which you follow closely"),
            _join("Because you like ", category, ""),
            _join("More by ", author, ", whom you often read"),
            np.full(len(category), "Popular with people who read what you read", object),
            np.full(len(category), "New and being noticed", object),
        ],
        default="Popular right now",
    )
    return [str(word) for word in words]


def _join(before: str, names: NDArray[Any], after: str) -> NDArray[Any]:
    return np.array([f"{before}{name}{after}" for name in names], dtype=object)
