"""A shard's rows as the kernels read them: one array a column, whole numbers only, in an order that nobody can change.

The order is (person, ts, and then everything else that a feature can see): rows that tie in all of it are the same row
twice, so whichever comes first, the features are the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations.schemas import TIMESTAMP
from features.gather import Column, Columns, Lookups, gather
from features.group import by_person_and_time
from features.history import KINDS, STRENGTH, GoalRule
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
"""What a kernel asks of a shard: rows in any order, quickest by person and ts. Text may be dictionary-encoded.

A row counts on the nights after both `ts` and `known_at` (missing: known as it happened), up to `known_until` (missing:
for ever): from then on it is somebody else's.
"""

CLASSES = ("any", "active", *KINDS, "social", "money", "mobile", "session")
"""Classes of rows by bit; goals come after them."""

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

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
    _lately: list[tuple[pa.Array, NDArray[np.int32]]] = field(default_factory=list)
    """The two lists that were asked for last, and their numbers: most shards come with the same, and so do requests."""

    @classmethod
    def of(cls, numbers: Mapping[str, int]) -> _Places:
        """Of a word that is not among them, -1."""
        return cls(pa.array(numbers, pa.string()), np.array([*numbers.values(), -1], np.int32))

    def __call__(self, words: pa.Array) -> NDArray[np.int32]:
        """The number of each word, and -1 behind them: for what is missing."""
        for known, numbers in self._lately:
            if known.equals(words):
                return numbers
        found = pc.fill_null(pc.index_in(words, value_set=self.words), -1)
        numbers = np.append(self.numbers[np.asarray(found)], np.int32(-1))
        self._lately = [(words, numbers), *self._lately[:1]]
        return numbers


def encoded(shard: pa.Table, codes: Codes) -> Rows:
    """The rows of a shard.

    Raises:
        ValueError: A column is missing.
    """
    there = shard.column_names
    if missing := [name for name in SHARD.names if name not in there]:
        raise ValueError(f"the shard has no {', '.join(missing)}; it has {', '.join(there)}")
    person, ts = _numbers(shard["person_id"]), _numbers(shard["ts"])
    people, begins, order = by_person_and_time(person.values, ts.values)
    text = {name: _Text.of(shard[name]) for name in ("event", "content_id", "device", "channel")}
    columns = Columns(
        ts=ts,
        known=_numbers(shard["known_at"]),
        until=_numbers(shard["known_until"]),
        event=text["event"].at,
        content=text["content_id"].at,
        dwell=_column(_whole(shard["dwell_seconds"])),
        value=_column(_whole(shard["value"])),
        device=text["device"].at,
        channel=text["channel"].at,
    )
    rows = Rows(people, begins, *_room(len(order)))
    gather(order, columns, _lookups(codes, *(one.words for one in text.values())), FOREVER, rows)
    return _settled(rows)


def _lookups(codes: Codes, event: pa.Array, content: pa.Array, device: pa.Array, channel: pa.Array) -> Lookups:
    """What the words of a shard say."""
    events, devices = ([*words.to_pylist(), None] for words in (event, device))
    active, mobile = (1 << CLASSES.index(name) for name in ("active", "mobile"))
    said = [codes.mask_of(name) if name is not None else 0 for name in events]
    both = [[mask | (mobile if mask & active and name == "mobile" else 0) for name in devices] for mask in said]
    long = [(goal, rule.min_dwell_seconds) for goal, rule in codes.goals.items() if rule.min_dwell_seconds is not None]
    return Lookups(
        mask=np.array(both, np.int64),
        strength=np.array([STRENGTH[_kind(name)] if name is not None else 0.0 for name in events]),
        content=codes.contents(content),
        category=codes.category_at(content),
        channel=codes.channel_at(channel),
        viewed=CLASSES.index("view"),
        long_ms=np.array([round(seconds * 1000) for _, seconds in long], np.int64),
        long_mask=np.array([1 << codes.classes.index(f"goal:{goal}") for goal, _ in long], np.int64),
        tastes_ms=_LONG,
    )


def _room(rows: int) -> Iterator[NDArray[Any]]:
    """A column for each of `Rows`' after the first two, side by side in one piece: large ones cost less to touch."""
    kinds = [np.dtype(np.int64)] * 6 + [np.dtype(np.float64)] + [np.dtype(np.int32)] * 3
    room, at = np.empty(rows * sum(kind.itemsize for kind in kinds), np.uint8), 0
    for kind in kinds:
        yield room[at : at + rows * kind.itemsize].view(kind)
        at += rows * kind.itemsize


class _Text(NamedTuple):
    """A column of text as places in a list of words."""

    words: pa.Array
    at: Column

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> _Text:
        column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        found = _whole(column.unify_dictionaries())
        return cls(_of_type(found.dictionary, pa.string()), _column(_of_type(found.indices, pa.int32())))


def _numbers(column: pa.ChunkedArray) -> Column:
    whole = _whole(column)
    return _column(whole.view(pa.int64()) if pa.types.is_timestamp(whole.type) else _of_type(whole, pa.int64()))


def _of_type(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """As it is, if it is of that type: to ask Arrow takes longer than the rows of a small shard."""
    return array if array.type == wanted else array.cast(wanted)


def _column(array: pa.Array) -> Column:
    """Numbers where Arrow has them."""
    there, values = array.buffers()
    dtype, bits = array.type.to_pandas_dtype(), there if array.null_count else None
    return Column(_view(values, dtype)[array.offset :][: len(array)], _view(bits, np.uint8), array.offset)


def _view(buffer: pa.Buffer | None, dtype: type) -> NDArray[Any]:
    values: NDArray[Any] = np.empty(0, dtype) if buffer is None else np.frombuffer(buffer, dtype)
    values.flags.writeable = False
    return values


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """In one piece: where it lies, if it is in one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _kind(event: str) -> int:
    return KINDS.index(event) if event in KINDS else len(KINDS) - 1


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


def micros(instant: datetime) -> int:
    """An instant (time zone aware) in microseconds."""
    return (instant - _EPOCH) // _MICROSECOND


def _settled(rows: Rows) -> Rows:
    """Rows of one person and instant put in the order of all else. Ties are few: only what moves is copied."""
    tied = np.flatnonzero(rows.ts[1:] == rows.ts[:-1])
    if not len(tied):
        return rows
    people, order = np.unique(np.searchsorted(rows.starts, tied, side="right") - 1), np.arange(len(rows.ts))
    if settle(rows, people, order, np.empty_like(order)):
        to = np.flatnonzero(order != np.arange(len(order)))
        for column in rows[2:]:
            column[to] = column[order[to]]
    return rows
