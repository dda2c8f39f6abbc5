"""What candidates are chosen by, against counting by hand over every pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.covisits import covisits
from features.history import DAY, History
from features.pairs import PairSpace
from tests.features.logs import CATEGORY, Row, history_of, logs

NAN = float("nan")


def by_pair(history: History, name: str) -> dict[tuple[int, str], float]:
    """What everybody's block says of every content."""
    block = PairSpace.of(history).block(slice(0, len(history.people)))
    values = {"affinity": block.affinity, "seen": block.seen, "covisit": lambda: block.covisit}[name]()
    ids = history.catalogue.ids.to_pylist()
    return {(p, c): float(values[i, j]) for i, p in enumerate(history.people.tolist()) for j, c in enumerate(ids)}


@settings(max_examples=60, deadline=None)
@given(logs(max_size=18))
def test_an_affinity_is_a_share_of_decayed_activity(rows: list[Row]) -> None:
    """With a half-life of 30 days and one unit of doubt; missing for content in no category."""
    for (person, content), found in by_pair(history_of(rows), "affinity").items():
        mine = [row for row in rows if row.person == person and row.active]
        weights = [row.strength * 2 ** (-row.age / DAY / 30) for row in mine]
        category = CATEGORY.get(content)
        there = sum(w for row, w in zip(mine, weights, strict=True) if CATEGORY.get(row.content) == category)
        expected = NAN if category is None else there / (sum(weights) + 1)
        assert found == pytest.approx(expected, nan_ok=True, rel=1e-5, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(logs(max_size=18))
def test_what_was_seen_is_counted_for_a_year(rows: list[Row]) -> None:
    """All that the person did with the content, but for being shown it."""
    for (person, content), found in by_pair(history_of(rows), "seen").items():
        mine = [row for row in rows if (row.person, row.content) == (person, content) and row.active]
        assert found == sum(row.age <= 365 * DAY for row in mine)


@settings(max_examples=60, deadline=None)
@given(logs(max_size=18))
def test_covisit_sums_recent_activity_times_cosine(rows: list[Row]) -> None:
    """What the person did lately, decayed with three days, times how alike those contents are to this one."""
    history = history_of(rows)
    alike, ids = covisits(history).toarray(), history.catalogue.ids.to_pylist()
    for (person, content), found in by_pair(history, "covisit").items():
        expected = sum(
            row.strength * 2 ** (-row.age / DAY / 3) * alike[ids.index(row.content), ids.index(content)]
            for row in rows
            if row.person == person and row.active
        )
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(logs())
def test_a_slice_of_people_is_the_same_as_all_of_them(rows: list[Row]) -> None:
    """People are opened a block at a time; which block they fall into changes nothing."""
    history = history_of(rows)
    space = PairSpace.of(history)
    whole = space.block(slice(0, len(history.people)))
    for at in range(len(history.people)):
        one = space.block(slice(at, at + 1))
        np.testing.assert_array_equal(one.seen()[0], whole.seen()[at])
        np.testing.assert_array_equal(one.covisit[0], whole.covisit[at])
        np.testing.assert_array_equal(one.affinity()[0], whole.affinity()[at])


@settings(max_examples=40, deadline=None)
@given(logs(), st.sets(st.integers(0, 6)))
def test_some_contents_are_the_same_as_among_all_of_them(rows: list[Row], some: set[int]) -> None:
    """A block of what can be listed says of it what a block of everything says; contents keep their own indices."""
    history = history_of(rows)
    space, every, chosen = PairSpace.of(history), slice(0, len(history.people)), np.array(sorted(some), np.int64)
    few, whole = space.block(every, chosen), space.block(every)
    np.testing.assert_array_equal(few.seen(), whole.seen()[:, chosen])
    np.testing.assert_array_equal(few.covisit, whole.covisit[:, chosen])
    np.testing.assert_array_equal(few.affinity(), whole.affinity()[:, chosen])
