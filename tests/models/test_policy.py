"""What a policy would have listed, asked about lists that it did not make: against the definition, list by list."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.exploration import mixed
from models.likeness import Likeness
from models.lottery import Lots
from models.policy import NOTHING, Policy
from models.rerank import Limits, top
from tests.examples import examples
from tests.models.universe import PLACES, READ, Law, List

CONTENTS = range(len(READ))
EVERY = [one for size in range(PLACES + 1) for one in itertools.permutations(CONTENTS, size)]
"""All lists of up to three contents."""

LAWS = st.builds(
    Law,
    relevance=st.dictionaries(st.sampled_from(CONTENTS), st.floats(0.01, 1.0), min_size=1),
    temperature=st.sampled_from([0.0, 0.3, 1.0, 4.0]),
    pins=st.dictionaries(st.integers(1, PLACES), st.sampled_from(CONTENTS), max_size=2).filter(
        lambda pins: len(set(pins.values())) == len(pins)
    ),
    most=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    spread=st.sampled_from([0.0, 0.5, 0.9]),
)


def padded(lists: list[List]) -> np.ndarray:
    """Lists as rows, with `NOTHING` where they have ended."""
    return np.array([[*one, *[NOTHING] * (PLACES - len(one))] for one in lists])


@settings(max_examples=examples(15))
@given(LAWS)
def test_it_says_of_any_list_what_the_definition_says(law: Law) -> None:
    """Of every list of up to three contents: probability, expectation, whether there would have been one more."""
    people, unseen = np.arange(len(EVERY)), np.arange(len(READ)) % 2 == 1
    found = law.policy(people).traced(people, padded(EVERY), unseen)
    for row, shown in enumerate(EVERY):
        chance = [*law.chance(shown), *[0.0] * (PLACES - len(shown))]
        np.testing.assert_allclose(found.target[row], chance, rtol=1e-9)
        for at in range(PLACES):
            if at > len(shown) or not all(chance[:at]):
                break  # below what it would not have shown nothing is said
            coming = law.next(shown[:at])
            assert found.open[row, at] == bool(coming)
            np.testing.assert_allclose(found.expected[row, at], sum(p * READ[one] for one, p in coming.items()))
            np.testing.assert_allclose(found.unshown[row, at], sum(p for one, p in coming.items() if unseen[one]))
            if chance[at]:
                assert found.shown[row, at] == READ[shown[at]]


@given(LAWS)
def test_the_guess_knows_nothing_of_the_list(law: Law) -> None:
    """It is the expectation below what is most likely, for everybody."""
    people = np.arange(len(EVERY))
    found = law.policy(people).traced(people, padded(EVERY), np.zeros(len(READ), bool))
    likeliest: List = ()
    for at in range(PLACES):
        coming = law.next(likeliest)
        expected = sum(p * READ[one] for one, p in coming.items())
        np.testing.assert_allclose(found.guess[:, at], expected)
        if coming:
            likeliest = (*likeliest, max(sorted(coming), key=lambda one: coming[one]))


@pytest.mark.parametrize("spread", [0.0, 0.6])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
def test_of_its_own_lists_it_says_what_was_published(temperature: float, spread: float) -> None:
    """To the last bit what `Lots.propensities` said, with caps and pins, in any order of the pairs."""
    rng = np.random.default_rng(5)
    person, content = (found.ravel() for found in np.meshgrid(np.arange(40), np.arange(30), indexing="ij"))
    kept = rng.permutation(len(person))[:900]
    person, content = person[kept], content[kept]
    relevance, category = rng.random(900) ** 6, rng.integers(-1, 4, 30)
    place = np.where(content == 7, 2, 0)
    keys = mixed(np.arange(40, dtype=np.uint64))
    likeness = Likeness.of(np.repeat(np.arange(30), 2), rng.integers(0, 9, 60), 30)
    limits = Limits(8, category[:, None], np.array([3]), spread, likeness)
    listed, said = Lots.of(relevance, keys[person], keys[content], 1, temperature).drawn(person, content, place, limits)
    lists, logged = np.full((40, 8), NOTHING), np.zeros((40, 8))
    lists[person[listed.pair], listed.rank - 1] = content[listed.pair]
    logged[person[listed.pair], listed.rank - 1] = said
    policy = Policy.of(person, content, relevance, temperature, relevance, place, limits)
    found = policy.traced(np.arange(40), lists, np.zeros(30, bool))
    np.testing.assert_array_equal(found.target, logged)
    np.testing.assert_array_equal(found.open, lists >= 0)


@pytest.mark.parametrize("spread", [0.0, 0.6])
def test_without_a_lot_it_lists_what_the_ranking_does(spread: float) -> None:
    """At a temperature of 0 every place of `rerank.top`'s lists is certain, and nothing comes behind them."""
    rng = np.random.default_rng(6)
    person, content = (found.ravel() for found in np.meshgrid(np.arange(40), np.arange(30), indexing="ij"))
    relevance, groups = rng.integers(0, 9, 1200) / 8, rng.integers(0, 4, (30, 2))
    place = np.where(content == 7, 2, 0)
    likeness = Likeness.of(np.repeat(np.arange(30), 2), rng.integers(0, 9, 60), 30)
    limits = Limits(12, groups, np.array([2, 2]), spread, likeness)
    listed = top(person, content, relevance, limits, place=place)
    lists = np.full((40, 12), NOTHING)
    lists[person[listed.pair], listed.rank - 1] = content[listed.pair]
    found = Policy.of(person, content, relevance, 0.0, relevance, place, limits).traced(
        np.arange(40), lists, np.zeros(30, bool)
    )
    np.testing.assert_array_equal(found.target, lists >= 0)
    np.testing.assert_array_equal(found.open, lists >= 0)
    assert (lists == NOTHING).any()


def test_whom_it_does_not_know_it_would_list_nothing() -> None:
    """Nor what it does not know."""
    law = Law({0: 0.5, 1: 0.5})
    policy = law.policy(np.array([4, 7]))
    found = policy.traced(np.array([5, 7]), np.array([[0, 1], [NOTHING, 0]]), np.zeros(len(READ), bool))
    assert found.open.tolist() == [[False, False], [True, True]]
    assert found.target.tolist() == [[0, 0], [0, 0]]


def test_what_no_policy_can_be_is_refused() -> None:
    """A temperature below 0, and longer lists than it fills."""
    with pytest.raises(ValueError, match="a temperature of -1"):
        Law({0: 0.5}, temperature=-1).policy(np.array([0]))
    with pytest.raises(ValueError, match="lists of 4 places, but it fills no more than 3"):
        Law({0: 0.5}).policy(np.array([0])).traced(np.array([0]), np.zeros((1, 4), int), np.zeros(len(READ), bool))
