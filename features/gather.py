"""A shard's columns, as Arrow holds them, put into the order of people and time: each row is looked at where it lies.

What is missing, Arrow says in a bitmap, a bit a row; none where nothing is missing. Text is places in a list of words,
each of which was looked up before.

Places are unsigned whole numbers: of others numba asks each time whether they count from the end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.jit import compiled, inlined

Ints = NDArray[np.int64]


class Column(NamedTuple):
    """n values where Arrow has them, and whether each is there: bit `first` + i of `there`, which is empty if all are.

    Never written to, whosever they are: numba compiles for arrays that may be and for those that may not.
    """

    values: NDArray[Any]
    there: NDArray[np.uint8]
    first: int


class Columns(NamedTuple):
    """What is gathered; text as places."""

    ts: Column
    known: Column
    until: Column
    event: Column
    content: Column
    dwell: Column
    value: Column
    device: Column
    channel: Column


class Lookups(NamedTuple):
    """What each word says; the last of a list stands for a missing one.

    An event on a device is of the classes `mask[event, device]`. A view of at least `long_ms[k]` is of `long_mask[k]`
    as well; any row of `tastes_ms` has two more of strength.
    """

    mask: Ints
    strength: NDArray[np.float64]
    content: NDArray[np.int32]
    category: NDArray[np.int32]
    channel: NDArray[np.int32]
    viewed: int
    long_ms: Ints
    long_mask: Ints
    tastes_ms: int


@compiled
def gather(order, columns, lookups, forever, out):
    """Fill the columns of `out` (`features.rows.Rows`), in that order; what has no end counts until `forever`."""
    no_event, no_device = len(lookups.strength) - 1, lookups.mask.shape[1] - 1
    no_content, no_channel = len(lookups.content) - 1, len(lookups.channel) - 1
    for i in range(len(order)):
        at = np.uint64(order[i])
        ts = columns.ts.values[at]
        dwell_ms = _whole(columns.dwell, at, 1e3)
        event, device = _place(columns.event, at, no_event), _place(columns.device, at, no_device)
        content, channel = _place(columns.content, at, no_content), _place(columns.channel, at, no_channel)
        mask = lookups.mask[event, device]
        viewed = mask >> lookups.viewed & 1
        for k in range(len(lookups.long_ms)):  # without a branch: what comes next is anybody's guess
            mask |= lookups.long_mask[k] * (viewed & (dwell_ms >= lookups.long_ms[k]))
        out.ts[i] = ts
        out.known[i] = max(ts, _value(columns.known, at, ts))
        out.until[i] = columns.until.values[at] if _is_there(columns.until, at) else forever  # mostly not
        out.mask[i] = mask
        out.dwell_ms[i] = dwell_ms
        out.micros[i] = _whole(columns.value, at, 1e6)
        out.strength[i] = lookups.strength[event] + (2.0 if dwell_ms >= lookups.tastes_ms else 0.0)
        out.content[i], out.category[i] = lookups.content[content], lookups.category[content]
        out.channel[i] = lookups.channel[channel]


@inlined
def _is_there(column, at):
    """Whether the value is there."""
    bit = np.uint64(column.first) + at
    return len(column.there) == 0 or column.there[bit >> np.uint64(3)] >> (bit & np.uint64(7)) & 1 != 0


@inlined
def _value(column, at, missing):
    value = column.values[at]  # there is something, even where it means nothing
    return value if _is_there(column, at) else missing


@inlined
def _place(column, at, missing):
    return np.uint64(_value(column, at, missing))


@inlined
def _whole(column, at, scale):
    """In whole multiples of 1 / scale; nothing for what is missing or no number."""
    value = _value(column, at, 0.0)
    return np.int64(np.rint((0.0 if np.isnan(value) else value) * scale))
