"""What the pair kernel is to compute as arrays that numba can read: a list of measures, and contents by number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
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


class Program(NamedTuple):
    """`*_to` are columns of the output; `*_bits` are those of `Rows.mask`, of which a row has one; times in micros.

    Affinities are sorted by kind: those of kind k are `kind_from[k]` to `kind_from[k + 1]`; counters by window.
    """

    columns: int
    half_lives: Ints
    kind_from: Ints
    affinity_kind: Ints
    affinity_half: Ints
    affinity_without: NDArray[np.float64]
    affinity_to: Ints
    session_to: int
    windows: Ints
    window_bits: Ints
    """Its counters, by bit."""
    count_from: Ints
    count_bits: Ints
    count_scope: Ints
    count_dwell: Ints
    count_to: Ints
    since_bits: Ints
    since_scope: Ints
    since_window: Ints
    since_to: Ints
    unanswered_to: int
    shown_bits: int
    engaged_bits: int
    active_bits: int
    refund_bits: int


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

    @property
    def codes(self) -> Codes:
        """For `features.rows.encoded`."""
        return Codes(goals={}, category_of={}, channels=self.channels, content_at=self.content_at)

    def with_contents(self, others: Iterable[str]) -> Vocabulary:
        """The same with those of `others` that it lacks, which are in no group, after its own."""
        new = tuple(sorted(set(others) - self.content_at.keys()))
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
    sinces = _those(measures, Since)
    return Program(
        columns=len(measures),
        half_lives=_ints(round(HALF_LIVES[name] * DAY) for name in halves),
        kind_from=_ints(sum(KINDS.index(m.kind) < k for m in affinities) for k in range(len(KINDS) + 1)),
        affinity_kind=_ints(KINDS.index(m.kind) for m in affinities),
        affinity_half=_ints(halves.index(m.half_life) for m in affinities),
        affinity_without=np.array([m.without for m in affinities], np.float64),
        affinity_to=_ints(column[m] for m in affinities),
        session_to=column.get(LastSession(), NOWHERE),
        windows=_ints(windows),
        window_bits=_ints(sum(1 << k for k, m in enumerate(counts) if _window(m.days) == w) for w in windows),
        count_from=_ints(sum(_window(m.days) in windows[:w] for m in counts) for w in range(len(windows) + 1)),
        count_bits=_ints(bits_of(m.of) for m in counts),
        count_scope=_ints(_scope(m.scope) for m in counts),
        count_dwell=_ints(isinstance(m, Dwell) for m in counts),
        count_to=_ints(column[m] for m in counts),
        since_bits=_ints(bits_of(m.of) for m in sinces),
        since_scope=_ints(_scope(m.scope) for m in sinces),
        since_window=_ints(_window(m.days) for m in sinces),
        since_to=_ints(column[m] for m in sinces),
        unanswered_to=column.get(Unanswered(), NOWHERE),
        shown_bits=bits_of("impression"),
        engaged_bits=bits_of("engaged"),
        active_bits=bits_of("active"),
        refund_bits=bits_of("refund"),
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
