"""Who turned to what as of one night, as integers: what every simple recommender learns from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models import products
from models.products import Readers, Tiles

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
        return Pairs(*products.distinct(*self.by_content, self.person, self.ts, self.people))

    @cached_property
    def by_content(self) -> tuple[Ints, Ints]:
        """Where each content's rows start (contents + 1,), and which they are: by content, person and ts."""
        return products.grouped(self.content, self.contents)

    @cached_property
    def session(self) -> Ints:
        """The session of each row, numbered from 0 in the order of the rows."""
        begins = np.ones(len(self.ts), bool)
        begins[1:] = (np.diff(self.person) != 0) | (np.diff(self.ts) > SESSION_GAP)
        return np.asarray(np.cumsum(begins) - 1)

    @cached_property
    def row_starts(self) -> Ints:
        """Where each person's rows start (people + 1,)."""
        return np.searchsorted(self.person, np.arange(self.people + 1))

    @cached_property
    def readers(self) -> Floats:
        """How many people ever turned to each content (contents,)."""
        return np.diff(self.pairs.content_starts).astype(np.float64)

    @cached_property
    def rarity(self) -> Floats:
        """Inverse document frequency of each content (contents,): log(1 + people / readers)."""
        return np.log1p(self.people / np.maximum(self.readers, 1))

    @cached_property
    def baskets(self) -> Matrix:
        """(people, contents): what each person ever turned to, by its rarity; each person's row has length 1."""
        return of_length_one(self.by_pair(self.rarity[self.pairs.content]))

    def by_pair(self, values: Floats) -> Matrix:
        """(people, contents) with a value for each of `pairs`; what is 0 takes no room."""
        if np.count_nonzero(values) < len(values):
            kept = np.flatnonzero(values)
            return self.by_some_pairs(kept, values[kept])
        return sparse.csr_matrix((values, self.pairs.content, self.pairs.starts), shape=(self.people, self.contents))

    def by_some_pairs(self, kept: Ints, values: Floats) -> Matrix:
        """(people, contents) with a value for each of some pairs, `kept` (sorted)."""
        starts = np.searchsorted(kept, self.pairs.starts)
        shape = (self.people, self.contents)
        return sparse.csr_matrix((values, self.pairs.content[kept], starts), shape=shape)

    def fading(self, ts: Ints, half_life: float) -> Floats:
        """2^(-age / half-life) of instants; `half_life` in microseconds."""
        return np.exp2((ts - self.as_of) / half_life)

    @property
    def age_hours(self) -> Floats:
        """Of each content (contents,); negative for what is not born yet."""
        return (self.as_of - self.born) / HOUR


@dataclass(frozen=True)
class Pairs:
    """Sorted by person and content: when the person `last` turned to it.

    Person u's are `starts[u]` to `starts[u + 1]`. Sorted by content and person they are `of_content`, where `readers`
    are their people and content i's are `content_starts[i]` to `content_starts[i + 1]`.
    """

    person: Ints
    content: Ints
    last: Ints
    starts: Ints
    of_content: Ints
    content_starts: Ints
    readers: Ints


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
    content: Matrix | Tiles
    own: Matrix | None = None

    def scores(self, rows: Ints, content: Ints) -> Dense:
        """(people of `rows`, those contents)."""
        every = np.array_equal(content, np.arange(self.content.shape[1]))
        found = self._product(rows, None if every else content)
        if self.own is not None:
            said = sparse.coo_matrix(self.own[rows] if every else self.own[rows][:, content])
            found[said.row, said.col] -= said.data.astype(np.float32)
        return found

    def _product(self, rows: Ints, content: Ints | None) -> Dense:
        """Of some contents, or of all; whatever the matrices are, nothing of `people` by `contents` is sparse."""
        matrix = self.content
        if isinstance(matrix, Tiles):
            return self._of_tiles(matrix, rows, content)
        if sparse.issparse(matrix):
            few = products.of_few(_parts(self.person), rows, _parts(matrix), matrix.shape[1])
            return few if content is None else few[:, content]
        return np.asarray(self.person[rows] @ (matrix if content is None else matrix[:, content]), np.float32)

    def _of_tiles(self, tiles: Tiles, rows: Ints, content: Ints | None) -> Dense:
        """Where most columns are wanted all are multiplied: tiles are large, and a copy of some would be as large."""
        people = _parts(self.person)
        if content is not None and 2 * len(content) < tiles.width:
            return products.of_people(people, rows, tiles.columns(content))
        found = products.of_people(people, rows, tiles)
        return found if content is None else np.take(found, content, axis=1)


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


def _parts(matrix: Matrix) -> Readers:
    return matrix.indptr, matrix.indices, matrix.data


def of_length_one(matrix: Matrix) -> Matrix:
    """Each row by its length; a row of nothing stays so. Entries stay where they are."""
    many = np.diff(matrix.indptr)
    length = np.sqrt(np.bincount(np.repeat(np.arange(len(many)), many), weights=matrix.data**2, minlength=len(many)))
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    data = matrix.data * np.repeat(scale, many)
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def standardised(scores: Dense) -> Dense:
    """Each row's scores by the row's mean and standard deviation; a row in which all are equal is zero."""
    if not scores.size:
        return np.zeros_like(scores, np.float32)
    middle = scores - scores.mean(axis=1, keepdims=True, dtype=np.float64)
    deviation = np.sqrt((middle**2).mean(axis=1, keepdims=True, dtype=np.float64))
    return np.asarray(np.divide(middle, deviation, out=np.zeros_like(middle), where=deviation > 1e-12), np.float32)
