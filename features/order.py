"""The order of rows by two columns and, of the few that tie in both, by all else; groups of rows, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = NDArray[np.int64]


def ordered(first: Array, second: Array, rest: Callable[[Ints], Ints]) -> Ints:
    """The order of n rows by `first`, then `second`, then whatever `rest` goes by.

    Rows come nearly sorted, day after day, and next to none tie: so little is sorted by more than one column.

    Args:
        first, second: (n,) of a type in which all can be compared.
        rest: Is given some rows, and says in which order they are by everything, `first` and `second` at the head.
    """
    order = _by_both(first, second)
    first, second = first[order], second[order]
    same = np.zeros(len(order) + 1, bool)  # whether a row is as the one before; none is before the first or the end
    same[1:-1] = (first[1:] == first[:-1]) & (second[1:] == second[:-1])
    tied = np.flatnonzero(same[1:] | same[:-1])
    rows = order[tied]
    order[tied] = rows[rest(rows)]
    return order


def _by_both(first: Array, second: Array) -> Ints:
    """Rows that tie stay in the order in which they came."""
    order = np.argsort(first, kind="stable")
    first, second = first[order], second[order]
    begins = np.ones(len(order), bool)
    begins[1:] = first[1:] != first[:-1]
    late = np.flatnonzero((second[1:] < second[:-1]) & ~begins[1:]) + 1
    if len(late):
        group = np.cumsum(begins) - 1
        unsorted = np.zeros(group[-1] + 1, bool)
        unsorted[group[late]] = True
        rows = np.flatnonzero(unsorted[group])
        order[rows] = order[rows][np.lexsort((second[rows], group[rows]))]
    return order


def numbered(values: Ints) -> tuple[Ints, Ints]:
    """The different values, ascending, and the place of each value among them (n,): of sorted ones without a search."""
    if (values[1:] < values[:-1]).any():
        different, place = np.unique(values, return_inverse=True)
        return different, place
    begins = np.ones(len(values), bool)
    begins[1:] = values[1:] != values[:-1]
    return values[begins], np.cumsum(begins) - 1


def starts(values: Ints) -> Ints:
    """Where each run of equal values begins, and how many values there are: runs + 1."""
    begins = np.r_[True, values[1:] != values[:-1]][: len(values)]
    return np.append(np.flatnonzero(begins), len(values))


def pieces(sizes: Ints, most: int) -> Iterator[tuple[int, int]]:
    """Groups from one to another, a piece at a time: together of at most that size, or one group; none is cut."""
    end = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = end[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(end, before + most, side="right")))
        yield start, stop
        start = stop
