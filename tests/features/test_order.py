"""Rows in order: as a sort by all columns has it, whatever ties and however the rows came."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.order import numbered, ordered

SMALL = st.integers(-2, 2)
ROWS = st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=40)


@given(ROWS)
def test_rows_are_in_the_order_of_all_columns(rows: list[tuple[int, int, int]]) -> None:
    """The same as a sort by every column; of equal rows the one that came first."""
    first, second, third = np.array(rows, np.int64).reshape(-1, 3).T

    def rest(some: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.lexsort((third[some], second[some], first[some]))

    assert ordered(first, second, rest).tolist() == np.lexsort((third, second, first)).tolist()


@given(st.lists(st.integers(-3, 3) | st.sampled_from([-(1 << 63), (1 << 63) - 1]), max_size=20), st.booleans())
def test_values_are_numbered_as_they_sort(values: list[int], in_order: bool) -> None:
    """Sorted or not."""
    given = np.array(sorted(values) if in_order else values, np.int64)
    for found, expected in zip(numbered(given), np.unique(given, return_inverse=True), strict=True):
        assert found.tolist() == expected.tolist()
