"""Contents that nobody knows yet: how many are drawn, which may be, and that a lot depends on nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.candidates import EXPLORE, Candidates, choose
from models.exploration import Exploration, mixed

NIGHT = 1_000
World = tuple[dict[str, Any], Any, int, list[int], float]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Scores of two sources, who may be proposed what, a limit, unread contents and the share of places for them."""
    people, contents = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    scores = {name: rng.integers(0, 4, (people, contents)).astype(float) for name in ("trending", "beside")}
    eligible = rng.random((people, contents)) < draw(st.sampled_from([0.2, 0.7, 1.0]))
    unread = draw(st.lists(st.integers(0, contents - 1), unique=True))
    return scores, eligible, draw(st.integers(1, 14)), unread, draw(st.sampled_from([0.05, 0.3, 1.0]))


def explored(world: World, people: Any = None, content: Any = None, night: int = NIGHT) -> Candidates:
    """Candidates of some people, whose pseudonyms are 100, 101, …, and contents named a0, a1, …, in any order."""
    scores, eligible, limit, unread, share = world
    people = np.arange(len(eligible)) if people is None else np.array(people)
    content = np.arange(eligible.shape[1]) if content is None else np.array(content)
    new = np.flatnonzero(np.isin(content, unread))
    ids = [f"a{one}" for one in content[new]]
    exploration = Exploration.of(share, limit, new, ids, 100 + people, night)
    block = {name: values[np.ix_(people, content)] for name, values in scores.items()}
    found = choose(block, eligible[np.ix_(people, content)], limit, exploration)
    order = np.lexsort((content[found.content], people[found.person]))
    return Candidates(people[found.person][order], content[found.content][order], found.source[order])


def triples(found: Candidates) -> set[tuple[int, int, int]]:
    """Person, content, source."""
    return set(zip(found.person.tolist(), found.content.tolist(), found.source.tolist(), strict=True))


@given(worlds())
def test_a_share_of_the_places_is_drawn_and_the_rest_is_as_ever(world: World) -> None:
    """As many as may be drawn or are left to draw; the others are the first ones of whoever proposes."""
    scores, eligible, limit, unread, share = world
    found = explored(world)
    assert len({(person, content) for person, content, _ in triples(found)}) == len(found.person)
    for person, allowed in enumerate(eligible):
        mine = found.person == person
        drawn = set(found.content[mine & (found.source == EXPLORE)].tolist())
        others = set(found.content[mine].tolist()) - drawn
        one = {name: values[[person]] for name, values in scores.items()}
        without = set(choose(one, allowed[None], limit).content.tolist())
        places = min(int(np.ceil(share * limit - 1e-9)), len({i for i in unread if allowed[i]} - without))
        assert len(drawn) == places
        assert drawn <= {i for i in unread if allowed[i]}
        room = limit - places
        assert others == (set(choose(one, allowed[None], room).content.tolist()) if room else set())


@given(worlds(), st.randoms(use_true_random=False))
def test_a_lot_is_the_same_whoever_stands_beside(world: World, random: Any) -> None:
    """People in any order and in blocks of any size, contents in any order: the same draw.

    Without ties in scores: of two alike the first in the catalogue is proposed, whatever is drawn.
    """
    scores, eligible, limit, unread, share = world
    rng = np.random.default_rng(1)
    world = {name: values + rng.random(values.shape) for name, values in scores.items()}, eligible, limit, unread, share
    people, content = list(range(len(eligible))), list(range(eligible.shape[1]))
    whole = triples(explored(world))
    random.shuffle(people)
    random.shuffle(content)
    cut = random.randint(0, len(people))
    parts = [explored(world, part, content) for part in (people[:cut], people[cut:]) if part]
    assert set().union(*map(triples, parts)) == whole


@given(worlds())
def test_no_place_for_it_changes_nothing(world: World) -> None:
    """A share of nothing, or nothing to draw: the same bytes as without."""
    scores, eligible, limit, unread, _ = world
    plain = choose(scores, eligible, limit)
    for share, new in ((0.0, unread), (0.3, [])):
        exploration = Exploration.of(share, limit, np.array(new, np.int64), map(str, new), np.arange(len(eligible)), 1)
        found = choose(scores, eligible, limit, exploration)
        for name in ("person", "content", "source"):
            assert getattr(found, name).tobytes() == getattr(plain, name).tobytes()


def test_every_unread_content_has_its_chance() -> None:
    """Of ten, each of 2,000 people is dealt one: all alike, and on another night others."""
    nothing: World = ({}, np.ones((2_000, 10), bool), 20, list(range(10)), 0.05)
    tonight, tomorrow = explored(nothing), explored(nothing, night=NIGHT + 1)
    counts = Counter(tonight.content.tolist())
    assert sorted(counts) == list(range(10))
    assert min(counts.values()) > 140
    assert max(counts.values()) < 265
    assert 0.05 < (tonight.content == tomorrow.content).mean() < 0.15


def test_two_draws_are_no_pair() -> None:
    """Which content is drawn first says nothing of which is second: each of the 90 pairs in turn."""
    nothing: World = ({}, np.ones((5_000, 10), bool), 2, list(range(10)), 1.0)
    found = explored(nothing)
    pairs = Counter(map(tuple, np.reshape(found.content, (-1, 2)).tolist()))
    assert len(pairs) == 45
    assert min(pairs.values()) > 70
    assert max(pairs.values()) < 160


@pytest.mark.parametrize(
    ("share", "limit", "places"), [(0.05, 200, 10), (0.05, 5, 1), (0.1, 30, 3), (1.0, 7, 7), (0, 9, 0)]
)
def test_shares_are_rounded_up(share: float, limit: int, places: int) -> None:
    """Whoever asks for some gets one at least, and nobody gets one more because 0.1 x 30 is a little above 3."""
    none = np.zeros(0, np.int64)
    assert Exploration.of(share, limit, none, [], none, NIGHT).places == places


def test_splitmix_is_the_published_one() -> None:
    """The third state of a generator seeded with 0 gives its third number (Vigna's reference implementation)."""
    golden = np.array([3 * 0x9E3779B97F4A7C15 % 2**64], np.uint64)
    assert mixed(golden).tolist() == [0x06C45D188009454F]
