"""Windows of a person: what was folded is counted in each, until it is too old for it."""

from __future__ import annotations

from features.jit import inlined
from features.state import NEVER


@inlined
def move_windows(f, folded, night, p, layout, si, tail, counted):
    """Take out of each window what grew too old for it, and add what was folded since; returns whether any did."""
    changed, j = False, 0
    for w in range(len(p.windows) - 1, -1, -1):  # what is too old for a longer one is too old for this
        oldest = night - p.windows[w]
        j = max(j, tail[w])
        while j < folded and f.ts[j] < oldest:
            j += 1
        leaving, new = min(j, counted[w]), max(j, counted[w])
        if tail[w] < leaving:
            _count(f, tail[w], leaving, w, -1, p, layout, si)
            changed = True
        for d in range(len(p.days.bit)):
            if p.days.window[d] == w:
                _let_day_go(f.day, f.mask, j, folded, d, p, layout, si)
        if new < folded:
            _count(f, new, folded, w, 1, p, layout, si)
            changed = True
        for i in range(j - 1, tail[w] - 1, -1):  # who left last is who the next to leave came after
            if not f.mask[i] >> p.classes.refund & 1:
                si[layout.edges + w] = f.ts[i]
                break
        tail[w], counted[w] = j, folded
    return changed


@inlined
def _count(f, first, last, w, sign, p, layout, si):
    """Add the rows from one to another to window `w`, or take them out. (Of a slice, numba sees where it ends.)"""
    mask, day = f.mask[first:last], f.day[first:last]
    for k in range(p.counts.begin[w], p.counts.begin[w + 1]):
        bits, count = p.counts.bits[k], 0
        for j in range(len(mask)):
            count += mask[j] & bits == bits
        si[layout.counts + k] += sign * count
    for k in range(p.totals.begin[w], p.totals.begin[w + 1]):
        bit, total = p.totals.bit[k], 0
        of = f.dwell_ms[first:last] if p.totals.what[k] == 0 else f.micros[first:last]
        for j in range(len(mask)):
            total += of[j] if mask[j] >> bit & 1 else 0
        si[layout.totals + k] += sign * total
    for d in range(len(p.days.bit)):
        if p.days.window[d] == w and sign > 0:
            _add_days(mask, day, d, p, layout, si)
        elif p.days.window[d] == w:
            _let_days_leave(mask, day, d, p, layout, si)


@inlined
def _add_days(mask, day, d, p, layout, si):
    """A day counts from its first row on."""
    bit, added, count = p.days.bit[d], si[layout.added + d], 0
    for j in range(len(mask)):
        latest = day[j] if mask[j] >> bit & 1 else added
        count += latest != added
        added = latest
    si[layout.added + d] = added
    si[layout.distinct + d] += count


@inlined
def _let_days_leave(mask, day, d, p, layout, si):
    """And until its last row leaves, which only shows when a later one does."""
    for j in range(len(mask)):
        if mask[j] >> p.days.bit[d] & 1 and day[j] != si[layout.leaving + d]:
            if si[layout.leaving + d] != NEVER:
                _drop_day(d, layout, si)
            si[layout.leaving + d] = day[j]


@inlined
def _drop_day(d, layout, si):
    si[layout.distinct + d] -= 1
    if si[layout.added + d] == si[layout.leaving + d]:
        si[layout.added + d] = NEVER
    si[layout.leaving + d] = NEVER


@inlined
def _let_day_go(day, mask, first, folded, d, p, layout, si):
    """Drop the day whose rows were leaving, unless one of them is still in the window: that one says so when it goes.

    Either way nothing is leaving afterwards: a state does not tell on which nights it was looked at.
    """
    leaving = si[layout.leaving + d]
    if leaving == NEVER:
        return
    for j in range(first, folded):
        if day[j] != leaving:
            break
        if mask[j] >> p.days.bit[d] & 1:
            si[layout.leaving + d] = NEVER
            return
    _drop_day(d, layout, si)
