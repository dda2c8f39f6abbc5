"""Relevance of pairs: every goal's trees, asked about people and their candidates without putting rows together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.classifier import GoalModel
from models.factored import Factored
from models.forest import Codes, Forest
from models.trees import CannotCompileError

Dense = NDArray[np.float32]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

POSITION = "position"
"""The feature that says where in a list the content stood; everybody is scored as if at the top."""

TOP = 1.0

_LEAVES = 16_000_000
"""Pairs times trees whose leaves are kept at a time, a byte or two each."""


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


@dataclass(frozen=True)
class Scorer:
    """Every goal's model, ready for one night's `people` (P, Fp) and `contents` (C, Fc), and their pairs.

    `forest` are the models' trees and `codes` the contents as it reads them; None where a model has to be asked itself.
    """

    models: Mapping[str, GoalModel]
    people: Dense
    contents: Dense
    forest: Forest | None
    codes: Codes | None
    workers: int

    @classmethod
    def of(cls, models: Mapping[str, GoalModel], people: Dense, contents: Dense, workers: int = 1) -> Scorer:
        """Compile the models' trees for these people and contents, for so many threads to ask."""
        pairs = len(next(iter(models.values())).features) - people.shape[1] - contents.shape[1] - 1
        try:
            forest = Forest.of([one.booster for one in models.values()], people.shape[1], contents.shape[1], pairs)
        except CannotCompileError:
            return cls(models, people, contents, None, None, workers)
        return cls(models, people, contents, forest, forest.contents(contents), workers)

    def score(
        self,
        weights: Mapping[str, float],
        pairs: Dense,
        person: Integers,
        content: Integers,
        position: float,
        *,
        leaves: Codes | None = None,
    ) -> Scored:
        """Score pairs: their own features (N, Fx), and the places of their people and contents (N,).

        `position` is everybody's, NaN where it is unknown. Fastest where all pairs of a person stand together.
        To `leaves`, which `room` has made, is written which leaf of each tree each pair comes to.
        """
        ends = [len(person) * worker // self.workers for worker in range(self.workers + 1)]

        def asked(start: int, end: int) -> dict[str, Floats]:
            own = slice(start, end)
            return self._asked(pairs[own], person[own], content[own], position, leaves, start)

        with ThreadPoolExecutor(self.workers) as pool:
            found = list(pool.map(lambda part: asked(*part), pairwise(ends)))
        probabilities = {goal: np.concatenate([part[goal] for part in found]) for goal in self.models}
        return Scored(probabilities, relevance(probabilities, weights))

    def parts(self, person: Integers) -> Iterator[slice]:
        """Parts of pairs, no person's in two of them, so small that a processor's cache holds the leaves of one.

        `person` (N,) are the pairs'; all pairs of a person stand together.
        """
        starts = np.flatnonzero(np.diff(person, prepend=-1, append=-1))
        most = _LEAVES // max(len(self.forest.nodes.roots), 1) if self.forest else len(person)
        start = 0
        while start < len(person):
            whole = starts[np.searchsorted(starts, start + most, side="right") - 1]
            end = max(whole, starts[np.searchsorted(starts, start, side="right")])  # at least one person
            yield slice(start, end)
            start = end

    def room(self, pairs: int) -> Codes | None:
        """Where `score` can write the leaves of so many pairs; None where models are asked themselves."""
        return self.forest.leaves(pairs) if self.forest else None

    def _asked(
        self, pairs: Dense, person: Integers, content: Integers, position: float, leaves: Codes | None, column: int
    ) -> dict[str, Floats]:
        """Probabilities by goal; leaves are kept from a column on."""
        if self.forest is None or self.codes is None:
            x = rows(self.people, self.contents, pairs, person, content, position)
            return {goal: model.predict(x) for goal, model in self.models.items()}
        margins = self.forest.margins(self.people, self.codes, pairs, person, content, position, leaves, column)
        return {
            goal: model.probabilities(model.log_odds(margin))
            for (goal, model), margin in zip(self.models.items(), margins, strict=True)
        }


def relevance(probabilities: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Sum of weight x probability, goals in alphabetical order so that the sum does not depend on theirs."""
    total: Floats = np.sum([weights[goal] * probabilities[goal] for goal in sorted(probabilities)], axis=0)
    return total
