"""Relevance of pairs: rows are put together block by block, never as a cross product; every goal's model reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.classifier import GoalModel
from models.factored import Factored

Dense = NDArray[np.float32]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

POSITION = "position"
"""The feature that says where in a list the content stood; everybody is scored as if at the top."""

TOP = 1.0


def rows(people: Dense, contents: Dense, pairs: Dense, person: Integers, content: Integers, position: Any) -> Dense:
    """The model's rows (N, Fp + Fc + Fx + 1): the person's features, the content's, the pair's, and the position.

    Args:
        people: (people, Fp); contents: (content, Fc); pairs: (N, Fx).
        person: (N,) indices into `people`; content: (N,) indices into `contents`.
        position: A number, or (N,); NaN where unknown.
    """
    place = np.broadcast_to(np.asarray(position, np.float32), person.shape)
    return Factored(people, contents, person, content, pairs, place).dense()


@dataclass(frozen=True)
class Scored:
    """Calibrated probabilities (N,) by goal, and relevance (N,): the sum of weight x probability."""

    probabilities: Mapping[str, Floats]
    relevance: Floats


def score(models: Mapping[str, GoalModel], weights: Mapping[str, float], x: Dense) -> Scored:
    """Score rows (N, F) by every goal's model."""
    probabilities = {goal: model.predict(x) for goal, model in models.items()}
    return Scored(probabilities, relevance(probabilities, weights))


def relevance(probabilities: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Sum of weight x probability, goals in alphabetical order so that the sum does not depend on theirs."""
    total: Floats = np.sum([weights[goal] * probabilities[goal] for goal in sorted(probabilities)], axis=0)
    return total
