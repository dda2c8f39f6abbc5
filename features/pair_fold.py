"""The compiled loops of the pair kernel: a fold over what a person did, and what it says of a content at an instant.

A person's state is a row of whole numbers and a row of floats a *slot*: slot 0 is the person, the others are the
groups and contents that somebody asks about, in the order in which they are first met. What a row of the log adds goes
to the slots of its person, its content and its content's groups; to those that nobody asks about it does not go at all.
The places within a row are those of `Layout`. See `features.jit` for what numba needs to be told.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.decay import ANCHOR, anchor_of, moved, read, weight
from features.history import DAY
from features.jit import compiled, inlined
from features.pair_program import SOURCE
from features.program import NOWHERE
from features.rows import FOREVER
from features.sessions import GAP
from features.state import NEVER

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NOBODY = -1
_PERSON, _CATEGORY, _CONTENT = 0, 1, 2
BLOCK = 64
"""Rows that are put together before they go into their columns: written one by one, each would touch every column."""

# Places in `Scratch.here`; anchors follow.
_NEXT, _FOLDED, _WAKE, _OPEN, _PRESENT, _SESSION, _ANCHORS = range(7)
HERE = _ANCHORS


class Layout(NamedTuple):
    """Where things are in the whole numbers of a slot (counters come first), and in its floats (decayed sums do)."""

    sinces: int
    unanswered: int
    stamp: int
    """The session that `session` is about."""
    ints: int
    session: int
    """The strength of the last session."""
    floats: int


class Asked(NamedTuple):
    """Requests by person and instant. Person a's are `begin[a]` to `begin[a + 1]`, and rows `first[a]` to `last[a]`."""

    begin: Ints
    first: Ints
    last: Ints
    as_of: Ints
    content: NDArray[np.int32]
    to: Ints
    """Where the answer goes."""


class Scratch(NamedTuple):
    """Room for a person at a time."""

    here: Ints
    """The person's own numbers: the row to go on from, how many are folded in, the instant after which what is folded
    no longer holds, whether a row was passed over that is yet to be known, the last presence, the number of the last
    session, and each half-life's anchor."""
    ints: Ints
    floats: Floats
    tail: Ints
    """By window: the first folded row that is not too old for it yet."""
    kept_here: Ints
    kept_ints: Ints
    kept_floats: Floats
    kept_tail: Ints
    """The same as they were before the first row that was passed over."""
    slot_of: NDArray[np.int32]
    """Of each group, then of each content; NOBODY where nobody asks."""
    owner: NDArray[np.int32]
    """What a slot is the slot of."""
    order: Ints
    """The rows that are folded in, oldest first."""
    slots: NDArray[np.int32]
    """Theirs, by scope."""
    hits: Ints
    """To which counters they were added, by bit."""
    forward: Floats
    """By half-life: what the row that is folded weighs."""
    reads: Floats
    """By half-life: what a sum is multiplied by at the instant."""
    sums: Floats
    """By affinity: the content's."""
    found: Ints
    """By kind: whether the content is in a group of it."""
    row: Floats
    block: Floats
    to: Ints


# ---------------------------------------------------------------- the passes


@compiled
def pairs_by_requests(rows, asked, p, layout, contents, out, s):
    """Fill `out` (columns, requests)."""
    count = 0
    for a in range(len(asked.first)):
        slots = _open_asked(asked, asked.begin[a], asked.begin[a + 1], contents, s)
        _forget(asked.first[a], slots, p, layout, s)
        at = asked.begin[a]
        while at < asked.begin[a + 1]:
            instant = asked.as_of[at]
            _advance(rows, asked.first[a], asked.last[a], instant, slots, p, layout, contents, s)
            _move_windows(rows, instant, p, s)
            for h in range(len(p.half_lives)):
                s.reads[h] = read(instant, s.here[_ANCHORS + h], p.half_lives[h])
            while at < asked.begin[a + 1] and asked.as_of[at] == instant:
                _show(asked.content[at], instant, p, layout, contents, s)
                for column in range(p.columns):
                    s.block[count % BLOCK, column] = s.row[column]
                s.to[count % BLOCK] = asked.to[at]
                count += 1
                at += 1
                if count % BLOCK == 0:
                    _write(s.block, s.to, BLOCK, out)
        _close(slots, s)
    _write(s.block, s.to, count % BLOCK, out)


