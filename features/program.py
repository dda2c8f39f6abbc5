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
"""A part of the state that no feature shows."""


class Counts(NamedTuple):
    """Counters of rows that have all of their `bits`, sorted by window: w's are `begin[w]` to `begin[w + 1]`."""

    bits: Ints
    begin: Ints
    to: Ints


class Totals(NamedTuple):
    """Sums of `TOTALS[what]`, sorted by window like counters."""

    bit: Ints
    what: Ints
    begin: Ints
    to: Ints


class Shares(NamedTuple):
    """One counter over another."""

    part: Ints
    whole: Ints
    to: Ints


class Distinct(NamedTuple):
    """Numbers of different days."""

    bit: Ints
    window: Ints
    to: Ints


class Decays(NamedTuple):
    """Decayed sums, sorted by half-life: those of h are `begin[h]` to `begin[h + 1]`."""

    bit: Ints
    half: Ints
    begin: Ints
    to: Ints


class Sinces(NamedTuple):
    """Times since the last row."""

    bit: Ints
    to: Ints


class Sessions(NamedTuple):
    """Parts of a session's vector: of the last one, and (half-lives, parts) means with the half-lives `half`."""

    half: Ints
    last_to: Ints
    mean_to: Ints
    categories: int
    channels: int


class Classes(NamedTuple):
    """Bits of rows that the fold itself asks for."""

    mix: Ints
    purchase: int
    active: int
    refund: int


class Program(NamedTuple):
    """Arrays that numba can read. `to` are columns of the kernel's output, bits those of `Rows.mask`.

    Windows, half-lives and `history`, after which somebody is not among a night's people any more, in microseconds;
    what has a `window` or `half` means its place among them.
    """

    columns: int
    history: int
    windows: Ints
    half_lives: Ints
    counts: Counts
    totals: Totals
    shares: Shares
    days: Distinct
    decays: Decays
    sinces: Sinces
    tenure_to: int
    btyd_to: Ints
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
    return Program(
        columns=len(measures),
        history=history_days * DAY,
        windows=_ints(days * DAY for days in build.windows),
        half_lives=_ints(round(HALF_LIVES[name] * DAY) for name in build.half_lives),
        counts=counts,
        totals=build.totals(),
        shares=shares,
        days=build.distinct_days(),
        decays=build.decays(),
        sinces=build.sinces(),
        tenure_to=build.column(Tenure()),
        btyd_to=_ints(map(build.column, BTYD)),
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
        shares, shown = self.of(Share), {(m.days, self.bits(m.of)): self.column(m) for m in self.of(Count)}
        both = [(m.days, self.bits(m.of, m.per)) for m in shares]
        whole = [(m.days, self.bits(m.per)) for m in shares]
        kept = sorted({*shown, *both, *whole})
        counts = Counts(
            _ints(bits for _, bits in kept),
            self._begin([days for days, _ in kept]),
            _ints(shown.get(one, NOWHERE) for one in kept),
        )
        return counts, Shares(_ints(map(kept.index, both)), _ints(map(kept.index, whole)), self._columns(shares))

    def totals(self) -> Totals:
        """What `Total` measures."""
        found = sorted(self.of(Total), key=lambda m: m.days)
        bit, what = _ints(self.bit(m.of) for m in found), _ints(TOTALS.index(m.what) for m in found)
        return Totals(bit, what, self._begin([m.days for m in found]), self._columns(found))

    def distinct_days(self) -> Distinct:
        """What `Days` measures."""
        found = self.of(Days)
        window = _ints(self.windows.index(m.days) for m in found)
        return Distinct(_ints(self.bit(m.of) for m in found), window, self._columns(found))

    def decays(self) -> Decays:
        """What `Decayed` measures."""
        found = sorted(self.of(Decayed), key=lambda m: self.half_lives.index(m.half_life))
        half = _ints(self.half_lives.index(m.half_life) for m in found)
        begin = np.searchsorted(half, np.arange(len(self.half_lives) + 1))
        return Decays(_ints(self.bit(m.of) for m in found), half, begin, self._columns(found))

    def sinces(self) -> Sinces:
        """What `Since` measures."""
        found = self.of(Since)
        return Sinces(_ints(self.bit(m.of) for m in found), self._columns(found))

    def sessions(self, categories: int, channels: int) -> Sessions:
        """What `Session` measures."""
        half = sorted({self.half_lives.index(m.half_life) for m in self.of(Session) if m.half_life})
        means = [[self.column(Session(what, self.half_lives[h])) for what in self._parts] for h in half]
        return Sessions(
            half=_ints(half),
            last_to=_ints(self.column(Session(what)) for what in self._parts),
            mean_to=np.array(means, np.int64).reshape(len(half), len(self._parts)),
            categories=categories,
            channels=channels,
        )

    def _begin(self, days: Sequence[int]) -> Ints:
        """Where each window's begin among those of `days`, which are sorted."""
        return np.searchsorted(days, [*self.windows, np.inf]).astype(np.int64)

    def _columns(self, measures: Sequence[Measured]) -> Ints:
        return _ints(map(self.column, measures))

    def of(self, kind: type[T]) -> list[T]:
        """The measures of a kind, in order."""
        return [m for m in self._measures if isinstance(m, kind)]

    def column(self, measure: Measured) -> int:
        """Where the measure goes."""
        return self._column.get(measure, NOWHERE)

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
