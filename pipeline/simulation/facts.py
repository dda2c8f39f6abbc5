"""The facts of one day, as parallel arrays; a child names its parent by row.

A session shows lists, a list has slots, a clicked slot is a visit, the bought visits of a session are one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from pipeline.simulation.draws import Bools, Ints

POPULAR, LATEST, DISCOVER, FIRST_CATEGORY = 0, 1, 2, 3
REACTIONS = ("", "like", "save", "share", "comment")


@dataclass(frozen=True, eq=False)
class Sessions:
    """`start_s`: seconds after midnight, unique a person. `cookie`: see `Population`. `number`: from 1 a cookie."""

    person: Ints
    cookie: Ints
    number: Ints
    start_s: Ints
    logged_in: Bools


@dataclass(frozen=True, eq=False)
class Lists:
    """`place`: 0, 1, 2 in the session; `kind`: POPULAR, LATEST, DISCOVER, or FIRST_CATEGORY + category."""

    session: Ints
    place: Ints
    kind: Ints


@dataclass(frozen=True, eq=False)
class Slots:
    """What a list showed: `position` from 1, sorted by (list, position)."""

    list: Ints
    position: Ints
    content: Ints


@dataclass(frozen=True, eq=False)
class Visits:
    """Clicked slots: engaged time, a REACTIONS code (only after 30 s), and units bought (0: nothing)."""

    slot: Ints
    session: Ints
    content: Ints
    dwell_ms: Ints
    reaction: Ints
    bought: Ints


@dataclass(frozen=True, eq=False)
class Orders:
    """`session` and `paid_us` are over orders; the `line_` arrays over order lines, sorted by order."""

    session: Ints
    paid_us: Ints
    line_order: Ints
    line_content: Ints
    line_quantity: Ints

    def __len__(self) -> int:
        """How many orders, whatever their lines."""
        return len(self.session)


class Kind(IntEnum):
    """What an event is; the order is the order within a visit."""

    SESSION_START = 0
    ENTRY = 1
    LIST_SHOWN = 2
    CLICK = 3
    VIEW = 4
    REACTION = 5
    DWELL = 6
    PURCHASE = 7


@dataclass(frozen=True, eq=False)
class Events:
    """Events by (session, time). `subject` is the row of what the kind is about: session, list, visit or order.

    `ts` is microseconds: after the session's start as built here, UTC once the day has set its sessions' starts.
    """

    session: Ints
    kind: Ints
    subject: Ints
    ts: Ints


@dataclass(frozen=True, eq=False)
class Day:
    """One day's facts and their events in time order."""

    day: int
    sessions: Sessions
    lists: Lists
    slots: Slots
    visits: Visits
    orders: Orders
    events: Events

    @property
    def opened(self) -> tuple[Ints, Ints]:
        """(person, content) of every visit."""
        return self.sessions.person[self.visits.session], self.visits.content
