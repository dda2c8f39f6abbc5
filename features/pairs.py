"""What candidates are chosen by on one night: whose taste a content meets, what goes together, and what was seen.

A `PairSpace` holds sparse person-by-something matrices; `block` opens a slice of people against the whole catalogue, so
that candidates are chosen without ever making the cross product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from features.covisits import Matrix, covisits
from features.history import Flags, Floats, History, Ints

_PRIOR = 1.0
_AFFINITY_HALF_LIFE, _SEEN_DAYS, _COVISIT_HALF_LIFE = 30.0, 365, 3.0

Dense = NDArray[np.float32]


@dataclass(frozen=True)
class PairSpace:
    """Sparse matrices of one night: people (rows, in the order of the history) by category or content."""

    people: Ints
    content_ids: pa.Array
    category: NDArray[np.int32]
    category_share: Matrix
    recent: Matrix
    together: Matrix
    seen: Matrix

    @classmethod
    def of(cls, history: History) -> PairSpace:
        """Build every matrix in one go over the history."""
        catalogue, active, strength = history.catalogue, history.active, history.strength
        category = catalogue.category[history.content] if history.rows else np.zeros(0, np.int32)
        taste = strength * history.decay(_AFFINITY_HALF_LIFE)
        return cls(
            people=history.people,
            content_ids=catalogue.ids,
            category=catalogue.category,
            category_share=_shares(history, active, category, taste, len(catalogue.categories)),
            recent=_by_content(history, active, strength * history.decay(_COVISIT_HALF_LIFE)),
            together=covisits(history),
            seen=_by_content(history, active & history.within(_SEEN_DAYS), np.ones(history.rows)),
        )

    def block(self, rows: slice, content: Ints | None = None) -> PairBlock:
        """These people against these contents (sorted indices), by default against all."""
        return PairBlock(self, rows, np.arange(len(self.content_ids)) if content is None else content)


@dataclass(frozen=True)
class PairBlock:
    """A slice of people against some contents (sorted indices); matrices are (people) x (those contents), float32."""

    space: PairSpace
    rows: slice
    content: Ints

    def affinity(self) -> Dense:
        """Share of the person's decayed activity in the content's category, half-life 30 d."""
        return _spread(self.space.category_share[self.rows], self.space.category[self.content])

    @cached_property
    def covisit(self) -> Dense:
        """Decayed activity times cosine co-visitation, summed over what the person did lately."""
        return _dense(self.space.recent[self.rows] @ self._of(self.space.together))

    def seen(self) -> Dense:
        """How often the person did something with the content in the last year."""
        return _dense(self._of(self.space.seen[self.rows]))

    def _of(self, matrix: Matrix) -> Matrix:
        """The block's columns: a log may know a hundred times as much content as can be listed."""
        return matrix if len(self.content) == matrix.shape[1] else matrix[:, self.content]


def _matrix(rows: Ints, columns: NDArray[np.integer], values: Floats, shape: tuple[int, int]) -> Matrix:
    """Duplicates are summed; float64 sums in the order of the history, so the same rows give the same bytes."""
    return sparse.coo_matrix((values, (rows, columns)), shape=shape).tocsr()


def _shares(history: History, rows: Flags, codes: NDArray[np.int32], weights: Floats, groups: int) -> Matrix:
    """Each person's weight in each group over their whole weight plus a prior, so that one click is not a passion."""
    chosen = rows & (codes >= 0)
    matrix = _matrix(history.person[chosen], codes[chosen], weights[chosen], (len(history.people), max(groups, 1)))
    total = history.per_person(rows, weights) + _PRIOR
    return sparse.csr_matrix(sparse.diags(1.0 / total) @ matrix)


def _by_content(history: History, rows: Flags, weights: Floats) -> Matrix:
    shape = (len(history.people), history.catalogue.size)
    return _matrix(history.person[rows], history.content[rows], weights[rows], shape)


def _dense(matrix: Matrix) -> Dense:
    dense: Dense = matrix.toarray().astype(np.float32)
    return dense


def _spread(by_group: Matrix, codes: NDArray[np.int32]) -> Dense:
    """A people x groups matrix as people x content; content without a group (code -1) gets NaN."""
    spread = np.column_stack([by_group.toarray(), np.full(by_group.shape[0], np.nan)]).astype(np.float32)
    return spread[:, codes]
