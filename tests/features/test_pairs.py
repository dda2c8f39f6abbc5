"""What candidates are chosen by, against counting by hand over every pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.covisits import covisits
from features.history import DAY, History
from features.pairs import PairSpace
from tests.features.logs import CATEGORY, Row, history_of, logs

NAN = float("nan")


def by_pair(history: History, name: str) -> dict[tuple[int, str], float]:
    """What everybody's block says of every content."""
    block = PairSpace.of(history).block(np.arange(len(history.people)))
    values = {"affinity": block.affinity, "seen": block.seen, "covisit": lambda: block.covisit}[name]()
    ids = history.catalogue.ids.to_pylist()
    return {(p, c): float(values[i, j]) for i, p in enumerate(history.people.tolist()) for j, c in enumerate(ids)}


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


@given(logs(max_size=18))
def test_what_is_liked_is_the_largest_of_three_shares(rows: list[Row]) -> None:
    """Of the category, of the author, and of the tags, each tag of a content having an equal part of what was done."""
    history = history_of(rows)
    catalogue, space = history.catalogue, PairSpace.of(history)
    found = space.block(np.arange(len(history.people))).liked()
    tags = [set(catalogue.tag[catalogue.tag_content == content].tolist()) for content in range(catalogue.size)]
    weights = history.strength * history.decay(30)

    def alike(one: int, other: int) -> tuple[float, float, float]:
        same_category = catalogue.category[one] == catalogue.category[other] >= 0
        same_author = catalogue.author[one] == catalogue.author[other] >= 0
        shared = len(tags[one] & tags[other]) / max(len(tags[one]) * len(tags[other]), 1)
        return float(same_category), float(same_author), shared

    for person in range(len(history.people)):
        mine = np.flatnonzero((history.person == person) & history.active)
        total = weights[mine].sum() + 1
        for content in range(catalogue.size):
            shares = [
                sum(weights[at] * alike(content, history.content[at])[kind] for at in mine) / total for kind in range(3)
            ]
            assert found[person, content] == pytest.approx(max(shares), rel=1e-5, abs=1e-6)


@given(logs(max_size=18))
def test_what_was_seen_is_counted_for_a_year(rows: list[Row]) -> None:
    """All that the person did with the content, but for being shown it."""
    for (person, content), found in by_pair(history_of(rows), "seen").items():
        mine = [row for row in rows if (row.person, row.content) == (person, content) and row.active]
        assert found == sum(row.age <= 365 * DAY for row in mine)


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


@given(logs(max_size=18))
def test_what_a_person_did_since_a_content_was_published(rows: list[Row]) -> None:
    """Things done, days of doing, and how long after the last of them it was published."""
    history = history_of(rows)
    person, content = (index.ravel() for index in np.indices((len(history.people), history.catalogue.size)))
    found = PairSpace.of(history).visits.since(person, content)
    for p, c, values in zip(person, content, found, strict=True):
        born = int(history.catalogue.published[c])
        mine = [history.as_of - row.age for row in rows if row.person == history.people[p] and row.active]
        done = [ts for ts in mine if ts >= born]
        days = {ts // DAY for ts in mine if ts // DAY >= born // DAY}
        quiet = (born - max(mine)) / DAY if mine else NAN
        np.testing.assert_allclose(values, [len(done), len(days), quiet], rtol=1e-5, atol=1e-6)


@given(logs())
def test_a_slice_of_people_is_the_same_as_all_of_them(rows: list[Row]) -> None:
    """People are opened a block at a time; which block they fall into changes nothing."""
    history = history_of(rows)
    space = PairSpace.of(history)
    whole = space.block(np.arange(len(history.people)))
    for at in range(len(history.people)):
        one = space.block(np.array([at]))
        np.testing.assert_array_equal(one.seen()[0], whole.seen()[at])
        np.testing.assert_array_equal(one.covisit[0], whole.covisit[at])
        np.testing.assert_array_equal(one.affinity()[0], whole.affinity()[at])


@given(logs(), st.sets(st.integers(0, 6)))
def test_some_contents_are_the_same_as_among_all_of_them(rows: list[Row], some: set[int]) -> None:
    """A block of what can be listed says of it what a block of everything says; contents keep their own indices."""
    history = history_of(rows)
    space, every, chosen = PairSpace.of(history), np.arange(len(history.people)), np.array(sorted(some), np.int64)
    few, whole = space.block(every, chosen), space.block(every)
    np.testing.assert_array_equal(few.seen(), whole.seen()[:, chosen])
    np.testing.assert_array_equal(few.covisit, whole.covisit[:, chosen])
    np.testing.assert_array_equal(few.affinity(), whole.affinity()[:, chosen])
