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

from features.covisits import covisits
from features.history import DAY, Flags, Floats, History, Ints, Matrix

_PRIOR = 1.0
_AFFINITY_HALF_LIFE, _COVISIT_HALF_LIFE = 30.0, 3.0

Dense = NDArray[np.float32]


@dataclass(frozen=True)
class Visits:
    """When everybody did anything, sorted by person and time; `days` are day numbers, each once a person."""

    starts: Ints
    ts: Ints
    day_starts: Ints
    days: Ints
    published: Ints

    @classmethod
    def of(cls, history: History) -> Visits:
        """Of what people did."""
        person, ts = history.person[history.active], history.ts[history.active]
        every = np.arange(len(history.people) + 1)
        days = ts // DAY
        another = np.ones(len(ts), bool)
        another[1:] = (person[1:] != person[:-1]) | (days[1:] != days[:-1])
        return cls(
            starts=np.searchsorted(person, every),
            ts=ts,
            day_starts=np.searchsorted(person[another], every),
            days=days[another],
            published=history.catalogue.published,
        )

    def since(self, person: Ints, content: Ints) -> Dense:
        """(pairs, 3): things done and days of doing since the content was published, and days from the last to it."""
        born = self.published[content]
        last = np.where(self.starts[person + 1] > self.starts[person], self.starts[person + 1] - 1, -1)
        quiet = (born - self.ts[last]) / DAY if len(self.ts) else np.full(len(born), np.nan)
        done = _after(self.ts, self.starts, person, born)
        days = _after(self.days, self.day_starts, person, born // DAY)
        return np.column_stack([done, days, np.where(last >= 0, quiet, np.nan)]).astype(np.float32)


@dataclass(frozen=True)
class PairSpace:
    """Sparse matrices of one night: people (rows, in the order of the history) by category or content."""

    people: Ints
    content_ids: pa.Array
    category: NDArray[np.int32]
    author: NDArray[np.int32]
    tagged: Matrix
    category_share: Matrix
    author_share: Matrix
    tag_share: Matrix
    recent: Matrix
    together: Matrix
    seen: Matrix
    visits: Visits

    @classmethod
    def of(cls, history: History) -> PairSpace:
        """Build every matrix in one go over the history."""
        catalogue, active, strength = history.catalogue, history.active, history.strength
        category, author = (
            codes[history.content] if history.rows else np.zeros(0, np.int32)
            for codes in (catalogue.category, catalogue.author)
        )
        tagged = _tagged(history)
        taste = strength * history.decay(_AFFINITY_HALF_LIFE)
        return cls(
            people=history.people,
            content_ids=catalogue.ids,
            category=catalogue.category,
            author=catalogue.author,
            tagged=tagged,
            category_share=_shares(history, active, category, taste, len(catalogue.categories)),
            author_share=_shares(history, active, author, taste, len(catalogue.authors)),
            tag_share=_by_total(history, active, taste, _by_content(history, active, taste) @ tagged),
            recent=_by_content(history, active, strength * history.decay(_COVISIT_HALF_LIFE)),
            together=covisits(history),
            seen=history.seen,
            visits=Visits.of(history),
        )

    def block(self, rows: Ints, content: Ints | None = None) -> PairBlock:
        """These people (sorted indices) against these contents (sorted indices), by default against all."""
        return PairBlock(self, rows, np.arange(len(self.content_ids)) if content is None else content)


@dataclass(frozen=True)
class PairBlock:
    """Some people against some contents (sorted indices); matrices are (those people) x (those contents), float32."""

    space: PairSpace
    rows: Ints
    content: Ints

    def affinity(self) -> Dense:
        """Share of the person's decayed activity in the content's category, half-life 30 d."""
        return _spread(self.space.category_share[self.rows], self.space.category[self.content])

    def liked(self) -> Dense:
        """The largest of the shares of the content's category, of its author and (mean over them) of its tags; or 0."""
        author = _spread(self.space.author_share[self.rows], self.space.author[self.content])
        tagged = self.space.tagged[self.content]
        used = np.unique(tagged.indices)  # the catalogue may know many more, and what follows is dense
        theirs = self.space.tag_share[self.rows][:, used].toarray()
        tags: Dense = (tagged[:, used] @ theirs.T).T.astype(np.float32, order="C")
        return np.maximum(np.fmax(np.nan_to_num(self.affinity()), np.nan_to_num(author)), tags)

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


def _after(values: Ints, starts: Ints, person: Ints, least: Ints) -> Ints:
    """How many of each person's sorted `values` are at least `least`."""
    low, high = starts[person], starts[person + 1]
    end = high
    while np.any(low < high):
        middle = (low + high) // 2
        searching = low < high
        below = searching & (values[np.where(searching, middle, 0)] < least)
        low = np.where(below, middle + 1, low)
        high = np.where(searching & ~below, middle, high)
    return end - low


def _matrix(rows: Ints, columns: NDArray[np.integer], values: Floats, shape: tuple[int, int]) -> Matrix:
    """Duplicates are summed; float64 sums in the order of the history, so the same rows give the same bytes."""
    return sparse.coo_matrix((values, (rows, columns)), shape=shape).tocsr()


def _shares(history: History, rows: Flags, codes: NDArray[np.int32], weights: Floats, groups: int) -> Matrix:
    """Each person's weight in each group over their whole weight plus a prior, so that one click is not a passion."""
    chosen = rows & (codes >= 0)
    matrix = _matrix(history.person[chosen], codes[chosen], weights[chosen], (len(history.people), max(groups, 1)))
    return _by_total(history, rows, weights, matrix)


def _by_total(history: History, rows: Flags, weights: Floats, matrix: Matrix) -> Matrix:
    """Each person's row over their whole weight and the prior."""
    return sparse.csr_matrix(sparse.diags(1.0 / (history.per_person(rows, weights) + _PRIOR)) @ matrix)


def _tagged(history: History) -> Matrix:
    """(contents, tags): 1 / how many tags the content has."""
    catalogue = history.catalogue
    many = np.bincount(catalogue.tag_content, minlength=max(catalogue.size, 1))
    shape = (catalogue.size, max(len(catalogue.tags), 1))
    return _matrix(catalogue.tag_content.astype(np.int64), catalogue.tag, 1.0 / many[catalogue.tag_content], shape)


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
