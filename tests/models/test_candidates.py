"""Candidates: what each source proposes, interleaved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.candidates import SOURCES, Candidates, choose

NAN = float("nan")


def chosen(scores: dict[str, Any], contents: int, limit: int, eligible: Any = None) -> list[tuple[int, str]]:
    """The contents proposed to a single person, with their sources."""
    allowed = np.ones((1, contents), bool) if eligible is None else np.array([eligible])
    found = choose({name: np.array(values, float) for name, values in scores.items()}, allowed, limit)
    return list(zip(found.content.tolist(), [SOURCES[at] for at in found.source], strict=True))


def by_hand(scores: dict[str, list[float]], eligible: list[bool], limit: int) -> dict[int, str]:
    """Every source's first choice, then every source's second …, until there are enough."""
    lists = {}
    for source in SOURCES:
        values = scores.get(source, [])
        usable = [c for c, value in enumerate(values) if eligible[c] and value > 0]
        lists[source] = sorted(usable, key=lambda c, values=values: (-values[c], c))  # type: ignore[misc]
    found: dict[int, str] = {}
    for place in range(len(eligible)):
        for source in SOURCES:
            if place < len(lists[source]) and lists[source][place] not in found and len(found) < limit:
                found[lists[source][place]] = source
    return found


SCORES = st.sampled_from([NAN, -1.0, 0.0, 0.5, 1.0, 1.0, 2.0])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, list[list[float]]], list[list[bool]], int]:
    """Scores of some sources, who may be proposed what, and a limit; ties and missing scores are common."""
    people, contents = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    sources = draw(st.sets(st.sampled_from(SOURCES), min_size=1))

    def grid(cell: st.SearchStrategy[Any]) -> list[list[Any]]:
        row = st.lists(cell, min_size=contents, max_size=contents)
        return draw(st.lists(row, min_size=people, max_size=people))

    return {name: grid(SCORES) for name in sorted(sources)}, grid(st.booleans()), draw(st.integers(1, 8))


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_sources_are_interleaved_as_by_hand(world: tuple[dict[str, list[list[float]]], list[list[bool]], int]) -> None:
    """For every person the same contents from the same sources as dealing them out one by one."""
    scores, eligible, limit = world
    found = choose({name: np.array(values) for name, values in scores.items()}, np.array(eligible), limit)
    for person, allowed in enumerate(eligible):
        rows = found.person == person
        got = dict(zip(found.content[rows].tolist(), [SOURCES[at] for at in found.source[rows]], strict=True))
        assert got == by_hand({name: values[person] for name, values in scores.items()}, allowed, limit)
    assert sorted(zip(found.person, found.content, strict=True)) == list(zip(found.person, found.content, strict=True))


def test_every_source_has_its_turn() -> None:
    """With room for two, the first choices of two sources go in, however much better the first source's second is."""
    scores = {"trending": [9, 8, 0], "covisit": [0, 0, 0.1]}
    assert chosen(scores, 3, 2) == [(0, "trending"), (2, "covisit")]


def test_a_content_of_two_sources_belongs_to_where_it_stands_higher() -> None:
    """What is third by trend and first by taste was brought in by taste."""
    assert (2, "affinity") in chosen({"trending": [3, 2, 1], "affinity": [0, 0, 1]}, 3, 3)


def test_ties_between_sources_go_to_the_first_source() -> None:
    """The same content on top of two lists belongs to the source that is named first."""
    assert chosen({"covisit": [1], "trending": [1]}, 1, 1) == [(0, "trending")]


@pytest.mark.parametrize("score", [0.0, -1.0, NAN])
def test_no_score_is_no_proposal(score: float) -> None:
    """Nothing, less than nothing and not known propose nothing, even where there is room."""
    assert chosen({"trending": [score, 1]}, 2, 5) == [(1, "trending")]


def test_what_is_not_eligible_takes_no_place() -> None:
    """A source's second choice moves up where its first may not be shown."""
    assert chosen({"trending": [9, 8, 7]}, 3, 1, [False, True, True]) == [(1, "trending")]


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_one_score_for_everybody_is_enough(world: tuple[dict[str, list[list[float]]], list[list[bool]], int]) -> None:
    """A source that does not know people gives one row of scores: as if each of them had it."""
    scores, eligible, limit = world
    shared = {name: np.array(values[0]) for name, values in scores.items()}
    each = {name: np.tile(values, (len(eligible), 1)) for name, values in shared.items()}
    found, expected = (choose(given, np.array(eligible), limit) for given in (shared, each))
    for name in ("person", "content", "source"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_nobody_and_nothing() -> None:
    """No people, or no contents, give no candidates."""
    for shape in ((0, 3), (3, 0)):
        found: Candidates = choose({"trending": np.ones(shape[1])}, np.ones(shape, bool), 5)
        assert len(found.person) == len(found.content) == len(found.source) == 0
