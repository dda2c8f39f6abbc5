"""The loops behind the neighbourhoods, on more contents than one strip has: against scipy, and block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from benchmarks import candidates_log
from models import neighbours, products
from models.engagement import Engagement, Linear
from models.places import first_choices
from models.products import WIDTH, Tiles

CONTENTS = 2 * WIDTH + 37


@pytest.fixture(name="log", scope="module")
def _log() -> Engagement:
    return candidates_log.engagement(90, CONTENTS, 6_000)


def dense(log: Engagement, matrix: Tiles | Any) -> Any:
    """Whatever holds it, as one array."""
    assert matrix.shape == (log.contents, log.contents)
    return np.asarray(matrix.toarray(), np.float64)


def test_tiles_hold_a_matrix() -> None:
    """What goes in comes out, whole and column by column in any order; what lies beyond the last column is nothing."""
    matrix = np.random.default_rng(1).random((7, CONTENTS)).astype(np.float32)
    tiles = Tiles.of(matrix)
    assert tiles.shape == matrix.shape
    assert np.array_equal(tiles.toarray(), matrix)
    for some in (np.array([300 % CONTENTS, 0, WIDTH, WIDTH - 1]), np.array([5]), np.zeros(0, np.int64)):
        assert np.array_equal(tiles.columns(some).toarray(), matrix[:, some])
    assert tiles.strips[-1, :, CONTENTS % WIDTH :].max() == 0


def test_votes_of_readers_are_a_product(log: Engagement) -> None:
    """Full enough for tiles, and the same as the product of two sparse matrices."""
    found = neighbours.neighbours_reach(log).over
    assert isinstance(found.content, Tiles)
    baskets, votes = log.baskets, log.by_pair(np.ones(len(log.pairs.person)))
    np.testing.assert_allclose(dense(log, found.content), (baskets.T @ votes).toarray(), rtol=1e-6)


def test_full_or_not_makes_no_difference(log: Engagement, monkeypatch: pytest.MonkeyPatch) -> None:
    """In tiles or sparse, scores are the same but for rounding; of some contents too."""
    rows, content = np.array([3, 77, 0]), np.array([200, 3, 131, 130])

    def scores() -> list[Any]:
        made = [neighbours.user_knn(log, 400), neighbours.item_to_item(log, 30, 400, 0.3)]
        return [isinstance(made[0].content, Tiles), *(one.scores(rows, content) for one in made)]

    monkeypatch.setattr(neighbours, "FULL", 0.0)
    in_tiles, *found = scores()
    monkeypatch.setattr(neighbours, "FULL", 1e9)
    also_in_tiles, *expected = scores()
    assert (in_tiles, also_in_tiles) == (True, False)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_scores_are_the_same_bytes_whoever_else_is_asked_for(log: Engagement) -> None:
    """Alone, in another order, or with everybody: each person's scores are a sum of their own."""
    every = np.arange(log.contents)
    for one in (neighbours.neighbours_reach(log), neighbours.co_visits(log, 3, 14), neighbours.session_knn(log, 24)):
        whole = one.scores(np.arange(log.people), every)
        for rows in (np.array([5]), np.array([60, 2, 2, 89])):
            assert one.scores(rows, every).tobytes() == whole[rows].tobytes()
            for some in (np.array([7, 150, 3]), np.delete(every, [0, 131, 140])):  # tiles are cut for few contents only
                assert one.scores(rows, some).tobytes() == whole[rows][:, some].tobytes()


def test_what_stands_near_is_symmetric(log: Engagement) -> None:
    """Bit by bit, and nothing is near itself."""
    found = dense(log, neighbours.co_visits(log, 3, 14).content)
    assert np.array_equal(found, found.T)
    assert not found.diagonal().any()
    assert found.any()


def test_people_of_nothing_score_nothing() -> None:
    """Also between people who have something, in tiles as in a sparse matrix."""
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    person = sparse.csr_matrix([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]])
    for content in (Tiles.of(matrix), sparse.csr_matrix(matrix.astype(float))):
        found = Linear(person, content).scores(np.array([0, 1, 2]), np.arange(3))
        assert found.tolist() == [[0, 0, 0], [6, 9, 12], [0, 0, 0]]


def test_grouped_rows_keep_their_order() -> None:
    """Group by group, the rows of each as they came; groups without rows are there."""
    starts, order = products.grouped(np.array([2, 0, 2, 2, 0]), 4)
    assert starts.tolist() == [0, 2, 2, 5, 5]
    assert order.tolist() == [1, 4, 0, 2, 3]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("values", [3, 50, 10_000])
def test_first_choices_are_those_of_a_stable_sort(values: int, dtype: Any) -> None:
    """With many ties or none, of hundreds of contents, however deep one looks; no eligible one is missed."""
    rng = np.random.default_rng(values)
    score, eligible = (
        (rng.integers(-1, values, (20, CONTENTS)) / values).astype(dtype),
        rng.random((20, CONTENTS)) < 0.7,
    )
    score[rng.random(score.shape) < 0.05] = np.nan
    for limit in (1, 13, 100, CONTENTS + 5):
        found = first_choices(score, eligible, limit)
        for person in range(len(score)):
            usable = np.where(eligible[person] & (score[person] > 0), score[person], -np.inf)
            order = np.argsort(-usable, kind="stable")[:limit]
            expected = order[usable[order] > 0]
            assert found[person, : len(expected)].tolist() == expected.tolist()
            assert (found[person, len(expected) :] == -1).all()
