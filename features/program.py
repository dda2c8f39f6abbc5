"""A list of features compiled for the kernel: which sums it keeps for a person, and into which column each goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.history import DAY
from features.measures import (
    HALF_LIVES,
    HOURS,
    MIX,
    WEEKDAYS,
    Btyd,
    Count,
    Days,
    Decayed,
    Measured,
    Session,
    Share,
    Since,
    Tenure,
    Total,
)

Ints = NDArray[np.int64]
T = TypeVar("T")

TOTALS = ("dwell_seconds", "value")
SCALARS = ("minutes", "depth", "dwell_seconds")
BTYD = (Btyd("frequency"), Btyd("recency"), Btyd("age"), Btyd("monetary"))

NOWHERE = -1
"""The column of what no feature shows."""


class Counts(NamedTuple):
    """Counters of rows that have all of their `bits`, sorted by window: w's are `begin[w]` to `begin[w + 1]`."""

    bits: Ints
    begin: Ints


class Totals(NamedTuple):
    """Sums of `TOTALS[what]`, sorted by window like counters."""

    bit: Ints
    what: Ints
    begin: Ints


class Shares(NamedTuple):
    """One counter over another."""

    part: Ints
    whole: Ints


class Distinct(NamedTuple):
    """Numbers of different days."""

    bit: Ints
    window: Ints


class Decays(NamedTuple):
    """Decayed sums, sorted by half-life: those of h are `begin[h]` to `begin[h + 1]`."""

    bit: Ints
    begin: Ints


class Sinces(NamedTuple):
    """Times since the last row."""

    bit: Ints


class Sessions(NamedTuple):
    """Parts of a session's vector: of the last one, and (half-lives, parts) means with the half-lives `half`."""

    half: Ints
    parts: int
    categories: int
    channels: int


class Classes(NamedTuple):
    """Bits of rows that the fold itself asks for."""

    mix: Ints
    purchase: int
    active: int
    refund: int


class Shown(NamedTuple):
    """Where things begin in what is shown of a person on a night: side by side as they are kept, which is quickest."""

    counts: int
    totals: int
    days: int
    shares: int
    last: int
    means: int
    decays: int
    sinces: int
    tenure: int
    btyd: int
    end: int


class Program(NamedTuple):
    """Arrays that numba can read. Bits are those of `Rows.mask`.

    Windows, half-lives and `history`, after which somebody is not among a night's people any more, in microseconds;
    what has a `window` or `half` means its place among them.
    """

    columns: int
    shown: Shown
    to: Ints
    """Into which column of the kernel's output each value that is shown goes; NOWHERE if into none."""
    history: int
    windows: Ints
    half_lives: Ints
    counts: Counts
    totals: Totals
    shares: Shares
    days: Distinct
    decays: Decays
    sinces: Sinces
    sessions: Sessions
    classes: Classes


def compiled(
    measures: Sequence[Measured],
    classes: Sequence[str],
    categories: Sequence[str],
    channels: Sequence[str],
    history_days: int = 365,
) -> Program:
    """The program of `measures`, whose columns come in their order.

    Raises:
        ValueError: A measure names a class, category, channel or half-life that there is none of.
    """
    build = _Builder(measures, tuple(classes), _parts(categories, channels))
    counts, shares = build.counters()
    columns = build.columns()
    return Program(
        columns=len(measures),
        shown=Shown(*np.cumsum([0, *map(len, columns)]).tolist()),
        to=np.concatenate(columns),
        history=history_days * DAY,
        windows=_ints(days * DAY for days in build.windows),
        half_lives=_ints(round(HALF_LIVES[name] * DAY) for name in build.half_lives),
        counts=counts,
        totals=build.totals(),
        shares=shares,
        days=build.distinct_days(),
        decays=build.decays(),
        sinces=build.sinces(),
        sessions=build.sessions(len(categories), len(channels)),
        classes=Classes(_ints(map(build.bit, MIX)), *map(build.bit, ("purchase", "active", "refund"))),
    )


def _parts(categories: Sequence[str], channels: Sequence[str]) -> tuple[str, ...]:
    """The parts of a session's vector, in the order in which the kernel keeps them."""
    return (
        *SCALARS,
        *(f"mix:{name}" for name in MIX),
        *(f"category:{name}" for name in categories),
        *(f"entry:{name}" for name in channels),
        *(f"hour:{name}" for name in HOURS),
        *(f"weekday:{name}" for name in WEEKDAYS),
    )


