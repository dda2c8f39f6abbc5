"""The fold: what a row adds to what is known of its person, sessions among it."""

from __future__ import annotations

import numpy as np

from features.decay import anchor_of, moved, weight
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

_N_SCALARS, _N_MIX, _N_HOURS, _N_WEEKDAYS = len(SCALARS), len(MIX), len(HOURS), len(WEEKDAYS)


@inlined
def reset(p, layout, si, sf, tail, counted):
    """Nothing is known of the person."""
    si[:] = 0
    sf[:] = 0.0
    for place in (LAST, PRESENT, FIRST, START, BOUGHT_FIRST, BOUGHT_LAST):
        si[place] = NEVER
    si[layout.sinces : layout.counts] = NEVER
    si[layout.added : layout.mix] = NEVER
    tail[:] = 0
    counted[:] = 0


@inlined
def fold(rows, i, p, layout, place, si, sf, forward):
    """Add row `i`, which is not older than any added before; returns its classes, `session` where it begins one."""
    ts, mask = rows.ts[i], rows.mask[i]
    present = not mask >> p.classes.refund & 1  # a refund is the shop's doing: it proves no presence
    begins = present and (si[PRESENT] == NEVER or ts - si[PRESENT] > GAP)
    if begins:
        mask |= 1 << SESSION_BIT
    _to_anchor(ts, p, layout, si, sf, forward)
    if si[FIRST] == NEVER:
        si[FIRST] = ts
    si[LAST] = ts
    for k in range(len(p.sinces.bit)):
        if mask >> p.sinces.bit[k] & 1:
            si[layout.sinces + k] = ts
    for k in range(len(p.decays.bit)):
        if mask >> p.decays.bit[k] & 1:
            sf[layout.decays + k] += rows.strength[i] * forward[p.decays.half[k]]
    if mask >> p.classes.purchase & 1:
        _buy(ts // DAY, rows.micros[i], si)
    if not present:
        return mask
    _sessions_to_anchor(p, layout, si, sf)
    if begins:
        if si[PRESENT] != NEVER:
            _close_session(p, layout, si, sf)
        _open_session(rows.channel[i], ts, layout, place, si)
    si[PRESENT] = ts
    for k in range(len(p.sessions.half)):
        sf[layout.ends + k] = forward[p.sessions.half[k]]
    if mask >> p.classes.active & 1:
        si[DEPTH] += 1
        for k in range(_N_MIX):
            si[layout.mix + k] += mask >> p.classes.mix[k] & 1
        if rows.category[i] >= 0:
            si[layout.categories + rows.category[i]] += 1
    si[DWELL] += rows.dwell_ms[i]
    return mask


@inlined
def _to_anchor(ts, p, layout, si, sf, forward):
    """Bring all decayed sums to the anchors of `ts`, and fill in what a row of that time weighs."""
    for h in range(len(p.half_lives)):
        anchor = anchor_of(ts, p.half_lives[h])
        before = si[layout.anchors + h]
        if anchor != before:
            if si[LAST] != NEVER:
                factor = moved(before, anchor)
                for k in range(len(p.decays.half)):
                    if p.decays.half[k] == h:
                        sf[layout.decays + k] *= factor
            si[layout.anchors + h] = anchor
        forward[h] = weight(ts, anchor, p.half_lives[h])


@inlined
def _sessions_to_anchor(p, layout, si, sf):
    """Bring the sums over sessions to the anchors of a present row.

    They have anchors of their own: at those of a refund long after the last session, that session would weigh nothing.
    """
    for k in range(len(p.sessions.half)):
        anchor, before = si[layout.anchors + p.sessions.half[k]], si[layout.session_anchors + k]
        if anchor != before:
            if si[PRESENT] != NEVER:
                factor = moved(before, anchor)
                sf[layout.weights + k] *= factor
                sf[layout.ends + k] *= factor
                for at in range(layout.means + k * layout.parts, layout.means + (k + 1) * layout.parts):
                    sf[at] *= factor
            si[layout.session_anchors + k] = anchor


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
def _open_session(channel, ts, layout, place, si):
    local = ts + place.ahead[np.searchsorted(place.since, ts, side="right") - 1]
    si[START], si[CHANNEL] = ts, channel
    si[HOUR] = local % DAY // (DAY // _N_HOURS)
    si[WEEKDAY] = (local // DAY + 3) % _N_WEEKDAYS  # 1970 began on a Thursday
    si[DEPTH] = si[DWELL] = 0
    si[layout.mix : layout.ints] = 0


@inlined
def _close_session(p, layout, si, sf):
    """Add the last session to the means: no row can come to it any more."""
    for k in range(len(p.sessions.half)):
        end = sf[layout.ends + k]
        sf[layout.weights + k] += end
        means = sf[layout.means + k * layout.parts : layout.means + (k + 1) * layout.parts]
        add_session(p, layout, si, end, means)


@inlined
def add_session(p, layout, si, times, means):
    """Add the last session's vector, `times` times, to `means`."""
    means[0] += times * ((si[PRESENT] - si[START]) / 60e6)
    means[1] += times * si[DEPTH]
    means[2] += times * (si[DWELL] / 1e3)
    at = _N_SCALARS
    if si[DEPTH]:
        for k in range(_N_MIX + p.sessions.categories):
            if si[layout.mix + k]:
                means[at + k] += times * (si[layout.mix + k] / si[DEPTH])
    at += _N_MIX + p.sessions.categories
    if si[CHANNEL] >= 0:
        means[at + si[CHANNEL]] += times
    at += p.sessions.channels
    means[at + si[HOUR]] += times
    means[at + _N_HOURS + si[WEEKDAY]] += times
