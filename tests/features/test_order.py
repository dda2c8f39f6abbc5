"""Rows in order: as a sort by all columns has it, whatever ties and however the rows came."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.group import by_person_and_time
from features.order import numbered, ordered, pieces, starts

SMALL = st.integers(-2, 2)
ROWS = st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=40)


@given(ROWS)
def test_rows_are_in_the_order_of_all_columns(rows: list[tuple[int, int, int]]) -> None:
    """The same as a sort by every column; of equal rows the one that came first."""
    first, second, third = np.array(rows, np.int64).reshape(-1, 3).T

    def rest(some: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.lexsort((third[some], second[some], first[some]))

    assert ordered(first, second, rest).tolist() == np.lexsort((third, second, first)).tolist()


FAR = st.sampled_from([-(1 << 63), -1, 0, 1, 1 << 32, (1 << 63) - 1])


@given(st.lists(st.tuples(FAR | st.integers(-(1 << 63), (1 << 63) - 1), SMALL | FAR), max_size=40), st.booleans())
def test_rows_are_counted_into_the_order_of_people_and_time(rows: list[tuple[int, int]], in_order: bool) -> None:
    """The same as a stable sort by both, whatever the ids; people begin where the one before ends."""
    person, ts = np.array(sorted(rows) if in_order else rows, np.int64).reshape(-1, 2).T.copy()
    people, begins, order = by_person_and_time(person, ts)
    assert order.tolist() == np.lexsort((ts, person)).tolist()
    assert people.tolist() == sorted({one for one, _ in rows})
    assert begins.tolist() == [*np.searchsorted(np.sort(person), people), len(rows)]


@given(st.lists(st.integers(-3, 3) | st.sampled_from([-(1 << 63), (1 << 63) - 1]), max_size=20), st.booleans())
def test_values_are_numbered_as_they_sort(values: list[int], in_order: bool) -> None:
    """Sorted or not."""
    given = np.array(sorted(values) if in_order else values, np.int64)
    for found, expected in zip(numbered(given), np.unique(given, return_inverse=True), strict=True):
        assert found.tolist() == expected.tolist()


@given(st.lists(st.integers(-2, 2), max_size=20))
def test_runs_begin_where_a_value_differs_from_the_one_before(values: list[int]) -> None:
    """Each begins where the last ended, none is empty, and all values of a run are the same one."""
    found = starts(np.array(values, np.int64)).tolist()
    assert (found[0], found[-1]) == (0, len(values))
    runs = [values[first:last] for first, last in pairwise(found)]
    assert [value for run in runs for value in run] == values
    assert all(run and len(set(run)) == 1 for run in runs)
    assert all(one[0] != other[0] for one, other in pairwise(runs))


@given(st.lists(st.integers(0, 6), max_size=20), st.integers(1, 10))
def test_groups_come_in_pieces_as_large_as_may_be(sizes: list[int], most: int) -> None:
    """Every group once and in order; only a group alone is too large, and the next one would not have fitted."""
    found = list(pieces(np.array(sizes, np.int64), most))
    assert [group for first, last in found for group in range(first, last)] == list(range(len(sizes)))
    for first, last in found:
        assert last - first == 1 or sum(sizes[first:last]) <= most
        assert last == len(sizes) or sum(sizes[first : last + 1]) > most
