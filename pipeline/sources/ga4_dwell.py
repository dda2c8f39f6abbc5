"""Which of GA4's events count, and whose the engaged seconds are; by visitor, a few visitors at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.sources.ga4_facts import NO_TIME, Array, Facts, Traces

_AT_ONCE = 1 << 17
"""About so many rows are looked at together: they fit the processor's cache better than a whole day."""


@dataclass(frozen=True)
class Verdict:
    """By row: whether it is the first of its kind, and the seconds that it was looked at (NaN: not known)."""

    once: Array
    dwell_seconds: Array


def judged(facts: Facts, traces: Traces, names_own_place: Array) -> Verdict:
    """Tell repeats, and give engaged time to the last page view before it of the same content in the same session.

    `names_own_place`: rows whose `named` content is the one whose page it happened on. Clicks, lists and purchases name
    the content they lead to.
    """
    once = np.zeros(len(facts.key), bool)
    dwell = np.full(len(facts.key), np.nan)
    for rows in _by_visitor(facts, traces):
        first = first_of_each(facts.key, rows)
        once[first] = True
        named = np.where(names_own_place[first], traces.named[first], -1)
        place = np.where(facts.is_view(first), facts.content[first], named)
        visit = _mixed(traces.visitor[first], facts.session[first].view(np.uint64))
        timed = traces.engaged_ms[first] != NO_TIME
        _locate(facts.is_view(first), timed, place, _mixed(visit, traces.page[first]))
        there = (place >= 0) & (facts.is_view(first) | timed)
        _spend(facts, traces, first[there], _mixed(visit[there], place[there].astype(np.uint64)), dwell)
    return Verdict(once, dwell)


def _by_visitor(facts: Facts, traces: Traces) -> Iterator[Array]:
    """Rows in parts, in order; all rows of a visitor are in one part, and nobody's by page."""
    parts = min(len(facts.key) // _AT_ONCE + 1, np.iinfo(np.uint16).max)
    together = np.where(facts.nobody, traces.page, traces.visitor)
    part = (together % np.uint64(parts)).astype(np.uint16)
    part[facts.name < 0] = parts
    order = np.argsort(part, kind="stable")
    ends = np.cumsum(np.bincount(part, minlength=parts + 1))
    for number in range(parts):
        yield order[ends[number - 1] if number else 0 : ends[number]]


def first_of_each(keys: Array, rows: Array) -> Array:
    """Of `rows` (in order) the first of each key; in the order of their keys."""
    rows = rows[np.argsort(keys[rows], kind="stable")]
    ordered = keys[rows]
    first: Array = rows[np.r_[True, ordered[1:] != ordered[:-1]][: len(rows)]]
    return first


def _locate(is_view: Array, timed: Array, place: Array, page: Array) -> None:
    """Fill in `place` where time names none: the first content (in order) viewed on the same page of the session."""
    views = np.flatnonzero(is_view & (place >= 0))
    if not len(views):
        return
    views = views[np.argsort(page[views])]
    starts = np.flatnonzero(np.r_[True, page[views[1:]] != page[views[:-1]]])
    known, content = page[views[starts]], np.minimum.reduceat(place[views], starts)
    asking = np.flatnonzero((place < 0) & ~is_view & timed)
    found = np.minimum(np.searchsorted(known, page[asking]), len(known) - 1)
    place[asking] = np.where(known[found] == page[asking], content[found], -1)


def _spend(facts: Facts, traces: Traces, rows: Array, group: Array, dwell: Array) -> None:
    """Add engaged time to `dwell` of the views it was spent on; at the same instant, the view was first.

    `rows` are in the order of their keys, which decides between views of one instant whatever the file's order.
    """
    order = np.lexsort((2 * facts.ts[rows] + ~facts.is_view(rows), group))
    rows, group = rows[order], group[order]
    is_view, engaged = facts.is_view(rows), traces.engaged_ms[rows]
    views = np.flatnonzero(is_view)
    last = np.cumsum(is_view) - is_view - 1
    spent = np.flatnonzero((engaged != NO_TIME) & (last >= 0))
    spent = spent[group[views[last[spent]]] == group[spent]]
    total = np.bincount(last[spent], weights=engaged[spent], minlength=len(views))
    known = np.bincount(last[spent], minlength=len(views)) > 0
    dwell[rows[views[known]]] = total[known] / 1000


def _mixed(one: Array, other: Array) -> Array:
    """A hash of two (the finalizer of SplitMix64)."""
    mixed: Array = one * np.uint64(0x9E3779B97F4A7C15) + other
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
