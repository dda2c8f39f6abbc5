"""What the pair kernel is to compute as arrays that numba can read: a list of measures, and contents by number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.history import DAY
from features.measures import HALF_LIVES
from features.pair_measures import (
    ENGAGED,
    KINDS,
    SCOPES,
    Affinity,
    Count,
    Dwell,
    Groups,
    LastSession,
    Measured,
    Since,
    Unanswered,
)
from features.program import NOWHERE
from features.rows import CLASSES, FOREVER, Codes

Ints = NDArray[np.int64]
T = TypeVar("T")

SOURCE = KINDS.index("source")
_CATEGORY = KINDS.index("category")


class Affinities(NamedTuple):
    """Decayed shares, sorted by kind: those of kind k are `begin[k]` to `begin[k + 1]`."""

    begin: Ints
    kind: Ints
    half: Ints
    without: NDArray[np.float64]
    to: Ints


class Counts(NamedTuple):
    """Counters of rows, or sums of their `dwell`, sorted by window: w's are `begin[w]` to `begin[w + 1]`."""

    of_window: Ints
    """By window: its counters, by bit."""
    begin: Ints
    bits: Ints
    scope: Ints
    dwell: Ints
    to: Ints


class Sinces(NamedTuple):
    """Times since the last row, where that is no further back than the `window`, which is a time."""

    bits: Ints
    scope: Ints
    window: Ints
    to: Ints


class Classes(NamedTuple):
    """Bits of rows that the fold itself asks for."""

    shown: int
    engaged: int
    active: int
    refund: int


class Program(NamedTuple):
    """Arrays that numba can read. `to` are columns of the output, bits those of `Rows.mask`, of which a row has one.

    Windows and half-lives in microseconds; what has a `half` means its place among them.
    """

    columns: int
    half_lives: Ints
    windows: Ints
    affinities: Affinities
    counts: Counts
    sinces: Sinces
    session_to: int
    unanswered_to: int
    classes: Classes


class Contents(NamedTuple):
    """Contents by number, in the order of their names. A group's number is its place among all kinds' groups.

    `category` is a group or -1. The groups of content c are `link_group[link_from[c]:link_from[c + 1]]`, each weighing
    one over how many of its kind there are. `source` is where the channels begin among the groups.
    """

    category: NDArray[np.int32]
    link_from: Ints
    link_group: NDArray[np.int32]
    link_kind: Ints
    link_weight: NDArray[np.float64]
    source: int
    groups: int


@dataclass(frozen=True)
class Vocabulary:
    """Names by number: contents, groups as (kind, name), and channels, the last groups' names; all sorted."""

    contents: tuple[str, ...]
    groups: tuple[tuple[str, str], ...]
    channels: tuple[str, ...]
    arrays: Contents

    @cached_property
    def content_at(self) -> Mapping[str, int]:
        """Content to its number."""
        return {name: at for at, name in enumerate(self.contents)}

    @cached_property
    def codes(self) -> Codes:
        """For `features.rows.encoded`; made once, since it looks at every content."""
        return Codes(goals={}, category_of={}, channels=self.channels, content_at=self.content_at)

    def with_contents(self, others: pa.Array) -> Vocabulary:
        """The same with those of `others` that it lacks, which are in no group, after its own."""
        known = self.codes.contents(others)[: len(others)] >= 0
        new = () if known.all() else tuple(sorted(set(others.filter(pa.array(~known)).to_pylist())))
        arrays = self.arrays._replace(
            category=np.append(self.arrays.category, np.full(len(new), -1, np.int32)),
            link_from=np.append(self.arrays.link_from, np.repeat(self.arrays.link_from[-1:], len(new))),
        )
        return replace(self, contents=(*self.contents, *new), arrays=arrays) if new else self


def program_of(measures: Sequence[Measured]) -> Program:
    """The program of `measures`, whose columns come in their order.

    Raises:
        ValueError: A measure names a class of rows, a scope or a half-life that there is none of, or two are the same.
    """
    column = {measure: at for at, measure in enumerate(measures)}
    if len(column) != len(measures):
        raise ValueError("two features measure the same")
    if unknown := {m.half_life for m in _those(measures, Affinity)} - HALF_LIVES.keys():
        raise ValueError(f"no half-life is called {min(unknown)!r}; there are {', '.join(HALF_LIVES)}")
    affinities = sorted(_those(measures, Affinity), key=lambda m: KINDS.index(m.kind))
    halves = sorted({m.half_life for m in affinities}, key=HALF_LIVES.__getitem__)
    counts = sorted((m for m in measures if isinstance(m, Count | Dwell)), key=lambda m: _window(m.days))
    windows = sorted({_window(m.days) for m in counts})
    return Program(
        columns=len(measures),
        half_lives=_ints(round(HALF_LIVES[name] * DAY) for name in halves),
        windows=_ints(windows),
        affinities=_affinities(affinities, halves, column),
        counts=_counts(counts, windows, column),
        sinces=_sinces(_those(measures, Since), column),
        session_to=column.get(LastSession(), NOWHERE),
        unanswered_to=column.get(Unanswered(), NOWHERE),
        classes=Classes(*map(bits_of, ("impression", "engaged", "active", "refund"))),
    )


