"""What a person's state shows of a content at an instant, feature by feature."""

from __future__ import annotations

import numpy as np

from features.history import DAY
from features.jit import inlined
from features.pair_state import CATEGORY, NOBODY, PERSON, SESSION
from features.program import NOWHERE
from features.rows import FOREVER
from features.state import NEVER


@inlined
def show(c, instant, p, layout, contents, s):
    """Fill in the row of a request for content `c`."""
    category, content = NOBODY, s.slot_of[contents.groups + c]
    if contents.category[c] >= 0:
        category = s.slot_of[contents.category[c]]
    _show_affinities(c, p, contents, s)
    if p.session_to != NOWHERE:
        s.row[p.session_to] = np.nan
        if category != NOBODY:
            mine = s.floats[category, layout.session] if s.ints[category, layout.stamp] == s.here[SESSION] else 0.0
            s.row[p.session_to] = mine / (s.floats[0, layout.session] + 1)
    for k in range(len(p.counts.to)):
        slot = _scoped(p.counts.scope[k], category, content)
        unit = 1e3 if p.counts.dwell[k] else 1.0
        s.row[p.counts.to[k]] = s.ints[slot, k] / unit if slot != NOBODY else np.nan
    for k in range(len(p.sinces.to)):
        slot = _scoped(p.sinces.scope[k], category, content)
        last = s.ints[slot, layout.sinces + k] if slot != NOBODY else NEVER
        here = last != NEVER and (p.sinces.window[k] == FOREVER or last >= instant - p.sinces.window[k])
        s.row[p.sinces.to[k]] = (instant - last) / DAY if here else np.nan
    if p.unanswered_to != NOWHERE:
        s.row[p.unanswered_to] = s.ints[content, layout.unanswered]


@inlined
def _scoped(scope, category, content):
    """The slot that a scope means."""
    if scope == PERSON:
        return 0
    return category if scope == CATEGORY else content


@inlined
def _show_affinities(c, p, contents, s):
    s.sums[:] = 0.0
    s.found[:] = 0
    for link in range(contents.link_from[c], contents.link_from[c + 1]):
        kind, slot = contents.link_kind[link], s.slot_of[contents.link_group[link]]
        s.found[kind] = 1
        for k in range(p.affinities.begin[kind], p.affinities.begin[kind + 1]):
            s.sums[k] += contents.link_weight[link] * s.floats[slot, p.affinities.half[k]]
    for k in range(len(p.affinities.to)):
        h = p.affinities.half[k]
        share = s.sums[k] * s.reads[h] / (s.floats[0, h] * s.reads[h] + 1)
        s.row[p.affinities.to[k]] = share if s.found[p.affinities.kind[k]] else p.affinities.without[k]
