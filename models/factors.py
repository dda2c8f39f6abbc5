"""Latent factors of people and contents: ALS on weighted engagement, and EASE, its shallow rival in closed form."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.engagement import DAY, Dense, Engagement, Linear, Matrix
from models.products import Tiles

_compiled: Any = numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
_inlined: Any = numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"}, inline="always")
"""Without types of their own: numba brings none. Sums may be made in any order, so eight terms at a time."""

FORGOTTEN = 2.0**-30
"""The weight below which a reading is as good as none."""

VANISHING = 2.0**-27
"""A confidence beyond 1 of which single precision sees nothing."""

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
    seen = np.flatnonzero(weights > VANISHING)
    read = engagement.by_pair(np.ones(len(weights), np.float32))
    confident = engagement.by_some_pairs(seen, weights[seen].astype(np.float32))
    read_by, confident_of = sparse.csr_matrix(read.T), sparse.csr_matrix(confident.T)
    rng = np.random.default_rng(seed)
    content = rng.normal(0, 0.01, (engagement.contents, factors)).astype(np.float32)
    person = np.zeros((engagement.people, factors), np.float32)
    for _ in range(iterations):
        _solve(read, confident, content, person, regularisation)
        _solve(read_by, confident_of, person, content, regularisation)
    _solve(read, confident, content, person, regularisation)
    return Linear(sparse.csr_matrix(person), Tiles.of(content.T))  # BLAS rounds by who stands beside whom


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


def _solve(read: Matrix, weights: Matrix, given: Dense, found: Dense, regularisation: float) -> None:
    """The least-squares factors of the matrices' rows, `given` those of their columns, from where `found` stands."""
    gram = (given.T @ given + regularisation * np.eye(given.shape[1], dtype=np.float32)).astype(np.float32)
    residual = read @ given - found @ gram
    buffers = np.empty((2, given.shape[1]), np.float32)
    _conjugate_gradients(weights.indptr, weights.indices, weights.data, given, gram, found, residual, *buffers)


@_compiled  # type: ignore[untyped-decorator]
def _conjugate_gradients(
    starts: NDArray[Any],
    columns: NDArray[Any],
    weights: Dense,
    given: Dense,
    gram: Dense,
    found: Dense,
    residual: Dense,
    p: Dense,
    ap: Dense,
) -> None:
    """`residual` is what is left of each row's right-hand side without the weights."""
    for row in range(len(starts) - 1):
        begin, end = starts[row], starts[row + 1]
        x, r = found[row], residual[row]
        for at in range(begin, end):
            y = given[columns[at]]
            _add(r, weights[at] - weights[at] * _dot(y, x), y)
        for f in range(len(p)):  # an array into an array compiles for seconds: numba words its errors
            p[f] = r[f]
        before = _dot(r, r)
        for _ in range(STEPS):
            if before < 1e-12:
                break
            ap[:] = 0
            for g in range(len(p)):
                _add(ap, p[g], gram[g])
            for at in range(begin, end):
                y = given[columns[at]]
                _add(ap, weights[at] * _dot(y, p), y)
            alpha = before / _dot(p, ap)
            _add(x, alpha, p)
            _add(r, -alpha, ap)
            after = _dot(r, r)
            for f in range(len(p)):
                p[f] = r[f] + (after / before) * p[f]
            before = after


@_inlined  # type: ignore[untyped-decorator]
def _dot(a: Dense, b: Dense) -> Any:
    total = np.float32(0)
    for f in range(len(a)):
        total += a[f] * b[f]
    return total


@_inlined  # type: ignore[untyped-decorator]
def _add(to: Dense, times: float, what: Dense) -> None:
    for f in range(len(to)):
        to[f] += times * what[f]
