"""Lists: made of scores, and what they were worth, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from models.listing import K, character, measures, of_pairs, segments, top, worth
from models.metrics import ndcg_by_group
from models.neighbours import cosines
from tests.models.readings import cosine, engagement

NAN, NEVER = math.nan, -math.inf
SCORES = st.sampled_from([NAN, NEVER, -1.0, 0.0, 0.5, 0.5, 1.0, 2.0])


@st.composite
def asked(draw: st.DrawFn, *, shared: bool) -> tuple[Any, Any, list[int], int]:
    """Scores of some lists, or one row for all; what each may hold; the contents' own numbers; how long lists are."""
    lists, width = draw(st.integers(0, 4)), draw(st.integers(0, 7))

    def grid(cell: st.SearchStrategy[Any], n: int) -> Any:
        row = st.lists(cell, min_size=width, max_size=width)
        return np.array(draw(st.lists(row, min_size=n, max_size=n))).reshape(n, width)

    scores, allowed = grid(SCORES, 1 if shared else lists).astype(np.float32), grid(st.booleans(), lists).astype(bool)
    content = sorted(draw(st.sets(st.integers(0, 50), min_size=width, max_size=width)))
    return scores, allowed, content, draw(st.integers(1, 9))


@pytest.mark.parametrize("shared", [False, True])
def test_the_best_are_listed_as_by_sorting(*, shared: bool) -> None:
    """Highest first, ties to the smaller index, nothing that has no score or is not allowed, -1 to fill the rest."""

    @given(asked(shared=shared))
    def holds(drawn: tuple[Any, Any, list[int], int]) -> None:
        scores, allowed, content, k = drawn
        found = top(scores, allowed, np.array(content, np.int64), k)
        assert found.shape == (len(allowed), k)
        for row, may in enumerate(allowed):
            values = scores[0 if shared else row]
            usable = [c for c in range(len(content)) if may[c] and not math.isnan(values[c]) and values[c] > NEVER]
            usable.sort(key=lambda c, values=values: (-values[c], content[c]))  # type: ignore[misc]
            best = [content[c] for c in usable[:k]]
            assert found[row].tolist() == best + [-1] * (k - len(best))

    holds()


def test_lists_are_ten_long_unless_said() -> None:
    """Of twelve, the ten best: the last ones of equals go."""
    assert top(np.zeros((1, 12), np.float32), np.ones((1, 12), bool), np.arange(12)).tolist() == [list(range(K))]
    assert K == 10


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[list[list[int]], list[list[float]]]:
    """Lists of up to four of six contents, and what each list's person then made of all six."""
    n, k = draw(st.integers(0, 4)), draw(st.integers(1, 4))
    some = st.lists(st.integers(0, 5), unique=True, max_size=k).map(lambda row: row + [-1] * (k - len(row)))
    gains = st.lists(st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.0]), min_size=6, max_size=6)
    return draw(st.lists(some, min_size=n, max_size=n)), draw(st.lists(gains, min_size=n, max_size=n))


def arrays(lists: list[list[int]], gains: list[list[float]]) -> tuple[Any, Any]:
    """As `measures` takes them."""
    return np.array(lists, np.int64).reshape(len(lists), -1), sparse.csr_matrix(np.array(gains).reshape(-1, 6))


@given(outcomes())
def test_measures_by_hand(drawn: tuple[list[list[int]], list[list[float]]]) -> None:
    """List by list: discounted gains over the best possible, share found, place of the first hit, any hit at all."""
    lists, gains = drawn
    if not lists:
        return
    found = measures(*arrays(lists, gains))
    for row, (shown, wanted) in enumerate(zip(lists, gains, strict=True)):
        got = [wanted[c] if c >= 0 else 0.0 for c in shown]
        best = sorted(wanted, reverse=True)[: len(shown)]
        hits, relevant = [place for place, gain in enumerate(got, 1) if gain], sum(gain > 0 for gain in wanted)

        def discounted(values: list[float]) -> float:
            return sum(value / math.log2(place + 1) for place, value in enumerate(values, 1))

        expected = {
            "ndcg_10": discounted(got) / discounted(best) if relevant else NAN,
            "recall_10": len(hits) / relevant if relevant else NAN,
            "mrr_10": 1 / hits[0] if hits else 0.0,
            "hit_rate_10": float(bool(hits)),
        }
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected, nan_ok=True)
        assert worth(*arrays(lists, gains))[row].tolist() == got


