"""Neighbourhoods against the sums that they stand for, person by person and content by content."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import neighbours
from models.engagement import DAY, HOUR, Engagement
from models.neighbours import REACH
from tests.models.readings import (
    all_scores,
    assert_same,
    cosine,
    dot,
    engagement,
    engagements,
    events,
    fading,
    grid,
    last,
    rarity,
    readers,
    sessions,
)

Vector = dict[int, float]
FORGOTTEN = 2.0**-14


def of_each(one: Engagement, weight: Callable[[int, int], float]) -> list[Vector]:
    """A vector a person: `weight(content, last)` of each of her contents."""
    found: list[Vector] = [{} for _ in range(one.people)]
    for (person, content), ts in last(one).items():
        found[person][content] = weight(content, ts)
    return found


def votes(one: Engagement, hours: float) -> list[Vector]:
    """A vector a person: her readings, fading; none that is older than 14 half-lives."""
    found = of_each(one, lambda _, ts: fading(one, ts, hours * HOUR))
    return [{i: value for i, value in row.items() if value >= FORGOTTEN} for row in found]


def baskets(one: Engagement) -> list[Vector]:
    """A vector a person: her readings by their rarity."""
    return of_each(one, lambda i, _: rarity(one, i))


@given(engagements(), st.sampled_from([6.0, 72.0]))
def test_user_knn_sums_the_votes_of_the_others_by_likeness(one: Engagement, hours: float) -> None:
    """Cosine of rarity-weighted readings times the vote, over everybody but herself."""
    like, vote = baskets(one), votes(one, hours)

    def by_hand(u: int, i: int) -> float:
        return sum(cosine(like[u], like[v]) * vote[v].get(i, 0.0) for v in range(one.people) if v != u)

    assert_same(all_scores(one, neighbours.user_knn(one, hours)), grid(one, by_hand))


def test_likeness_is_of_ever_but_votes_are_of_late() -> None:
    """Of two people with the same taste, what one read six weeks ago is told to nobody; what she read today is."""
    one = engagement([(0, 0, 6_000), (1, 0, 6_000), (1, 1, 5_999), (1, 2, 1)], 2, 3)
    found = all_scores(one, neighbours.user_knn(one, 6))
    assert found[0, 1] == 0
    assert found[0, 2] > 0.3


@given(engagements())
def test_reach_is_who_read_it_over_who_could_have(one: Engagement) -> None:
    """By likeness, the others above; below all who did anything at or after its birth, herself and 1 among them."""
    like, read = baskets(one), last(one)
    latest = {u: max(ts for v, _, ts in events(one) if v == u) for u in {u for u, _, _ in events(one)}}

    def by_hand(u: int, i: int) -> float:
        over = sum(cosine(like[u], like[v]) for v in range(one.people) if v != u and (v, i) in read)
        under = sum(cosine(like[u], like[v]) for v, ts in latest.items() if ts >= one.born[i])
        return over / (under + 1)

    assert_same(all_scores(one, neighbours.neighbours_reach(one)), grid(one, by_hand))


def test_who_was_last_there_when_it_was_born_could_have_read_it() -> None:
    """At its birth counts; a step before does not: of two who are alike, one could have read it, or none."""
    for born, under in ((5, 2.0), (4, 1.0)):
        one = engagement([(0, 0, 1), (1, 0, 5), (2, 1, 9)], 3, 2, [100, born])
        below = neighbours.neighbours_reach(one).under.scores(np.array([0]), np.array([1]))
        assert below == pytest.approx(under)


@given(engagements(), st.sampled_from([6.0, 24.0]))
def test_session_knn_compares_sessions_to_the_last_one(one: Engagement, hours: float) -> None:
    """Steps ago halve every three in the last session; all sessions vote by their likeness and their age."""
    whole = sessions(one)

    def summed(rows: list[tuple[int, float]]) -> Vector:
        found: Vector = {}
        for content, value in rows:
            found[content] = found.get(content, 0.0) + value
        return found

    like = [summed([(i, rarity(one, i)) for _, i, _ in rows]) for rows in whole]
    vote = [summed([(i, fading(one, ts, hours * HOUR)) for _, i, ts in rows]) for rows in whole]
    vote = [{i: value for i, value in row.items() if value >= FORGOTTEN} for row in vote]
    newest: dict[int, Vector] = {}
    for rows in whole:
        steps = [(i, 2.0 ** (-ago / 3)) for ago, (_, i, _) in enumerate(reversed(rows))]
        newest[rows[0][0]] = summed(steps)

    def by_hand(u: int, i: int) -> float:
        mine = newest.get(u, {})
        return sum(cosine(mine, like[s]) * vote[s].get(i, 0.0) for s in range(len(whole)))

    assert_same(all_scores(one, neighbours.session_knn(one, hours)), grid(one, by_hand))


@given(engagements(), st.sampled_from([12.0, 336.0]), st.sampled_from([0.0, 0.5, 1.0]))
def test_item_to_item_asks_the_readers_of_what_one_read(one: Engagement, hours: float, popular: float) -> None:
    """Fading profile times the votes of those who read both, scaled by readers and by votes; never from itself."""
    profile, vote = of_each(one, lambda _, ts: fading(one, ts, 30 * DAY)), votes(one, hours)
    cast = [sum(row.get(i, 0.0) for row in vote) for i in range(one.contents)]
    read = [{i for v, i in last(one) if v == u} for u in range(one.people)]

    def alike(i: int, j: int) -> float:
        both = sum(vote[v].get(j, 0.0) for v in range(one.people) if i in read[v])
        return both / math.sqrt(readers(one, i)) / cast[j] ** ((1 - popular) / 2) if both and i != j else 0.0

    def by_hand(u: int, j: int) -> float:
        return sum(weight * alike(i, j) for i, weight in profile[u].items())

    assert_same(all_scores(one, neighbours.item_to_item(one, 30, hours, popular)), grid(one, by_hand))


@given(engagements(), st.sampled_from([0.5, 30.0]))
def test_co_visits_count_steps_within_a_session(one: Engagement, memory_days: float) -> None:
    """1 / steps, fading with the later one's age, both ways, over the root of both contents' sums."""
    counts = np.zeros((one.contents, one.contents))
    for rows in sessions(one):
        for a, (_, i, _) in enumerate(rows):
            for b, (_, j, ts) in enumerate(rows[a + 1 :], a + 1):
                if b - a <= REACH and i != j:
                    counts[i, j] += fading(one, ts, memory_days * DAY) / (b - a)
                    counts[j, i] += fading(one, ts, memory_days * DAY) / (b - a)
    sums, profile = counts.sum(axis=0), of_each(one, lambda _, ts: fading(one, ts, 30 * DAY))

    def by_hand(u: int, j: int) -> float:
        met = ((weight, i) for i, weight in profile[u].items() if counts[i, j])
        return float(sum(weight * counts[i, j] / math.sqrt(sums[i] * sums[j]) for weight, i in met))

    assert_same(all_scores(one, neighbours.co_visits(one, 30, memory_days)), grid(one, by_hand))


def test_a_co_visit_is_as_old_as_its_later_half() -> None:
    """Half an hour and eighty minutes ago: that is what fades, not when the two sessions began."""
    one = engagement([(0, 0, 20), (1, 0, 6), (1, 1, 3), (2, 0, 9), (2, 2, 8)], 3, 3)
    found = all_scores(one, neighbours.co_visits(one, 1e9, 1 / 24))[0]
    assert found[1] / found[2] == pytest.approx(math.sqrt(2 ** (-3 / 6) / 2 ** (-8 / 6)))


def test_co_visits_reach_ten_steps_far() -> None:
    """In a session of twelve the first goes with the eleventh, and no longer with the last."""
    one = engagement([(0, 0, 20), *((1, i, 30 - i) for i in range(12))], 2, 12)
    found = all_scores(one, neighbours.co_visits(one, 30, 30))[0]
    assert found[1:11].all()
    assert (found[0], found[11]) == (0, 0)


@given(engagements())
def test_cosines_are_of_who_read_them(one: Engagement) -> None:
    """Shared readers over the root of both numbers of readers; nothing is like what nobody read."""
    read: list[Vector] = [{u: 1.0 for u, j in last(one) if j == i} for i in range(one.contents)]
    found = neighbours.cosines(one).toarray()
    assert found.shape == (one.contents, one.contents)
    for i in range(one.contents):
        assert dot(read[i], read[i]) == one.readers[i]
        np.testing.assert_allclose(found[i], [cosine(read[i], read[j]) for j in range(one.contents)], atol=1e-12)
