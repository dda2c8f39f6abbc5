"""The order of rows that tie in person and time: that of all else that a feature can see. So nobody can change it."""

from __future__ import annotations

from features.jit import compiled, inlined


@compiled
def settle(rows, order, spare):
    """Sort `order` (0, 1, 2 …) where rows of a person share an instant; `spare` is as long. Returns whether any moved.

    A merge sort: an export without times of day has all of a person's day at one instant.
    """
    moved = False
    for person in range(len(rows.people)):
        at, end = rows.starts[person], rows.starts[person + 1]
        while at < end:
            after = at + 1
            while after < end and rows.ts[after] == rows.ts[at]:
                after += 1
            width = 1
            while width < after - at:
                for first in range(at, after - width, 2 * width):
                    moved |= _merge(rows, order, spare, first, first + width, min(first + 2 * width, after))
                width *= 2
            at = after
    return moved


@inlined
def _merge(rows, order, spare, first, middle, end):
    """Make one sorted run of `first` to `middle` and of `middle` to `end`; returns whether they were none already."""
    moved = _is_after(rows, order[middle - 1], order[middle])
    if moved:
        for i in range(first, end):
            spare[i] = order[i]
        left, right = first, middle
        for i in range(first, end):
            if right == end or (left < middle and not _is_after(rows, spare[left], spare[right])):
                order[i] = spare[left]
                left += 1
            else:
                order[i] = spare[right]
                right += 1
    return moved


@inlined
def _is_after(rows, a, b):
    """Whether row `a` comes after row `b`."""
    for column in (rows.mask, rows.dwell_ms, rows.micros):
        if column[a] != column[b]:
            return column[a] > column[b]
    for column in (rows.category, rows.channel):
        if column[a] != column[b]:
            return column[a] > column[b]
    for column in (rows.known, rows.until):
        if column[a] != column[b]:
            return column[a] > column[b]
    return rows.content[a] > rows.content[b]
