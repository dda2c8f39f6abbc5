"""The models to beat."""

from __future__ import annotations

import numpy as np
import pytest

from models.baselines import logistic_probabilities, popularity_scores
from models.metrics import auc, ece


def test_logistic_regression_finds_a_linear_signal_in_any_unit() -> None:
    """A signal in milliseconds beside one in shares, with missing values, is found and calibrated."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8_000, 3)) * [1e6, 1.0, 1e-3]
    y = (rng.random(8_000) < 1 / (1 + np.exp(2 - x[:, 0] / 1e6 - 1e3 * x[:, 2]))).astype(float)
    x[rng.random(x.shape) < 0.05] = np.nan
    p = logistic_probabilities(x[:4_000], y[:4_000], x[4_000:])
    assert auc(y[4_000:], p) > 0.78
    assert ece(y[4_000:], p) < 0.03


def test_being_missing_is_a_signal_of_its_own() -> None:
    """Where only the absence of a value says anything, the baseline sees it."""
    rng = np.random.default_rng(1)
    absent = rng.random(4_000) < 0.5
    y = (rng.random(4_000) < np.where(absent, 0.6, 0.1)).astype(float)
    x = np.column_stack([np.where(absent, np.nan, rng.normal(size=4_000)), np.full(4_000, np.nan)])
    assert auc(y[2_000:], logistic_probabilities(x[:2_000], y[:2_000], x[2_000:])) > 0.7


def test_labels_without_contrast_are_refused() -> None:
    """Nothing can be learnt from nights on which nobody engaged."""
    with pytest.raises(ValueError, match="all the same"):
        logistic_probabilities(np.ones((3, 1)), np.zeros(3), np.ones((1, 1)))


def test_unknown_popularity_ranks_last() -> None:
    """Content of which no popularity is known ties with the least popular, and the input stays."""
    popularity = np.array([3.0, np.nan, -1.0])
    assert popularity_scores(popularity).tolist() == [3.0, -1.0, -1.0]
    assert np.isnan(popularity[1])
    assert popularity_scores(np.full(2, np.nan)).tolist() == [0.0, 0.0]
