"""The ordering of rows for `tests.features.test_purity`: what it is called with, and what it gives of a log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from features import group, order


def _columns(log: pa.Table) -> list[Any]:
    """Person, time and content of the rows; next to all tie with another one in the first two."""
    person, ts = (np.asarray(log[name].cast(pa.int64()).combine_chunks()) for name in ("person_id", "ts"))
    content = np.asarray(log["content_id"].combine_chunks().dictionary_encode().cast(pa.string()).to_numpy(False), str)
    return [person, ts // 10**11, content]


def arguments(log: pa.Table) -> dict[str, Any]:
    """By the names of their parameters."""
    columns = _columns(log)
    return {
        "person": columns[0],
        "ts": columns[1],
        "first": columns[0],
        "second": columns[1],
        "rest": lambda rows: np.lexsort([column[rows] for column in columns[::-1]]),
        "values": columns[0],
        "sizes": np.unique(columns[0], return_counts=True)[1],
        "most": 3,
    }


def _ordered(world: Any) -> list[Any]:
    """The rows themselves: their places are those in which they came."""
    given = arguments(world.log)
    found = order.ordered(given["first"], given["second"], given["rest"])
    return [column[found].tolist() for column in _columns(world.log)]


def _numbered(world: Any) -> list[Any]:
    """The same, with the place of each value beside it."""
    values = _columns(world.log)[0]
    different, place = order.numbered(values)
    return [different.tolist(), sorted(zip(values.tolist(), place.tolist(), strict=True))]


def _starts(world: Any) -> list[int]:
    """Of sorted values: of others the order is what is asked about."""
    found: list[int] = order.starts(np.sort(_columns(world.log)[0])).tolist()
    return found


def _pieces(world: Any) -> list[tuple[int, int]]:
    """The people of the log, by how many rows they have."""
    given = arguments(world.log)
    return list(order.pieces(given["sizes"], given["most"]))


def _by_person_and_time(world: Any) -> list[Any]:
    """The people, where theirs begin, and the rows themselves, so far as they are in an order."""
    person, ts, _ = _columns(world.log)
    people, begins, found = group.by_person_and_time(person, ts)
    return [people.tolist(), begins.tolist(), person[found].tolist(), ts[found].tolist()]


CASES: Mapping[str, Callable[[Any], Any]] = {
    "group.by_person_and_time": _by_person_and_time,
    "order.numbered": _numbered,
    "order.ordered": _ordered,
    "order.pieces": _pieces,
    "order.starts": _starts,
}
