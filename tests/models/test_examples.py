"""Rows worth telling are what their titles say."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models import examples

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=60)
"""List, relevance with ties, and what came of it."""


@given(ROWS)
def test_places_and_kinds(rows: list[tuple[int, int, bool]]) -> None:
    """Each list's places count from 1 by relevance; high rows are among the first three, overlooked ones after ten."""
    group, relevance, y = (np.array([row[i] for row in rows], float) for i in range(3))
    place = examples.places(group, relevance)
    for number in set(group.tolist()):
        mine = np.flatnonzero(group == number)
        assert sorted(place[mine].tolist()) == list(range(1, len(mine) + 1))
        by_place = relevance[mine][np.argsort(place[mine])]
        assert (np.diff(by_place) <= 0).all()
    hit, miss, overlooked = examples.kinds(place, y, relevance / 10, listed=10)
    assert set(hit.rows.tolist()) == set(np.flatnonzero((place <= 3) & (y > 0)).tolist())
    assert set(miss.rows.tolist()) == set(np.flatnonzero((place <= 3) & (y == 0)).tolist())
    assert set(overlooked.rows.tolist()) == set(np.flatnonzero((place > 10) & (y > 0)).tolist())
    for kind in (hit, miss):
        assert (np.diff(relevance[kind.rows]) <= 0).all()
    assert (np.diff(place[overlooked.rows]) <= 0).all()
