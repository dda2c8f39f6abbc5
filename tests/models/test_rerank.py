"""From relevance to lists: caps, ties and ranks."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.likeness import Likeness
from models.rerank import Limits, Listed, top
from tests.examples import examples

Pair = tuple[int, int, float, int]


def ranked(pairs: list[Pair], k: int = 10, cap: int = 10) -> Listed:
    """`top` of (person, content, relevance, category) rows."""
    person, content, relevance, category = (np.array([pair[at] for pair in pairs]) for at in range(4))
    groups = np.full((10, 1), -1)
    groups[content.astype(int), 0] = category
    return top(person.astype(np.int64), content.astype(np.int64), relevance, Limits(k, groups, np.array([cap])))


def greedily(pairs: list[Pair], k: int, cap: int) -> list[tuple[int, int, int]]:
    """(person, rank, content): walk down each person's pairs and skip full categories."""
    lists: dict[int, list[int]] = defaultdict(list)
    full: Counter[tuple[int, int]] = Counter()
    for person, content, _, category in sorted(pairs, key=lambda pair: (pair[0], -pair[2], pair[1])):
        if len(lists[person]) < k and (category < 0 or full[person, category] < cap):
            lists[person].append(content)
            full[person, category] += 1
    return [(person, rank, content) for person, found in sorted(lists.items()) for rank, content in enumerate(found, 1)]


@st.composite
def pairs(draw: st.DrawFn) -> list[Pair]:
    """Pairs of a few people and contents in any order, with few different scores; a content has one category."""
    category = draw(st.lists(st.integers(-1, 2), min_size=8, max_size=8))
    keys = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)), unique=True, max_size=20))
    scores = draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.5, 0.9]), min_size=len(keys), max_size=len(keys)))
    return [(p, c, s, category[c]) for (p, c), s in zip(keys, scores, strict=True)]


@settings(max_examples=examples(100))
@given(pairs(), st.integers(1, 6), st.integers(1, 3))
def test_lists_are_those_of_walking_down(found: list[Pair], k: int, cap: int) -> None:
    """Content by content, rank by rank, the same lists as the greedy walk that the cap is defined by."""
    listed = ranked(found, k, cap)
    got = [(found[at][0], int(rank), found[at][1]) for at, rank in zip(listed.pair, listed.rank, strict=True)]
    assert got == greedily(found, k, cap)


@given(pairs(), st.integers(1, 6), st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_order_of_pairs_means_nothing(found: list[Pair], k: int, cap: int, random: object) -> None:
    """The same pairs in another order make the same lists."""
    shuffled = found.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    lists = [[rows[at] for at in ranked(rows, k, cap).pair] for rows in (found, shuffled)]
    assert lists[0] == lists[1]


def test_ties_go_to_the_smaller_content() -> None:
    """Equal relevance is ordered by content, not by the order of rows."""
    listed = ranked([(0, 5, 0.5, 0), (0, 2, 0.5, 1), (0, 9, 0.7, 2)])
    assert listed.pair.tolist() == [2, 1, 0]


def test_a_full_category_makes_room_for_the_next() -> None:
    """Of three of one category only two are shown, and the worse one of another moves up to rank 3."""
    listed = ranked([(0, 0, 0.9, 4), (0, 1, 0.8, 4), (0, 2, 0.7, 4), (0, 3, 0.1, 5)], k=3, cap=2)
    assert listed.pair.tolist() == [0, 1, 3]
    assert listed.rank.tolist() == [1, 2, 3]


def test_content_without_a_category_is_never_capped() -> None:
    """Not knowing the category is no category of its own."""
    assert len(ranked([(0, c, 0.5, -1) for c in range(6)], cap=1).pair) == 6


def test_people_do_not_fill_each_others_lists() -> None:
    """Caps and ranks are counted person by person."""
    listed = ranked([(0, 0, 0.9, 1), (1, 0, 0.8, 1), (2, 0, 0.7, 1)], k=1, cap=1)
    assert listed.rank.tolist() == [1, 1, 1]


@settings(max_examples=examples(100))
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.booleans())
def test_lists_are_those_of_the_greedy_definition(seed: int, k: int, spread: float, pinned: bool) -> None:
    """Caps on categories and authors, pins and a spread: each place by looking at all that is left, as defined."""
    rng = np.random.default_rng(seed)
    contents = int(rng.integers(1, 31))  # enough for what is best by far to be looked at first
    groups, most = rng.integers(-1, 3, (contents, 2)), rng.integers(1, 4, 2)
    likeness = Likeness.of(rng.integers(0, contents, 40), rng.integers(0, 12, 40), contents)
    limits = Limits(k, groups, most, spread, likeness)
    person = np.repeat(np.arange(3), contents)
    content, relevance = (
        np.tile(np.arange(contents), 3),
        rng.choice([0.0, 0.1, 0.5, 0.50001, np.nan, *rng.random(9)], 3 * contents),
    )
    place = np.zeros(len(person), np.int64)
    if pinned:
        place[rng.choice(contents)] = rng.integers(1, k + 1)  # of the first person
    shuffle = rng.permutation(len(person))
    listed = top(person[shuffle], content[shuffle], relevance[shuffle], limits, place=place[shuffle])
    got: list[list[int]] = [[], [], []]
    for pair in shuffle[listed.pair].tolist():
        got[person[pair]].append(int(content[pair]))
    for who in range(3):
        theirs = slice(who * contents, (who + 1) * contents)
        assert got[who] == _greedy(relevance[theirs], place[theirs], limits), who


