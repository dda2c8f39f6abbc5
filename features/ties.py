"""The order of rows that tie in person and time: that of all else that a feature can see. So nobody can change it."""

from __future__ import annotations

from features.jit import compiled, inlined
from features.merge_sort import sort_part


@compiled
def settle(rows, people, order, spare):
    """Sort `order` (0, 1, 2 …) where rows of some people (places) share an instant; `spare` is as long.

    They may be many: an export without times of day has all of a person's day at one instant.
    Returns whether any moved.
    """
    moved = False
    for person in people:
        at, end = rows.starts[person], rows.starts[person + 1]
        while at < end:
            after = at + 1
            while after < end and rows.ts[after] == rows.ts[at]:
                after += 1
            moved |= sort_part(order, at, after, spare, _is_after, rows)
            at = after
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
