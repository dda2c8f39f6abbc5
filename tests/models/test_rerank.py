"""From relevance to lists: caps, ties and ranks."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.rerank import Listed, top

Pair = tuple[int, int, float, int]


def ranked(pairs: list[Pair], k: int = 10, cap: int = 10) -> Listed:
    """`top` of (person, content, relevance, category) rows."""
    person, content, relevance, category = (np.array([pair[at] for pair in pairs]) for at in range(4))
    return top(
        person.astype(np.int64), content.astype(np.int64), relevance, category.astype(int), k=k, max_per_category=cap
    )


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


@settings(max_examples=300, deadline=None)
@given(pairs(), st.integers(1, 6), st.integers(1, 3))
def test_lists_are_those_of_walking_down(found: list[Pair], k: int, cap: int) -> None:
    """Content by content, rank by rank, the same lists as the greedy walk that the cap is defined by."""
    listed = ranked(found, k, cap)
    got = [(found[at][0], int(rank), found[at][1]) for at, rank in zip(listed.pair, listed.rank, strict=True)]
    assert got == greedily(found, k, cap)


@settings(max_examples=100, deadline=None)
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


def test_no_pairs_are_no_lists() -> None:
    """Nothing to rank is no error."""
    assert len(ranked([]).pair) == 0