def _greedy(relevance: np.ndarray, place: np.ndarray, limits: Limits) -> list[int]:
    """The definition, without a heap: `relevance` and `place` (C,) are one person's."""
    worth = np.where(np.isnan(relevance), -np.inf, relevance)
    pinned = {int(place[one]): int(one) for one in np.flatnonzero(place)}
    held, shown = list(pinned.values()), []

    def fits(one: int) -> bool:
        return all(
            limits.groups[one, group] < 0
            or sum(limits.groups[other, group] == limits.groups[one, group] for other in held) < limits.most[group]
            for group in range(limits.groups.shape[1])
        )

    def reached(one: int) -> float:
        nearest = max((limits.likeness.between(one, other) for other in held), default=0.0)
        return worth[one] * (1 - limits.spread * nearest) if worth[one] > 0 else worth[one]

    for at in range(1, limits.k + 1):
        if at in pinned:
            shown.append(pinned[at])
            continue
        open_ = [one for one in range(len(worth)) if one not in held and fits(one)]
        if open_:
            held.append(max(open_, key=lambda one: (reached(one), -one)))
            shown.append(held[-1])
    return shown


def test_a_spread_puts_another_subject_between() -> None:
    """Two contents of one tag and a lesser one of another: with a wider spread the second of a kind waits."""
    likeness = Likeness.of(np.array([0, 1, 2, 3]), np.array([0, 0, 1, 2]), 4)
    pairs = np.zeros(3, np.int64), np.arange(3), np.array([0.9, 0.8, 0.5])
    lists = {
        spread: top(*pairs, Limits(3, np.full((4, 1), -1), np.array([9]), spread, likeness)).pair.tolist()
        for spread in (0.0, 0.3, 0.4)
    }
    assert lists == {0.0: [0, 1, 2], 0.3: [0, 1, 2], 0.4: [0, 2, 1]}


def test_what_is_wanted_of_lists_makes_sense() -> None:
    """A spread is a share, and needs something to go by."""
    groups, most = np.full((4, 1), -1), np.array([9])
    with pytest.raises(ValueError, match="expected 0 to 1"):
        Limits(3, groups, most, 1.5, Likeness.of(np.zeros(0), np.zeros(0), 4))
    with pytest.raises(ValueError, match="no likeness is known"):
        Limits(3, groups, most, 0.5)


def test_no_pairs_are_no_lists() -> None:
    """Nothing to rank is no error."""
    assert len(ranked([]).pair) == 0
