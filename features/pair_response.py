"""How people respond to a category: engaged per shown, smoothed with everybody's rate, which only all shards know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from expectations.schemas import TIMESTAMP
from features.history import DAY
from features.pair_measures import Response
from features.pair_program import bits_of
from features.pair_spec import RESPONSE, PairSpec
from features.rows import encoded, micros

Ints = NDArray[np.int64]


def response_totals(
    shard: pa.Table, nights: Sequence[datetime], spec: PairSpec, response: Response = RESPONSE
) -> pa.Table:
    """How often the shard's people engaged with, and were shown, content that has a category, in the last `days`.

    Args:
        shard: As for `features.pair_kernel.pair_kernel`.
        nights: Instants (time zone aware), in any order.
        spec: Where the contents' categories are.
        response: What is to be smoothed.

    Returns:
        `night`, `engaged` and `shown` (int64), sorted by night. Those of several shards add up.

    Raises:
        ValueError: The shard lacks a column.
    """
    rows = encoded(shard, spec.vocabulary.codes)
    wanted = np.unique(np.array([micros(night) for night in nights], np.int64))
    categorised = np.append(spec.vocabulary.arrays.category, -1)[rows.content] >= 0
    counts = {}
    for name, of in (("engaged", "engaged"), ("shown", "impression")):
        chosen = categorised & (rows.mask & bits_of(of) != 0)
        until = np.minimum(rows.until[chosen], rows.ts[chosen] + response.days * DAY)
        counts[name] = pa.array(_per_night(rows.known[chosen], until, wanted))
    return pa.table({"night": pa.array(wanted).cast(TIMESTAMP), **counts})


def responses(found: pa.Table, totals: pa.Table, response: Response = RESPONSE) -> pa.Array:
    """The response of each request, with everybody's rate at the latest night that is not after its instant.

    Args:
        found: What the pair kernel answered: `as_of`, and how often the person engaged and was shown (`category_*`).
        totals: `response_totals` of all shards, one after the other.
        response: What is smoothed.

    Returns:
        float64, in the order of the requests: (engaged + prior x rate) / (shown + prior). Missing (NaN) for content in
        no category, and where nobody was shown anything by then.
    """
    nights, at = np.unique(_ints(totals, "night"), return_inverse=True)
    engaged, shown = (np.bincount(at, _ints(totals, name), len(nights)) for name in ("engaged", "shown"))
    rate = np.append(np.divide(engaged, shown, out=np.full(len(nights), np.nan), where=shown > 0), np.nan)
    mine = rate[np.searchsorted(nights, _ints(found, "as_of"), side="right") - 1]  # before the first night: the NaN
    done, seen = (
        np.asarray(found[f"category_{name}_{response.days}d"].combine_chunks()) for name in ("engaged", "shown")
    )
    return pa.array((done + response.prior * mine) / (seen + response.prior))


def _per_night(known: Ints, until: Ints, nights: Ints) -> Ints:
    """How many rows count on each night (sorted): those known before it, until it or later."""
    first = np.searchsorted(nights, known, side="right")
    after = np.maximum(first, np.searchsorted(nights, until, side="right"))
    size = len(nights) + 1
    counts: Ints = np.cumsum(np.bincount(first, minlength=size) - np.bincount(after, minlength=size))[:-1]
    return counts


def _ints(table: pa.Table, name: str) -> Ints:
    return np.asarray(table[name].cast(pa.int64()).combine_chunks())