def _affinities(measures: Sequence[Affinity], halves: Sequence[str], column: Mapping[Measured, int]) -> Affinities:
    """Of measures that are sorted by kind."""
    return Affinities(
        begin=_ints(sum(KINDS.index(m.kind) < k for m in measures) for k in range(len(KINDS) + 1)),
        kind=_ints(KINDS.index(m.kind) for m in measures),
        half=_ints(halves.index(m.half_life) for m in measures),
        without=np.array([m.without for m in measures], np.float64),
        to=_ints(column[m] for m in measures),
    )


def _counts(measures: Sequence[Count | Dwell], windows: Sequence[int], column: Mapping[Measured, int]) -> Counts:
    """Of measures that are sorted by window."""
    return Counts(
        of_window=_ints(sum(1 << k for k, m in enumerate(measures) if _window(m.days) == w) for w in windows),
        begin=_ints(sum(_window(m.days) in windows[:w] for m in measures) for w in range(len(windows) + 1)),
        bits=_ints(bits_of(m.of) for m in measures),
        scope=_ints(_scope(m.scope) for m in measures),
        dwell=_ints(isinstance(m, Dwell) for m in measures),
        to=_ints(column[m] for m in measures),
    )


def _sinces(measures: Sequence[Since], column: Mapping[Measured, int]) -> Sinces:
    return Sinces(
        bits=_ints(bits_of(m.of) for m in measures),
        scope=_ints(_scope(m.scope) for m in measures),
        window=_ints(_window(m.days) for m in measures),
        to=_ints(column[m] for m in measures),
    )


def vocabulary_of(groups: Groups, channels: Sequence[str]) -> Vocabulary:
    """Contents and groups by number, in the order of their names."""
    contents = groups.contents
    listed = {(kind, name) for kind, of in groups.names.items() for names in of.values() for name in names}
    found = tuple(sorted({*listed, *(("source", name) for name in channels)}))
    number: dict[tuple[str, str], int] = {group: at for at, group in enumerate(found)}
    links = [_links(content, groups, number) for content in contents]
    flat = [link for of_content in links for link in of_content]
    category = [[group for group, kind, _ in of_content if kind == _CATEGORY] for of_content in links]
    arrays = Contents(
        category=np.array([of_content[0] if of_content else -1 for of_content in category], np.int32),
        link_from=np.cumsum([0, *map(len, links)]),
        link_group=np.array([group for group, _, _ in flat], np.int32),
        link_kind=_ints(kind for _, kind, _ in flat),
        link_weight=np.array([weight for _, _, weight in flat], np.float64),
        source=sum(group < ("source", "") for group in found),
        groups=len(found),
    )
    return Vocabulary(contents, found, tuple(sorted(channels)), arrays)


def _links(content: str, groups: Groups, number: Mapping[tuple[str, str], int]) -> list[tuple[int, int, float]]:
    """The content's groups, their kinds and their weights."""
    found = [(kind, groups.names.get(kind, {}).get(content, ())) for kind in KINDS]
    return [(number[kind, name], KINDS.index(kind), 1 / len(names)) for kind, names in found for name in names]


def _those(measures: Sequence[Measured], kind: type[T]) -> list[T]:
    return [m for m in measures if isinstance(m, kind)]


def _window(days: int | None) -> int:
    return FOREVER if days is None else days * DAY


def bits_of(name: str) -> int:
    """The bits of the classes of which a row has to have one.

    Raises:
        ValueError: There is no such class.
    """
    if name not in {*CLASSES, "engaged"}:
        raise ValueError(f"no class of rows is called {name!r}; there are engaged, {', '.join(CLASSES)}")
    return sum(1 << CLASSES.index(one) for one in (ENGAGED if name == "engaged" else (name,)))


def _scope(name: str) -> int:
    if name not in SCOPES:
        raise ValueError(f"no scope is called {name!r}; there are {', '.join(SCOPES)}")
    return SCOPES.index(name)


def _ints(found: Iterable[int]) -> Ints:
    return np.array([*found], np.int64)
