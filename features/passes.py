"""The pass of the person kernel over all people and nights: which rows are known, what goes on, what begins anew."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.fold import decay, fold, reset, touch
from features.history import DAY
from features.jit import compiled, inlined
from features.program import NOWHERE, Program
from features.rows import FOREVER, GAP, SESSION_BIT, Rows
from features.shown import show_counts, show_sessions, show_times
from features.state import LAST, NEVER, Layout, copy
from features.windows import move_windows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_BLOCK = 64
"""Rows that are put together before they go into their columns: written one by one, each would touch every column."""


class Out(NamedTuple):
    """Room for the result: (columns, rows), whose and when each row is."""

    columns: Floats
    person: Ints
    night: Ints
    anew: NDArray[np.bool_]
    """By person: who has to be folded anew."""


class Before(NamedTuple):
    """The states that people go on from, which are of the instant `night`; nobody's are written to."""

    night: int
    at: Ints
    """By person: which of the states; -1 for who begins anew."""
    ints: Ints
    floats: Floats


class OpenSession(NamedTuple):
    """What is at hand of the last session: found again in the state, so that only its own parts are looked at."""

    here: Ints
    """How many categories it touched, and where in the time zone it began."""
    touched: Ints
    """These categories, in the order in which they were met; one more is for who is not counted."""
    part: Ints
    """The parts of its vector that may be other than zero."""
    value: Floats
    """And what they are."""
    times: Floats
    """By half-life: what it weighs."""


class Strong(NamedTuple):
    """The rows that say something about taste, and one more for who does not."""

    ts: Ints
    mask: Ints
    strength: Floats
    added: Floats
    """What each adds to a decayed sum."""


class Folded(NamedTuple):
    """The rows that are folded in, oldest first, side by side."""

    row: Ints
    ts: Ints
    day: Ints
    """In UTC."""
    mask: Ints
    """Their classes, `session` among them."""
    dwell_ms: Ints
    micros: Ints


class Scratch(NamedTuple):
    """Room for a person at a time."""

    folded: Folded
    known: Ints
    """The rows that are known on the night."""
    strong: Strong
    tail: Ints
    """By window: the first row that is not too old for it yet."""
    counted: Ints
    """By window: how many rows were added to it, those among them that have left it."""
    session: OpenSession
    row: Floats
    """What is shown of the person on the night."""
    block: Floats

    @classmethod
    def of(cls, rows: Rows, program: Program, layout: Layout) -> Scratch:
        """Room for the person with the most rows."""
        longest = int(np.diff(rows.starts).max(initial=0))
        windows = len(program.windows)
        return cls(
            folded=Folded(*(np.empty(longest, np.int64) for _ in Folded._fields)),
            known=np.empty(longest, np.int64),
            strong=Strong(*(np.empty(longest + 1, kind) for kind in (np.int64, np.int64, float, float))),
            tail=np.empty(windows, np.int64),
            counted=np.empty(windows, np.int64),
            session=OpenSession(
                here=np.zeros(2, np.int64),
                touched=np.empty(layout.parts + 1, np.int64),
                part=np.empty(layout.parts, np.int64),
                value=np.empty(layout.parts),
                times=np.empty(len(program.sessions.half)),
            ),
            row=np.empty(program.shown.end),
            block=np.empty((_BLOCK, program.shown.end)),
        )


@compiled
def people_by_nights(rows, nights, p, layout, place, before, ints, floats, out, scratch):
    """Fill `out`, and `ints` and `floats` with the states after the last night. Returns how many rows there are.

    Whoever's state does not go with the rows is marked in `out.anew`; what there is of them is good for nothing.
    """
    f, known_now, _, tail, counted, session, row, block = scratch
    count = 0
    for person in range(len(rows.people)):
        si, sf = ints[person], floats[person]
        start, end = rows.starts[person], rows.starts[person + 1]
        resumed = before.at[person] >= 0
        folded = _begin(rows, start, end, nights[-1], p, layout, before, before.at[person], si, sf, scratch)
        if folded < 0:
            out.anew[person] = True
            continue
        plain = _is_plain(rows, start, end)
        there = folded
        stale_counts = stale_sessions = True
        for night in nights:
            if plain:
                while start + there < end and rows.known[start + there] < night:
                    f.row[there] = start + there
                    there += 1
            else:
                there = _known_rows(rows, start, end, night, known_now)
                if not _goes_on(f.row, folded, known_now, there):
                    if resumed:
                        out.anew[person] = True
                        break
                    reset(layout, si, sf, tail, counted, session)
                    folded, stale_counts, stale_sessions = 0, True, True
                for j in range(folded, there):
                    f.row[j] = known_now[j]
            if there > folded:
                stale_sessions = True
            _fold(rows, folded, there, p, layout, place, si, sf, scratch)
            folded = there
            stale_counts |= move_windows(f, folded, night, p, layout, si, tail, counted)
            if si[LAST] == NEVER or si[LAST] < night - p.history:
                continue
            if stale_counts:
                show_counts(p, layout, si, row)
            if stale_sessions:
                show_sessions(p, layout, si, sf, session, row)
            show_times(night, p, layout, si, sf, row)
            stale_counts = stale_sessions = False
            copy(row, block[count % _BLOCK])
            out.person[count], out.night[count] = rows.people[person], night
            count += 1
            if count % _BLOCK == 0:
                _write(block, _BLOCK, count - _BLOCK, p.to, out.columns)
    _write(block, count % _BLOCK, count - count % _BLOCK, p.to, out.columns)
    return count


