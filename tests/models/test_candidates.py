"""Candidates: what each source proposes, interleaved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.candidates import SOURCES, Candidates, choose, personal, proposed
from models.engagement import Engagement
from models.neighbours import user_knn
from tests.examples import examples
from tests.models.readings import all_scores, engagement, engagements

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


@settings(max_examples=examples(100))
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


@pytest.mark.parametrize("alike", [0.0, 0.9, 1.0])
def test_many_contents_are_interleaved_as_by_hand(alike: float) -> None:
    """However much sources agree, so however deep one has to look until enough are there."""
    rng = np.random.default_rng(2)
    people, contents, limit = 4, 150, 40
    common, allowed = rng.random((people, contents)), rng.random((people, contents)) < 0.8
    names = ("trending", "beside", "neighbours", "factors")
    scores = {name: alike * common + (1 - alike) * rng.random((people, contents)) for name in names}
    found = choose(scores, allowed, limit)
    for person in range(people):
        rows = found.person == person
        got = dict(zip(found.content[rows].tolist(), [SOURCES[at] for at in found.source[rows]], strict=True))
        assert got == by_hand({n: v[person].tolist() for n, v in scores.items()}, allowed[person].tolist(), limit)


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


@settings(max_examples=examples(100))
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


@given(worlds())
def test_a_source_alone_proposes_its_first_ones(
    world: tuple[dict[str, list[list[float]]], list[list[bool]], int],
) -> None:
    """The first `limit` positive scores of each row, of what is eligible; of one score for all just the same."""
    scores, eligible, limit = world
    values = next(iter(scores.values()))
    found, shared = (proposed(np.array(some), np.array(eligible), limit) for some in (values, values[0]))
    for person, allowed in enumerate(eligible):
        for got, row in ((found[person], values[person]), (shared[person], values[0])):
            usable = [c for c, value in enumerate(row) if allowed[c] and value > 0]
            first = sorted(usable, key=lambda c, row=row: (-row[c], c))[:limit]  # type: ignore[misc]
            assert np.flatnonzero(got).tolist() == sorted(first)


@given(worlds())
def test_what_is_chosen_was_proposed_by_somebody(
    world: tuple[dict[str, list[list[float]]], list[list[bool]], int],
) -> None:
    """No candidate comes from nowhere, and a source that is alone has all that it proposes chosen."""
    scores, eligible, limit = world
    arrays = {name: np.array(values) for name, values in scores.items()}
    each = {name: proposed(values, np.array(eligible), limit) for name, values in arrays.items()}
    found = choose(arrays, np.array(eligible), limit)
    for person, content, source in zip(found.person, found.content, found.source, strict=True):
        assert each[SOURCES[source]][person, content]
    for name, values in arrays.items():
        alone = choose({name: values}, np.array(eligible), limit)
        assert list(zip(*np.nonzero(each[name]), strict=True)) == list(zip(alone.person, alone.content, strict=True))


@given(engagements())
def test_what_is_learned_is_a_number_for_every_pair(one: Engagement) -> None:
    """Of nights on which nobody did anything too; nothing that counts neighbours is below zero but by rounding."""
    for name, scores in personal(one, one).items():
        found = all_scores(one, scores)
        assert found.shape == (one.people, one.contents)
        assert np.isfinite(found).all(), name
        assert name == "factors" or (found > -1e-5).all(), name


def test_only_one_of_the_neighbours_lives_on_the_busy_clock() -> None:
    """On a clock that stood still since, an old vote counts as new: to `neighbours_busy`, and to nothing else."""
    rows = [(0, 0, 900), (1, 0, 890), (1, 1, 880)]
    slow = engagement(rows, 2, 2)
    busy = engagement([(person, content, 1) for person, content, _ in rows], 2, 2)
    found = {name: all_scores(slow, scores) for name, scores in personal(slow, busy).items()}
    plain = {name: all_scores(slow, scores) for name, scores in personal(slow, slow).items()}
    assert {name for name in found if not np.array_equal(found[name], plain[name])} == {"neighbours_busy"}
    assert np.array_equal(found["neighbours_busy"], all_scores(busy, user_knn(busy, 17)))


def test_half_lives_are_what_their_names_say() -> None:
    """A vote of two days ago is all but gone after half-lives of six and twelve hours, and not after three days."""
    one = engagement([(0, 0, 288), (1, 0, 288), (1, 1, 288)], 2, 2)
    found = {name: float(all_scores(one, scores)[0, 1]) for name, scores in personal(one, one).items()}
    likeness = found["neighbours_3d"] / 2 ** (-48 / 72)
    assert found["neighbours_6h"] == pytest.approx(likeness * 2**-8)
    assert found["neighbours_12h"] == pytest.approx(likeness * 2**-4)
