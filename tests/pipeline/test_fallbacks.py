"""Lists of groups: whom they are made of, what they hold, and that none is of a handful."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fallbacks import Cells, Sums
from pipeline.score import Scored

PARTS = (
    ("champions", "", ""),
    ("champions", "Sport", ""),
    ("champions", "Sport", "mobile"),
    ("lost", "Sport", "mobile"),
)


def scored(person: list[int], content: list[int], relevance: list[float]) -> Scored:
    """Some people's candidates."""
    of = np.array(person, np.int64)
    nowhere = np.zeros(len(of), np.int64)
    worth = np.array(relevance)
    return Scored(of, np.array(content, np.int64), nowhere, worth, nowhere, {"read": worth / 2})


def test_groups_are_all_levels_that_say_more() -> None:
    """A segment, a segment with a category, a cell; what is unknown makes no group of its own."""
    cells = Cells(np.array([0, 1, 2, 3]), PARTS)
    assert {name: of.tolist() for name, of in cells.groups()} == {
        "champions": [0, 1, 2],
        "lost": [3],
        "champions / Sport": [1, 2],
        "lost / Sport": [3],
        "champions / Sport / mobile": [2],
        "lost / Sport / mobile": [3],
    }
    assert cells.finest({"champions", "champions / Sport"}) == ["champions", *["champions / Sport"] * 2, None]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_means_are_over_all_of_a_groups_people(seed: int, parts: int) -> None:
    """Whoever has it for no candidate counts zero; in however many blocks people come."""
    rng = np.random.default_rng(seed)
    people, contents = 30, 5
    cells = Cells(rng.integers(0, 4, people), PARTS)
    worth = np.where(rng.random((people, contents)) < 0.5, rng.random((people, contents)), 0)
    worth[rng.random(people) < 0.2] = 0  # people without any candidate
    sums = Sums(cells, contents)
    for some in np.array_split(np.arange(people), parts):
        who, what = np.nonzero(worth[some])
        sums.add(scored(some[who].tolist(), what.tolist(), worth[some][who, what].tolist()))
    groups = list(cells.groups())
    sizes = sums.sizes()
    means = sums.means([of for _, of in groups], np.array([max(sizes[of].sum(), 1) for _, of in groups]))
    for (_, of), score, read in zip(groups, means["score"], means["read"], strict=True):
        own = worth[np.isin(cells.cell, of) & worth.any(axis=1)]
        np.testing.assert_allclose(score, own.mean(axis=0) if len(own) else 0.0, atol=1e-12)
        np.testing.assert_allclose(read, score / 2)
    assert sums.candidates == (worth > 0).sum()
