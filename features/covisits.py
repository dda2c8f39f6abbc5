"""Which contents the same people turn to: time-decayed co-visitation, cosine-normalised and pruned."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import sparse

from features.history import DAY, Flags, Floats, History, Matrix

WINDOW_DAYS = 30
HALF_LIFE_DAYS = 7.0
NEIGHBOURS = 100


def covisits(history: History) -> Matrix:
    """Content x content: cosine of the contents' vectors of people (item-to-item filtering, Linden et al. 2003).

    A person counts once a content, with the weight of the latest engagement; the diagonal is zero and only the
    `NEIGHBOURS` strongest of each row are kept (ties by the smaller index).
    """
    readings, lately = history.readings, history.read_within(WINDOW_DAYS)
    weight = np.exp2(-(history.as_of - readings.last[lately]) / DAY / HALF_LIFE_DAYS)
    shape = (len(history.people), history.catalogue.size)
    by_person = sparse.csr_matrix((weight, (readings.person[lately], readings.content[lately])), shape=shape)
    norm = np.sqrt(np.asarray(by_person.multiply(by_person).sum(axis=0)).ravel())
    scaled = by_person @ sparse.diags(np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0))
    together = sparse.csr_matrix(scaled.T @ scaled)
    together.setdiag(0)
    together.eliminate_zeros()
    return _pruned(together)


def _pruned(matrix: Matrix) -> Matrix:
    """The strongest entries of each row."""
    matrix.sort_indices()
    kept = np.ones(len(matrix.data), bool)
    for start, end in pairwise(matrix.indptr.tolist()):
        if end - start > NEIGHBOURS:
            kept[start:end] = _strongest(matrix.data[start:end])
    ends = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], ends), shape=matrix.shape)


def _strongest(values: Floats) -> Flags:
    """Which are the `NEIGHBOURS` largest, and of equal ones the first: without a sort of all."""
    least = np.partition(values, len(values) - NEIGHBOURS)[len(values) - NEIGHBOURS]
    kept: Flags = values > least
    kept[np.flatnonzero(values == least)[: NEIGHBOURS - np.count_nonzero(kept)]] = True
    return kept
