"""The people of the invented company: tastes, habits, devices, and what the CRM knows about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.simulation.catalogue import AUTHORS, CATEGORIES, TAGS
from pipeline.simulation.draws import DAY_US, Bools, Floats, Ints, Stream, generator, some, weighted

NEVER_DAY = 1_000_000
MOST_SESSIONS = 8
FIRST_RECORD_ID = 51_000_000_001
DEVICES = ("desktop", "mobile", "tablet")
_TASTE_CONCENTRATION = 0.16
_SESSIONS_A_DAY = 0.45
_ACTIVITY_SIGMA = 1.1


@dataclass(frozen=True)
class Country:
    """A country as GA4 writes it, with one city and the share of people who live there."""

    name: str
    continent: str
    region: str
    city: str
    language: str
    share: float


COUNTRIES = (
    Country("Germany", "Europe", "Berlin", "Berlin", "de-de", 0.26),
    Country("United States", "Americas", "New York", "New York", "en-us", 0.20),
    Country("United Kingdom", "Europe", "England", "London", "en-gb", 0.12),
    Country("Austria", "Europe", "Vienna", "Vienna", "de-at", 0.10),
    Country("Switzerland", "Europe", "Zurich", "Zurich", "de-ch", 0.08),
    Country("France", "Europe", "Ile-de-France", "Paris", "fr-fr", 0.08),
    Country("Netherlands", "Europe", "North Holland", "Amsterdam", "nl-nl", 0.06),
    Country("Spain", "Europe", "Community of Madrid", "Madrid", "es-es", 0.05),
    Country("India", "Asia", "Maharashtra", "Mumbai", "en-in", 0.05),
)


@dataclass(frozen=True, eq=False)
class Population:
    """Arrays over people (P), and over cookies (2 P: cookie `2 p + k` is person p's k-th).

    Days are counted from the first exported day; `NEVER_DAY` where nothing happens. `sessions` is (P, days).
    `contact_from` is the day from which on the CRM lists the person (negative: before the period).
    """

    tastes: Floats
    author_tastes: Floats
    tag_tastes: Floats
    eagerness: Floats
    hour: Floats
    country: Ints
    sessions: Ints
    contact_from: Ints
    created_us: Ints
    opted_out_from: Ints
    unsubscribed_from: Ints
    record_id: Ints
    cookie_ids: list[str]
    cookie_device: Ints
    cookie_channel: Ints
    second_cookie: Bools
    earlier_sessions: Ints

    def __len__(self) -> int:
        """How many people."""
        return len(self.hour)

    @property
    def contacts(self) -> Ints:
        """People whom the CRM lists by the end of the period, by Record ID."""
        listed = np.flatnonzero(self.contact_from < NEVER_DAY)
        return listed[np.argsort(self.record_id[listed])]

    def cookies_of(self, person: int) -> list[str]:
        """The person's one or two visitor ids."""
        return self.cookie_ids[2 * person : 2 * person + 1 + int(self.second_cookie[person])]


def build(size: int, days: int, start_us: int, seed: int) -> Population:
    """Draw `size` people for `days` days; everyone gets at least one session (see `_sessions`)."""
    rng = generator(seed, Stream.PEOPLE)
    everyone = np.ones(size, dtype=bool)
    arrival = np.where(some(rng, everyone, 0.3), rng.integers(days, size=size), 0)
    contact_from, created_us = _contacts(rng, arrival, days, start_us)
    listed = contact_from < NEVER_DAY
    opted_out = some(rng, listed, 0.04)
    return Population(
        tastes=_tastes(rng, size),
        author_tastes=rng.normal(size=(size, len(AUTHORS))),
        tag_tastes=rng.normal(size=(size, len(TAGS))),
        eagerness=rng.normal(0, 0.35, size),
        hour=np.clip(rng.normal(14, 4.5, size), 1, 22),
        country=weighted(rng, [c.share for c in COUNTRIES], size),
        sessions=_sessions(generator(seed, Stream.SESSIONS), arrival, days, start_us),
        contact_from=contact_from,
        created_us=created_us,
        opted_out_from=_from_day(rng, opted_out, contact_from, days),
        unsubscribed_from=_from_day(rng, some(rng, listed & ~opted_out, 0.03), contact_from, days),
        record_id=np.where(listed, FIRST_RECORD_ID + np.lexsort((np.arange(size), created_us)).argsort(), 0),
        cookie_ids=_cookie_ids(rng, arrival, start_us),
        cookie_device=_cookie_devices(rng, size),
        cookie_channel=rng.integers(3, size=2 * size),
        second_cookie=some(rng, everyone, 0.35),
        earlier_sessions=np.repeat(np.where(arrival > 0, 0, rng.integers(0, 20, size=size)), 2),
    )


def _tastes(rng: np.random.Generator, size: int) -> Floats:
    """Dirichlet shares over categories: most people care about one to three; some categories are larger."""
    sizes = rng.permutation(np.linspace(0.7, 1.3, len(CATEGORIES)))
    return np.maximum(rng.dirichlet(_TASTE_CONCENTRATION * sizes, size=size), 1e-4)


def _contacts(rng: np.random.Generator, arrival: Ints, days: int, start_us: int) -> tuple[Ints, Ints]:
    """60 % become contacts: most before the period, the others on a day of it, never before they first came."""
    size = len(arrival)
    listed = some(rng, np.ones(size, dtype=bool), 0.6)
    before = (arrival == 0) & (rng.random(size) < 0.85)
    during = arrival + (rng.random(size) * (days - arrival)).astype(np.int64)
    day = np.where(before, -rng.integers(1, 700, size=size), during)
    second = rng.integers(6 * 3600, 22 * 3600, size=size)
    created_us = start_us + day * DAY_US + second * 1_000_000
    return np.where(listed, day, NEVER_DAY), created_us


def _from_day(rng: np.random.Generator, who: Bools, contact_from: Ints, days: int) -> Ints:
    """The day a contact objects: not the first of the period if it can be helped, so that the change shows."""
    day = np.minimum(1 + (rng.random(len(who)) * (days - 1)).astype(np.int64), days - 1)
    return np.where(who, np.maximum(day, contact_from), NEVER_DAY)


def _sessions(rng: np.random.Generator, arrival: Ints, days: int, start_us: int) -> Ints:
    """Sessions a person and day: Poisson with log-normal activity and quiet weekends, from the day of arrival on.

    Whoever would have come on no day comes once, on a random day: a world of 2,000 people has 2,000 in its log.
    """
    size = len(arrival)
    activity = _SESSIONS_A_DAY * rng.lognormal(-(_ACTIVITY_SIGMA**2) / 2, _ACTIVITY_SIGMA, size)
    weekday = (start_us // DAY_US + 3 + np.arange(days)) % 7  # 1 January 1970 was a Thursday
    pace = np.where(weekday >= 5, 0.65, 1.14)
    counts = np.minimum(rng.poisson(activity[:, None] * pace), MOST_SESSIONS)
    counts[np.arange(days) < arrival[:, None]] = 0
    absent = np.flatnonzero(counts.sum(axis=1) == 0)
    fallback = arrival + (rng.random(size) * (days - arrival)).astype(np.int64)
    counts[absent, fallback[absent]] = 1
    return counts


def _cookie_ids(rng: np.random.Generator, arrival: Ints, start_us: int) -> list[str]:
    """GA4 client ids `<random>.<first visit, unix s>`, unique, first seen before the person's first session."""
    size = 2 * len(arrival)
    number = rng.choice(1_147_483_647, size=size, replace=False) + 1_000_000_000
    age_days = np.repeat(np.where(arrival > 0, -arrival, 1), 2) + np.where(
        np.repeat(arrival > 0, 2), 0, rng.integers(0, 120, size=size)
    )
    first = start_us // 1_000_000 - age_days * 86_400 - rng.integers(1, 3600, size=size)
    return [f"{a}.{b}" for a, b in zip(number.tolist(), first.tolist(), strict=True)]


def _cookie_devices(rng: np.random.Generator, size: int) -> Ints:
    """A person's first cookie is any device, the second a phone."""
    devices = np.ones(2 * size, dtype=np.int64)
    devices[::2] = weighted(rng, [0.58, 0.34, 0.08], size)
    return devices
