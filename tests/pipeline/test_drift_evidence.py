"""What the drift check looks at of a night's people."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.drift_evidence import relative

RELEVANCE = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 10)), min_size=1, max_size=30).map(np.array)


@given(RELEVANCE, st.floats(0.01, 100))
def test_what_moves_all_moves_no_score(relevance: np.ndarray, by: float) -> None:
    """All of a night multiplied by one number are the same scores."""
    np.testing.assert_allclose(relative(by * relevance), relative(relevance), rtol=1e-9)


@given(RELEVANCE)
def test_scores_are_multiples_of_a_typical_persons(relevance: np.ndarray) -> None:
    """In the order of relevance; who can expect nothing has none."""
    found = relative(relevance)
    np.testing.assert_array_equal(np.isnan(found), relevance <= 0)
    some = relevance > 0
    if some.any():
        assert np.exp(np.log(found[some]).mean()) == pytest.approx(1)
        assert (np.diff(found[some][np.argsort(relevance[some], kind="stable")]) >= 0).all()
