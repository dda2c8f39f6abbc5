"""From relevance to lists: caps, then the best K of each person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Listed:
    """Which of the pairs stand in the lists, ordered by person and rank, and at which rank (from 1)."""

    pair: Integers
    rank: Integers


def top(
    person: Integers, content: Integers, relevance: Array, category: Array, *, k: int, max_per_category: int
) -> Listed:
    """The `k` most relevant pairs of each person, at most `max_per_category` of one category.

    Walking down a person's pairs and skipping full categories picks, of each category, its best `max_per_category`:
    so the cap is a rank within the category, and no loop is needed. Ties go to the smaller content index.

    Args:
        person, content: (N,) indices; relevance: (N,); category: (N,) codes, -1 for none (never capped).
    """
    allowed = (category < 0) | (place_within((person, category), relevance, content) < max_per_category)
    pairs = np.flatnonzero(allowed)
    order = pairs[np.lexsort((content[pairs], -relevance[pairs], person[pairs]))]
    place = _run_length(person[order])
    kept = place < k
    return Listed(order[kept], place[kept] + 1)


def place_within(groups: tuple[Array, ...], relevance: Array, content: Array) -> Integers:
    """The place of each pair within its group by relevance, from 0."""
    order = np.lexsort((content, -relevance, *reversed(groups)))
    changed = np.zeros(len(order), bool)
    for group in groups:
        sorted_group = group[order]
        changed[1:] |= sorted_group[1:] != sorted_group[:-1]
    found = np.empty(len(order), np.int64)
    found[order] = _since(changed)
    return found


def _run_length(ordered: Array) -> Integers:
    """For a sorted array: how many equal values stand before each one."""
    changed = np.zeros(len(ordered), bool)
    changed[1:] = ordered[1:] != ordered[:-1]
    return _since(changed)


def _since(changed: NDArray[np.bool_]) -> Integers:
    """How many places ago `changed` was last true (or the array began)."""
    at = np.arange(len(changed))
    return at - np.maximum.accumulate(np.where(changed, at, 0)) if len(at) else at
