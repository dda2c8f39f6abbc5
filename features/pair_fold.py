"""The fold of the pair kernel: which rows are folded in, what each adds, and what grows too old for its windows.

What a row of the log adds goes to the slots (`features.pair_state`) of its person, its content and its content's
groups; to those that nobody asks about it does not go at all.
"""

from __future__ import annotations

from features.decay import to_anchor, weight
from features.jit import inlined
from features.pair_program import SOURCE
from features.pair_state import (
    ANCHORS,
    CATEGORY,
    CONTENT,
    FOLDED,
    NEXT,
    NOBODY,
    OPEN,
    PERSON,
    PRESENT,
    SESSION,
    WAKE,
    forget,
    keep,
    restore,
)
from features.rows import FOREVER, GAP
from features.state import NEVER

# ---------------------------------------------------------------- which rows


@inlined
def advance(rows, start, end, instant, slots, p, layout, contents, s):
    """Fold in what became known before the instant.

    Where a row that was passed over has become known, this goes back to before it; where one that is folded is somebody
    else's by now, to the beginning. So where all rows come in time, each is folded once, whatever the instants.
    """
    if instant > s.here[WAKE]:
        if s.here[OPEN] and instant <= s.kept_here[WAKE]:
            restore(slots, s)
        else:
            forget(start, slots, p, layout, s)
    pending, passed = FOREVER, start
    i = s.here[NEXT]
    while i < end and rows.ts[i] < instant:
        if rows.known[i] >= instant:
            passed = i if pending == FOREVER else passed
            pending = min(pending, rows.known[i])
        elif rows.until[i] >= instant:
            if pending != FOREVER and not s.here[OPEN]:
                keep(passed, slots, s)
            s.here[WAKE] = min(s.here[WAKE], pending, rows.until[i])
            _fold(rows, i, slots, p, layout, contents, s)
            s.here[NEXT] = i + 1
        i += 1


# ---------------------------------------------------------------- what a row adds


@inlined
def _fold(rows, i, slots, p, layout, contents, s):
    """Add row `i`, which is not older than any added before."""
    ts, mask, c = rows.ts[i], rows.mask[i], rows.content[i]
    at = s.here[FOLDED]
    s.here[FOLDED] = at + 1
    s.order[at] = i
    s.slots[at, PERSON], s.slots[at, CATEGORY], s.slots[at, CONTENT] = 0, NOBODY, NOBODY
    if c >= 0:
        s.slots[at, CONTENT] = s.slot_of[contents.groups + c]
        if contents.category[c] >= 0:
            s.slots[at, CATEGORY] = s.slot_of[contents.category[c]]
    _count(rows, i, at, p, s)
    for k in range(len(p.sinces.bits)):
        slot = s.slots[at, p.sinces.scope[k]]
        if mask & p.sinces.bits[k] and slot != NOBODY:
            s.ints[slot, layout.sinces + k] = ts
    if s.slots[at, CONTENT] != NOBODY:
        if mask & p.classes.shown:
            s.ints[s.slots[at, CONTENT], layout.unanswered] += 1
        elif mask & p.classes.engaged:
            s.ints[s.slots[at, CONTENT], layout.unanswered] = 0
    if mask & p.classes.refund:  # the shop's doing: it proves no presence
        return
    if s.here[PRESENT] == NEVER or ts - s.here[PRESENT] > GAP:
        s.here[SESSION] += 1
        s.floats[0, layout.session] = 0.0
    s.here[PRESENT] = ts
    if mask & p.classes.active:
        _to_anchor(ts, slots, p, s)
        _add_strength(rows.strength[i], rows.channel[i], c, at, p, layout, contents, s)


@inlined
def _to_anchor(ts, slots, p, s):
    """Bring all sums to the anchors of `ts`, and fill in what a row of that time weighs."""
    for h in range(len(p.half_lives)):
        half = p.half_lives[h]
        factor = to_anchor(s.here, ANCHORS + h, ts, half)
        if factor != 1.0:
            for slot in range(slots):
                s.floats[slot, h] *= factor
        s.forward[h] = weight(ts, s.here[ANCHORS + h], half)


@inlined
def _add_strength(strength, channel, c, at, p, layout, contents, s):
    for h in range(len(p.half_lives)):
        s.floats[0, h] += strength * s.forward[h]
    s.floats[0, layout.session] += strength
    slot = s.slots[at, CATEGORY]
    if slot != NOBODY:
        if s.ints[slot, layout.stamp] != s.here[SESSION]:
            s.ints[slot, layout.stamp] = s.here[SESSION]
            s.floats[slot, layout.session] = 0.0
        s.floats[slot, layout.session] += strength
    if c >= 0:
        for link in range(contents.link_from[c], contents.link_from[c + 1]):
            slot = s.slot_of[contents.link_group[link]]
            if slot != NOBODY:
                _add_to_group(slot, contents.link_kind[link], strength * contents.link_weight[link], p, s)
    if channel >= 0:
        slot = s.slot_of[contents.source + channel]
        if slot != NOBODY:
            _add_to_group(slot, SOURCE, strength, p, s)


@inlined
def _add_to_group(slot, kind, strength, p, s):
    for k in range(p.affinities.begin[kind], p.affinities.begin[kind + 1]):
        h = p.affinities.half[k]
        s.floats[slot, h] += strength * s.forward[h]


# ---------------------------------------------------------------- windows


@inlined
def _count(rows, i, at, p, s):
    """Add row `i`, the `at`th that is folded, to its counters in all windows."""
    hits = 0
    for k in range(len(p.counts.bits)):
        slot = s.slots[at, p.counts.scope[k]]
        if rows.mask[i] & p.counts.bits[k] and slot != NOBODY:
            s.ints[slot, k] += rows.dwell_ms[i] if p.counts.dwell[k] else 1
            hits |= 1 << k
    s.hits[at] = hits


@inlined
def move_windows(rows, instant, p, s):
    """Take out of each window what grew too old for it."""
    for w in range(len(p.windows)):
        if p.windows[w] == FOREVER:
            continue
        j = s.tail[w]
        while j < s.here[FOLDED] and rows.ts[s.order[j]] < instant - p.windows[w]:
            if s.hits[j] & p.counts.of_window[w]:
                _uncount(rows, j, w, p, s)
            j += 1
        s.tail[w] = j


@inlined
def _uncount(rows, j, w, p, s):
    for k in range(p.counts.begin[w], p.counts.begin[w + 1]):
        if s.hits[j] >> k & 1:
            s.ints[s.slots[j, p.counts.scope[k]], k] -= rows.dwell_ms[s.order[j]] if p.counts.dwell[k] else 1
