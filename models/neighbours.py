"""Who else read it, and what goes together: neighbourhoods of people, of sessions and of contents.

A vote of all neighbours is a product of two matrices, whoever the neighbours are: sum over v of <a_u, a_v> * vote_vi is
a_u (A' V), contents by contents, and no matrix of people by people is ever made.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from models import products
from models.engagement import DAY, HOUR, Engagement, Floats, Ints, Linear, Matrix, Ratio, of_length_one
from models.products import Tiles, inverse

HALF_LIVES = 14.0
"""A vote older than so many of its half-lives says nothing."""

REPEATS = 10.0
"""By how many half-lives the votes of a session for one content may be older, if there are 2^`REPEATS` of them."""

FULL = 0.125
"""Share of a matrix that has to be there before it lies in tiles."""

REACH = 10
"""Steps within a session in which one content goes with another."""


def user_knn(engagement: Engagement, half_life_hours: float) -> Linear:
    """What similar people turned to of late: cosine of rarity-weighted readings, votes that fade fast.

    Resnick et al. 1994, with all people as neighbours; a vote weighs 2^(-its age / half-life).
    """
    votes = _recent(engagement, half_life_hours)
    return Linear(engagement.baskets, _of_readers(engagement, engagement.baskets.data, votes), votes)


def neighbours_reach(engagement: Engagement) -> Ratio:
    """Similar people who ever turned to it, over those who did anything at all since it was born; each by likeness."""
    baskets = engagement.baskets
    votes = engagement.by_pair(np.ones(len(engagement.pairs.person)))
    over = Linear(baskets, _of_readers(engagement, baskets.data, votes), votes)
    return Ratio(over, Linear(baskets, _there_since(engagement, baskets)))


def _there_since(engagement: Engagement, baskets: Matrix) -> Tiles:
    """(contents, contents): the summed baskets of the people who were there after a content was born, by content."""
    last = np.zeros(engagement.people, np.int64)
    last[engagement.person] = engagement.ts  # of each person the last row counts
    order = np.argsort(engagement.born, kind="stable")
    slot = np.searchsorted(engagement.born[order], last, side="right")  # born before, or as, they were last there
    return products.since(slot, baskets.indptr, baskets.indices, baskets.data, order)


def _of_readers(
    engagement: Engagement, weights: Floats, votes: Matrix, scale: tuple[Floats, Floats] | None = None
) -> Matrix | Tiles:
    """(contents, contents): each pair's weight times its person's votes, summed by content.

    `scale` multiplies rows and columns, and takes away the diagonal.
    """
    pairs = engagement.pairs
    if int(np.diff(votes.indptr)[pairs.person].sum()) < engagement.contents**2 * FULL:
        found = engagement.by_pair(weights).T @ votes
        return sparse.csr_matrix(found) if scale is None else _scaled(found, *scale)
    readers = pairs.content_starts, pairs.readers, weights[pairs.of_content]
    return products.of_readers(readers, (votes.indptr, votes.indices, votes.data), scale)


def session_knn(engagement: Engagement, half_life_hours: float, fading_steps: float = 3.0) -> Linear:
    """What was read in sessions like the person's last one (V-SkNN; Ludewig and Jannach 2018).

    The last session's contents weigh 2^(-steps ago / fading_steps), sessions are compared by cosine, and a session's
    vote weighs 2^(-its age / half-life).
    """
    half_life = half_life_hours * HOUR
    recent = np.flatnonzero(engagement.ts - engagement.as_of >= -(HALF_LIVES + REPEATS) * half_life)
    votes = _by_session(engagement, recent, engagement.fading(engagement.ts[recent], half_life))
    votes.data[votes.data < 2.0**-HALF_LIVES] = 0
    votes.eliminate_zeros()
    heard = np.diff(votes.indptr) > 0
    rows = np.flatnonzero(heard[engagement.session]) if len(heard) else recent
    baskets = of_length_one(_by_session(engagement, rows, engagement.rarity[engagement.content[rows]]))
    return Linear(_last_sessions(engagement, fading_steps), sparse.csr_matrix(baskets.T @ votes))


def _by_session(engagement: Engagement, rows: Ints, values: Floats) -> Matrix:
    """(sessions, contents): a value a row of the log, summed."""
    session = engagement.session
    shape = int(session[-1]) + 1 if len(session) else 0, engagement.contents
    return sparse.csr_matrix((values, (session[rows], engagement.content[rows])), shape=shape)


def item_to_item(engagement: Engagement, half_life_days: float, vote_hours: float, popular: float = 1.0) -> Linear:
    """What readers of the person's contents turned to (Linden et al. 2003), where late readings count.

    A reading weighs 2^(-its age / half-life) in the person's profile, and 2^(-its age / vote_hours) as a vote of those
    who read both. Votes are divided by the root of the first content's readers, and by the second's votes to the power
    of (1 - `popular`) / 2: at 0 that is a cosine, at 1 what many read stays ahead.
    """
    pairs = engagement.pairs
    votes = _recent(engagement, vote_hours)
    cast = np.asarray(votes.sum(axis=0)).ravel()
    scale = inverse(engagement.readers, 0.5), inverse(cast, (1 - popular) / 2)
    alike = _of_readers(engagement, np.ones(len(pairs.person)), votes, scale)
    return Linear(engagement.by_pair(engagement.fading(pairs.last, half_life_days * DAY)), alike)


def co_visits(engagement: Engagement, half_life_days: float, memory_days: float) -> Linear:
    """What follows or precedes in one session: 1 / steps between them, fading with age, over the root of both sums."""
    weights = engagement.fading(engagement.ts, memory_days * DAY)
    alike = products.near(engagement.content, engagement.session, weights, engagement.contents, REACH)
    profile = engagement.by_pair(engagement.fading(engagement.pairs.last, half_life_days * DAY))
    return Linear(profile, alike)


def cosines(engagement: Engagement) -> Matrix:
    """(contents, contents): how alike contents are by who read them, 0 to 1."""
    unit = of_length_one(sparse.csr_matrix(engagement.by_pair(np.ones(len(engagement.pairs.person))).T))
    return sparse.csr_matrix(unit @ unit.T)


def _recent(engagement: Engagement, half_life_hours: float) -> Matrix:
    """(people, contents): readings, fading; none that is older than `HALF_LIVES`."""
    last = engagement.pairs.last
    kept = np.flatnonzero(last - engagement.as_of >= -HALF_LIVES * half_life_hours * HOUR)
    return engagement.by_some_pairs(kept, engagement.fading(last[kept], half_life_hours * HOUR))


def _scaled(matrix: Matrix, rows: Floats, columns: Floats) -> Matrix:
    """Each row and each column times a number of its own; the diagonal is 0."""
    found = sparse.csr_matrix(sparse.diags(rows) @ matrix @ sparse.diags(columns))
    found.setdiag(0)
    found.eliminate_zeros()
    return found


def _last_sessions(engagement: Engagement, fading_steps: float) -> Matrix:
    """(people, contents): each person's last session, its last content weighing most."""
    starts, session = engagement.row_starts, engagement.session
    there = np.flatnonzero(np.diff(starts))
    end = starts[there + 1]
    begin = np.searchsorted(session, session[end - 1])
    many = end - begin
    steps = np.repeat(np.cumsum(many), many) - np.arange(many.sum()) - 1
    rows, shape = np.repeat(end, many) - 1 - steps, (engagement.people, engagement.contents)
    at = np.repeat(there, many), engagement.content[rows]
    return of_length_one(sparse.csr_matrix((np.exp2(-steps / fading_steps), at), shape=shape))
