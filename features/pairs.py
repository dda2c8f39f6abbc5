"""What connects a person with a content on one night: affinities, co-visitation, what was shown and seen.

A `PairSpace` holds sparse person-by-something matrices; `block` opens a slice of people against the whole catalogue, so
that candidates are chosen and pair features gathered without ever making the cross product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from features.covisits import Matrix, covisits
from features.history import DAY, Flags, Floats, History, Ints
from features.sessions import Sessions, category_mix, last_session_rows

HALF_LIVES_DAYS = {"1d": 1.0, "7d": 7.0, "30d": 30.0}
PAIR_FEATURES = (
    *(f"affinity_category_{label}" for label in HALF_LIVES_DAYS),
    "affinity_author",
    "affinity_tags",
    "category_response",
    "last_session_category",
    "covisit",
    "seen",
    "shown",
    "shown_days_ago",
)
_PRIOR = 1.0
_PRIOR_SHOWN = 10.0
_SEEN_DAYS, _SHOWN_DAYS, _COVISIT_HALF_LIFE = 365, 30, 3.0

Dense = NDArray[np.float32]


@dataclass(frozen=True)
class PairSpace:
    """Sparse matrices of one night: people (rows, in the order of the history) by category, author, tag or content."""

    people: Ints
    content_ids: pa.Array
    category: NDArray[np.int32]
    author: NDArray[np.int32]
    category_shares: tuple[Matrix, ...]
    author_share: Matrix
    tag_share: Matrix
    content_tags: Matrix
    response: NDArray[np.float32]
    last_session: Matrix
    recent: Matrix
    together: Matrix
    seen: Matrix
    shown: Matrix
    shown_days: Matrix

    @classmethod
    def of(cls, history: History, sessions: Sessions) -> PairSpace:
        """Build every matrix in one go over the history."""
        catalogue, active = history.catalogue, history.active
        strength = history.strength
        category = catalogue.category[history.content] if history.rows else np.zeros(0, np.int32)
        author = catalogue.author[history.content] if history.rows else np.zeros(0, np.int32)
        last = active & last_session_rows(history, sessions)
        return cls(
            people=history.people,
            content_ids=catalogue.ids,
            category=catalogue.category,
            author=catalogue.author,
            category_shares=tuple(
                _shares(history, active, category, strength * history.decay(h), len(catalogue.categories))
                for h in HALF_LIVES_DAYS.values()
            ),
            author_share=_shares(history, active, author, strength * history.decay(30.0), len(catalogue.authors)),
            tag_share=_tag_shares(history, active, strength * history.decay(30.0)),
            content_tags=_content_tags(history),
            response=_response(history, category),
            last_session=_shares(history, last, category, strength, len(catalogue.categories)),
            recent=_by_content(history, active, strength * history.decay(_COVISIT_HALF_LIFE)),
            together=covisits(history),
            seen=_by_content(history, active & history.within(_SEEN_DAYS), np.ones(history.rows)),
            shown=_by_content(
                history, history.is_kind("impression") & history.within(_SHOWN_DAYS), np.ones(history.rows)
            ),
            shown_days=_last_shown(history),
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

    def affinity(self, label: str) -> Dense:
        """Share of the person's decayed activity in the content's category."""
        at = list(HALF_LIVES_DAYS).index(label)
        return _spread(self.space.category_shares[at][self.rows], self.space.category[self.content])

    def covisit(self) -> Dense:
        """Decayed activity times cosine co-visitation, summed over what the person did lately."""
        return _dense(self.space.recent[self.rows] @ self._of(self.space.together))

    def seen(self) -> Dense:
        """How often the person did something with the content in the last year."""
        return _dense(self._of(self.space.seen[self.rows]))

    def features(self, person: Ints, content: Ints) -> Dense:
        """Of the pairs (`person[i]` within the slice, `content[i]` one of the block's): pairs x `PAIR_FEATURES`."""
        space, rows, at = self.space, self.rows, np.searchsorted(self.content, content)
        category, author = space.category[self.content], space.author[self.content]
        found = [self.affinity(label)[person, at] for label in HALF_LIVES_DAYS]
        found.append(_spread(space.author_share[rows], author)[person, at])
        found.append(_dense(space.tag_share[rows] @ space.content_tags[self.content].T)[person, at])
        found.append(_columns(space.response[rows], category)[person, at])
        found.append(_spread(space.last_session[rows], category)[person, at])
        found.append(self.covisit()[person, at])
        found.append(self.seen()[person, at])
        found.append(_dense(self._of(space.shown[rows]))[person, at])
        days = _dense(self._of(space.shown_days[rows]))[person, at]
        found.append(np.where(days > 0, days, np.nan).astype(np.float32))
        return np.column_stack(found)

    def _of(self, matrix: Matrix) -> Matrix:
        """The block's columns: a log may know a hundred times as much content as can be listed."""
        return matrix if len(self.content) == matrix.shape[1] else matrix[:, self.content]


def affinity_table(history: History, sessions: Sessions, space: PairSpace) -> pa.Table:
    """Each person's taste by category, long form: the columns of `category_mix` and `affinity_<half-life>`.

    An affinity is the share of the person's decayed activity that was in the category. Only the categories that the
    person did something in are listed, sorted by person and category.
    """
    table = category_mix(history, sessions)
    person = np.searchsorted(history.people, np.asarray(table["person_id"].combine_chunks()))
    names = pa.array(history.catalogue.categories, pa.string())
    category = np.asarray(pc.index_in(table["category"].combine_chunks(), value_set=names)).astype(np.int64)
    for label, share in zip(HALF_LIVES_DAYS, space.category_shares, strict=True):
        table = table.append_column(f"affinity_{label}", pa.array(share.toarray()[person, category], pa.float64()))
    return table


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


def _content_tags(history: History) -> Matrix:
    """Content x tags; each row sums to one, so a tag affinity is a mean over the content's tags."""
    catalogue = history.catalogue
    shape = (catalogue.size, max(len(catalogue.tags), 1))
    ones = _matrix(catalogue.tag_content.astype(np.int64), catalogue.tag, np.ones(len(catalogue.tag)), shape)
    per_content = np.maximum(np.asarray(ones.sum(axis=1)).ravel(), 1)
    return sparse.csr_matrix(sparse.diags(1.0 / per_content) @ ones)


def _tag_shares(history: History, rows: Flags, weights: Floats) -> Matrix:
    by_content = _by_content(history, rows, weights)
    total = history.per_person(rows, weights) + _PRIOR
    return sparse.csr_matrix(sparse.diags(1.0 / total) @ (by_content @ _content_tags(history)))


def _response(history: History, category: NDArray[np.int32]) -> NDArray[np.float32]:
    """People x (categories + 1): each person's smoothed engaged-per-shown by category; the last column is unknown.

    (engaged + prior weight x overall rate) / (shown + prior weight), over 30 days.
    """
    groups = len(history.catalogue.categories)
    shape = (len(history.people), max(groups, 1))
    recent = history.within(_SHOWN_DAYS) & (category >= 0)
    shown_rows, done_rows = (
        recent & history.is_kind("impression"),
        recent & history.is_kind("click", "like", "save", "share", "comment", "purchase"),
    )
    shown = _matrix(history.person[shown_rows], category[shown_rows], np.ones(int(shown_rows.sum())), shape).toarray()
    done = _matrix(history.person[done_rows], category[done_rows], np.ones(int(done_rows.sum())), shape).toarray()
    overall = done.sum() / max(shown.sum(), 1.0)
    rate = (done + overall * _PRIOR_SHOWN) / (shown + _PRIOR_SHOWN) if shown.any() else np.full(shape, np.nan)
    return np.column_stack([rate, np.full(shape[0], np.nan)]).astype(np.float32)


def _last_shown(history: History) -> Matrix:
    """Days since each content was last shown to each person; stored only where it was."""
    rows = history.is_kind("impression") & history.within(_SHOWN_DAYS)
    size = history.catalogue.size
    key = history.person[rows] * size + history.content[rows]
    pairs, inverse = np.unique(key, return_inverse=True)
    last = np.full(len(pairs), np.iinfo(np.int64).min)
    np.maximum.at(last, inverse, history.ts[rows])
    days = np.maximum((history.as_of - last) / DAY, 1e-6)
    shape = (len(history.people), size)
    return _matrix(pairs // max(size, 1), pairs % max(size, 1), days, shape)


def _dense(matrix: Matrix) -> Dense:
    dense: Dense = matrix.toarray().astype(np.float32)
    return dense


def _spread(by_group: Matrix, codes: NDArray[np.int32]) -> Dense:
    """A people x groups matrix as people x content; content without a group gets NaN."""
    return _columns(np.column_stack([by_group.toarray(), np.full(by_group.shape[0], np.nan)]).astype(np.float32), codes)


def _columns(by_group: Dense, codes: NDArray[np.int32]) -> Dense:
    """The last column of `by_group` stands for content without a group (code -1)."""
    return by_group[:, codes]
