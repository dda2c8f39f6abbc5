"""What lists were worth, given what people then turned to: one value a list, NaN where none is defined.

Shapes: `lists` (L, K) are contents, best first, -1 where a list ends; `wanted` (L, contents) is sparse, what each
list's person then turned to and how much that is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.engagement import Dense, Floats, Ints, Matrix, entries

K = 10


def top(scores: Dense, allowed: NDArray[np.bool_], content: Ints, k: int = K) -> Ints:
    """The `k` best contents of each row (L, k), ties to the smaller index, -1 where nothing more is allowed.

    Args:
        scores: (L, C), or (1, C) for all rows alike; NaN is nothing.
        allowed: (L, C).
        content: (C,) what the columns are.
    """
    usable = allowed & (scores > -np.inf)
    width = min(k, usable.shape[1])
    found = np.full((len(usable), k), -1, np.int64)
    if not width:
        return found
    if len(scores) == 1:  # one order for all: what is left of it is found without sorting each row
        order = np.argsort(-scores[0], kind="stable")
        best = order[np.argsort(~usable[:, order], axis=1, kind="stable")[:, :width]]
    else:
        best = np.argsort(np.where(usable, -scores, np.inf), axis=1, kind="stable")[:, :width]
    there = np.take_along_axis(usable, best, axis=1)
    found[:, :width] = np.where(there, content[best], -1)
    return found


def of_pairs(people: Ints, person: Ints, content: Ints, place: Ints) -> Ints:
    """The lists (L, K) of `people` (sorted) out of listed pairs, each at its `place` from 1 on; others are left out."""
    row = np.minimum(np.searchsorted(people, person), len(people) - 1)
    shown = (people[row] == person) & (place <= K) if len(people) else np.zeros(len(person), bool)
    lists = np.full((len(people), K), -1, np.int64)
    lists[row[shown], place[shown] - 1] = content[shown]
    return lists


def worth(lists: Ints, wanted: Matrix) -> Floats:
    """What the person made of each place of each list (L, K)."""
    rows = np.broadcast_to(np.arange(len(lists))[:, None], lists.shape)
    values = entries(wanted, rows.ravel(), np.maximum(lists, 0).ravel()).reshape(lists.shape)
    return np.where(lists >= 0, values, 0.0)


def measures(lists: Ints, wanted: Matrix) -> dict[str, Floats]:
    """NDCG, recall, reciprocal rank and hits (0 or 1) at K, by list: (L,) each. Gains are linear."""
    gains = worth(lists, wanted)
    k = lists.shape[1]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    hit = gains > 0
    first = np.where(hit.any(axis=1), hit.argmax(axis=1), k)
    relevant = np.diff(wanted.indptr).astype(np.float64)
    return {
        "ndcg_10": _share(gains @ discounts, _ideal(wanted, discounts)),
        "recall_10": _share(hit.sum(axis=1), relevant),
        "mrr_10": np.where(first < k, 1 / (first + 1), 0.0),
        "hit_rate_10": (first < k).astype(np.float64),
    }


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0))


def _ideal(wanted: Matrix, discounts: Floats) -> Floats:
    found = np.empty(wanted.shape[0])
    for row in range(wanted.shape[0]):
        best = np.sort(wanted.data[wanted.indptr[row] : wanted.indptr[row + 1]])[::-1][: len(discounts)]
        found[row] = best @ discounts[: len(best)]
    return found


def character(lists: Ints, listed: Ints, readers: Floats, fresh: NDArray[np.bool_], alike: Matrix) -> dict[str, Floats]:
    """What lists are like, whatever came of them: by list but for coverage, which is one value for all of them.

    `novelty`: mean -log2 of the share of the readings that a content had; `diversity`: 1 - mean likeness (cosine of
    readers) of two contents of a list; `new_share`: of contents born within a day; `coverage`: share of `listed` in
    any list.

    Args:
        listed: Contents that could stand in a list; readers: (contents,); fresh: (contents,);
        alike: (contents, contents), cosines.
    """
    there = lists >= 0
    size = np.maximum(there.sum(axis=1), 1)
    surprise = -np.log2((readers + 1) / (readers.sum() + len(readers)))
    at = np.maximum(lists, 0)
    shown = np.unique(lists[there])
    return {
        "novelty": np.where(there, surprise[at], 0.0).sum(axis=1) / size,
        "new_share": np.where(there, fresh[at], False).sum(axis=1) / size,
        "diversity": 1.0 - _likeness(lists, alike),
        "coverage": np.full(len(lists), len(shown) / max(len(listed), 1)),
    }


def _likeness(lists: Ints, alike: Matrix) -> Floats:
    n, k = lists.shape
    total, pairs = np.zeros(n), np.zeros(n)
    for first in range(k):
        for second in range(first + 1, k):
            both = (lists[:, first] >= 0) & (lists[:, second] >= 0)
            total[both] += entries(alike, lists[both, first], lists[both, second])
            pairs += both
    return np.divide(total, pairs, out=np.zeros(n), where=pairs > 0)


def segments(events_30d: Floats, mobile: Floats, country: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
    """Names of the groups that each list's person belongs to, by kind."""
    device = np.where(np.isnan(mobile), "unknown", np.where(mobile > 0.5, "mobile", "desktop"))
    return {"activity": activity(events_30d), "device": device, "country": country}


def activity(events_30d: Floats) -> NDArray[np.str_]:
    """`new`, `light` or `heavy` (N,): by how much people did in 30 days."""
    return np.select([events_30d < 3, events_30d < 30], ["new", "light"], "heavy")
