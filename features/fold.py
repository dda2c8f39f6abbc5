"""The fold: what a row adds to what is known of its person, sessions among it.

Where what comes next is anybody's guess, a row is added as nothing rather than passed over: a processor that guesses
wrong loses more than it takes to add.
"""

from __future__ import annotations

import numpy as np

from features.decay import is_at, to_anchor, weight
from features.history import DAY
from features.jit import inlined
from features.measures import HOURS, MIX, WEEKDAYS
from features.program import SCALARS
from features.rows import GAP, SESSION_BIT
from features.state import (
    BOUGHT,
    BOUGHT_AT_FIRST,
    BOUGHT_DAYS,
    BOUGHT_FIRST,
    BOUGHT_LAST,
    CHANNEL,
    DEPTH,
    DWELL,
    FIRST,
    HOUR,
    LAST,
    NEVER,
    PRESENT,
    START,
    WEEKDAY,
)

TOUCHED, ZONE = range(2)
"""Places in `passes.OpenSession.here`."""

_N_SCALARS, _N_MIX, _N_HOURS, _N_WEEKDAYS = len(SCALARS), len(MIX), len(HOURS), len(WEEKDAYS)


@inlined
def reset(layout, si, sf, tail, counted, session):
    """Nothing is known of the person."""
    session.here[TOUCHED] = 0
    si[:] = 0
    sf[:] = 0.0
    for place in (LAST, PRESENT, FIRST, START, BOUGHT_FIRST, BOUGHT_LAST):
        si[place] = NEVER
    si[layout.sinces : layout.counts] = NEVER
    si[layout.added : layout.mix] = NEVER
    tail[:] = 0
    counted[:] = 0