@compiled
def tastes_of_people(rows, begin, end, instant, p, layout, contents, person, group, out, s):
    """The people from `begin` to `end`: put each group that they did something in into `person`, `group` and `out`.

    `out` is (groups of people, half-lives). Returns how many there are.
    """
    count = 0
    for one in range(begin, end):
        slots = _open_touched(rows, rows.starts[one], rows.starts[one + 1], contents, s)
        _forget(rows.starts[one], slots, p, layout, s)
        _advance(rows, rows.starts[one], rows.starts[one + 1], instant, slots, p, layout, contents, s)
        for h in range(len(p.half_lives)):
            s.reads[h] = read(instant, s.here[_ANCHORS + h], p.half_lives[h])
        for slot in range(1, slots):
            touched = False
            for h in range(len(p.half_lives)):
                touched |= s.floats[slot, h] > 0
                out[count, h] = s.floats[slot, h] * s.reads[h] / (s.floats[0, h] * s.reads[h] + 1)
            if touched:
                person[count], group[count] = one, s.owner[slot]
                count += 1
        _close(slots, s)
    return count


@compiled
def _write(block, to, rows, out):
    """Put the first `rows` of the block where they go."""
    for column in range(out.shape[0]):
        for i in range(rows):
            out[column, to[i]] = block[i, column]


# ---------------------------------------------------------------- slots


@inlined
def _open_asked(asked, begin, end, contents, s):
    """Give a slot to each content that is asked about, and to its groups; returns how many slots there are."""
    slots = 1
    for at in range(begin, end):
        c = asked.content[at]
        slots = _slot(contents.groups + c, slots, s)
        for link in range(contents.link_from[c], contents.link_from[c + 1]):
            slots = _slot(contents.link_group[link], slots, s)
    return slots


@inlined
def _open_touched(rows, start, end, contents, s):
    """Give a slot to each group of the person's rows; returns how many slots there are."""
    slots = 1
    for i in range(start, end):
        c = rows.content[i]
        if c >= 0:
            for link in range(contents.link_from[c], contents.link_from[c + 1]):
                slots = _slot(contents.link_group[link], slots, s)
        if rows.channel[i] >= 0:
            slots = _slot(contents.source + rows.channel[i], slots, s)
    return slots


@inlined
def _slot(owner, slots, s):
    if s.slot_of[owner] == NOBODY:
        s.slot_of[owner] = slots
        s.owner[slots] = owner
        slots += 1
    return slots


@inlined
def _close(slots, s):
    for slot in range(1, slots):
        s.slot_of[s.owner[slot]] = NOBODY


@inlined
def _forget(first, slots, p, layout, s):
    """Nothing is known of the person."""
    s.here[:] = 0
    s.here[_NEXT], s.here[_WAKE], s.here[_PRESENT] = first, FOREVER, NEVER
    for slot in range(slots):
        for k in range(layout.ints):
            s.ints[slot, k] = 0
        for k in range(len(p.since_bits)):
            s.ints[slot, layout.sinces + k] = NEVER
        for k in range(layout.floats):
            s.floats[slot, k] = 0.0
    s.tail[:] = 0


# ---------------------------------------------------------------- which rows


@inlined
def _advance(rows, start, end, instant, slots, p, layout, contents, s):
    """Fold in what became known before the instant.

    Where a row that was passed over has become known, this goes back to before it; where one that is folded is somebody
    else's by now, to the beginning. So where all rows come in time, each is folded once, whatever the instants.
    """
    if instant > s.here[_WAKE]:
        if s.here[_OPEN] and instant <= s.kept_here[_WAKE]:
            _restore(slots, s)
        else:
            _forget(start, slots, p, layout, s)
    pending, passed = FOREVER, start
    i = s.here[_NEXT]
    while i < end and rows.ts[i] < instant:
        if rows.known[i] >= instant:
            passed = i if pending == FOREVER else passed
            pending = min(pending, rows.known[i])
        elif rows.until[i] >= instant:
            if pending != FOREVER and not s.here[_OPEN]:
                _keep(passed, slots, s)
            s.here[_WAKE] = min(s.here[_WAKE], pending, rows.until[i])
            _fold(rows, i, slots, p, layout, contents, s)
            s.here[_NEXT] = i + 1
        i += 1


