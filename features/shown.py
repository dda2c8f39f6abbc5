"""What a person's state shows on a night, feature by feature."""

from __future__ import annotations

import numpy as np

from features.decay import anchor_of, moved, read, weight
from features.fold import list_session
from features.history import DAY
from features.jit import inlined
from features.program import NOWHERE
from features.state import (
    BOUGHT,
    BOUGHT_AT_FIRST,
    BOUGHT_DAYS,
    BOUGHT_FIRST,
    BOUGHT_LAST,
    FIRST,
    NEVER,
    PRESENT,
)


@inlined
def show_counts(p, layout, si, row):
    """What windows hold."""
    for k in range(len(p.counts.to)):
        if p.counts.to[k] != NOWHERE:
            row[p.counts.to[k]] = si[layout.counts + k]
    for k in range(len(p.totals.to)):
        row[p.totals.to[k]] = si[layout.totals + k] / (1e3 if p.totals.what[k] == 0 else 1e6)
    for k in range(len(p.days.to)):
        row[p.days.to[k]] = si[layout.distinct + k]
    for k in range(len(p.shares.to)):
        whole = si[layout.counts + p.shares.whole[k]]
        row[p.shares.to[k]] = si[layout.counts + p.shares.part[k]] / whole if whole else np.nan


@inlined
def show_sessions(p, layout, si, sf, parts, session, row):
    """The last session, and the means with it: a session that may go on counts as far as it is known."""
    parts[:] = 0.0
    if si[PRESENT] == NEVER:
        parts[:] = np.nan
    else:
        for c in range(list_session(p, layout, si, session)):
            parts[session.part[c]] = session.value[c]
    for k in range(layout.parts):
        if p.sessions.last_to[k] != NOWHERE:
            row[p.sessions.last_to[k]] = parts[k]
    halves = len(p.sessions.half)
    for h in range(halves):
        end, factor = 0.0, 1.0
        if si[PRESENT] != NEVER:
            half, before = p.half_lives[p.sessions.half[h]], si[layout.session_anchors + h]
            anchor = anchor_of(si[PRESENT], half)
            factor = moved(before, anchor, half)
            end = weight(si[PRESENT], anchor, half)
        whole = sf[layout.weights + h] * factor + end
        for k in range(layout.parts):
            if p.sessions.mean_to[h, k] != NOWHERE:
                mean = (sf[layout.means + k * halves + h] * factor + end * parts[k]) / whole if whole > 0 else np.nan
                row[p.sessions.mean_to[h, k]] = mean


@inlined
def show_times(night, p, layout, si, sf, row):
    """What changes with the night, whatever the person does."""
    for k in range(len(p.decays.to)):
        h = p.decays.half[k]
        row[p.decays.to[k]] = sf[layout.decays + k] * read(night, si[layout.anchors + h], p.half_lives[h])
    for k in range(len(p.sinces.to)):
        last = si[layout.sinces + k]
        row[p.sinces.to[k]] = (night - last) / DAY if last != NEVER else np.nan
    if p.tenure_to != NOWHERE:
        row[p.tenure_to] = (night - si[FIRST]) / DAY
    bought = si[BOUGHT_FIRST] != NEVER
    again = si[BOUGHT_DAYS] - 1
    money = (si[BOUGHT] - si[BOUGHT_AT_FIRST]) / 1e6
    values = (
        float(again),
        float(si[BOUGHT_LAST] - si[BOUGHT_FIRST]),
        float((night - 1) // DAY - si[BOUGHT_FIRST]),
        money / again if again > 0 else 0.0,
    )
    for k in range(4):
        if p.btyd_to[k] != NOWHERE:
            row[p.btyd_to[k]] = values[k] if bought else np.nan
