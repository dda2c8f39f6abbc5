"""Which contents the same people turn to: time-decayed co-visitation, cosine-normalised and pruned."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from features.history import History

WINDOW_DAYS = 30
HALF_LIFE_DAYS = 7.0
NEIGHBOURS = 100

Matrix: TypeAlias = Any
"""A `scipy.sparse.csr_matrix`: scipy comes without types, so the alias tells people what it cannot tell mypy."""


def covisits(history: History) -> Matrix:
    """Content x content: cosine of the contents' vectors of people (item-to-item filtering, Linden et al. 2003).

    A person counts once a content, with the weight of the latest engagement; the diagonal is zero and only the
    `NEIGHBOURS` strongest of each row are kept (ties by the smaller index).
    """
    rows = history.active & history.within(WINDOW_DAYS)
    size = history.catalogue.size
    pairs, inverse = np.unique(history.person[rows] * max(size, 1) + history.content[rows], return_inverse=True)
    weight = np.zeros(len(pairs))
    np.maximum.at(weight, inverse, history.decay(HALF_LIFE_DAYS)[rows])
    shape = (len(history.people), size)
    by_person = sparse.csr_matrix((weight, (pairs // max(size, 1), pairs % max(size, 1))), shape=shape)
    norm = np.sqrt(np.asarray(by_person.multiply(by_person).sum(axis=0)).ravel())
    scaled = by_person @ sparse.diags(np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0))
    together = sparse.csr_matrix(scaled.T @ scaled)
    together.setdiag(0)
    together.eliminate_zeros()
    return _pruned(together)


def _pruned(matrix: Matrix) -> Matrix:
    """The strongest entries of each row."""
    matrix.sort_indices()
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    place = np.arange(len(order)) - matrix.indptr[row[order]]
    kept = np.sort(order[place < NEIGHBOURS])
    return sparse.csr_matrix((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)
