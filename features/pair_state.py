"""What is kept of a person while the pair kernel folds, and room for it.

A person's state is a row of whole numbers and a row of floats a *slot*: slot 0 is the person, the others are the
groups and contents that somebody asks about, in the order in which they are first met. What nobody asks about has no
slot. The places within a row are those of `Layout`. See `features.jit` for what numba needs to be told.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.jit import inlined
from features.pair_measures import SCOPES
from features.rows import FOREVER
from features.state import NEVER, copy

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NOBODY = -1
PERSON, CATEGORY, CONTENT = range(len(SCOPES))

# Places in `Scratch.here`; anchors follow.
NEXT, FOLDED, WAKE, OPEN, PRESENT, SESSION, ANCHORS = range(7)


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


# ---------------------------------------------------------------- slots


@inlined
def open_asked(asked, begin, end, contents, s):
    """Give a slot to each content that is asked about, and to its groups; returns how many slots there are."""
    slots = 1
    for at in range(begin, end):
        c = asked.content[at]
        slots = _slot(contents.groups + c, slots, s)
        for link in range(contents.link_from[c], contents.link_from[c + 1]):
            slots = _slot(contents.link_group[link], slots, s)
    return slots


@inlined
def open_touched(rows, start, end, contents, s):
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
def close(slots, s):
    """Take the slots away from what has them."""
    for slot in range(1, slots):
        s.slot_of[s.owner[slot]] = NOBODY


@inlined
def forget(first, slots, p, layout, s):
    """Nothing is known of the person."""
    s.here[:] = 0
    s.here[NEXT], s.here[WAKE], s.here[PRESENT] = first, FOREVER, NEVER
    for slot in range(slots):
        for k in range(layout.ints):
            s.ints[slot, k] = 0
        for k in range(len(p.sinces.bits)):
            s.ints[slot, layout.sinces + k] = NEVER
        for k in range(layout.floats):
            s.floats[slot, k] = 0.0
    s.tail[:] = 0


# ---------------------------------------------------------------- going back


@inlined
def keep(passed, slots, s):
    """Remember the state, to go on from row `passed` one day."""
    s.here[NEXT] = passed
    copy(s.here, s.kept_here)
    copy(s.tail, s.kept_tail)
    _copy_rows(s.ints, s.kept_ints, slots)
    _copy_rows(s.floats, s.kept_floats, slots)
    s.here[OPEN] = 1


@inlined
def restore(slots, s):
    """Go back to what `keep` remembered."""
    copy(s.kept_here, s.here)
    copy(s.kept_tail, s.tail)
    _copy_rows(s.kept_ints, s.ints, slots)
    _copy_rows(s.kept_floats, s.floats, slots)


@inlined
def _copy_rows(source, target, rows):
    for row in range(rows):
        for k in range(source.shape[1]):
            target[row, k] = source[row, k]
