"""A shard's rows as the kernels read them: one array a column, whole numbers only, in an order that nobody can change.

The order is (person, ts, and then everything else that a feature can see): rows that tie in all of it are the same row
twice, so whichever comes first, the features are the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations.schemas import TIMESTAMP
from features.history import KINDS, STRENGTH, GoalRule

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


def encoded(shard: pa.Table, codes: Codes) -> Rows:
    """The rows of a shard.

    Raises:
        ValueError: A column is missing, or the rows are not sorted by person and ts.
    """
    if missing := [name for name in SHARD.names if name not in shard.column_names]:
        raise ValueError(f"the shard has no {', '.join(missing)}; it has {', '.join(shard.column_names)}")
    person, ts = _ints(shard["person_id"]), _ints(shard["ts"])
    _require_order(person, ts)
    event, content = _Text.of(shard["event"]), _Text.of(shard["content_id"])
    dwell_ms, micros = _scaled(shard["dwell_seconds"], 1000), _scaled(shard["value"], 1_000_000)
    starts = np.flatnonzero(np.r_[True, person[1:] != person[:-1]][: len(person)])
    return _settled(
        Rows(
            people=person[starts],
            starts=np.append(starts, len(person)),
            ts=ts,
            known=np.maximum(ts, _ints(shard["known_at"], 0)),
            until=_ints(shard["known_until"], FOREVER),
            mask=_mask(event, dwell_ms, _Text.of(shard["device"]), codes),
            dwell_ms=dwell_ms,
            micros=micros,
            strength=event.looked_up([STRENGTH[_kind(name)] for name in event.words], 0.0) + 2.0 * (dwell_ms >= _LONG),
            content=_placed(content, codes.content_at),
            category=_category(content, codes),
            channel=_placed(_Text.of(shard["channel"]), {name: i for i, name in enumerate(codes.channels)}),
        )
    )


@dataclass(frozen=True)
class _Text:
    """A column of text as places in a list of words; the last word stands for missing."""

    words: tuple[str, ...]
    at: NDArray[np.int32]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> _Text:
        column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        found = column.unify_dictionaries().combine_chunks()
        found = found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
        words = tuple(found.dictionary.to_pylist())
        return cls(words, np.asarray(pc.fill_null(found.indices.cast(pa.int32()), len(words))))

    def looked_up(self, values: Iterable[float], missing: float) -> NDArray[np.float64]:
        """For each row the value of its word."""
        return np.array([*values, missing], np.float64)[self.at]


def _ints(column: pa.ChunkedArray, missing: int | None = None) -> Ints:
    whole = column.cast(pa.int64())
    whole = whole if missing is None or not whole.null_count else pc.fill_null(whole, missing)
    return np.array(whole.to_numpy(), np.int64)  # ours to sort, and of one type for numba


def _scaled(column: pa.ChunkedArray, scale: int) -> Ints:
    """As whole multiples of 1 / scale; nothing for what is missing."""
    values = np.nan_to_num(pc.fill_null(column, 0.0).to_numpy())
    whole: Ints = np.rint(values * scale).astype(np.int64)
    return whole


def _kind(event: str) -> int:
    return KINDS.index(event) if event in KINDS else len(KINDS) - 1


def _mask(event: _Text, dwell_ms: Ints, device: _Text, codes: Codes) -> Ints:
    """The classes of each row, by bit; `session` is set by who cuts sessions."""
    words = np.array([*(_classes_of(name, codes) for name in event.words), 0], np.int64)
    mask: Ints = words[event.at]
    for goal, rule in codes.goals.items():
        if rule.min_dwell_seconds is not None:
            read = (mask >> CLASSES.index("view") & 1) & (dwell_ms >= round(rule.min_dwell_seconds * 1000))
            mask |= read << codes.classes.index(f"goal:{goal}")
    mobile = np.array([*(word == "mobile" for word in device.words), False])[device.at]
    mask |= ((mask >> CLASSES.index("active") & 1) & mobile) << CLASSES.index("mobile")
    return mask


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


def _category(content: _Text, codes: Codes) -> NDArray[np.int32]:
    place = {name: i for i, name in enumerate(codes.categories)}
    found = [place.get(codes.category_of.get(word, ""), -1) for word in content.words]
    return np.array([*found, -1], np.int32)[content.at]


def _placed(text: _Text, place: Mapping[str, int]) -> NDArray[np.int32]:
    return np.array([*(place.get(word, -1) for word in text.words), -1], np.int32)[text.at]


def _require_order(person: Ints, ts: Ints) -> None:
    later = (person[1:] > person[:-1]) | ((person[1:] == person[:-1]) & (ts[1:] >= ts[:-1]))
    if not later.all():
        row = int(np.argmin(later)) + 1
        raise ValueError(f"the shard is not sorted by person_id and ts: row {row} comes before row {row - 1}")


def micros(instant: datetime) -> int:
    """An instant (time zone aware) in microseconds."""
    return int(pa.scalar(instant, TIMESTAMP).cast(pa.int64()).as_py())


def _settled(rows: Rows) -> Rows:
    """Rows of one person and instant put in the order of all else. Ties are few: only they are looked at."""
    tied = np.flatnonzero(rows.ts[1:] == rows.ts[:-1]) + 1
    tied = tied[~np.isin(tied, rows.starts)]
    if not len(tied):
        return rows
    at = np.union1d(tied, tied - 1)
    person = np.searchsorted(rows.starts, at, side="right")
    columns = rows[2:]
    least = (rows.content, rows.until, rows.known, rows.channel, rows.category, rows.micros, rows.dwell_ms)
    order = np.lexsort((*(column[at] for column in least), rows.mask[at], rows.ts[at], person))
    for column in columns:
        column[at] = column[at][order]
    return rows
