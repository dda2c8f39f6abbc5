"""The passes of the pair kernel over people: answers to what is asked about each, and the table of their tastes."""

from __future__ import annotations

from features.decay import read
from features.jit import compiled
from features.pair_fold import advance, move_windows
from features.pair_shown import show
from features.pair_state import ANCHORS, close, forget, open_asked, open_touched

BLOCK = 64
"""Rows that are put together before they go into their columns: written one by one, each would touch every column."""


@compiled
def pairs_by_requests(rows, asked, p, layout, contents, out, s):
    """Fill `out` (columns, requests)."""
    count = 0
    for a in range(len(asked.first)):
        slots = open_asked(asked, asked.begin[a], asked.begin[a + 1], contents, s)
        forget(asked.first[a], slots, p, layout, s)
        at = asked.begin[a]
        while at < asked.begin[a + 1]:
            instant = asked.as_of[at]
            advance(rows, asked.first[a], asked.last[a], instant, slots, p, layout, contents, s)
            move_windows(rows, instant, p, s)
            for h in range(len(p.half_lives)):
                s.reads[h] = read(instant, s.here[ANCHORS + h], p.half_lives[h])
            while at < asked.begin[a + 1] and asked.as_of[at] == instant:
                show(asked.content[at], instant, p, layout, contents, s)
                for column in range(p.columns):
                    s.block[count % BLOCK, column] = s.row[column]
                s.to[count % BLOCK] = asked.to[at]
                count += 1
                at += 1
                if count % BLOCK == 0:
                    _write(s.block, s.to, BLOCK, out)
        close(slots, s)
    _write(s.block, s.to, count % BLOCK, out)


@compiled
def tastes_of_people(rows, begin, end, instant, p, layout, contents, person, group, out, s):
    """The people from `begin` to `end`: put each group that they did something in into `person`, `group` and `out`.

    `out` is (groups of people, half-lives). Returns how many there are.
    """
    count = 0
    for one in range(begin, end):
        slots = open_touched(rows, rows.starts[one], rows.starts[one + 1], contents, s)
        forget(rows.starts[one], slots, p, layout, s)
        advance(rows, rows.starts[one], rows.starts[one + 1], instant, slots, p, layout, contents, s)
        for h in range(len(p.half_lives)):
            s.reads[h] = read(instant, s.here[ANCHORS + h], p.half_lives[h])
        for slot in range(1, slots):
            touched = False
            for h in range(len(p.half_lives)):
                touched |= s.floats[slot, h] > 0
                out[count, h] = s.floats[slot, h] * s.reads[h] / (s.floats[0, h] * s.reads[h] + 1)
            if touched:
                person[count], group[count] = one, s.owner[slot]
                count += 1
        close(slots, s)
    return count


@compiled
def _write(block, to, rows, out):
    """Put the first `rows` of the block where they go."""
    for column in range(out.shape[0]):
        for i in range(rows):
            out[column, to[i]] = block[i, column]