class _Builder:
    """Finds the place of everything that a measure names."""

    def __init__(self, measures: Sequence[Measured], classes: tuple[str, ...], parts: tuple[str, ...]) -> None:
        self._measures, self._classes, self._parts = measures, classes, parts
        self._column = {measure: at for at, measure in enumerate(measures)}
        if len(self._column) != len(measures):
            raise ValueError("two features measure the same")
        _require("part of a session", {m.what for m in self.of(Session)}, parts)
        halves = {m.half_life for m in measures if isinstance(m, Decayed | Session) and m.half_life}
        _require("half-life", halves, HALF_LIVES)
        self.half_lives = sorted(halves, key=HALF_LIVES.__getitem__)
        self.windows = sorted({m.days for m in measures if isinstance(m, Count | Total | Share | Days)})

    def counters(self) -> tuple[Counts, Shares]:
        """What `Count` and `Share` measure: a share is of two counters, which a feature may show or not."""
        both, whole = self._shares()
        kept = self._counted()
        counts = Counts(_ints(bits for _, bits in kept), self._begin([days for days, _ in kept]))
        return counts, Shares(_ints(map(kept.index, both)), _ints(map(kept.index, whole)))

    def totals(self) -> Totals:
        """What `Total` measures."""
        found = self._totals()
        bit, what = _ints(self.bit(m.of) for m in found), _ints(TOTALS.index(m.what) for m in found)
        return Totals(bit, what, self._begin([m.days for m in found]))

    def distinct_days(self) -> Distinct:
        """What `Days` measures."""
        found = self.of(Days)
        return Distinct(_ints(self.bit(m.of) for m in found), _ints(self.windows.index(m.days) for m in found))

    def decays(self) -> Decays:
        """What `Decayed` measures."""
        found = self._decays()
        half = [self.half_lives.index(m.half_life) for m in found]
        return Decays(_ints(self.bit(m.of) for m in found), np.searchsorted(half, np.arange(len(self.half_lives) + 1)))

    def sinces(self) -> Sinces:
        """What `Since` measures."""
        return Sinces(_ints(self.bit(m.of) for m in self.of(Since)))

    def sessions(self, categories: int, channels: int) -> Sessions:
        """What `Session` measures."""
        half = _ints(map(self.half_lives.index, self._session_half_lives()))
        return Sessions(half, len(self._parts), categories, channels)

    def columns(self) -> list[Ints]:
        """Where everything that is shown goes, in the order of `Shown`."""
        counts = {(m.days, self.bits(m.of)): m for m in self.of(Count)}
        shown: list[list[Measured | None]] = [
            [counts.get(one) for one in self._counted()],
            [*self._totals()],
            [*self.of(Days)],
            [*self.of(Share)],
            [Session(what) for what in self._parts],
            [Session(what, half) for half in self._session_half_lives() for what in self._parts],
            [*self._decays()],
            [*self.of(Since)],
            [Tenure()],
            [*BTYD],
        ]
        return [_ints(self._column.get(measure, NOWHERE) if measure else NOWHERE for measure in some) for some in shown]

    def _shares(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The two counters of each share: days and bits."""
        shares = self.of(Share)
        return [(m.days, self.bits(m.of, m.per)) for m in shares], [(m.days, self.bits(m.per)) for m in shares]

    def _counted(self) -> list[tuple[int, int]]:
        """All counters, by window: days and bits."""
        both, whole = self._shares()
        return sorted({*((m.days, self.bits(m.of)) for m in self.of(Count)), *both, *whole})

    def _totals(self) -> list[Total]:
        return sorted(self.of(Total), key=lambda m: m.days)

    def _decays(self) -> list[Decayed]:
        return sorted(self.of(Decayed), key=lambda m: self.half_lives.index(m.half_life))

    def _session_half_lives(self) -> list[str]:
        return [one for one in self.half_lives if any(m.half_life == one for m in self.of(Session))]

    def _begin(self, days: Sequence[int]) -> Ints:
        """Where each window's begin among those of `days`, which are sorted."""
        return np.searchsorted(days, [*self.windows, np.inf]).astype(np.int64)

    def of(self, kind: type[T]) -> list[T]:
        """The measures of a kind, in order."""
        return [m for m in self._measures if isinstance(m, kind)]

    def bit(self, name: str) -> int:
        """The bit of a class of rows."""
        if name not in self._classes:
            raise ValueError(f"no class of rows is called {name!r}; there are {', '.join(self._classes)}")
        return self._classes.index(name)

    def bits(self, *names: str) -> int:
        """The bits of some classes together."""
        return sum({1 << self.bit(name) for name in names})


def _require(what: str, names: set[str], known: Iterable[str]) -> None:
    if unknown := names - set(known):
        raise ValueError(f"no {what}: {', '.join(sorted(unknown))}; there are {', '.join(known)}")


def _ints(found: Iterable[int]) -> Ints:
    return np.array([*found], np.int64)
