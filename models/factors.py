"""Latent factors of people and contents: ALS on weighted engagement, and EASE, its shallow rival in closed form."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.engagement import DAY, Dense, Engagement, Linear, Matrix

_compiled: Any = numba.njit(cache=True, nogil=True)
"""Without types of its own: numba brings none."""

FORGOTTEN = 2.0**-30
"""The weight below which a reading is as good as none."""

STEPS = 3
"""Of conjugate gradients a solution (Takács, Pilászy and Tikk 2011): as good as exact ones, in a tenth of the time."""


def als(
    engagement: Engagement,
    factors: int,
    *,
    memory_days: float,
    confidence: float = 20.0,
    regularisation: float = 10.0,
    iterations: int = 5,
    seed: int = 7,
) -> Linear:
    """Implicit-feedback matrix factorisation (Hu, Koren and Volinsky 2008).

    A reading's confidence is 1 + `confidence` x 2^(-its age / memory); what was not read has 1, and preference 0.
    """
    weights = confidence * engagement.fading(engagement.pairs.last, memory_days * DAY)
    by_person = sparse.csr_matrix(engagement.by_pair(weights).astype(np.float32))
    by_content = sparse.csr_matrix(by_person.T)
    rng = np.random.default_rng(seed)
    content = rng.normal(0, 0.01, (engagement.contents, factors)).astype(np.float32)
    person = np.zeros((engagement.people, factors), np.float32)
    for _ in range(iterations):
        _solve(by_person, content, person, regularisation)
        _solve(by_content, person, content, regularisation)
    _solve(by_person, content, person, regularisation)
    return Linear(person, np.ascontiguousarray(content.T))


def ease(engagement: Engagement, regularisation: float, *, memory_days: float) -> Linear:
    """Item-to-item weights in closed form (Steck, "Embarrassingly Shallow Autoencoders", WWW 2019).

    A reading weighs 2^(-its age / memory), and nothing at all when it is `FORGOTTEN`: what nobody read of late is left
    out of the matrix, which is dense.
    """
    weights = engagement.fading(engagement.pairs.last, memory_days * DAY)
    every = engagement.by_pair(np.where(weights < FORGOTTEN, 0.0, weights))
    alive = np.flatnonzero(np.asarray(every.sum(axis=0)).ravel() > 0)
    x = every[:, alive]
    gram = (x.T @ x).toarray()
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = np.linalg.inv(gram)
    within = -inverse / np.diag(inverse)
    np.fill_diagonal(within, 0.0)
    answers = np.zeros((len(alive), engagement.contents), np.float32)
    answers[:, alive] = within
    return Linear(x, answers)


def _solve(matrix: Matrix, given: Dense, found: Dense, regularisation: float) -> None:
    """The least-squares factors of the matrix's rows, `given` those of its columns, from where `found` stands."""
    gram = given.T @ given + regularisation * np.eye(given.shape[1], dtype=np.float32)
    _conjugate_gradients(matrix.indptr, matrix.indices, matrix.data, given, gram.astype(np.float32), found)


@_compiled  # type: ignore[untyped-decorator]
def _conjugate_gradients(
    starts: NDArray[Any], columns: NDArray[Any], weights: Dense, given: Dense, gram: Dense, found: Dense
) -> None:
    rank = given.shape[1]
    for row in range(len(starts) - 1):
        begin, end = starts[row], starts[row + 1]
        x = found[row]
        r = -(gram @ x)
        for at in range(begin, end):
            y = given[columns[at]]
            r += (1 + weights[at] - weights[at] * np.dot(y, x)) * y
        p = r.copy()
        before = np.dot(r, r)
        for _ in range(STEPS):
            if before < 1e-12:
                break
            ap = gram @ p
            for at in range(begin, end):
                y = given[columns[at]]
                ap += (weights[at] * np.dot(y, p)) * y
            alpha = before / np.dot(p, ap)
            for f in range(rank):
                x[f] += alpha * p[f]
                r[f] -= alpha * ap[f]
            after = np.dot(r, r)
            for f in range(rank):
                p[f] = r[f] + (after / before) * p[f]
            before = after
