"""Who else read it, and what goes together: neighbourhoods of people, of sessions and of contents.

A vote of all neighbours is a product of two matrices, whoever the neighbours are: sum over v of <a_u, a_v> * vote_vi is
a_u (A' V), contents by contents, and no matrix of people by people is ever made.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from models.engagement import DAY, HOUR, Dense, Engagement, Floats, Linear, Matrix, Ratio, of_length_one

HALF_LIVES = 14.0
"""A vote older than so many of its half-lives says nothing."""

REACH = 10
"""Steps within a session in which one content goes with another."""


def user_knn(engagement: Engagement, half_life_hours: float) -> Linear:
    """What similar people turned to of late: cosine of rarity-weighted readings, votes that fade fast.

    Resnick et al. 1994, with all people as neighbours; a vote weighs 2^(-its age / half-life).
    """
    baskets = engagement.baskets
    votes = engagement.by_pair(_recent(engagement, half_life_hours))
    votes.eliminate_zeros()
    return Linear(baskets, sparse.csr_matrix(baskets.T @ votes), votes)


def neighbours_reach(engagement: Engagement) -> Ratio:
    """Similar people who ever turned to it, over those who did anything at all since it was born; each by likeness."""
    baskets = engagement.baskets
    votes = engagement.by_pair(np.ones(len(engagement.pairs.person)))
    over = Linear(baskets, sparse.csr_matrix(baskets.T @ votes), votes)
    return Ratio(over, Linear(baskets, _there_since(engagement, baskets)))


def _there_since(engagement: Engagement, baskets: Matrix) -> Dense:
    """(contents, contents): the summed baskets of the people who were there after a content was born, by content."""
    last = np.zeros(engagement.people, np.int64)
    np.maximum.at(last, engagement.person, engagement.ts)
    order = np.argsort(engagement.born, kind="stable")
    slot = np.searchsorted(engagement.born[order], last, side="right")  # born before, or as, they were last there
    by_slot = sparse.csr_matrix(
        (np.ones(engagement.people), (slot, np.arange(engagement.people))),
        shape=(engagement.contents + 1, engagement.people),
    )
    summed = (by_slot @ baskets).toarray().astype(np.float32)[1:]
    found = np.empty((engagement.contents, engagement.contents), np.float32)
    found[:, order] = np.cumsum(summed[::-1], axis=0)[::-1].T
    return found


def session_knn(engagement: Engagement, half_life_hours: float, fading_steps: float = 3.0) -> Linear:
    """What was read in sessions like the person's last one (V-SkNN; Ludewig and Jannach 2018).

    The last session's contents weigh 2^(-steps ago / fading_steps), sessions are compared by cosine, and a session's
    vote weighs 2^(-its age / half-life).
    """
    session, n = engagement.session, int(engagement.session[-1]) + 1 if len(engagement.session) else 0
    shape = (n, engagement.contents)
    baskets = sparse.csr_matrix((engagement.rarity[engagement.content], (session, engagement.content)), shape=shape)
    votes = sparse.csr_matrix(
        (engagement.fading(engagement.ts, half_life_hours * HOUR), (session, engagement.content)), shape=shape
    )
    votes.data[votes.data < 2.0**-HALF_LIVES] = 0
    votes.eliminate_zeros()
    return Linear(_last_sessions(engagement, fading_steps), sparse.csr_matrix(of_length_one(baskets).T @ votes))


def item_to_item(engagement: Engagement, half_life_days: float, vote_hours: float, popular: float = 1.0) -> Linear:
    """What readers of the person's contents turned to (Linden et al. 2003), where late readings count.

    A reading weighs 2^(-its age / half-life) in the person's profile, and 2^(-its age / vote_hours) as a vote of those
    who read both. Votes are divided by the root of the first content's readers, and by the second's votes to the power
    of (1 - `popular`) / 2: at 0 that is a cosine, at 1 what many read stays ahead.
    """
    pairs = engagement.pairs
    votes = engagement.by_pair(_recent(engagement, vote_hours))
    votes.eliminate_zeros()
    read = engagement.by_pair(np.ones(len(pairs.person)))
    cast = np.asarray(votes.sum(axis=0)).ravel()
    alike = _scaled(engagement.readers, 0.5) @ (read.T @ votes) @ _scaled(cast, (1 - popular) / 2)
    alike = sparse.csr_matrix(alike)
    alike.setdiag(0)
    alike.eliminate_zeros()
    return Linear(engagement.by_pair(engagement.fading(pairs.last, half_life_days * DAY)), alike)


def co_visits(engagement: Engagement, half_life_days: float, memory_days: float) -> Linear:
    """What follows or precedes in one session: 1 / steps between them, fading with age, over the root of both sums."""
    left, right, weights = [], [], []
    for steps in range(1, REACH + 1):
        near = engagement.session[steps:] == engagement.session[:-steps]
        left.append(engagement.content[:-steps][near])
        right.append(engagement.content[steps:][near])
        weights.append(engagement.fading(engagement.ts[steps:][near], memory_days * DAY) / steps)
    a, b, w = (np.concatenate(parts) for parts in (left, right, weights))
    shape = (engagement.contents, engagement.contents)
    counts = sparse.csr_matrix((np.tile(w, 2), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=shape)
    counts.setdiag(0)
    counts.eliminate_zeros()
    scale = _scaled(np.asarray(counts.sum(axis=0)).ravel(), 0.5)
    pairs = engagement.pairs
    profile = engagement.by_pair(engagement.fading(pairs.last, half_life_days * DAY))
    return Linear(profile, sparse.csr_matrix(scale @ counts @ scale))


def cosines(engagement: Engagement) -> Matrix:
    """(contents, contents): how alike contents are by who read them, 0 to 1."""
    unit = of_length_one(sparse.csr_matrix(engagement.by_pair(np.ones(len(engagement.pairs.person))).T))
    return sparse.csr_matrix(unit @ unit.T)


def _recent(engagement: Engagement, half_life_hours: float) -> Floats:
    weights = engagement.fading(engagement.pairs.last, half_life_hours * HOUR)
    return np.where(weights < 2.0**-HALF_LIVES, 0.0, weights)


def _scaled(total: Floats, power: float) -> Matrix:
    """A diagonal of 1 / total^power; 0 where there is nothing."""
    return sparse.diags(np.where(total > 0, np.maximum(total, 1e-12) ** -power, 0.0))


def _last_sessions(engagement: Engagement, fading_steps: float) -> Matrix:
    """(people, contents): each person's last session, its last content weighing most."""
    person, shape = engagement.person, (engagement.people, engagement.contents)
    if not len(person):
        return sparse.csr_matrix(shape)
    end = np.searchsorted(person, person, side="right") - 1
    last = engagement.session == engagement.session[end]
    steps = (end - np.arange(len(person)))[last]
    found = sparse.csr_matrix((np.exp2(-steps / fading_steps), (person[last], engagement.content[last])), shape=shape)
    return of_length_one(found)
