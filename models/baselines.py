"""The models that the real one has to beat: most-popular, and logistic regression on the same features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Array = NDArray[Any]
Floats = NDArray[np.float64]


def logistic_probabilities(x_train: Array, y_train: Array, x: Array) -> Floats:
    """Probabilities (M,) for the rows of `x` (M, F), by logistic regression on `x_train` (N, F), `y_train` (N,) 0 or 1.

    A missing value becomes the training median with an indicator beside it; features are standardised.
    Raises ValueError when the training labels are all the same.
    """
    if len(np.unique(y_train)) < 2:
        raise ValueError("logistic_probabilities: the training labels are all the same; replay more nights.")
    medians, missing = _medians(x_train), np.asarray(np.isnan(x_train).any(axis=0))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(_filled(x_train, medians, missing), y_train)
    return np.asarray(model.predict_proba(_filled(x, medians, missing))[:, 1], np.float64)


def _medians(x: Array) -> Array:
    """Of what is known of each column (F,); 0 where nothing is. (`SimpleImputer` takes ten times as long.)"""
    known = np.where(np.isnan(x).all(axis=0), 0.0, x)
    return np.asarray(np.nanmedian(known, axis=0))


def _filled(x: Array, medians: Array, missing: Array) -> NDArray[np.float32]:
    """With `medians` for what is missing, and behind it a column for each of `missing` that says so."""
    unknown = np.isnan(x)
    return np.column_stack([np.where(unknown, medians, x), unknown[:, missing]]).astype(np.float32)


def popularity_scores(popularity: Array) -> Floats:
    """Scores (N,) of the most-popular baseline: the popularity itself, a missing one being the lowest there is."""
    known = np.asarray(popularity, np.float64)
    missing = np.isnan(known)
    return np.where(missing, 0.0 if missing.all() else np.nanmin(known), known)