@inlined
def fold(rows, i, p, layout, place, si, sf, session):
    """Add row `i`, which is not older than any added before; returns its classes, `session` where it begins one."""
    ts, mask = rows.ts[i], rows.mask[i]
    present = not mask >> p.classes.refund & 1  # a refund is the shop's doing: it proves no presence
    begins = present and (si[PRESENT] == NEVER or ts - si[PRESENT] > GAP)
    if begins:
        mask |= 1 << SESSION_BIT
    if si[FIRST] == NEVER:
        si[FIRST] = ts
    si[LAST] = ts
    for k in range(len(p.sinces.bit)):
        si[layout.sinces + k] = ts if mask >> p.sinces.bit[k] & 1 else si[layout.sinces + k]
    if mask >> p.classes.purchase & 1:
        _buy(ts // DAY, rows.micros[i], si)
    if not present:
        return mask
    if begins:
        if si[PRESENT] != NEVER:
            _close_session(p, layout, si, sf, session)
        _open_session(rows.channel[i], ts, layout, place, si, session)
    si[PRESENT] = ts
    active, category = mask >> p.classes.active & 1, rows.category[i]
    si[DEPTH] += active
    for k in range(_N_MIX):
        si[layout.mix + k] += mask >> p.classes.mix[k] & 1
    counted = active & (category >= 0)
    at = layout.categories + category if counted else DEPTH
    session.touched[session.here[TOUCHED]] = category
    session.here[TOUCHED] += counted & (si[at] == 0)
    si[at] += counted
    si[DWELL] += rows.dwell_ms[i]
    return mask


@inlined
def decay(rows, f, first, last, p, layout, si, sf, strong):
    """Add the rows from one to another to the decayed sums: a half-life at a time, only those that say something."""
    count = 0
    for j in range(first, last):
        strength = rows.strength[f.row[j]]
        strong.ts[count], strong.mask[count], strong.strength[count] = f.ts[j], f.mask[j], strength
        count += strength != 0.0
    for h in range(len(p.half_lives)):
        half, one, other = p.half_lives[h], p.decays.begin[h], p.decays.begin[h + 1]
        sums, bits = sf[layout.decays + one : layout.decays + other], p.decays.bit[one:other]
        begin = 0
        while begin < count and len(sums):
            factor, end = to_anchor(si, layout.anchors + h, strong.ts[begin], half), begin
            anchor = si[layout.anchors + h]
            while end < count and is_at(strong.ts[end], anchor, half):
                end += 1
            ts, strength, added = strong.ts[begin:end], strong.strength[begin:end], strong.added[begin:end]
            for c in range(len(ts)):
                added[c] = strength[c] * weight(ts[c], anchor, half)
            mask = strong.mask[begin:end]
            for k in range(len(sums)):
                bit, total = bits[k], sums[k] * factor
                for c in range(len(mask)):
                    total += added[c] if mask[c] >> bit & 1 else 0.0
                sums[k] = total
            begin = end


@inlined
def _buy(day, micros_, si):
    if si[BOUGHT_FIRST] == NEVER:
        si[BOUGHT_FIRST] = day
    if day != si[BOUGHT_LAST]:
        si[BOUGHT_DAYS] += 1
        si[BOUGHT_LAST] = day
    si[BOUGHT] += micros_
    if day == si[BOUGHT_FIRST]:
        si[BOUGHT_AT_FIRST] += micros_


# ---------------------------------------------------------------- sessions


@inlined
def _open_session(channel, ts, layout, place, si, session):
    at = session.here[ZONE]  # mostly where the one before was
    if not (place.since[at] <= ts and (at + 1 == len(place.since) or ts < place.since[at + 1])):
        at = session.here[ZONE] = np.searchsorted(place.since, ts, side="right") - 1
    local = ts + place.ahead[at]
    si[START], si[CHANNEL] = ts, channel
    si[HOUR] = local % DAY // (DAY // _N_HOURS)
    si[WEEKDAY] = (local // DAY + 3) % _N_WEEKDAYS  # 1970 began on a Thursday
    si[DEPTH] = si[DWELL] = 0
    for k in range(_N_MIX):
        si[layout.mix + k] = 0
    for c in range(session.here[TOUCHED]):
        si[layout.categories + session.touched[c]] = 0
    session.here[TOUCHED] = 0


@inlined
def _close_session(p, layout, si, sf, session):
    """Add the last session to the means: no row can come to it any more."""
    halves = len(p.sessions.half)
    for k in range(halves):
        half = p.half_lives[p.sessions.half[k]]
        factor = to_anchor(si, layout.session_anchors + k, si[PRESENT], half)
        if factor != 1.0:
            sf[layout.weights + k] *= factor
            for at in range(layout.parts):
                sf[layout.means + at * halves + k] *= factor
        session.times[k] = weight(si[PRESENT], si[layout.session_anchors + k], half)
        sf[layout.weights + k] += session.times[k]
    for c in range(list_session(p, layout, si, session)):
        at = layout.means + session.part[c] * halves
        for k in range(halves):
            sf[at + k] += session.times[k] * session.value[c]


@inlined
def touch(p, layout, si, session):
    """Find the categories of a session that is open already."""
    count = 0
    for k in range(p.sessions.categories):
        session.touched[count] = k
        count += si[layout.categories + k] != 0
    session.here[TOUCHED] = count


@inlined
def list_session(p, layout, si, session):
    """Say of the last session's vector what may be other than zero; returns how many parts that are."""
    part, value, depth = session.part, session.value, max(si[DEPTH], 1)
    value[0], value[1], value[2] = (si[PRESENT] - si[START]) / 60e6, si[DEPTH], si[DWELL] / 1e3
    for k in range(_N_MIX):
        value[_N_SCALARS + k] = si[layout.mix + k] / depth
    count = at = _N_SCALARS + _N_MIX
    for k in range(at):
        part[k] = k
    for c in range(session.here[TOUCHED]):
        k = session.touched[c]
        part[count], value[count] = at + k, si[layout.categories + k] / depth
        count += 1
    at += p.sessions.categories
    if si[CHANNEL] >= 0:
        part[count], value[count] = at + si[CHANNEL], 1.0
        count += 1
    at += p.sessions.channels
    part[count], value[count] = at + si[HOUR], 1.0
    part[count + 1], value[count + 1] = at + _N_HOURS + si[WEEKDAY], 1.0
    return count + 2