def test_no_lists_have_no_measures() -> None:
    """Nobody was graded: empty columns rather than an error."""
    found = measures(np.empty((0, K), np.int64), sparse.csr_matrix((0, 6)))
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(found, 0)


def test_ndcg_is_the_one_that_models_are_tuned_by() -> None:
    """The same as `models.metrics` says of the same list, so that both can be compared."""
    lists, gains = [[4, 0, 5, 2]], [[0.0, 1.0, 0.5, 0.0, 0.25, 0.0]]
    score = np.array([-lists[0].index(c) if c in lists[0] else NEVER for c in range(6)], float)
    expected = ndcg_by_group(np.zeros(6, int), score, np.array(gains[0]), 4)
    assert measures(*arrays(lists, gains))["ndcg_10"] == pytest.approx(expected)


@st.composite
def shelves(draw: st.DrawFn) -> tuple[list[list[int]], list[tuple[int, int, int]], list[bool]]:
    """Lists of two to four of six contents, some of them shorter than there is room; readings; and what is fresh."""
    some = st.lists(st.integers(0, 5), unique=True, min_size=2, max_size=4).map(lambda row: row + [-1] * (4 - len(row)))
    rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.just(1)), max_size=20)
    fresh = st.lists(st.booleans(), min_size=6, max_size=6)
    return draw(st.lists(some, min_size=1, max_size=4)), draw(rows), draw(fresh)


@given(shelves())
def test_character_by_hand(drawn: tuple[list[list[int]], list[tuple[int, int, int]], list[bool]]) -> None:
    """Surprise, likeness of every two, share of the fresh, list by list; and how much of all is shown to anybody."""
    lists, rows, fresh = drawn
    one = engagement(rows, 5, 6)
    found = character(np.array(lists), np.arange(6), one.readers, np.array(fresh), cosines(one))
    read: list[dict[int, float]] = [{u: 1.0 for u, j, _ in rows if j == i} for i in range(6)]
    total = sum(len(by) for by in read)
    shown = {c for row in lists for c in row if c >= 0}
    for at, row in enumerate(lists):
        there = [c for c in row if c >= 0]
        two = [(a, b) for n, a in enumerate(there) for b in there[n + 1 :]]
        expected = {
            "novelty": sum(-math.log2((len(read[c]) + 1) / (total + 6)) for c in there) / len(there),
            "new_share": sum(fresh[c] for c in there) / len(there),
            "diversity": 1 - sum(cosine(read[a], read[b]) for a, b in two) / len(two),
            "coverage": len(shown) / 6,
        }
        assert {name: values[at] for name, values in found.items()} == pytest.approx(expected)


def test_an_empty_list_has_a_character_too() -> None:
    """Where nothing could be listed, every value is a number, and the list covers nothing."""
    one = engagement([(0, 0, 1)], 1, 2)
    found = character(np.full((1, 3), -1), np.arange(2), one.readers, np.ones(2, bool), cosines(one))
    assert (found["novelty"][0], found["new_share"][0], found["coverage"][0]) == (0, 0, 0)


def test_segments_have_their_bounds() -> None:
    """Three events make a light reader, thirty a heavy one; more than half on a phone is mobile."""
    countries = np.array(["DE", "AT", "CH", "unknown"], object)
    found = segments(np.array([2.0, 3, 29, 30]), np.array([NAN, 0.5, 0.51, 0.0]), countries)
    assert found["activity"].tolist() == ["new", "light", "light", "heavy"]
    assert found["device"].tolist() == ["unknown", "desktop", "mobile", "desktop"]
    assert found["country"].tolist() == countries.tolist()


@given(
    st.sets(st.integers(0, 9), max_size=4),
    st.dictionaries(st.tuples(st.integers(0, 9), st.integers(1, 14)), st.integers(0, 30), max_size=30),
)
def test_lists_are_put_together_from_pairs(people: set[int], listed: dict[tuple[int, int], int]) -> None:
    """Each at its place, nobody else's, nothing beyond the tenth; where nothing stands, nothing is made up."""
    owners = sorted(people)
    person, place = (np.array([key[at] for key in listed], np.int64) for at in (0, 1))
    found = of_pairs(np.array(owners, np.int64), person, np.array([*listed.values()], np.int64), place)
    assert found.tolist() == [[listed.get((owner, at), -1) for at in range(1, 11)] for owner in owners]
