"""Who turned to what as of one night, as integers: what every simple recommender learns from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Dense = NDArray[np.float32]
Matrix: TypeAlias = Any
"""A `scipy.sparse.csr_matrix`: scipy comes without types, so the alias tells people what it cannot tell mypy."""

HOUR, DAY = 3_600_000_000, 86_400_000_000
"""Microseconds."""

SESSION_GAP = HOUR // 2
"""A longer silence ends a session."""


@dataclass(frozen=True)
class Engagement:
    """One row an event (N of them) in which somebody did something with a content, before `as_of` (microseconds).

    `person` and `content` are indices below `people` and `contents`; rows are sorted by person, ts and content.
    `born` (contents,) says since when each content exists.
    """

    as_of: int
    people: int
    contents: int
    person: Ints
    content: Ints
    ts: Ints
    born: Ints

    @cached_property
    def pairs(self) -> Pairs:
        """Each person with each content once."""
        keys = self.person * max(self.contents, 1) + self.content
        found, at = np.unique(keys, return_inverse=True)
        last = np.full(len(found), np.iinfo(np.int64).min)
        np.maximum.at(last, at, self.ts)
        return Pairs(found // max(self.contents, 1), found % max(self.contents, 1), last)

    @cached_property
    def session(self) -> Ints:
        """The session of each row, numbered from 0 in the order of the rows."""
        begins = np.ones(len(self.ts), bool)
        begins[1:] = (np.diff(self.person) != 0) | (np.diff(self.ts) > SESSION_GAP)
        return np.asarray(np.cumsum(begins) - 1)

    @cached_property
    def readers(self) -> Floats:
        """How many people ever turned to each content (contents,)."""
        return np.bincount(self.pairs.content, minlength=self.contents).astype(np.float64)

    @cached_property
    def rarity(self) -> Floats:
        """Inverse document frequency of each content (contents,): log(1 + people / readers)."""
        return np.log1p(self.people / np.maximum(self.readers, 1))

    @cached_property
    def baskets(self) -> Matrix:
        """(people, contents): what each person ever turned to, by its rarity; each person's row has length 1."""
        return of_length_one(self.by_pair(self.rarity[self.pairs.content]))

    def by_pair(self, values: Floats) -> Matrix:
        """(people, contents) with a value for each of `pairs`."""
        shape = (self.people, self.contents)
        return sparse.csr_matrix((values, (self.pairs.person, self.pairs.content)), shape=shape)

    def fading(self, ts: Ints, half_life: float) -> Floats:
        """2^(-age / half-life) of instants; `half_life` in microseconds."""
        return np.exp2((ts - self.as_of) / half_life)

    @property
    def age_hours(self) -> Floats:
        """Of each content (contents,); negative for what is not born yet."""
        return (self.as_of - self.born) / HOUR


@dataclass(frozen=True)
class Pairs:
    """Sorted by person and content: when the person `last` turned to it."""

    person: Ints
    content: Ints
    last: Ints


@dataclass(frozen=True)
class Shared:
    """The same score (contents,) for everybody."""

    content: Floats

    def scores(self, rows: Ints, content: Ints) -> Dense:
        """(1, those contents): one row that stands for all of `rows`."""
        return self.content[None, content].astype(np.float32)


@dataclass(frozen=True)
class Linear:
    """Scores that are a product: what a person is made of, (people, G), times what a content answers to, (G, contents).

    `own` (people, contents), where there is one, is subtracted: what a person says about herself.
    """

    person: Matrix
    content: Matrix
    own: Matrix | None = None

    def scores(self, rows: Ints, content: Ints) -> Dense:
        """(people of `rows`, those contents)."""
        found = self.person[rows] @ self._of(self.content, content)
        if self.own is not None:
            found = found - self._of(self.own[rows], content)
        return np.asarray(found.toarray() if sparse.issparse(found) else found, np.float32)

    @staticmethod
    def _of(matrix: Matrix, content: Ints) -> Matrix:
        return matrix if np.array_equal(content, np.arange(matrix.shape[1])) else matrix[:, content]


@dataclass(frozen=True)
class Ratio:
    """One score over another, which gets `prior` more."""

    over: Linear
    under: Linear
    prior: float = 1.0

    def scores(self, rows: Ints, content: Ints) -> Dense:
        """(people of `rows`, those contents)."""
        return self.over.scores(rows, content) / (self.under.scores(rows, content) + np.float32(self.prior))


@dataclass(frozen=True)
class Blend:
    """A weighted sum of scores, each as its z-score over the contents of the list."""

    parts: tuple[tuple[float, Shared | Linear], ...]

    def scores(self, rows: Ints, content: Ints) -> Dense:
        """(people of `rows`, those contents)."""
        total = [weight * standardised(one.scores(rows, content)) for weight, one in self.parts]
        return np.asarray(np.sum(np.broadcast_arrays(*total), axis=0), np.float32)


Scores = Shared | Linear | Ratio | Blend


def entries(matrix: Matrix, rows: Ints, columns: Ints) -> Floats:
    """The values of a sparse matrix at (`rows[i]`, `columns[i]`). (scipy gives no array where there are none.)"""
    return np.asarray(matrix[rows, columns], np.float64).ravel() if len(rows) else np.zeros(0)


def of_length_one(matrix: Matrix) -> Matrix:
    """Each row by its length; a row of nothing stays so."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)) @ matrix)


def standardised(scores: Dense) -> Dense:
    """Each row's scores by the row's mean and standard deviation; a row in which all are equal is zero."""
    if not scores.size:
        return np.zeros_like(scores, np.float32)
    middle = scores - scores.mean(axis=1, keepdims=True, dtype=np.float64)
    deviation = np.sqrt((middle**2).mean(axis=1, keepdims=True, dtype=np.float64))
    return np.asarray(np.divide(middle, deviation, out=np.zeros_like(middle), where=deviation > 1e-12), np.float32)
