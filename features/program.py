"""A list of features compiled for the kernel: which sums it keeps for a person, and into which column each goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

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


class Program(NamedTuple):
    """Arrays that numba can read. `*_to` are columns of the kernel's output; bits are those of `Rows.mask`.

    Windows and half-lives are in microseconds. Counters and totals are sorted by window: those of window w are
    `count_from[w]` to `count_from[w + 1]`. A counter counts the rows that have all of its `count_bits`.
    """

    columns: int
    history: int
    """Microseconds after which somebody is not among a night's people any more."""
    windows: Ints
    half_lives: Ints
    count_bits: Ints
    count_from: Ints
    count_to: Ints
    total_bit: Ints
    total_what: Ints
    total_from: Ints
    total_to: Ints
    share_of: Ints
    share_per: Ints
    share_to: Ints
    days_bit: Ints
    days_window: Ints
    days_to: Ints
    decay_bit: Ints
    decay_half: Ints
    decay_to: Ints
    since_bit: Ints
    since_to: Ints
    tenure_to: int
    btyd_to: Ints
    session_half: Ints
    last_to: Ints
    mean_to: NDArray[np.int64]
    categories: int
    channels: int
    mix_bits: Ints
    purchase_bit: int
    active_bit: int
    refund_bit: int


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
    windows = build.distinct(m.days for m in measures if isinstance(m, Count | Total | Share | Days))
    half_lives = build.distinct(
        (m.half_life for m in measures if isinstance(m, Decayed | Session) and m.half_life), key=HALF_LIVES.__getitem__
    )
    shares = build.of(Share)
    counts = build.distinct(
        [
            *((m.days, build.bits(m.of)) for m in build.of(Count)),
            *((m.days, build.bits(m.of, m.per)) for m in shares),
            *((m.days, build.bits(m.per)) for m in shares),
        ]
    )
    count_to = {(m.days, build.bits(m.of)): build.column(m) for m in build.of(Count)}
    totals = sorted(build.of(Total), key=lambda m: windows.index(m.days))
    decays, sinces, days = build.of(Decayed), build.of(Since), build.of(Days)
    session_half = build.distinct(half_lives.index(m.half_life) for m in build.of(Session) if m.half_life)
    return Program(
        columns=len(measures),
        history=history_days * DAY,
        windows=_ints(days_ * DAY for days_ in windows),
        half_lives=_ints(round(HALF_LIVES[name] * DAY) for name in half_lives),
        count_bits=_ints(bits for _, bits in counts),
        count_from=_ints(sum(d in windows[:w] for d, _ in counts) for w in range(len(windows) + 1)),
        count_to=_ints(count_to.get(count, NOWHERE) for count in counts),
        total_bit=_ints(build.bit(m.of) for m in totals),
        total_what=_ints(TOTALS.index(m.what) for m in totals),
        total_from=_ints(sum(m.days in windows[:w] for m in totals) for w in range(len(windows) + 1)),
        total_to=_ints(map(build.column, totals)),
        share_of=_ints(counts.index((m.days, build.bits(m.of, m.per))) for m in shares),
        share_per=_ints(counts.index((m.days, build.bits(m.per))) for m in shares),
        share_to=_ints(map(build.column, shares)),
        days_bit=_ints(build.bit(m.of) for m in days),
        days_window=_ints(windows.index(m.days) for m in days),
        days_to=_ints(map(build.column, days)),
        decay_bit=_ints(build.bit(m.of) for m in decays),
        decay_half=_ints(half_lives.index(m.half_life) for m in decays),
        decay_to=_ints(map(build.column, decays)),
        since_bit=_ints(build.bit(m.of) for m in sinces),
        since_to=_ints(map(build.column, sinces)),
        tenure_to=build.column(Tenure()),
        btyd_to=_ints(map(build.column, BTYD)),
        session_half=_ints(session_half),
        last_to=_ints(build.column(Session(what)) for what in build.parts),
        mean_to=np.array(
            [[build.column(Session(what, half_lives[h])) for what in build.parts] for h in session_half], np.int64
        ).reshape(len(session_half), len(build.parts)),
        categories=len(categories),
        channels=len(channels),
        mix_bits=_ints(map(build.bit, MIX)),
        purchase_bit=build.bit("purchase"),
        active_bit=build.bit("active"),
        refund_bit=build.bit("refund"),
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
        self._measures, self._classes, self.parts = measures, classes, parts
        self._column = {measure: at for at, measure in enumerate(measures)}
        if len(self._column) != len(measures):
            raise ValueError("two features measure the same")
        if unknown := {m.what for m in self.of(Session)} - set(parts):
            raise ValueError(f"no part of a session: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
        halves = {m.half_life for m in measures if isinstance(m, Decayed | Session) and m.half_life}
        if unknown := halves - set(HALF_LIVES):
            raise ValueError(f"no half-life: {', '.join(sorted(unknown))}; there are {', '.join(HALF_LIVES)}")

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

    @staticmethod
    def distinct(found: Iterable[T], key: Callable[[T], Any] = lambda one: one) -> list[T]:
        """Each once, sorted."""
        return sorted(set(found), key=key)


def _ints(found: Iterable[int]) -> Ints:
    return np.array([*found], np.int64)
