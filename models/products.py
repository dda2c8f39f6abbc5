"""Sums over who turned to what: the loops behind `models.neighbours`.

A matrix of contents by contents that is full enough lies in `Tiles`, in single precision: what was summed in double is
rounded once. Every loop goes over its row in one order, whoever stands beside it: the same bytes for any block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Dense = NDArray[np.float32]
Readers = tuple[Ints, Ints, Floats]
"""A sparse matrix: where rows start, columns, values."""

WIDTH = 128
"""Columns of a strip: with five thousand rows 2.5 MB, which a processor's cache holds while people pass by."""

compiled: Any = partial(numba.njit, cache=True, nogil=True)
"""Without types of its own: numba brings none."""

without_counting: Any = partial(numba.njit, cache=True, nogil=True, _nrt=False)
"""For loops that make no arrays: numba's counting of who holds on to which costs as much as they do."""

_fused: Any = partial(numba.njit, cache=True, nogil=True, fastmath={"contract"})


@dataclass(frozen=True)
class Tiles:
    """A matrix (rows, `width`) as strips of `WIDTH` columns, (strips, rows, WIDTH); beyond `width` all is 0."""

    strips: Dense
    width: int
    _cut: dict[bytes, Tiles] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def empty(cls, rows: int, width: int) -> Tiles:
        """All 0."""
        return cls(np.zeros((-(-width // WIDTH), rows, WIDTH), np.float32), width)

    @classmethod
    def of(cls, matrix: Dense) -> Tiles:
        """The same matrix."""
        found = cls.empty(*matrix.shape)
        for number, strip in enumerate(found.strips):
            part = matrix[:, number * WIDTH : (number + 1) * WIDTH]
            strip[:, : part.shape[1]] = part
        return found

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.strips.shape[1], self.width

    def toarray(self) -> Dense:
        """The matrix as one array."""
        rows = self.shape[0]
        return np.ascontiguousarray(self.strips.transpose(1, 0, 2).reshape(rows, -1)[:, : self.width])

    def columns(self, content: Ints) -> Tiles:
        """Some columns, in any order; the last choice is remembered, because block after block asks for the same."""
        key = content.tobytes()
        if key not in self._cut:
            self._cut.clear()
            self._cut[key] = Tiles.of(self.strips[content // WIDTH, :, content % WIDTH].T)
        return self._cut[key]


def grouped(codes: Ints, groups: int) -> tuple[Ints, Ints]:
    """Where each group starts (groups + 1,), and the rows (N,) group by group, each group's in their order."""
    starts = np.zeros(groups + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=groups), out=starts[1:])
    order = np.empty(len(codes), np.int64)
    _place(codes, starts[:-1].copy(), order)
    return starts, order


def distinct(starts: Ints, rows: Ints, person: Ints, ts: Ints, people: int) -> tuple[Ints, ...]:
    """Each person with each content once: what `models.engagement.Pairs` is made of, in the order of its fields.

    Args:
        starts, rows: Where each content's rows start (contents + 1,), and which they are, by person and time.
        person, ts: Of each row.
    """
    reader, latest, content_starts = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64), np.zeros_like(starts)
    _merge(starts, rows, person, ts, reader, latest, content_starts)
    reader, latest = reader[: content_starts[-1]], latest[: content_starts[-1]]
    many = np.bincount(reader, minlength=people)
    person_starts = np.concatenate([[0], np.cumsum(many)])
    content, last, place = (np.empty(len(reader), np.int64) for _ in range(3))
    _transpose(content_starts, reader, latest, person_starts[:-1].copy(), content, last, place)
    return np.repeat(np.arange(people), many), content, last, person_starts, place, content_starts, reader


def of_readers(readers: Readers, votes: Readers, scale: tuple[Floats, Floats] | None = None) -> Tiles:
    """(contents, contents): of each content's readers the weights, times each one's votes, summed.

    Args:
        readers: Where each content's readers start (contents + 1,), who they are, and their weights; by content.
        votes: Where each person's votes start (people + 1,), the contents, and the weights; by person.
        scale: What each row and each column is multiplied by; then the diagonal is 0.
    """
    contents = len(readers[0]) - 1
    found = Tiles.empty(contents, contents)
    rows, columns = scale or (np.ones(contents), np.ones(contents))
    buffer = np.zeros(contents)
    _sum_votes(
        *readers, votes[0], votes[1].astype(np.int32), votes[2], rows, columns, scale is None, found.strips, buffer
    )
    return found


def near(content: Ints, session: Ints, weights: Floats, contents: int, reach: int) -> Tiles:
    """(contents, contents): weight / steps of each two rows of one session that are up to `reach` steps apart.

    Both ways; the weight is the later one's. What is near itself counts 0. All over the root of both contents' sums.
    """
    below = np.zeros((contents, contents))
    _sum_near(content.astype(np.int32), session.astype(np.int32), weights, reach, below)
    found = Tiles.empty(contents, contents)
    _mirror(below, inverse(below.sum(axis=0) + below.sum(axis=1), 0.5), found.strips)
    return found


def inverse(total: Floats, power: float) -> Floats:
    """1 / total^power; 0 where there is nothing."""
    return np.power(total, -power, out=np.zeros(len(total)), where=total > 0)


def since(slot: Ints, starts: Ints, content: Ints, weights: Floats, order: Ints) -> Tiles:
    """(contents, contents): the summed weights by content of everybody whose slot is above the column's.

    Args:
        slot: Of each person, 0 to contents.
        starts, content, weights: What each person is made of.
        order: The contents in the order of slots: the column `order[i]` counts everybody with a slot above i.
    """
    contents = len(order)
    summed = np.zeros((contents, contents + 1), np.float32)
    _sum_slots(slot, starts, content, weights, summed)
    found = Tiles.empty(contents, contents)
    _sum_from_the_end(summed, order, found.strips)
    return found


def of_people(people: Readers, rows: Ints, tiles: Tiles) -> Dense:
    """(`rows`, columns): what those people are made of (sparse, by person) times `tiles`."""
    starts, content, weights = people
    many = starts[rows + 1] - starts[rows]
    upto = np.concatenate([[0], np.cumsum(many)])
    at = np.arange(upto[-1]) + np.repeat(starts[rows] - upto[:-1], many)
    found = np.empty((len(rows), tiles.width), np.float32)
    _multiply(upto, content[at], weights[at].astype(np.float32), tiles.strips, found, np.empty(WIDTH, np.float32))
    return found


def of_few(people: Readers, rows: Ints, matrix: Readers, columns: int) -> Dense:
    """The same of a matrix that is all but empty, (contents, `columns`)."""
    found = np.empty((len(rows), columns), np.float32)
    _scatter(*people, rows, *matrix, found, np.empty(columns))
    return found


@compiled()  # type: ignore[untyped-decorator]
def _place(codes: Ints, free: Ints, order: Ints) -> None:
    for row in range(len(codes)):
        order[free[codes[row]]] = row
        free[codes[row]] += 1


@compiled()  # type: ignore[untyped-decorator]
def _merge(starts: Ints, rows: Ints, person: Ints, ts: Ints, reader: Ints, latest: Ints, content_starts: Ints) -> None:
    found = 0
    for i in range(len(starts) - 1):
        first = found
        for at in range(starts[i], starts[i + 1]):
            who = person[rows[at]]
            if found == first or reader[found - 1] != who:
                reader[found] = who
                found += 1
            latest[found - 1] = ts[rows[at]]
        content_starts[i + 1] = found


@compiled()  # type: ignore[untyped-decorator]
def _transpose(starts: Ints, reader: Ints, latest: Ints, free: Ints, content: Ints, last: Ints, place: Ints) -> None:
    for i in range(len(starts) - 1):
        for at in range(starts[i], starts[i + 1]):
            there = free[reader[at]]
            free[reader[at]] = there + 1
            content[there], last[there], place[at] = i, latest[at], there


@compiled()  # type: ignore[untyped-decorator]
def _sum_votes(
    starts: Ints,
    readers: Ints,
    weights: Floats,
    first: Any,
    voted: Any,
    votes: Floats,
    rows: Floats,
    columns: Floats,
    with_itself: bool,
    strips: Dense,
    row: Floats,
) -> None:
    for i in range(len(starts) - 1):
        row[:] = 0
        for at in range(starts[i], starts[i + 1]):
            person, weight = readers[at], weights[at]
            for k in range(first[person], first[person + 1]):
                row[voted[k]] += weight * votes[k]
        if not with_itself:
            row[i] = 0
        for j in range(len(row)):
            strips[j // WIDTH, i, j % WIDTH] = row[j] * rows[i] * columns[j]


@compiled()  # type: ignore[untyped-decorator]
def _sum_near(content: Any, session: Any, weights: Floats, reach: int, below: Floats) -> None:
    """Each two contents once, below the diagonal."""
    for t in range(len(session)):
        for steps in range(1, min(reach, t) + 1):
            if session[t - steps] != session[t]:
                break
            i, j = content[t], content[t - steps]
            if i > j:
                below[i, j] += weights[t] / steps
            elif j > i:
                below[j, i] += weights[t] / steps


@compiled()  # type: ignore[untyped-decorator]
def _mirror(below: Floats, scale: Floats, strips: Dense) -> None:
    for i in range(len(below)):
        for j in range(i):
            value = below[i, j] * scale[i] * scale[j]
            strips[j // WIDTH, i, j % WIDTH] = value
            strips[i // WIDTH, j, i % WIDTH] = value


@compiled()  # type: ignore[untyped-decorator]
def _sum_slots(slot: Ints, starts: Ints, content: Ints, weights: Floats, summed: Dense) -> None:
    for person in range(len(slot)):
        for at in range(starts[person], starts[person + 1]):
            summed[content[at], slot[person]] += weights[at]


@compiled()  # type: ignore[untyped-decorator]
def _sum_from_the_end(summed: Dense, order: Ints, strips: Dense) -> None:
    for row in range(len(summed)):
        total = 0.0
        for i in range(len(order) - 1, -1, -1):
            total += summed[row, i + 1]
            strips[order[i] // WIDTH, row, order[i] % WIDTH] = total


@_fused()  # type: ignore[untyped-decorator]
def _multiply(starts: Ints, content: Any, weights: Dense, strips: Dense, found: Dense, row: Dense) -> None:
    """Four of a person's contents at a time, a strip after the other: all people pass by while it is in the cache."""
    for strip in range(len(strips)):
        tile, first = strips[strip], strip * WIDTH
        for person in range(len(found)):
            row[:] = 0
            k, end = starts[person], starts[person + 1]
            while k + 4 <= end:
                a, b, c, d = tile[content[k]], tile[content[k + 1]], tile[content[k + 2]], tile[content[k + 3]]
                w, x, y, z = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
                for j in range(WIDTH):
                    row[j] += w * a[j] + x * b[j] + y * c[j] + z * d[j]
                k += 4
            while k < end:
                a, w = tile[content[k]], weights[k]
                for j in range(WIDTH):
                    row[j] += w * a[j]
                k += 1
            part = found[person, first : first + WIDTH]
            for j in range(len(part)):
                part[j] = row[j]


@compiled()  # type: ignore[untyped-decorator]
def _scatter(
    starts: Any,
    content: Any,
    weights: Floats,
    rows: Ints,
    first: Any,
    columns: Any,
    values: Floats,
    found: Dense,
    row: Floats,
) -> None:
    for r in range(len(rows)):
        row[:] = 0
        for k in range(starts[rows[r]], starts[rows[r] + 1]):
            weight = weights[k]
            for at in range(first[content[k]], first[content[k] + 1]):
                row[columns[at]] += weight * values[at]
        for c in range(len(row)):
            found[r, c] = row[c]
