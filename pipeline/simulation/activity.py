"""What people do on one day: when they come, what they are shown, what they click, read and buy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.simulation import timeline
from pipeline.simulation.catalogue import CATEGORIES
from pipeline.simulation.draws import DAY_US, Bools, Floats, Ints, Stream, generator, within_runs
from pipeline.simulation.facts import (
    DISCOVER,
    FIRST_CATEGORY,
    LATEST,
    POPULAR,
    Day,
    Events,
    Kind,
    Lists,
    Orders,
    Sessions,
    Slots,
    Visits,
)
from pipeline.simulation.world import State, World, chances, dwell_ms

_REACTION_SHARES = np.array([0.10, 0.05, 0.03, 0.02])
_DRAWS = 16
_GRID = 8


def live(world: World, state: State, session_numbers: Ints) -> Day:
    """Let everybody live the day of `state`; `session_numbers` are the sessions each cookie had before it."""
    rng = generator(world.seed, Stream.ACTIVITY, state.day)
    sessions = _sessions(rng, world, state.day, session_numbers)
    lists = _lists(rng, state, sessions)
    slots = _slots(rng, world, state, sessions, lists)
    visits = _visits(rng, world, state, sessions, lists, slots)
    orders = _orders(visits)
    events = timeline.build(rng, lists, slots, visits, orders)
    started = _start_in_time(sessions, timeline.durations_s(events, len(sessions.person)))
    sessions = replace(started, logged_in=_log_in(rng, world, state.day, sessions, orders))
    session_start_us = world.midnight(state.day) + sessions.start_s * 1_000_000
    events = replace(events, ts=events.ts + session_start_us[events.session])
    orders = replace(orders, paid_us=_paid(events, len(orders)))
    return Day(state.day, sessions, lists, slots, visits, orders, events)


def _sessions(rng: np.random.Generator, world: World, day: int, session_numbers: Ints) -> Sessions:
    people = world.people
    counts = people.sessions[:, day]
    person = np.repeat(np.arange(len(people)), counts)
    second = people.second_cookie[person] & (rng.random(len(person)) < 0.4)
    cookie = 2 * person + second
    start = np.clip(people.hour[person] * 3600 + rng.normal(0, 9000, len(person)), 0, DAY_US // 1_000_000 - 60)
    # One place of eight per session of the day: a cookie never starts two sessions in the same second.
    start_s = start.astype(np.int64) // _GRID * _GRID + within_runs(counts)
    by_start = np.lexsort((start_s, cookie))
    runs = np.bincount(cookie, minlength=2 * len(people))
    number = np.empty_like(cookie)
    number[by_start] = session_numbers[cookie[by_start]] + 1 + within_runs(runs)
    return Sessions(person, cookie, number, start_s, np.zeros(len(person), dtype=bool))


def _lists(rng: np.random.Generator, state: State, sessions: Sessions) -> Lists:
    """1-3 lists a session: popular, latest, discover, or the page of a category drawn from the person's tastes."""
    count = rng.choice([1, 2, 3], size=len(sessions.person), p=[0.35, 0.4, 0.25])
    session = np.repeat(np.arange(len(count)), count)
    edges = np.cumsum(state.tastes[sessions.person[session]], axis=1)
    interest = (edges < rng.random((len(session), 1)) * edges[:, -1:]).sum(axis=1)
    kind = rng.choice([POPULAR, LATEST, DISCOVER, FIRST_CATEGORY], size=len(session), p=[0.33, 0.27, 0.14, 0.26])
    return Lists(session, within_runs(count), np.where(kind == FIRST_CATEGORY, FIRST_CATEGORY + interest, kind))


def _slots(rng: np.random.Generator, world: World, state: State, sessions: Sessions, lists: Lists) -> Slots:
    """Fill 8-10 slots a list: drawn by the list's weights without replacement (draw 16, drop repeats).

    What was not yet born when the session started is dropped too, so a list may be shorter.
    """
    content = _drawn(rng, world, state, lists.kind)
    start_us = world.midnight(state.day) + sessions.start_s[lists.session] * 1_000_000
    live = world.catalogue.shown_on(world.midnight(state.day))[content]
    kept = live & ~_repeated(content) & (world.catalogue.born_us[content] < start_us[:, None])
    position = np.cumsum(kept, axis=1)
    shown = kept & (position <= rng.integers(8, 11, size=len(content))[:, None])
    row, column = np.nonzero(shown)
    return Slots(row.astype(np.int64), position[row, column].astype(np.int64), content[row, column])


