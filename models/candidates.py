"""Which contents are worth scoring for whom: each source proposes its best, the proposals are interleaved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import factors, neighbours
from models.engagement import Engagement, Linear, Ratio
from models.exploration import Exploration
from models.places import EMPTY, first_choices, interleaved, sort

Dense = NDArray[Any]
Integers = NDArray[np.int64]

SOURCES = (
    "trending",
    "rising",
    "fresh",
    "affinity",
    "covisit",
    "beside",
    "neighbours",
    "followed",
    "sessions",
    "factors",
    "explore",
)
"""In the order in which ties between sources are broken; what is explored comes in last, in places of its own."""

EXPLORE = SOURCES.index("explore")
BY_RULE = len(SOURCES)
NAMES = (*SOURCES, "rule")
"""What a candidate comes from, in words: one of the sources, or somebody's rule."""

FIRST_LOOK = 3
"""How deep sources are asked first, in times their share of the places: most people's list is full by then."""


@dataclass(frozen=True)
class Candidates:
    """Pairs, sorted by person and content: `person` and `content` are indices, `source` an index into NAMES."""

    person: Integers
    content: Integers
    source: Integers


def personal(engagement: Engagement, busy: Engagement) -> dict[str, Linear | Ratio]:
    """What is learned from who turned to what, by the name under which models read it.

    `neighbours_*`: what similar people turned to, by the half-life of their votes; `followed`: what readers of the
    person's contents turned to; `beside`: what stood near the person's contents in sessions; `sessions`: what went with
    the contents of her last session; `factors`: ALS; `neighbours_reach`: how many of the similar people who could have
    seen it turned to it.

    Args:
        engagement, busy: The same; `busy` on a clock that counts what everybody does.
    """
    return {
        "neighbours_6h": neighbours.user_knn(engagement, 6),
        "neighbours_12h": neighbours.user_knn(engagement, 12),
        "neighbours_3d": neighbours.user_knn(engagement, 72),
        "followed": neighbours.item_to_item(engagement, 30, 12),
        "beside": neighbours.co_visits(engagement, 3, 14),
        "sessions": neighbours.session_knn(engagement, 24),
        "factors": factors.als(engagement, 16, memory_days=0.5, confidence=40, regularisation=100),
        "neighbours_busy": neighbours.user_knn(busy, 17),
        "neighbours_reach": neighbours.neighbours_reach(engagement),
    }


def choose(
    scores: Mapping[str, Dense], eligible: NDArray[np.bool_], limit: int, exploration: Exploration | None = None
) -> Candidates:
    """At most `limit` contents a person: every source's first choice, then every source's second, and so on.

    What is explored takes the last places, as many as it has a right to and finds contents for.

    Args:
        scores: A (people, content) or (content,) array a source; 0, negative or NaN is no proposal. Higher is better,
            ties go to the smaller index.
        eligible: (people, content), what may be proposed at all.
        limit: Contents a person at the most.
        exploration: What may be drawn by lot, of this very block; nothing by default.
    """
    people, contents = eligible.shape
    eligible = np.ascontiguousarray(eligible)
    there = [number for number, source in enumerate(SOURCES) if source in scores]
    given = [scores[SOURCES[number]] for number in there]
    found, source = np.full((people, limit), EMPTY, np.int32), np.zeros((people, limit), np.int32)
    rows, depth = np.arange(people), 1 + FIRST_LOOK * limit // max(len(there), 1)
    while len(rows) and there:
        choices = np.stack([first_choices(one, eligible, depth, rows) for one in given])
        found[rows], source[rows], short = interleaved(choices, contents, limit)
        rows, depth = rows[short & (depth < min(limit, contents))], 2 * depth
    source = np.array([*there, EXPLORE], np.int32)[source]
    if exploration is not None:
        exploration.added(found, source, eligible, EXPLORE)
    sort(found, source, contents)
    person, place = np.nonzero(found != EMPTY)
    return Candidates(person, found[person, place].astype(np.int64), source[person, place].astype(np.int64))


def added(chosen: Candidates, wanted: NDArray[np.bool_]) -> Candidates:
    """The same and what somebody wants there, whoever proposes it: (people, content), as `choose` counts them."""
    contents = wanted.shape[1]
    keys = chosen.person * contents + chosen.content
    new = np.setdiff1d(np.flatnonzero(wanted), keys, assume_unique=True)
    every, source = np.concatenate([keys, new]), np.concatenate([chosen.source, np.full(len(new), BY_RULE)])
    order = np.argsort(every, kind="stable")
    return Candidates(every[order] // contents, every[order] % contents, source[order])


def proposed(score: Dense, eligible: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """What one source alone would propose: (people, contents)."""
    found = np.zeros(eligible.shape, bool)
    choices = first_choices(score, eligible, limit)
    person, place = np.nonzero(choices != EMPTY)
    found[person, choices[person, place]] = True
    return found
