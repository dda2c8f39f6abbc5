"""Which contents are worth scoring for whom: each source proposes its best, the proposals are interleaved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import factors, neighbours
from models.engagement import Engagement, Linear, Ratio

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
)
"""In the order in which ties between sources are broken."""

_NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Candidates:
    """Pairs, sorted by person and content: `person` and `content` are indices, `source` an index into SOURCES."""

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


def choose(scores: Mapping[str, Dense], eligible: NDArray[np.bool_], limit: int) -> Candidates:
    """At most `limit` contents a person: every source's first choice, then every source's second, and so on.

    Args:
        scores: A (people, content) or (content,) array a source; 0, negative or NaN is no proposal. Higher is better,
            ties go to the smaller index.
        eligible: (people, content), what may be proposed at all.
        limit: Contents a person at the most.
    """
    people, contents = eligible.shape
    best = np.full((people, contents), _NEVER, np.int32)
    for number, source in enumerate(SOURCES):
        if source in scores:
            score = scores[source]
            place = _places(score, eligible, limit) if score.ndim == 2 else _shared_places(score, eligible, limit)
            best = np.minimum(best, np.where(place < _NEVER, place * len(SOURCES) + number, _NEVER))
    chosen = _first(best, limit)
    person, content = np.nonzero(chosen)
    return Candidates(person.astype(np.int64), content.astype(np.int64), best[chosen].astype(np.int64) % len(SOURCES))


def proposed(score: Dense, eligible: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """What one source alone would propose: (people, contents)."""
    place = _places(score, eligible, limit) if score.ndim == 2 else _shared_places(score, eligible, limit)
    return place < _NEVER


def _places(score: Dense, eligible: NDArray[np.bool_], limit: int) -> NDArray[np.int32]:
    """The place of each content in the source's own list for the person, from 0; _NEVER beyond `limit`."""
    usable = np.where(eligible & (np.nan_to_num(score) > 0), score, -np.inf)
    order = np.argsort(-usable, axis=1, kind="stable")[:, :limit]
    place = np.full(usable.shape, _NEVER, np.int32)
    np.put_along_axis(place, order, np.arange(order.shape[1], dtype=np.int32)[None, :], axis=1)
    return np.where(np.isfinite(usable), place, _NEVER)


def _shared_places(score: Dense, eligible: NDArray[np.bool_], limit: int) -> NDArray[np.int32]:
    """The same of a score that all people share: sorted once, then counted through for each."""
    usable = np.flatnonzero(np.isfinite(score) & (score > 0))
    order = usable[np.argsort(-score[usable], kind="stable")]
    place = np.full(eligible.shape, _NEVER, np.int32)
    mine = eligible[:, order]
    nth = np.cumsum(mine, axis=1, dtype=np.int32) - 1
    place[:, order] = np.where(mine & (nth < limit), nth, _NEVER)
    return place


def _first(best: NDArray[np.int32], limit: int) -> NDArray[np.bool_]:
    """The `limit` smallest priorities of each row; no two proposals of a row share one."""
    proposed = best < _NEVER
    if best.shape[1] <= limit:
        return proposed
    threshold = np.partition(best, limit - 1, axis=1)[:, limit - 1 : limit]
    return proposed & (best <= threshold)
