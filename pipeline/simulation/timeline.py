"""The order and the pace of a day's events: each session is one walk through its lists, visits and order."""

from __future__ import annotations

import numpy as np

from pipeline.simulation.draws import Ints
from pipeline.simulation.facts import Events, Kind, Lists, Orders, Slots, Visits

_PAUSE_MS = {  # (at least, at most) before the event
    Kind.SESSION_START: (0, 0),
    Kind.ENTRY: (0, 0),
    Kind.LIST_SHOWN: (400, 4_000),
    Kind.CLICK: (1_500, 9_000),
    Kind.VIEW: (200, 900),
    Kind.REACTION: (300, 2_000),
    Kind.DWELL: (50, 300),
    Kind.PURCHASE: (20_000, 90_000),
}
_LAST = 10_000


def build(rng: np.random.Generator, lists: Lists, slots: Slots, visits: Visits, orders: Orders) -> Events:
    """Lay a day's facts out in time, each session from 0.

    A session: start and entry page; then list by list the list shown and, in position order, its visits (click,
    view, reaction, and the engagement event that ends the visit); the purchase last.
    """
    session, kind, subject, key = (
        np.concatenate(parts) for parts in zip(*_parts(lists, slots, visits, orders), strict=True)
    )
    order = np.lexsort((kind, key, session))
    session, kind, subject = session[order], kind[order], subject[order]
    pause = _pauses(rng, kind)
    before_reacting = np.where(visits.reaction > 0, visits.dwell_ms * 6 // 10, 0)
    reacting, leaving = kind == Kind.REACTION, kind == Kind.DWELL
    pause[reacting] += before_reacting[subject[reacting]]
    pause[leaving] += (visits.dwell_ms - before_reacting)[subject[leaving]]
    elapsed = np.cumsum(pause)
    starts = np.searchsorted(session, session)
    return Events(session, kind, subject, (elapsed - elapsed[starts]) * 1000)


def durations_s(events: Events, sessions: int) -> Ints:
    """Whole seconds from a session's start to after its last event, over sessions."""
    longest = np.zeros(sessions, dtype=np.int64)
    np.maximum.at(longest, events.session, events.ts)
    return longest // 1_000_000 + 1


def _parts(lists: Lists, slots: Slots, visits: Visits, orders: Orders) -> list[tuple[Ints, Ints, Ints, Ints]]:
    """(session, kind, subject, key) of each kind of event; within a session the key sorts lists and their visits."""
    sessions = np.unique(lists.session)
    shown_in = slots.list[visits.slot]
    list_key = 100 + 100 * lists.place
    visit_key = list_key[shown_in] + slots.position[visits.slot]
    everything = np.arange(len(visits.slot))
    reacting = np.flatnonzero(visits.reaction)
    return [
        _part(Kind.SESSION_START, sessions, sessions, np.zeros_like(sessions)),
        _part(Kind.ENTRY, sessions, sessions, np.zeros_like(sessions)),
        _part(Kind.LIST_SHOWN, lists.session, np.arange(len(lists.session)), list_key),
        *(_part(kind, visits.session, everything, visit_key) for kind in (Kind.CLICK, Kind.VIEW, Kind.DWELL)),
        _part(Kind.REACTION, visits.session[reacting], reacting, visit_key[reacting]),
        _part(Kind.PURCHASE, orders.session, np.arange(len(orders)), np.full(len(orders), _LAST)),
    ]


def _part(kind: Kind, session: Ints, subject: Ints, key: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    return session, np.full(len(session), int(kind)), subject, key


def _pauses(rng: np.random.Generator, kind: Ints) -> Ints:
    """Milliseconds before each event, uniform in its kind's range."""
    least, most = np.array([_PAUSE_MS[k] for k in Kind]).T
    pauses: Ints = rng.integers(least[kind], most[kind], endpoint=True)
    return pauses
