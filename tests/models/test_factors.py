"""Latent factors against what they minimise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from models import factors
from models.engagement import DAY, Engagement, Linear
from models.factors import FORGOTTEN
from tests.models.readings import all_scores, assert_same, engagement, engagements, fading, last

REGULARISATION = 2.0
CONFIDENCE = 20.0
ALS: dict[str, Any] = {"memory_days": 3.0, "confidence": CONFIDENCE, "regularisation": REGULARISATION}


def dense(one: Engagement, memory_days: float) -> Any:
    """(people, contents): what is left of each reading."""
    found = np.zeros((one.people, one.contents))
    for (u, i), ts in last(one).items():
        found[u, i] = fading(one, ts, memory_days * DAY)
    return found


def objective(one: Engagement, found: Linear) -> float:
    """What ALS minimises: confidence x squared error over all pairs, read or not, and the size of all factors."""
    person, content = found.person.toarray().astype(float), found.content.toarray().astype(float)
    weights = dense(one, 3.0)
    total = REGULARISATION * ((person**2).sum() + (content**2).sum())
    for u in range(one.people):
        for i in range(one.contents):
            wanted = float((u, i) in last(one))
            total += (1 + CONFIDENCE * weights[u, i]) * (wanted - person[u] @ content[:, i]) ** 2
    return float(total)


@given(engagements(least=1), st.integers(1, 8))
def test_every_iteration_of_als_lowers_its_objective(one: Engagement, rank: int) -> None:
    """From its first factors on it never gets worse but for rounding, and ends better than saying nothing."""
    values = [objective(one, factors.als(one, rank, **ALS, iterations=n)) for n in (0, 1, 2, 4, 12)]
    for before, after in pairwise(values):
        assert after <= before + 1e-4 * before + 1e-6
    nothing = Linear(sparse.csr_matrix((one.people, 1)), sparse.csr_matrix((1, one.contents)))
    assert values[-1] <= objective(one, nothing) + 1e-4


def exact(one: Engagement, content: Any, regularisation: float = REGULARISATION) -> Any:
    """The normal equations of each person, given all contents' factors (rank, contents)."""
    found = []
    for u, weights in enumerate(dense(one, 3.0)):
        confidence = 1 + CONFIDENCE * weights
        wanted = np.array([float((u, i) in last(one)) for i in range(one.contents)])
        left = (content * confidence) @ content.T + regularisation * np.eye(len(content))
        found.append(np.linalg.solve(left, content @ (confidence * wanted)))
    return np.array(found)


@given(engagements(least=1), st.integers(1, 3))
def test_as_many_steps_as_factors_solve_a_person_exactly(one: Engagement, rank: int) -> None:
    """Conjugate gradients end after as many steps as there are unknowns: up to three, each person's best factors."""
    found = factors.als(one, rank, **ALS)
    best = exact(one, found.content.toarray().astype(float))
    np.testing.assert_allclose(found.person.toarray(), best, rtol=1e-3, atol=1e-3)


def test_three_factors_take_three_steps() -> None:
    """From nothing, with little to hold the factors back, one solution of three unknowns is there at once."""
    rng = np.random.default_rng(3)
    rows = [(int(u), int(i), int(ago)) for u, i, ago in rng.integers([0, 0, 1], [12, 9, 900], (60, 3))]
    one, little = engagement(rows, 12, 9), 1e-3
    found = factors.als(one, 3, **{**ALS, "regularisation": little}, iterations=0)
    best = exact(one, found.content.toarray().astype(float), little)
    assert np.abs(found.person.toarray() - best).max() < 0.002 * np.abs(best).max()


@given(engagements(least=1))
def test_als_converges_to_the_exact_solution(one: Engagement) -> None:
    """With more factors than steps, going on from where one stood gets there all the same."""
    found = factors.als(one, 8, **ALS, iterations=200)
    np.testing.assert_allclose(found.person.toarray(), exact(one, found.content.toarray().astype(float)), atol=5e-3)


def test_als_finds_who_belongs_together() -> None:
    """Two crowds that read apart: each is told of what its own crowd reads, to one member of it new."""
    rows = [(u, i, 1) for u in range(10) for i in range(8) if (u < 5) == (i < 4) and (u, i) not in {(0, 0), (9, 7)}]
    found = all_scores(engagement(rows, 10, 8), factors.als(engagement(rows, 10, 8), 2, **ALS))
    assert found[0, 0] > 0.5 > 5 * abs(found[0, 4:]).max()
    assert found[9, 7] > 0.5 > 5 * abs(found[9, :4]).max()


def test_a_seed_determines_all_factors() -> None:
    """The same seed, the same bits; another seed, other factors."""
    one = engagement([(0, 0, 1), (0, 1, 2), (1, 1, 3), (2, 2, 9)], 3, 3)
    made = [factors.als(one, 4, **ALS, seed=seed) for seed in (1, 1, 2)]
    first, again, other = ([part.toarray() for part in (found.person, found.content)] for found in made)
    assert [part.tobytes() for part in first] == [part.tobytes() for part in again]
    assert not np.allclose(first[1], other[1])


@given(engagements(), st.sampled_from([1.0, 30.0]), st.sampled_from([0.5, 30.0]))
def test_ease_is_a_regression_of_each_content_on_the_others(
    one: Engagement, regularisation: float, memory_days: float
) -> None:
    """Its closed form is ridge regression, content by content, without the content itself and what is forgotten."""
    x = dense(one, memory_days)
    x[x < FORGOTTEN] = 0
    expected = np.zeros((one.people, one.contents))
    for j in range(one.contents):
        others = [i for i in range(one.contents) if i != j]
        left = x[:, others].T @ x[:, others] + regularisation * np.eye(len(others))
        expected[:, j] = x[:, others] @ np.linalg.solve(left, x[:, others].T @ x[:, j])
    assert_same(all_scores(one, factors.ease(one, regularisation, memory_days=memory_days)), expected)


def test_what_is_forgotten_takes_no_room_in_ease() -> None:
    """Thirty half-lives and a step are too long ago: no score, and no row or column in the matrix that is inverted."""
    steps = 30 * 24 * 6
    one = engagement([(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 2, steps + 1), (0, 3, steps)], 2, 4)
    found = factors.ease(one, 1.0, memory_days=1)
    assert found.content.shape == (3, 4)
    assert all_scores(one, found)[:, 2].tolist() == [0.0, 0.0]
    assert all_scores(one, found)[1, 1] == pytest.approx(1 / 3, abs=0.1)
