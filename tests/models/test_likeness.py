"""How alike contents are: a cosine, of rare traits more than of common ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.likeness import Likeness


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=30), st.randoms(use_true_random=False))
def test_likeness_is_the_cosine_of_weighted_traits(rows: list[tuple[int, int]], random: object) -> None:
    """The same as of dense vectors, whatever the rows' order and however often they are repeated."""
    has = np.zeros((6, 8))
    for content, trait in rows:
        has[content, trait] = 1
    weighted = has * np.log(7 / (1 + has.sum(axis=0)))
    length = np.linalg.norm(weighted, axis=1, keepdims=True)
    unit = np.divide(weighted, length, out=np.zeros_like(weighted), where=length > 0)
    shuffled = rows + rows[:3]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    content, trait = (np.array([row[at] for row in shuffled], np.int64) for at in range(2))
    found = Likeness.of(content, trait, 6)
    said = np.array([[found.between(one, other) for other in range(6)] for one in range(6)])
    np.testing.assert_allclose(said, unit @ unit.T, atol=1e-12)


def test_a_rare_trait_makes_more_alike_than_a_common_one() -> None:
    """Of ten contents nine have the first trait and two the second."""
    content = np.concatenate([np.arange(9), [0, 1], [2]])
    trait = np.concatenate([np.zeros(9, int), [1, 1], [2]])
    found = Likeness.of(content, trait, 10)
    assert found.between(0, 1) == pytest.approx(1)
    assert 0 < found.between(0, 2) < 0.05
    assert found.between(0, 9) == 0
