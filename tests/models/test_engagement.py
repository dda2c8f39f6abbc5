"""Engagement as integers, and scores that are put together of parts."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from models import candidates
from models.contenders import CONTENDERS
from models.engagement import HOUR, Blend, Engagement, Linear, Ratio, Shared, standardised
from models.neighbours import user_knn
from models.popularity import gravity
from tests.models.readings import (
    AS_OF,
    assert_same,
    engagement,
    engagements,
    fading,
    last,
    rarity,
    readers,
    sessions,
)


@given(engagements())
def test_pairs_are_each_persons_contents_once(one: Engagement) -> None:
    """Sorted by person and content, with the last time."""
    expected = [(u, i, latest) for (u, i), latest in sorted(last(one).items())]
    pairs = one.pairs
    found = [getattr(pairs, name).tolist() for name in ("person", "content", "last")]
    assert list(zip(*found, strict=True)) == expected


@given(engagements())
def test_sessions_end_with_the_person_and_with_half_an_hour_of_silence(one: Engagement) -> None:
    """Rows are numbered session by session, as going through them one by one."""
    expected = [number for number, rows in enumerate(sessions(one)) for _ in rows]
    assert one.session.tolist() == expected


def test_half_an_hour_is_still_the_same_session() -> None:
    """Three steps of ten minutes are no break, four are; the next person begins one."""
    assert engagement([(0, 0, 10), (0, 1, 7), (0, 2, 3), (1, 0, 3)], 2, 3).session.tolist() == [0, 0, 1, 2]


@given(engagements())
def test_readers_are_people_and_rarity_falls_with_them(one: Engagement) -> None:
    """Who comes back is counted once; what nobody read counts as what one person read."""
    assert one.readers.tolist() == [readers(one, i) for i in range(one.contents)]
    assert one.rarity == pytest.approx([rarity(one, i) for i in range(one.contents)])


@given(engagements(), st.sampled_from([1.0, 6.0, 100.0]))
def test_fading_halves_with_every_half_life(one: Engagement, hours: float) -> None:
    """2^(-age / half-life); a matrix of pairs holds each where its person and content meet."""
    weights = one.fading(one.pairs.last, hours * HOUR)
    matrix = one.by_pair(weights).toarray()
    expected = np.zeros((one.people, one.contents))
    for (u, i), ts in last(one).items():
        expected[u, i] = fading(one, ts, hours * HOUR)
    np.testing.assert_allclose(matrix, expected)
    assert engagement([], 0, 1).fading(np.array([AS_OF - int(hours * HOUR)]), hours * HOUR).tolist() == [0.5]


def test_age_is_in_hours_and_negative_before_birth() -> None:
    """Twelve steps of ten minutes are two hours."""
    assert engagement([], 0, 2, [12, -6]).age_hours.tolist() == [2.0, -1.0]


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Engagement, list[int], list[int]]:
    """An engagement, some of its people and some of its contents, in any order."""
    one = draw(engagements())
    rows, content = draw(st.permutations(range(one.people))), draw(st.permutations(range(one.contents)))
    return one, rows[: draw(st.integers(0, one.people))], content[: draw(st.integers(0, one.contents))]


@given(cuts())
def test_scores_of_some_are_cut_out_of_everybodys(cut: tuple[Engagement, list[int], list[int]]) -> None:
    """Whatever ranks, a block of people and contents is that part of the whole, whatever order they are asked in."""
    one, rows, content = cut
    rivals = {rival.name: rival.scores(one, next(rival.settings())) for rival in CONTENDERS}
    for scores in {**rivals, **candidates.personal(one, one)}.values():
        whole = scores.scores(np.arange(one.people), np.arange(one.contents))
        part = scores.scores(np.array(rows, np.int64), np.array(content, np.int64))
        assert_same(part, whole[:, content] if isinstance(scores, Shared) else whole[np.ix_(rows, content)])
        assert np.isfinite(whole).all()


@given(engagements())
def test_what_ranks_writes_nothing_into_the_engagement(one: Engagement) -> None:
    """Every array that is read is the same afterwards: one engagement serves all, so each would see the change."""
    arrays = [getattr(one.pairs, name) for name in ("person", "content", "last")]
    for values in (*arrays, one.session, one.readers, one.rarity, one.baskets.data):
        values.flags.writeable = False
    for rival in CONTENDERS:
        rival.scores(one, next(rival.settings()))
    assert candidates.personal(one, one)


def test_what_is_subtracted_is_ones_own() -> None:
    """A product of two, less what a person says about herself."""
    own = sparse.csr_matrix([[1.0, 2.0], [3.0, 4.0]])
    linear = Linear(own, np.array([[5.0, 6.0], [7.0, 8.0]]), own)
    assert linear.scores(np.array([1]), np.array([0, 1])).tolist() == [[40.0, 46.0]]
    assert linear.scores(np.array([1, 0]), np.array([1])).tolist() == [[46.0], [20.0]]


def test_a_ratio_has_its_prior_below() -> None:
    """Three of one is three over two; nothing of nothing is nothing."""
    over, under = Linear(np.eye(2), np.array([[3.0, 1.0], [0.0, 0.0]])), Linear(np.eye(2), np.array([[1.0, 3], [0, 0]]))
    ratio = Ratio(over, under)
    assert ratio.scores(np.arange(2), np.arange(2)).tolist() == [[1.5, 0.25], [0.0, 0.0]]


VALUES = st.floats(-1000, 1000, width=32).map(lambda value: round(value, 2))


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_standard_scores_by_hand(rows: list[list[float]]) -> None:
    """By the mean and the deviation of each row alone; where all are equal, zero rather than a division by it."""
    given_rows = np.array(rows, np.float32)
    found = standardised(given_rows)
    for values, row in zip(given_rows.astype(float).tolist(), found, strict=True):
        middle, deviation = statistics.fmean(values), statistics.pstdev(values)
        assert_same(row, [(value - middle) / deviation if len(set(values)) > 1 else 0.0 for value in values])
    np.testing.assert_array_equal(given_rows, np.array(rows, np.float32))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_standard_scores_of_nothing_are_nothing(shape: tuple[int, int]) -> None:
    """A list without contents, or no lists at all, is no division by zero."""
    assert standardised(np.ones(shape, np.float32)).shape == shape


@given(engagements(least=3), st.sampled_from([0.0, 0.2, 1.0]), st.data())
def test_a_blend_weighs_standard_scores_of_the_list(one: Engagement, share: float, data: st.DataObject) -> None:
    """Over the contents that are asked for, not over all there are; a score for all joins one for each."""
    content = np.array(sorted(data.draw(st.sets(st.integers(0, one.contents - 1), min_size=1))))
    rows, votes, pull = np.arange(one.people), user_knn(one, 6), gravity(one, 1.5, 2)
    found = Blend(((1 - share, pull), (share, votes))).scores(rows, content)
    for person, row in enumerate(found):
        parts = [scores.scores(np.array([person]), content).astype(float)[0].tolist() for scores in (pull, votes)]
        expected = np.zeros(len(content))
        for weight, values in zip((1 - share, share), parts, strict=True):
            middle, deviation = statistics.fmean(values), statistics.pstdev(values)
            if deviation > 1e-12:
                expected += [weight * (value - middle) / deviation for value in values]
        np.testing.assert_allclose(row, expected, atol=1e-4)
