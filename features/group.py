"""A shard's rows in the order of people and time, by counting: people are few, and rows come day after day, so there is
next to nothing to sort.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.jit import compiled, inlined
from features.merge_sort import sort_part

Ints = NDArray[np.int64]

_GOLDEN = 0x9E3779B97F4A7C15
"""2^64 / the golden ratio: ids that are near each other lie far apart (Knuth, The Art of Computer Programming, 6.4)."""


def by_person_and_time(person: Ints, ts: Ints) -> tuple[Ints, Ints, Ints]:
    """The people (sorted), where the rows of each begin (and how many there are), and the order of the rows.

    Args:
        person, ts: (n,). Rows that tie in both stay as they came.
    """
    met, counts = np.empty(len(person), np.int64), np.empty(len(person), np.int64)
    number = np.empty(len(person), np.int32)
    bits = len(person).bit_length() + 1  # twice as many slots as there could be people
    many = _number(person, np.full(1 << bits, -1, np.int32), 64 - bits, met, counts, number)
    rank = np.argsort(met[:many])
    begins = np.append(0, np.cumsum(counts[rank]))
    to, order = np.empty(many, np.int64), np.empty_like(met)
    to[rank] = begins[:-1]
    unsorted = np.zeros(many, np.bool_)
    _place(number, ts, to, np.full(many, np.iinfo(np.int64).min), order, unsorted)
    if unsorted.any():
        _by_time(order, begins, np.flatnonzero(unsorted[rank]), ts, np.empty_like(order))
    return met[rank], begins, order


@compiled
def _number(person, slots, shift, met, counts, number):
    """Number people as they are met: who they are, how many rows each has, and the number of each row's.

    `slots` is a hash table of numbers, -1 where there is none. Returns how many people there are.
    """
    many, last = 0, np.uint64(len(slots) - 1)
    for i in range(len(person)):
        at = np.uint64(person[i]) * np.uint64(_GOLDEN) >> np.uint64(shift)
        while slots[at] >= 0 and met[slots[at]] != person[i]:
            at = at + np.uint64(1) & last
        if slots[at] < 0:
            slots[at], met[many], counts[many] = many, person[i], 0
            many += 1
        number[i] = slots[at]
        counts[number[i]] += 1
    return many


@compiled
def _place(number, ts, to, latest, order, unsorted):
    """Put each row where the next of its person goes, and mark whose come in another order than that of time."""
    for i in range(len(number)):
        who = number[i]
        order[to[who]] = i
        to[who] += 1
        unsorted[who] |= ts[i] < latest[who]
        latest[who] = ts[i]


@compiled
def _by_time(order, begins, people, ts, spare):
    """Sort the parts of `order` that are of some people by `ts`; `spare` is as long."""
    for one in people:
        sort_part(order, begins[one], begins[one + 1], spare, _is_later, ts)


@inlined
def _is_later(ts, a, b):
    return ts[a] > ts[b]