def _drawn(rng: np.random.Generator, world: World, state: State, kind: Ints) -> Ints:
    """16 draws a list, (lists, 16), by inverse of the cumulated weights; content is ordered by category."""
    order = np.argsort(world.catalogue.category, kind="stable")
    weights = _list_weights(world, state)[:, order]
    starts = np.searchsorted(world.catalogue.category[order], np.arange(len(CATEGORIES) + 1))
    edges = np.concatenate([np.zeros((4, 1)), np.cumsum(weights, axis=1)], axis=1)
    row = np.minimum(kind, FIRST_CATEGORY)
    category = np.where(row == FIRST_CATEGORY, kind - FIRST_CATEGORY, 0)
    low = np.where(row == FIRST_CATEGORY, edges[FIRST_CATEGORY, starts[category]], 0.0)
    high = np.where(row == FIRST_CATEGORY, edges[FIRST_CATEGORY, starts[category + 1]], edges[row, -1])
    empty = high <= low  # a category without live content shows the site's best
    low, high = np.where(empty, 0.0, low), np.where(empty, edges[row, -1], high)
    target = low[:, None] + rng.random((len(kind), _DRAWS)) * (high - low)[:, None]
    drawn = np.empty(target.shape, dtype=np.int64)
    for r in range(len(edges)):
        drawn[row == r] = np.searchsorted(edges[r], target[row == r], side="right") - 1
    return order[np.minimum(drawn, len(order) - 1)]


def _list_weights(world: World, state: State) -> Floats:
    """Weights of content in POPULAR, LATEST, DISCOVER and category lists, (4, content); 0 for what is not live."""
    site, start_us = world.catalogue, world.midnight(state.day)
    noon = start_us + DAY_US // 2
    appeal = np.exp(2.0 * site.quality + 1.2 * site.freshness(noon))
    age_days = np.maximum(noon - site.born_us, 0) / DAY_US
    weights = np.stack([appeal**2.5, np.exp2(-age_days / 1.5), np.ones(len(site)), appeal])
    return weights * site.shown_on(start_us)


def _repeated(drawn: Ints) -> Bools:
    """Whether an entry of a row equals an earlier one of that row."""
    repeated = np.zeros(drawn.shape, dtype=bool)
    for column in range(1, drawn.shape[1]):
        repeated[:, column] = (drawn[:, :column] == drawn[:, column : column + 1]).any(axis=1)
    return repeated


def _visits(
    rng: np.random.Generator, world: World, state: State, sessions: Sessions, lists: Lists, slots: Slots
) -> Visits:
    """A slot is clicked with `Chances.click`, falling with its position (examination ~ position^-0.5)."""
    session = lists.session[slots.list]
    odds = chances(world, state, sessions.person[session], slots.content)
    clicked = np.flatnonzero(rng.random(len(session)) < odds.click / np.sqrt(slots.position))
    dwell = dwell_ms(rng, odds.log_dwell[clicked])
    reacts = _reactions(rng, odds.affinity[clicked]) * (dwell >= 30_000)
    buys = rng.random(len(clicked)) < odds.purchase[clicked]
    units = 1 + (rng.random(len(clicked)) < 0.1)
    return Visits(clicked, session[clicked], slots.content[clicked], dwell, reacts, np.where(buys, units, 0))


def _reactions(rng: np.random.Generator, affinity: Floats) -> Ints:
    """A REACTIONS code for each read: about one in five reacts when the taste matches fully."""
    edges = np.cumsum(_REACTION_SHARES)
    draw = rng.random(len(affinity)) / np.maximum(affinity, 1e-9)
    code = np.searchsorted(edges, draw, side="right") + 1
    return np.where(code <= len(edges), code, 0)


def _orders(visits: Visits) -> Orders:
    """One order a session: a line for each different content bought in it."""
    bought = np.flatnonzero(visits.bought)
    pairs = np.stack([visits.session[bought], visits.content[bought]], axis=1)
    first = bought[np.sort(np.unique(pairs, axis=0, return_index=True)[1])]
    session, line_order = np.unique(visits.session[first], return_inverse=True)
    unpaid = np.zeros(len(session), dtype=np.int64)
    return Orders(session, unpaid, line_order, visits.content[first], visits.bought[first])


def _start_in_time(sessions: Sessions, duration_s: Ints) -> Sessions:
    """Start late sessions earlier so that all of their events lie in the day.

    Only sessions that would pass midnight move, and never to before 18:00 (three lists of ten visits of ten minutes
    at most): they still see what was born that day, which is born before 18:00.
    """
    latest = (DAY_US // 1_000_000 - 2 * _GRID - duration_s) // _GRID * _GRID
    start = np.minimum(sessions.start_s // _GRID * _GRID, latest) + sessions.start_s % _GRID
    return replace(sessions, start_s=start)


def _log_in(rng: np.random.Generator, world: World, day: int, sessions: Sessions, orders: Orders) -> Bools:
    """Known contacts log in during half of their sessions, and always to buy."""
    known = (world.people.contact_from < day)[sessions.person]
    logged_in = known & (rng.random(len(known)) < 0.5)
    logged_in[orders.session] = True
    return logged_in


def _paid(events: Events, orders: int) -> Ints:
    """When each order was paid: its purchase event."""
    paid = np.zeros(orders, dtype=np.int64)
    purchases = events.kind == Kind.PURCHASE
    paid[events.subject[purchases]] = events.ts[purchases]
    return paid