@inlined
def _keep(passed, slots, s):
    """Remember the state, to go on from row `passed` one day."""
    s.here[_NEXT] = passed
    _copy(s.here, s.kept_here)
    _copy(s.tail, s.kept_tail)
    _copy_rows(s.ints, s.kept_ints, slots)
    _copy_rows(s.floats, s.kept_floats, slots)
    s.here[_OPEN] = 1


@inlined
def _restore(slots, s):
    _copy(s.kept_here, s.here)
    _copy(s.kept_tail, s.tail)
    _copy_rows(s.kept_ints, s.ints, slots)
    _copy_rows(s.kept_floats, s.floats, slots)


@inlined
def _copy(source, target):
    for k in range(len(source)):
        target[k] = source[k]


@inlined
def _copy_rows(source, target, rows):
    for row in range(rows):
        for k in range(source.shape[1]):
            target[row, k] = source[row, k]


# ---------------------------------------------------------------- the fold


@inlined
def _fold(rows, i, slots, p, layout, contents, s):
    """Add row `i`, which is not older than any added before."""
    ts, mask, c = rows.ts[i], rows.mask[i], rows.content[i]
    at = s.here[_FOLDED]
    s.here[_FOLDED] = at + 1
    s.order[at] = i
    s.slots[at, _PERSON], s.slots[at, _CATEGORY], s.slots[at, _CONTENT] = 0, NOBODY, NOBODY
    if c >= 0:
        s.slots[at, _CONTENT] = s.slot_of[contents.groups + c]
        if contents.category[c] >= 0:
            s.slots[at, _CATEGORY] = s.slot_of[contents.category[c]]
    _count(rows, i, at, p, s)
    for k in range(len(p.since_bits)):
        slot = s.slots[at, p.since_scope[k]]
        if mask & p.since_bits[k] and slot != NOBODY:
            s.ints[slot, layout.sinces + k] = ts
    if s.slots[at, _CONTENT] != NOBODY:
        if mask & p.shown_bits:
            s.ints[s.slots[at, _CONTENT], layout.unanswered] += 1
        elif mask & p.engaged_bits:
            s.ints[s.slots[at, _CONTENT], layout.unanswered] = 0
    if mask & p.refund_bits:  # the shop's doing: it proves no presence
        return
    if s.here[_PRESENT] == NEVER or ts - s.here[_PRESENT] > GAP:
        s.here[_SESSION] += 1
        s.floats[0, layout.session] = 0.0
    s.here[_PRESENT] = ts
    if mask & p.active_bits:
        _to_anchor(ts, slots, p, s)
        _add_strength(rows.strength[i], rows.channel[i], c, at, p, layout, contents, s)


@inlined
def _to_anchor(ts, slots, p, s):
    """Bring all sums to the anchors of `ts`, and fill in what a row of that time weighs."""
    for h in range(len(p.half_lives)):
        span, before = p.half_lives[h] * ANCHOR, s.here[_ANCHORS + h]
        if not 0 <= ts - before * span < span:
            s.here[_ANCHORS + h] = anchor_of(ts, p.half_lives[h])
            factor = moved(before, s.here[_ANCHORS + h])
            for slot in range(slots):
                s.floats[slot, h] *= factor
        s.forward[h] = weight(ts, s.here[_ANCHORS + h], p.half_lives[h])


