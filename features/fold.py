"""The compiled loops of the person kernel: a fold over what a person did, and what it shows on each night.

The arrays of a program (`p`), of a layout, of a person's whole numbers (`si`) and floats (`sf`) are explained where
they are made. Everything here is compiled into one function, `people_by_nights`; numba keeps what it compiled in
__pycache__, and does not notice when another module of what it inlined has changed: `make clean` after a change in
`features.decay`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from features.decay import anchor_of, moved, read, weight
from features.history import DAY
from features.measures import HOURS, MIX, WEEKDAYS
from features.program import NOWHERE, SCALARS, Program
from features.rows import FOREVER, SESSION_BIT, Rows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GAP = 30 * 60 * 1_000_000
"""Microseconds; exactly 30 minutes apart is still the same session (GA4's definition)."""

NEVER = np.iinfo(np.int64).min
_BLOCK = 64
"""Rows that are put together before they go into their columns: written one by one, each would touch every column."""

# Places of whole numbers in a person's state; the arrays of `Layout` follow.
_LAST, _PRESENT, _FIRST, _START, _CHANNEL, _HOUR, _WEEKDAY, _DEPTH, _DWELL = range(9)
_BOUGHT_FIRST, _BOUGHT_LAST, _BOUGHT_DAYS, _BOUGHT, _BOUGHT_AT_FIRST = range(9, 14)
_FIXED = 14

_N_SCALARS, _N_MIX, _N_HOURS, _N_WEEKDAYS = len(SCALARS), len(MIX), len(HOURS), len(WEEKDAYS)


_jit: Any = partial(numba.njit, cache=True, nogil=True)
_compiled, _inlined = _jit(_nrt=False), _jit(_nrt=False, inline="always")
"""Without numba's reference counting, which took three quarters of the time. So what is compiled here makes no arrays:
its caller does, and holds on to them until it has returned."""


class Layout(NamedTuple):
    """Where things begin in a person's state: whole numbers, then floats."""

    anchors: int
    session_anchors: int
    sinces: int
    counts: int
    totals: int
    distinct: int
    added: int
    leaving: int
    mix: int
    categories: int
    ints: int
    decays: int
    weights: int
    means: int
    ends: int
    floats: int
    parts: int

    @classmethod
    def of(cls, program: Program) -> Layout:
        """The layout of what the program keeps."""
        parts = program.last_to.shape[0]
        sessions = len(program.session_half)
        days = len(program.days_bit)
        counts = [len(program.since_bit), len(program.count_bits), len(program.total_bit)]
        ints = [_FIXED, len(program.half_lives), sessions, *counts, days, days, days, _N_MIX, program.categories]
        floats = [0, len(program.decay_bit), sessions, sessions * parts, sessions]
        return cls(*np.cumsum(ints).tolist(), *np.cumsum(floats).tolist(), parts)  # type: ignore[call-arg]


class Out(NamedTuple):
    """Room for the result: (columns, rows), whose and when each row is."""

    columns: Floats
    person: Ints
    night: Ints
    anew: NDArray[np.bool_]
    """By person: who has to be folded anew."""


class Scratch(NamedTuple):
    """Room for a person at a time."""

    order: Ints
    """The rows that are folded in, oldest first."""
    known: Ints
    """The rows that are known on the night."""
    mask: Ints
    """Classes of the rows that are folded in, `session` among them."""
    tail: Ints
    """By window: the first row that is not too old for it yet."""
    counted: Ints
    """By window: how many rows were added to it, those among them that have left it."""
    forward: Floats
    """By half-life: what the row that is folded weighs."""
    parts: Floats
    """The last session's vector."""
    row: Floats
    """The person's features on the night."""
    block: Floats

    @classmethod
    def of(cls, rows: Rows, program: Program, layout: Layout) -> Scratch:
        """Room for the person with the most rows."""
        longest = int(np.diff(rows.starts).max(initial=0))
        windows = len(program.windows)
        return cls(
            order=np.empty(longest, np.int64),
            known=np.empty(longest, np.int64),
            mask=np.empty(longest, np.int64),
            tail=np.empty(windows, np.int64),
            counted=np.empty(windows, np.int64),
            forward=np.empty(len(program.half_lives)),
            parts=np.empty(layout.parts),
            row=np.empty(program.columns),
            block=np.empty((_BLOCK, program.columns)),
        )


# ---------------------------------------------------------------- the pass


@_compiled
def people_by_nights(rows, nights, p, layout, place, known, begun, ints, floats, out, scratch):
    """Fill `out`; `ints` and `floats` are the states, before and after. Returns how many rows there are.

    Whoever's state does not go with the rows is marked in `out.anew`; what there is of them is good for nothing.
    """
    order, known_now, mask, tail, counted, forward, parts, row, block = scratch
    count = 0
    for person in range(len(rows.people)):
        si, sf = ints[person], floats[person]
        start, end = rows.starts[person], rows.starts[person + 1]
        resumed, folded = known[person], 0
        if resumed:
            folded = _resume(rows, start, end, begun, nights[-1], p, si[_LAST], order, mask, tail, counted)
            if folded < 0:
                out.anew[person] = True
                continue
        else:
            _reset(p, layout, si, sf, tail, counted)
        plain = _is_plain(rows, start, end)
        there = folded
        stale_counts = stale_sessions = True
        for night in nights:
            if plain:
                while start + there < end and rows.known[start + there] < night:
                    order[there] = start + there
                    there += 1
            else:
                there = _known_rows(rows, start, end, night, known_now)
                if not _goes_on(order, folded, known_now, there):
                    if resumed:
                        out.anew[person] = True
                        break
                    _reset(p, layout, si, sf, tail, counted)
                    folded, stale_counts, stale_sessions = 0, True, True
                for j in range(folded, there):
                    order[j] = known_now[j]
            if there > folded:
                stale_sessions = True
            for j in range(folded, there):
                i = order[j]
                mask[j] = _fold(rows, i, p, layout, place, si, sf, forward)
            folded = there
            stale_counts |= _move_windows(rows, order, mask, folded, night, p, layout, si, tail, counted)
            if si[_LAST] == NEVER or si[_LAST] < night - p.history:
                continue
            if stale_counts:
                _show_counts(p, layout, si, row)
            if stale_sessions:
                _show_sessions(p, layout, si, sf, parts, row)
            _show_times(night, p, layout, si, sf, row)
            stale_counts = stale_sessions = False
            for column in range(p.columns):
                block[count % _BLOCK, column] = row[column]
            out.person[count], out.night[count] = rows.people[person], night
            count += 1
            if count % _BLOCK == 0:
                _write(block, _BLOCK, count - _BLOCK, out.columns)
    _write(block, count % _BLOCK, count - count % _BLOCK, out.columns)
    return count


@_compiled
def _write(block, rows, at, out):
    """Put the first `rows` of the block into the columns of `out`, from row `at` on."""
    for column in range(out.shape[0]):
        for i in range(rows):
            out[column, at + i] = block[i, column]


# ---------------------------------------------------------------- which rows


@_inlined
def _is_plain(rows, start, end):
    """Whether the rows became known in the order of their time, and stay the person's."""
    for i in range(start, end):
        if rows.until[i] != FOREVER or (i > start and rows.known[i] < rows.known[i - 1]):
            return False
    return True


@_inlined
def _known_rows(rows, start, end, night, found):
    """List the rows that are the person's and known at the night, in order; returns how many."""
    count = 0
    for i in range(start, end):
        if rows.known[i] < night <= rows.until[i]:
            found[count] = i
            count += 1
    return count


@_inlined
def _goes_on(order, folded, found, there):
    """Whether `found` begins with the rows that are folded already."""
    if there < folded:
        return False
    for j in range(folded):
        if order[j] != found[j]:
            return False
    return True


@_compiled
def _resume(rows, start, end, begun, end_night, p, last, order, mask, tail, counted):
    """Say of the rows that the state holds that it does, for the windows that they will leave.

    Returns how many they are; -1 where a row that becomes known is not after them all.
    The last that the state holds happened at `last`; rows that old need not be in the shard.
    """
    folded = 0
    present = new = NEVER
    for i in range(start, end):
        if rows.until[i] < begun or rows.known[i] >= end_night:
            continue
        if rows.known[i] >= begun:
            if new == NEVER:
                new = rows.ts[i]
            continue
        if new != NEVER:
            return -1
        order[folded] = i
        mask[folded] = rows.mask[i]
        if not rows.mask[i] >> p.refund_bit & 1:
            if present == NEVER or rows.ts[i] - present > GAP:
                mask[folded] |= 1 << SESSION_BIT
            present = rows.ts[i]
        folded += 1
    if new != NEVER and (new < last or (new == last and (folded == 0 or rows.ts[order[folded - 1]] != last))):
        return -1
    for w in range(len(p.windows)):
        tail[w] = 0
        while tail[w] < folded and rows.ts[order[tail[w]]] < begun - p.windows[w]:
            tail[w] += 1
        counted[w] = folded
    return folded


# ---------------------------------------------------------------- the fold


@_inlined
def _reset(p, layout, si, sf, tail, counted):
    """Nothing is known of the person."""
    si[:] = 0
    sf[:] = 0.0
    for place in (_LAST, _PRESENT, _FIRST, _START, _BOUGHT_FIRST, _BOUGHT_LAST):
        si[place] = NEVER
    si[layout.sinces : layout.counts] = NEVER
    si[layout.added : layout.mix] = NEVER
    tail[:] = 0
    counted[:] = 0


@_inlined
def _fold(rows, i, p, layout, place, si, sf, forward):
    """Add row `i`, which is not older than any added before; returns its classes, `session` where it begins one."""
    ts, mask = rows.ts[i], rows.mask[i]
    present = not mask >> p.refund_bit & 1  # a refund is the shop's doing: it proves no presence
    begins = present and (si[_PRESENT] == NEVER or ts - si[_PRESENT] > GAP)
    if begins:
        mask |= 1 << SESSION_BIT
    _to_anchor(ts, p, layout, si, sf, forward)
    if si[_FIRST] == NEVER:
        si[_FIRST] = ts
    si[_LAST] = ts
    for k in range(len(p.since_bit)):
        if mask >> p.since_bit[k] & 1:
            si[layout.sinces + k] = ts
    for k in range(len(p.decay_bit)):
        if mask >> p.decay_bit[k] & 1:
            sf[layout.decays + k] += rows.strength[i] * forward[p.decay_half[k]]
    if mask >> p.purchase_bit & 1:
        _buy(ts // DAY, rows.micros[i], si)
    if not present:
        return mask
    _sessions_to_anchor(p, layout, si, sf)
    if begins:
        if si[_PRESENT] != NEVER:
            _close_session(p, layout, si, sf)
        _open_session(rows.channel[i], ts, layout, place, si)
    si[_PRESENT] = ts
    for k in range(len(p.session_half)):
        sf[layout.ends + k] = forward[p.session_half[k]]
    if mask >> p.active_bit & 1:
        si[_DEPTH] += 1
        for k in range(_N_MIX):
            si[layout.mix + k] += mask >> p.mix_bits[k] & 1
        if rows.category[i] >= 0:
            si[layout.categories + rows.category[i]] += 1
    si[_DWELL] += rows.dwell_ms[i]
    return mask


@_inlined
def _to_anchor(ts, p, layout, si, sf, forward):
    """Bring all decayed sums to the anchors of `ts`, and fill in what a row of that time weighs."""
    for h in range(len(p.half_lives)):
        anchor = anchor_of(ts, p.half_lives[h])
        before = si[layout.anchors + h]
        if anchor != before:
            if si[_LAST] != NEVER:
                factor = moved(before, anchor)
                for k in range(len(p.decay_half)):
                    if p.decay_half[k] == h:
                        sf[layout.decays + k] *= factor
            si[layout.anchors + h] = anchor
        forward[h] = weight(ts, anchor, p.half_lives[h])


@_inlined
def _sessions_to_anchor(p, layout, si, sf):
    """Bring the sums over sessions to the anchors of a present row.

    They have anchors of their own: at those of a refund long after the last session, that session would weigh nothing.
    """
    for k in range(len(p.session_half)):
        anchor, before = si[layout.anchors + p.session_half[k]], si[layout.session_anchors + k]
        if anchor != before:
            if si[_PRESENT] != NEVER:
                factor = moved(before, anchor)
                sf[layout.weights + k] *= factor
                sf[layout.ends + k] *= factor
                for at in range(layout.means + k * layout.parts, layout.means + (k + 1) * layout.parts):
                    sf[at] *= factor
            si[layout.session_anchors + k] = anchor


@_inlined
def _buy(day, micros_, si):
    if si[_BOUGHT_FIRST] == NEVER:
        si[_BOUGHT_FIRST] = day
    if day != si[_BOUGHT_LAST]:
        si[_BOUGHT_DAYS] += 1
        si[_BOUGHT_LAST] = day
    si[_BOUGHT] += micros_
    if day == si[_BOUGHT_FIRST]:
        si[_BOUGHT_AT_FIRST] += micros_


# ---------------------------------------------------------------- sessions


@_inlined
def _open_session(channel, ts, layout, place, si):
    local = ts + place.ahead[np.searchsorted(place.since, ts, side="right") - 1]
    si[_START], si[_CHANNEL] = ts, channel
    si[_HOUR] = local % DAY // (DAY // _N_HOURS)
    si[_WEEKDAY] = (local // DAY + 3) % _N_WEEKDAYS  # 1970 began on a Thursday
    si[_DEPTH] = si[_DWELL] = 0
    si[layout.mix : layout.ints] = 0


@_inlined
def _close_session(p, layout, si, sf):
    """Add the last session to the means: no row can come to it any more."""
    for k in range(len(p.session_half)):
        end = sf[layout.ends + k]
        sf[layout.weights + k] += end
        means = sf[layout.means + k * layout.parts : layout.means + (k + 1) * layout.parts]
        _add_session(p, layout, si, end, means)


@_inlined
def _add_session(p, layout, si, times, means):
    """Add the last session's vector, `times` times, to `means`."""
    means[0] += times * ((si[_PRESENT] - si[_START]) / 60e6)
    means[1] += times * si[_DEPTH]
    means[2] += times * (si[_DWELL] / 1e3)
    at = _N_SCALARS
    if si[_DEPTH]:
        for k in range(_N_MIX + p.categories):
            if si[layout.mix + k]:
                means[at + k] += times * (si[layout.mix + k] / si[_DEPTH])
    at += _N_MIX + p.categories
    if si[_CHANNEL] >= 0:
        means[at + si[_CHANNEL]] += times
    at += p.channels
    means[at + si[_HOUR]] += times
    means[at + _N_HOURS + si[_WEEKDAY]] += times


# ---------------------------------------------------------------- windows


@_inlined
def _move_windows(rows, order, mask, folded, night, p, layout, si, tail, counted):
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
        for d in range(len(p.days_bit)):
            if p.days_window[d] == w:
                _let_day_go(rows, order, mask, j, folded, d, p, layout, si)
        for new in range(max(counted[w], j), folded):
            _count(rows, order[new], mask[new], w, 1, p, layout, si)
            changed = True
        counted[w] = folded
    return changed


@_inlined
def _count(rows, i, mask, w, sign, p, layout, si):
    """Add row `i` to window `w`, or take it out."""
    for k in range(p.count_from[w], p.count_from[w + 1]):
        bits = p.count_bits[k]
        si[layout.counts + k] += sign * (mask & bits == bits)  # without a branch: what comes next is anybody's guess
    for k in range(p.total_from[w], p.total_from[w + 1]):
        if mask >> p.total_bit[k] & 1:
            si[layout.totals + k] += sign * (rows.dwell_ms[i] if p.total_what[k] == 0 else rows.micros[i])
    for d in range(len(p.days_bit)):
        if p.days_window[d] == w and mask >> p.days_bit[d] & 1:
            _count_day(rows.ts[i] // DAY, sign, d, layout, si)


@_inlined
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


@_inlined
def _drop_day(d, layout, si):
    si[layout.distinct + d] -= 1
    if si[layout.added + d] == si[layout.leaving + d]:
        si[layout.added + d] = NEVER
    si[layout.leaving + d] = NEVER


@_inlined
def _let_day_go(rows, order, mask, first, folded, d, p, layout, si):
    """Drop the day whose rows were leaving, unless one of them is still in the window."""
    leaving = si[layout.leaving + d]
    if leaving == NEVER:
        return
    for j in range(first, folded):
        if rows.ts[order[j]] // DAY != leaving:
            break
        if mask[j] >> p.days_bit[d] & 1:
            return
    _drop_day(d, layout, si)


# ---------------------------------------------------------------- what is shown


@_inlined
def _show_counts(p, layout, si, row):
    for k in range(len(p.count_to)):
        if p.count_to[k] != NOWHERE:
            row[p.count_to[k]] = si[layout.counts + k]
    for k in range(len(p.total_to)):
        row[p.total_to[k]] = si[layout.totals + k] / (1e3 if p.total_what[k] == 0 else 1e6)
    for k in range(len(p.days_to)):
        row[p.days_to[k]] = si[layout.distinct + k]
    for k in range(len(p.share_to)):
        whole = si[layout.counts + p.share_per[k]]
        row[p.share_to[k]] = si[layout.counts + p.share_of[k]] / whole if whole else np.nan


@_inlined
def _show_sessions(p, layout, si, sf, parts, row):
    """The last session, and the means with it: a session that may go on counts as far as it is known."""
    parts[:] = 0.0
    if si[_PRESENT] == NEVER:
        parts[:] = np.nan
    else:
        _add_session(p, layout, si, 1.0, parts)
    for k in range(layout.parts):
        if p.last_to[k] != NOWHERE:
            row[p.last_to[k]] = parts[k]
    for h in range(len(p.session_half)):
        end, means = sf[layout.ends + h], layout.means + h * layout.parts
        whole = sf[layout.weights + h] + end
        for k in range(layout.parts):
            if p.mean_to[h, k] != NOWHERE:
                row[p.mean_to[h, k]] = (sf[means + k] + end * parts[k]) / whole if whole > 0 else np.nan


@_inlined
def _show_times(night, p, layout, si, sf, row):
    """What changes with the night, whatever the person does."""
    for k in range(len(p.decay_to)):
        h = p.decay_half[k]
        row[p.decay_to[k]] = sf[layout.decays + k] * read(night, si[layout.anchors + h], p.half_lives[h])
    for k in range(len(p.since_to)):
        last = si[layout.sinces + k]
        row[p.since_to[k]] = (night - last) / DAY if last != NEVER else np.nan
    if p.tenure_to != NOWHERE:
        row[p.tenure_to] = (night - si[_FIRST]) / DAY
    bought = si[_BOUGHT_FIRST] != NEVER
    again = si[_BOUGHT_DAYS] - 1
    money = (si[_BOUGHT] - si[_BOUGHT_AT_FIRST]) / 1e6
    values = (
        float(again),
        float(si[_BOUGHT_LAST] - si[_BOUGHT_FIRST]),
        float((night - 1) // DAY - si[_BOUGHT_FIRST]),
        money / again if again > 0 else 0.0,
    )
    for k in range(4):
        if p.btyd_to[k] != NOWHERE:
            row[p.btyd_to[k]] = values[k] if bought else np.nan
