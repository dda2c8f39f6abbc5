"""Rows worth telling: one that was listed high and came true, one that did not, and one that was overlooked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.places import place_within

Array = NDArray[Any]
Ints = NDArray[np.int64]

HIGH = 3
"""Places that count as high."""


@dataclass(frozen=True)
class Kind:
    """What such a row is, and its rows, the clearest first."""

    title: str
    rows: Ints


def places(group: Array, relevance: Array) -> Ints:
    """The place of each row (N,) in its list, from 1 on: by relevance, ties in the rows' order."""
    return place_within((np.asarray(group),), np.asarray(relevance), np.arange(len(group))) + 1


def kinds(place: Ints, y: Array, p: Array, listed: int, most: int = 50) -> Sequence[Kind]:
    """The three kinds, each with at most `most` rows.

    The most probable of those listed high that came true; the most probable of those that did not; and of those that
    came true outside the first `listed` places the one that stood lowest.

    Args:
        place, y, p: (N,) the row's place in its list, what came of it (0 or 1), and its probability.
    """
    place, came, p = np.asarray(place), np.asarray(y) > 0, np.asarray(p)
    high = place <= HIGH
    return (
        Kind("Listed high, and engaged", _first(high & came, (-p, place), most)),
        Kind("Listed high, and not engaged", _first(high & ~came, (-p, place), most)),
        Kind("Engaged, but listed low", _first((place > listed) & came, (-place, p), most)),
    )


def _first(wanted: NDArray[np.bool_], by: tuple[Array, Array], most: int) -> Ints:
    """Rows of `wanted` in the order of two keys."""
    rows = np.flatnonzero(wanted)
    order = np.lexsort((by[1][rows], by[0][rows]))
    return np.asarray(rows[order][:most], np.int64)
