"""What a person's state shows on a night, feature by feature."""

from __future__ import annotations

import numpy as np

from features.decay import anchor_of, moved, read, weight
from features.fold import list_session
from features.history import DAY
from features.jit import inlined
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
    counts, shown = si[layout.counts : layout.totals], row[p.shown.counts : p.shown.totals]
    for k in range(len(counts)):
        shown[k] = counts[k]
    for k in range(len(p.totals.bit)):
        row[p.shown.totals + k] = si[layout.totals + k] / (1e3 if p.totals.what[k] == 0 else 1e6)
    for k in range(len(p.days.bit)):
        row[p.shown.days + k] = si[layout.distinct + k]
    for k in range(len(p.shares.part)):
        whole = counts[p.shares.whole[k]]
        row[p.shown.shares + k] = counts[p.shares.part[k]] / whole if whole else np.nan


@inlined
def show_sessions(p, layout, si, sf, session, row):
    """The last session, and the means with it: a session that may go on counts as far as it is known."""
    if si[PRESENT] == NEVER:
        row[p.shown.last : p.shown.decays] = np.nan
        return
    last = row[p.shown.last : p.shown.means]
    last[:] = 0.0
    for c in range(list_session(p, layout, si, session)):
        last[session.part[c]] = session.value[c]
    halves = len(p.sessions.half)
    for h in range(halves):
        half = p.half_lives[p.sessions.half[h]]
        anchor = anchor_of(si[PRESENT], half)
        factor, end = moved(si[layout.session_anchors + h], anchor, half), weight(si[PRESENT], anchor, half)
        whole = sf[layout.weights + h] * factor + end
        to = p.shown.means + h * layout.parts
        means, shown = sf[layout.means + h : layout.floats : halves], row[to : to + layout.parts]
        for k in range(layout.parts):
            shown[k] = (means[k] * factor + end * last[k]) / whole


@inlined
def show_times(night, p, layout, si, sf, row):
    """What changes with the night, whatever the person does."""
    for h in range(len(p.half_lives)):
        factor = read(night, si[layout.anchors + h], p.half_lives[h])
        for k in range(p.decays.begin[h], p.decays.begin[h + 1]):
            row[p.shown.decays + k] = sf[layout.decays + k] * factor
    for k in range(len(p.sinces.bit)):
        last = si[layout.sinces + k]
        row[p.shown.sinces + k] = (night - last) / DAY if last != NEVER else np.nan
    row[p.shown.tenure] = (night - si[FIRST]) / DAY
    if si[BOUGHT_FIRST] == NEVER:
        row[p.shown.btyd : p.shown.end] = np.nan
        return
    again = si[BOUGHT_DAYS] - 1
    money = (si[BOUGHT] - si[BOUGHT_AT_FIRST]) / 1e6
    row[p.shown.btyd] = again
    row[p.shown.btyd + 1] = si[BOUGHT_LAST] - si[BOUGHT_FIRST]
    row[p.shown.btyd + 2] = (night - 1) // DAY - si[BOUGHT_FIRST]
    row[p.shown.btyd + 3] = money / again if again > 0 else 0.0