@inlined
def _begin(rows, start, end, last_night, p, layout, before, at, si, sf, s):
    """Take up the state `at`, if there is any: returns how many of the rows it holds, -1 if it goes not with them."""
    if at < 0:
        reset(layout, si, sf, s.tail, s.counted, s.session)
        return 0
    copy(before.ints[at], si)
    copy(before.floats[at], sf)
    touch(p, layout, si, s.session)
    return _resume(rows, start, end, before.night, last_night, p, layout, si, s.folded, s.tail, s.counted)


@inlined
def _fold(rows, first, last, p, layout, place, si, sf, s):
    """Add the rows of `s.folded` from one to another."""
    for j in range(first, last):
        mask = fold(rows, s.folded.row[j], p, layout, place, si, sf, s.session)
        _put(rows, mask, s.folded, j)
    decay(rows, s.folded, first, last, p, layout, si, sf, s.strong)


@inlined
def _put(rows, mask, f, j):
    """Say of row `f.row[j]` what windows ask for."""
    i = f.row[j]
    f.ts[j], f.day[j], f.mask[j] = rows.ts[i], rows.ts[i] // DAY, mask
    f.dwell_ms[j], f.micros[j] = rows.dwell_ms[i], rows.micros[i]


@compiled
def _write(block, rows, at, to, out):
    """Put the first `rows` of the block into the columns of `out`, from row `at` on."""
    for k in range(len(to)):
        if to[k] != NOWHERE:
            column = out[to[k], at : at + rows]
            for i in range(rows):
                column[i] = block[i, k]


# ---------------------------------------------------------------- which rows


@inlined
def _is_plain(rows, start, end):
    """Whether the rows became known in the order of their time, and stay the person's."""
    for i in range(start, end):
        if rows.until[i] != FOREVER or (i > start and rows.known[i] < rows.known[i - 1]):
            return False
    return True


@inlined
def _known_rows(rows, start, end, night, found):
    """List the rows that are the person's and known at the night, in order; returns how many."""
    count = 0
    for i in range(start, end):
        if rows.known[i] < night <= rows.until[i]:
            found[count] = i
            count += 1
    return count


@inlined
def _goes_on(order, folded, found, there):
    """Whether `found` begins with the rows that are folded already."""
    if there < folded:
        return False
    for j in range(folded):
        if order[j] != found[j]:
            return False
    return True


@compiled
def _resume(rows, start, end, begun, end_night, p, layout, si, f, tail, counted):
    """Say of the rows that the state holds that it does, for the windows that they will leave.

    Returns how many they are; -1 where a row that becomes known is not after them all.
    The last that the state holds need not be in the shard, nor what is too old for a window already.
    """
    folded, last, w = 0, si[LAST], len(p.windows) - 1
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
        mask = rows.mask[i]
        while w >= 0 and rows.ts[i] >= begun - p.windows[w]:
            present, w = si[layout.edges + w], w - 1
        if not mask >> p.classes.refund & 1:
            if present == NEVER or rows.ts[i] - present > GAP:
                mask |= 1 << SESSION_BIT
            present = rows.ts[i]
        f.row[folded] = i
        _put(rows, mask, f, folded)
        folded += 1
    if new != NEVER and (new < last or (new == last and (folded == 0 or f.ts[folded - 1] != last))):
        return -1
    for w in range(len(p.windows)):
        tail[w] = 0
        while tail[w] < folded and f.ts[tail[w]] < begun - p.windows[w]:
            tail[w] += 1
        counted[w] = folded
    return folded