@inlined
def _add_strength(strength, channel, c, at, p, layout, contents, s):
    for h in range(len(p.half_lives)):
        s.floats[0, h] += strength * s.forward[h]
    s.floats[0, layout.session] += strength
    slot = s.slots[at, _CATEGORY]
    if slot != NOBODY:
        if s.ints[slot, layout.stamp] != s.here[_SESSION]:
            s.ints[slot, layout.stamp] = s.here[_SESSION]
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
    for k in range(p.kind_from[kind], p.kind_from[kind + 1]):
        h = p.affinity_half[k]
        s.floats[slot, h] += strength * s.forward[h]


# ---------------------------------------------------------------- windows


@inlined
def _count(rows, i, at, p, s):
    """Add row `i`, the `at`th that is folded, to its counters in all windows."""
    hits = 0
    for k in range(len(p.count_bits)):
        slot = s.slots[at, p.count_scope[k]]
        if rows.mask[i] & p.count_bits[k] and slot != NOBODY:
            s.ints[slot, k] += rows.dwell_ms[i] if p.count_dwell[k] else 1
            hits |= 1 << k
    s.hits[at] = hits


@inlined
def _move_windows(rows, instant, p, s):
    """Take out of each window what grew too old for it."""
    for w in range(len(p.windows)):
        if p.windows[w] == FOREVER:
            continue
        j = s.tail[w]
        while j < s.here[_FOLDED] and rows.ts[s.order[j]] < instant - p.windows[w]:
            if s.hits[j] & p.window_bits[w]:
                _uncount(rows, j, w, p, s)
            j += 1
        s.tail[w] = j


@inlined
def _uncount(rows, j, w, p, s):
    for k in range(p.count_from[w], p.count_from[w + 1]):
        if s.hits[j] >> k & 1:
            s.ints[s.slots[j, p.count_scope[k]], k] -= rows.dwell_ms[s.order[j]] if p.count_dwell[k] else 1


# ---------------------------------------------------------------- what is shown


@inlined
def _show(c, instant, p, layout, contents, s):
    """Fill in the row of a request for content `c`."""
    category, content = NOBODY, s.slot_of[contents.groups + c]
    if contents.category[c] >= 0:
        category = s.slot_of[contents.category[c]]
    _show_affinities(c, p, contents, s)
    if p.session_to != NOWHERE:
        s.row[p.session_to] = np.nan
        if category != NOBODY:
            mine = s.floats[category, layout.session] if s.ints[category, layout.stamp] == s.here[_SESSION] else 0.0
            s.row[p.session_to] = mine / (s.floats[0, layout.session] + 1)
    for k in range(len(p.count_to)):
        slot = _scoped(p.count_scope[k], category, content)
        unit = 1e3 if p.count_dwell[k] else 1.0
        s.row[p.count_to[k]] = s.ints[slot, k] / unit if slot != NOBODY else np.nan
    for k in range(len(p.since_to)):
        slot = _scoped(p.since_scope[k], category, content)
        last = s.ints[slot, layout.sinces + k] if slot != NOBODY else NEVER
        here = last != NEVER and (p.since_window[k] == FOREVER or last >= instant - p.since_window[k])
        s.row[p.since_to[k]] = (instant - last) / DAY if here else np.nan
    if p.unanswered_to != NOWHERE:
        s.row[p.unanswered_to] = s.ints[content, layout.unanswered]


@inlined
def _scoped(scope, category, content):
    """The slot that a scope means."""
    if scope == _PERSON:
        return 0
    return category if scope == _CATEGORY else content


@inlined
def _show_affinities(c, p, contents, s):
    s.sums[:] = 0.0
    s.found[:] = 0
    for link in range(contents.link_from[c], contents.link_from[c + 1]):
        kind, slot = contents.link_kind[link], s.slot_of[contents.link_group[link]]
        s.found[kind] = 1
        for k in range(p.kind_from[kind], p.kind_from[kind + 1]):
            s.sums[k] += contents.link_weight[link] * s.floats[slot, p.affinity_half[k]]
    for k in range(len(p.affinity_to)):
        h = p.affinity_half[k]
        share = s.sums[k] * s.reads[h] / (s.floats[0, h] * s.reads[h] + 1)
        s.row[p.affinity_to[k]] = share if s.found[p.affinity_kind[k]] else p.affinity_without[k]
