"""Rankings that are the same for everybody, by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models import popularity
from models.engagement import HOUR, Engagement, Shared
from tests.models.readings import all_scores, assert_same, engagement, engagements, fading, grid, last, readers


@given(engagements())
def test_most_popular_counts_people(one: Engagement) -> None:
    """Who comes ten times is one reader."""
    assert_same(all_scores(one, popularity.most_popular(one)), grid(one, lambda _, i: readers(one, i)))


@given(engagements(), st.sampled_from([3.0, 24.0, 336.0]))
def test_trending_lets_each_reader_fade(one: Engagement, hours: float) -> None:
    """One weight a reader, that of the last time."""

    def by_hand(_: int, content: int) -> float:
        return sum(fading(one, ts, hours * HOUR) for (_, i), ts in last(one).items() if i == content)

    assert_same(all_scores(one, popularity.trending(one, hours)), grid(one, by_hand))


@given(engagements(), st.sampled_from([1.0, 2.2]), st.sampled_from([2.0, 12.0]))
def test_gravity_divides_readers_by_age(one: Engagement, power: float, offset: float) -> None:
    """What is not born yet is as if born now, never a negative number to a power."""

    def by_hand(_: int, content: int) -> float:
        return float(readers(one, content) / (max((one.as_of - one.born[content]) / HOUR, 0) + offset) ** power)

    assert_same(all_scores(one, popularity.gravity(one, power, offset)), grid(one, by_hand))


def test_newest_falls_with_age_from_one() -> None:
    """An hour (six steps) halves it, and what is yet to come is as new as what came now."""
    one = engagement([(0, 0, 3)], 1, 4, [6, 0, 18, -60])
    assert all_scores(one, popularity.newest(one)).tolist() == [[0.5, 1.0, 0.25, 1.0]]


def test_shared_scores_are_one_row_for_all() -> None:
    """However many people ask, one row of the contents they ask for, in their order."""
    found = Shared(np.array([1.0, 2, 3])).scores(np.arange(5), np.array([2, 0]))
    assert found.tolist() == [[3.0, 1.0]]
