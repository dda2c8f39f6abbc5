"""The world's laws: how tastes move, and how likely a person is to click, read and buy a piece of content."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, ndtr

from pipeline.simulation import catalogue, population
from pipeline.simulation.catalogue import CATEGORIES, Catalogue
from pipeline.simulation.draws import DAY_US, Bools, Floats, Ints, Stream, generator
from pipeline.simulation.population import Population

READ_SECONDS = 30.0
_DWELL_SIGMA = 0.9
_TASTE_WALK = 0.06
_HALF_AFFINITY = 0.15
_OPENED_BEFORE = 0.25


@dataclass(frozen=True, eq=False)
class World:
    """Everything that does not change from day to day. `start_us`: midnight UTC of the first exported day.

    `shift`: the day, counted from the first exported one, on which everybody's interests move on; None: no day.
    """

    seed: int
    start_us: int
    days: int
    people: Population
    catalogue: Catalogue
    shift: int | None = None

    def midnight(self, day: int) -> int:
        """The instant at which day `day` starts, microseconds UTC."""
        return self.start_us + day * DAY_US


@dataclass(frozen=True, eq=False)
class State:
    """What changes: tastes (P, categories), and sorted `person * content count + content` of what was opened."""

    day: int
    tastes: Floats
    opened: Ints


@dataclass(frozen=True, eq=False)
class Chances:
    """For pairs of a person and a content shown at position 1 on one day.

    `click` is a probability; `read` (dwell of 30 s or more) and `purchase` are given the click.
    `affinity` 0..1 and `log_dwell` (mean of ln seconds) are what they rest on.
    """

    affinity: Floats
    click: Floats
    log_dwell: Floats
    read: Floats
    purchase: Floats


def build(*, days: int, people: int, content: int, seed: int, start_us: int, shift: int | None = None) -> World:
    """Draw the people and the content of a world; a shift changes nothing of either."""
    return World(
        seed=seed,
        start_us=start_us,
        days=days,
        people=population.build(people, days, start_us, seed),
        catalogue=catalogue.build(content, days, start_us, seed),
        shift=shift,
    )


def first_state(world: World) -> State:
    """Day 0: nothing has been opened yet."""
    return State(day=0, tastes=world.people.tastes, opened=np.empty(0, dtype=np.int64))


def next_state(world: World, state: State, person: Ints, content: Ints) -> State:
    """The day after, once these pairs have been opened."""
    opened = np.sort(np.concatenate([state.opened, person * len(world.catalogue) + content]), kind="stable")
    return replace(state, day=state.day + 1, tastes=_next_tastes(world, state), opened=opened)


def _next_tastes(world: World, state: State) -> Floats:
    """One step of a multiplicative random walk; on the day of the shift each share goes to another category, too."""
    day = state.day + 1
    step = generator(world.seed, Stream.TASTES, day).normal(0, _TASTE_WALK, state.tastes.shape)
    moved = np.maximum(state.tastes * np.exp(step), 1e-4)
    if day == world.shift:
        moved[:, successors(world.seed)] = moved.copy()
    return np.asarray(moved / moved.sum(axis=1, keepdims=True))


def successors(seed: int) -> Ints:
    """For each category the one that takes its place in everybody's interest when tastes shift: all in one cycle."""
    cycle = generator(seed, Stream.SHIFT).permutation(len(CATEGORIES))
    following = np.empty_like(cycle)
    following[cycle] = np.roll(cycle, -1)
    return following


def chances(world: World, state: State, person: Ints, content: Ints) -> Chances:
    """Evaluate pairs; `person` and `content` broadcast against each other.

    The share of taste a person has for the category saturates (`share / (share + 0.15)`), so second and third
    interests count. Click is logistic in affinity, a little in author and tags, quality and freshness; what was
    opened before is clicked a quarter as often. Dwell is log-normal, longer with affinity and quality. Only CRM
    contacts buy, and only what has a price.
    """
    people, site = world.people, world.catalogue
    share = state.tastes[person, site.category[content]]
    affinity = share / (share + _HALF_AFFINITY)
    leaning = 0.25 * people.author_tastes[person, site.author[content]] + 0.25 * _tag_leaning(world, person, content)
    merit = 2.0 * (site.quality[content] - 0.5)
    fresh = site.freshness(world.midnight(state.day) + DAY_US // 2)[content]
    logit = -4.35 + 4.6 * affinity + leaning + 0.9 * merit + 0.9 * fresh + people.eagerness[person]
    log_dwell = np.log(16.0) + 1.5 * affinity + 0.4 * merit + 0.1 * leaning
    may_buy = site.buyable[content] & (people.contact_from < state.day)[person]
    return Chances(
        affinity=affinity,
        click=expit(logit) * np.where(_opened_before(world, state, person, content), _OPENED_BEFORE, 1.0),
        log_dwell=log_dwell,
        read=ndtr((log_dwell - np.log(READ_SECONDS)) / _DWELL_SIGMA),
        purchase=may_buy * expit(-3.3 + 2.9 * affinity + 0.5 * merit),
    )


def dwell_ms(rng: np.random.Generator, log_dwell: Floats) -> Ints:
    """Engaged time, at most ten minutes: `P(dwell >= 30 s)` is `Chances.read`."""
    seconds = np.exp(log_dwell + rng.normal(0, _DWELL_SIGMA, len(log_dwell)))
    return (np.minimum(seconds, 600.0) * 1000).astype(np.int64)


def _tag_leaning(world: World, person: Ints, content: Ints) -> Floats:
    """The mean of the person's leaning to the content's tags."""
    tags = world.catalogue.tags[content]
    leaning = world.people.tag_tastes[np.asarray(person)[..., None], tags]
    mean: Floats = (leaning * (tags >= 0)).sum(axis=-1) / (tags >= 0).sum(axis=-1)
    return mean


def _opened_before(world: World, state: State, person: Ints, content: Ints) -> Bools:
    keys = person * len(world.catalogue) + content
    if not len(state.opened):
        return np.zeros(keys.shape, dtype=bool)
    place = np.minimum(np.searchsorted(state.opened, keys), len(state.opened) - 1)
    return np.asarray(state.opened[place] == keys, dtype=bool)
