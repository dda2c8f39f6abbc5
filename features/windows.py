"""Windows of a person: what was folded is counted in each, until it is too old for it."""

from __future__ import annotations

from features.history import DAY
from features.jit import inlined
from features.state import NEVER


@inlined
def move_windows(rows, order, mask, folded, night, p, layout, si, tail, counted):
    """Take out of each window what grew too old for it, and add what was folded since; returns whether any did."""
    changed = False
    for w in range(len(p.windows)):
        oldest = night - p.windows[w]
        j = tail[w]
        while j < folded and rows.ts[order[j]] < oldest:
            if j < counted[w]:
                _count(rows, order[j], mask[j], w, -1, p, layout, si)
                changed = True
            j += 1
        tail[w] = j
        for d in range(len(p.days.bit)):
            if p.days.window[d] == w:
                _let_day_go(rows, order, mask, j, folded, d, p, layout, si)
        for new in range(max(counted[w], j), folded):
            _count(rows, order[new], mask[new], w, 1, p, layout, si)
            changed = True
        counted[w] = folded
    return changed


@inlined
def _count(rows, i, mask, w, sign, p, layout, si):
    """Add row `i` to window `w`, or take it out."""
    for k in range(p.counts.begin[w], p.counts.begin[w + 1]):
        bits = p.counts.bits[k]
        si[layout.counts + k] += sign * (mask & bits == bits)  # without a branch: what comes next is anybody's guess
    for k in range(p.totals.begin[w], p.totals.begin[w + 1]):
        if mask >> p.totals.bit[k] & 1:
            si[layout.totals + k] += sign * (rows.dwell_ms[i] if p.totals.what[k] == 0 else rows.micros[i])
    for d in range(len(p.days.bit)):
        if p.days.window[d] == w and mask >> p.days.bit[d] & 1:
            _count_day(rows.ts[i] // DAY, sign, d, layout, si)


@inlined
def _count_day(day, sign, d, layout, si):
    """A day counts from its first row on, and until its last row leaves, which only shows when a later one does."""
    if sign > 0:
        if day != si[layout.added + d]:
            si[layout.distinct + d] += 1
            si[layout.added + d] = day
    elif day != si[layout.leaving + d]:
        if si[layout.leaving + d] != NEVER:
            _drop_day(d, layout, si)
        si[layout.leaving + d] = day


@inlined
def _drop_day(d, layout, si):
    si[layout.distinct + d] -= 1
    if si[layout.added + d] == si[layout.leaving + d]:
        si[layout.added + d] = NEVER
    si[layout.leaving + d] = NEVER


@inlined
def _let_day_go(rows, order, mask, first, folded, d, p, layout, si):
    """Drop the day whose rows were leaving, unless one of them is still in the window: that one says so when it goes.

    Either way nothing is leaving afterwards: a state does not tell on which nights it was looked at.
    """
    leaving = si[layout.leaving + d]
    if leaving == NEVER:
        return
    for j in range(first, folded):
        if rows.ts[order[j]] // DAY != leaving:
            break
        if mask[j] >> p.days.bit[d] & 1:
            si[layout.leaving + d] = NEVER
            return
    _drop_day(d, layout, si)
