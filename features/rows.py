"""A shard's rows as the kernels read them: one array a column, whole numbers only, in an order that nobody can change.

The order is (person, ts, and then everything else that a feature can see): rows that tie in all of it are the same row
twice, so whichever comes first, the features are the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations.schemas import TIMESTAMP
from features.history import KINDS, STRENGTH, GoalRule
from features.order import starts
from features.ties import settle

Ints = NDArray[np.int64]

FOREVER = np.iinfo(np.int64).max

SHARD = pa.schema(
    [
        ("person_id", pa.int64()),
        ("ts", TIMESTAMP),
        ("known_at", TIMESTAMP),
        ("known_until", TIMESTAMP),
        ("event", pa.string()),
        ("content_id", pa.string()),
        ("dwell_seconds", pa.float64()),
        ("value", pa.float64()),
        ("device", pa.string()),
        ("channel", pa.string()),
    ]
)
"""What a kernel asks of a shard: sorted by person and ts. Text may be dictionary-encoded.

A row counts on the nights after both `ts` and `known_at` (missing: known as it happened), up to `known_until` (missing:
for ever): from then on it is somebody else's.
"""

CLASSES = ("any", "active", *KINDS, "social", "money", "mobile", "session")
"""Classes of rows by bit; goals come after them."""

GAP = 30 * 60 * 1_000_000
"""Microseconds of silence that a session outlives; whoever comes back later begins another one (GA4's definition)."""

SESSION_BIT = CLASSES.index("session")
_KIND_BIT = CLASSES.index(KINDS[0])
_SOCIAL = ("like", "save", "share", "comment", "follow")
_LONG = 30_000
"""Milliseconds of engaged time from which on an event says more about taste."""


class Rows(NamedTuple):
    """n rows. `starts` are where people begin (and n): people + 1. Codes are -1 where there is none."""

    people: Ints
    starts: Ints
    ts: Ints
    known: Ints
    until: Ints
    mask: Ints
    dwell_ms: Ints
    micros: Ints
    """`value` in millionths of the currency."""
    strength: NDArray[np.float64]
    content: NDArray[np.int32]
    category: NDArray[np.int32]
    channel: NDArray[np.int32]


@dataclass(frozen=True)
class Codes:
    """How text becomes numbers: goals by bit, contents' categories and channels by place."""

    goals: Mapping[str, GoalRule]
    category_of: Mapping[str, str]
    """Content to category, as the nights knew it."""
    categories: Sequence[str] = ()
    channels: Sequence[str] = ()
    content_at: Mapping[str, int] = field(default_factory=dict)
    """Content to its number, for who tells contents apart; rows that tie in all else are in its order."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the bits of `Rows.mask`."""
        return (*CLASSES, *(f"goal:{name}" for name in self.goals))

    def mask_of(self, event: str) -> int:
        """The bits of an event's classes; kept, since every shard asks for the same few."""
        if event not in self._masks:
            self._masks[event] = _classes_of(event, self)
        return self._masks[event]

    @cached_property
    def _masks(self) -> dict[str, int]:
        return {}

    @cached_property
    def category_at(self) -> _Places:
        """Content to its category's place."""
        place = {name: i for i, name in enumerate(self.categories)}
        return _Places.of({content: place.get(name, -1) for content, name in self.category_of.items()})

    @cached_property
    def contents(self) -> _Places:
        """Content to its number."""
        return _Places.of(self.content_at)

    @cached_property
    def channel_at(self) -> _Places:
        """Channel to its place."""
        return _Places.of({name: i for i, name in enumerate(self.channels)})


@dataclass
class _Places:
    """Words, and the number of each: asked by Arrow, since a shard has too many for a look at each."""

    words: pa.Array
    numbers: NDArray[np.int32]
    _last: tuple[pa.Array, NDArray[np.int32]] | None = None
    """The words that were asked for last, and their numbers: most shards come with the same list."""

    @classmethod
    def of(cls, numbers: Mapping[str, int]) -> _Places:
        """Of a word that is not among them, -1."""
        return cls(pa.array(numbers, pa.string()), np.array([*numbers.values(), -1], np.int32))

    def __call__(self, text: _Text) -> NDArray[np.int32]:
        """The number of each row's word; -1 where it is missing."""
        last = self._last
        if last is None or not last[0].equals(text.words):
            found = pc.fill_null(pc.index_in(text.words, value_set=self.words), -1)
            last = self._last = (text.words, np.append(self.numbers[np.asarray(found)], np.int32(-1)))
        numbers: NDArray[np.int32] = last[1][text.at]
        return numbers


def encoded(shard: pa.Table, codes: Codes) -> Rows:
    """The rows of a shard.

    Raises:
        ValueError: A column is missing, or the rows are not sorted by person and ts.
    """
    there = shard.column_names
    if missing := [name for name in SHARD.names if name not in there]:
        raise ValueError(f"the shard has no {', '.join(missing)}; it has {', '.join(there)}")
    person, ts = _ints(shard["person_id"]), _ints(shard["ts"])
    _require_order(person, ts)
    event, content = _Text.of(shard["event"]), _Text.of(shard["content_id"])
    dwell_ms, micros = _scaled(shard["dwell_seconds"], 1000), _scaled(shard["value"], 1_000_000)
    begins = starts(person)
    return _settled(
        Rows(
            people=person[begins[:-1]],
            starts=begins,
            ts=ts,
            known=np.maximum(ts, _ints(shard["known_at"], 0)),
            until=_ints(shard["known_until"], FOREVER),
            mask=_mask(event, dwell_ms, _Text.of(shard["device"]), codes),
            dwell_ms=dwell_ms,
            micros=micros,
            strength=_strength(event, dwell_ms),
            content=codes.contents(content),
            category=codes.category_at(content),
            channel=codes.channel_at(_Text.of(shard["channel"])),
        )
    )


@dataclass(frozen=True)
class _Text:
    """A column of text as places in a list of words; the last word stands for missing."""

    words: pa.Array
    at: NDArray[np.int32]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> _Text:
        column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        found = column.unify_dictionaries().combine_chunks()
        found = found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
        words = found.dictionary.cast(pa.string())
        return cls(words, np.asarray(pc.fill_null(found.indices.cast(pa.int32()), len(words))))


def _ints(column: pa.ChunkedArray, missing: int | None = None) -> Ints:
    whole = column.cast(pa.int64())
    whole = whole if missing is None or not whole.null_count else pc.fill_null(whole, missing)
    return np.array(whole.to_numpy(), np.int64)  # ours to sort, and of one type for numba


def _scaled(column: pa.ChunkedArray, scale: int) -> Ints:
    """As whole multiples of 1 / scale; nothing for what is missing."""
    values = column.to_numpy()
    known = np.flatnonzero(~np.isnan(values))
    whole = np.zeros(len(values), np.int64)
    whole[known] = np.rint(values[known] * scale)
    return whole


def _kind(event: str) -> int:
    return KINDS.index(event) if event in KINDS else len(KINDS) - 1


def _mask(event: _Text, dwell_ms: Ints, device: _Text, codes: Codes) -> Ints:
    """The classes of each row, by bit; `session` is set by who cuts sessions."""
    devices = [name == "mobile" for name in (*device.words.to_pylist(), None)]
    events = [codes.mask_of(name) if name is not None else 0 for name in (*event.words.to_pylist(), None)]
    active = 1 << CLASSES.index("active")
    mobile = 1 << CLASSES.index("mobile")
    both = [[mask | (mobile if mask & active and is_mobile else 0) for is_mobile in devices] for mask in events]
    mask: Ints = np.array(both, np.int64).ravel()[event.at * np.int32(len(devices)) + device.at]
    for goal, rule in codes.goals.items():
        if rule.min_dwell_seconds is not None:
            long = np.flatnonzero(dwell_ms >= round(rule.min_dwell_seconds * 1000))
            read = mask[long] >> CLASSES.index("view") & 1
            mask[long] |= read << codes.classes.index(f"goal:{goal}")
    return mask


def _strength(event: _Text, dwell_ms: Ints) -> NDArray[np.float64]:
    """How much each row says about taste."""
    words = np.array([*(STRENGTH[_kind(name)] for name in event.words.to_pylist()), 0.0])
    strength: NDArray[np.float64] = words[event.at]
    strength[dwell_ms >= _LONG] += 2.0
    return strength


def _classes_of(event: str, codes: Codes) -> int:
    named = {"any", KINDS[_kind(event)]}
    if event not in ("impression", "refund"):
        named.add("active")
    if event in _SOCIAL:
        named.add("social")
    if event in ("purchase", "refund"):
        named.add("money")
    named |= {f"goal:{goal}" for goal, rule in codes.goals.items() if event in rule.events}
    return sum(1 << bit for bit, name in enumerate(codes.classes) if name in named)


def _require_order(person: Ints, ts: Ints) -> None:
    later = (person[1:] > person[:-1]) | ((person[1:] == person[:-1]) & (ts[1:] >= ts[:-1]))
    if not later.all():
        row = int(np.argmin(later)) + 1
        raise ValueError(f"the shard is not sorted by person_id and ts: row {row} comes before row {row - 1}")


def micros(instant: datetime) -> int:
    """An instant (time zone aware) in microseconds."""
    return int(pa.scalar(instant, TIMESTAMP).cast(pa.int64()).as_py())


def _settled(rows: Rows) -> Rows:
    """Rows of one person and instant put in the order of all else. Ties are few: only what moves is copied."""
    order = np.arange(len(rows.ts))
    if settle(rows, order, np.empty_like(order)):
        to = np.flatnonzero(order != np.arange(len(order)))
        for column in rows[2:]:
            column[to] = column[order[to]]
    return rows
