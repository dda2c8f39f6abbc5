"""Every feature by name: its unit, what it means, and for those of a person how it is measured.

The list is the documentation, the tables' schema, what the kernel computes (`features.kernel`) and what the oracle
writes as SQL (`features.sql`). A new windowed or decayed feature of a person is a line in `_person`;
docs/guides/add-a-feature.md. The model's columns are in the order in which it reads them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from features.contents import BUSY_HALF_LIVES
from features.contents import HALF_LIVES_DAYS as CONTENT_HALF_LIVES
from features.history import GoalRule
from features.measures import (
    CHANNELS,
    HALF_LIVES,
    HOURS,
    MIX,
    WEEKDAYS,
    Attribute,
    Btyd,
    Count,
    Days,
    Decayed,
    Measure,
    Measured,
    Rate,
    Score,
    Session,
    Share,
    Since,
    Tenure,
    Total,
)
from features.pair_spec import PAIRS
from features.program import Program, compiled
from features.rows import Codes

Group = Literal["person", "content", "pair", "context"]

WINDOWS_DAYS = (7, 30, 90, 365)
SESSION_HALF_LIVES = ("1d", "7d", "30d")
VECTOR_HALF_LIVES = ("7d", "30d")
PRIOR_SHOWN = 20.0


SINCE = {
    "events_since_born": ("count", "things that the person did since it was published"),
    "days_since_born": ("count", "days on which the person did anything since it was published"),
    "born_after_days": ("days", "from the person's last activity to its publication; negative before it"),
}
"""What `features.pairs.Visits.since` says of a pair: whoever was there and did not turn to it has been offered it."""

BUSY = "on a clock that counts what everybody does, a mean day being one"

SAID = {
    "covisit": "decayed recent activity times cosine co-visitation with the content",
    "neighbours_6h": "what similar people turned to, votes fading with a half-life of 6 hours",
    "neighbours_12h": "what similar people turned to, votes fading with a half-life of 12 hours",
    "neighbours_3d": "what similar people turned to, votes fading with a half-life of 3 days",
    "followed": "what readers of the person's contents turned to, votes fading with a half-life of 12 hours",
    "beside": "what stood near the person's contents in anybody's sessions, nearer counting more",
    "sessions": "what went with the contents of the person's last session",
    "factors": "product of latent factors (ALS)",
    "neighbours_busy": "what similar people turned to, votes fading with a half-life of 0.7 days on the busy clock",
    "neighbours_reach": "similar people who turned to it, of those who did anything since its publication",
    "gravity_z": "`gravity` as a z-score over what can be listed",
    "popularity_3h_z": "`popularity_3h` as a z-score over what can be listed",
    "neighbours_12h_z": "`neighbours_12h` as a z-score over what can be listed to the person",
    "neighbours_3d_z": "`neighbours_3d` as a z-score over what can be listed to the person",
}
"""What the sources of candidates say of a pair (`models.candidates`), in the model's order."""


@dataclass(frozen=True)
class Feature:
    """One column. `modelled` is false for those that are written for analysts, but that no model reads."""

    name: str
    group: Group
    unit: str
    meaning: str
    measure: Measure | None = None
    modelled: bool = True

    @property
    def memory_days(self) -> float:
        """How far back it looks: in a younger log its values grow night by night, whatever people do.

        The window of what is counted; ten half-lives of a decayed sum, which grows until then, and four of a mean;
        nothing for a share or what a CRM says; without end for what counts from the start.
        """
        match self.measure:
            case Count() | Total() | Days() | Rate():
                return self.measure.days
            case Decayed():
                return 10 * HALF_LIVES[self.measure.half_life]
            case Session():
                return 4 * HALF_LIVES[self.measure.half_life or "7d"]
            case Share() | Attribute():
                return 0.0
            case Score():
                return _window(self.measure.feature)
            case _:
                return _window(self.name)


def _window(name: str) -> float:
    found = re.search(r"_(\d+)d$", name)
    return float(found[1]) if found else math.inf


@dataclass(frozen=True)
class Spec:
    """What the person kernel computes, and the vocabulary in which: everything it knows beside rows and nights."""

    goals: Mapping[str, GoalRule]
    category_of: Mapping[str, str] = field(default_factory=dict)
    """Content to category, as the nights knew it."""
    categories: tuple[str, ...] = ()
    """Those that a session's vector has a place for, in its order."""
    channels: tuple[str, ...] = CHANNELS
    timezone: str = "UTC"
    history_days: int = 365
    """Who was not seen for longer is not among a night's people."""
    features: tuple[Feature, ...] = ()
    """Features of a person; by default all of them."""

    @cached_property
    def listed(self) -> tuple[Feature, ...]:
        """All features of a person, in order."""
        return self.features or tuple(_person(tuple(self.goals), self.categories, self.channels))

    @cached_property
    def measured(self) -> tuple[Feature, ...]:
        """Those that the kernel computes."""
        return tuple(f for f in self.listed if isinstance(f.measure, Measured))

    @cached_property
    def measures(self) -> tuple[Measured, ...]:
        """What they measure."""
        return tuple(f.measure for f in self.measured if isinstance(f.measure, Measured))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The kernel's columns."""
        return tuple(f.name for f in self.measured)

    @cached_property
    def codes(self) -> Codes:
        """How the kernel reads text; made once, since it looks at every content of the catalogue."""
        return Codes(self.goals, self.category_of, self.categories, self.channels)

    @cached_property
    def program(self) -> Program:
        """What the kernel keeps and shows, as its loops read it."""
        return compiled(self.measures, self.codes.classes, self.categories, self.channels, self.history_days)

    def name_of(self, measure: Measured) -> str:
        """The feature that measures this."""
        return next(f.name for f in self.measured if f.measure == measure)


def features(
    goals: Iterable[str], categories: Sequence[str] = (), crm: Sequence[Attribute] = ()
) -> tuple[Feature, ...]:
    """All features, in the model's order: person (and what its vocabulary reads of the CRM), content, pair, context."""
    names = tuple(goals)
    return (
        *_person(names, categories, CHANNELS),
        *map(_attribute, crm),
        *_content(names),
        *_pair(),
        Feature("position", "context", "rank", "place in the list that showed it; scored as 1"),
    )


def names(goals: Iterable[str], group: Group | None = None, crm: Sequence[Attribute] = ()) -> tuple[str, ...]:
    """The names of all features that models read, or of one group."""
    return tuple(f.name for f in features(goals, crm=crm) if f.modelled and group in (None, f.group))


def counts_of_rates(goals: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By each rate of a person the counts that it is made of.

    Rates are smoothed with everybody's on the night: they move for all at once, also of who did nothing. All other
    features of a person say of that person alone.
    """
    listed = [feature for feature in features(goals) if feature.group == "person"]
    named = {feature.measure: feature.name for feature in listed}
    return {f.name: tuple(named[count] for count in f.measure.counts) for f in listed if isinstance(f.measure, Rate)}


def _person(goals: tuple[str, ...], categories: Sequence[str], channels: Sequence[str]) -> Iterator[Feature]:
    def one(name: str, unit: str, meaning: str, measure: Measure, *, modelled: bool = True) -> Feature:
        return Feature(name, "person", unit, meaning, measure, modelled)

    for d in (1, *WINDOWS_DAYS):
        yield one(f"events_{d}d", "count", f"things done in {d} day{'s' if d > 1 else ''}", Count("active", d))
    for d in (7, 30):
        yield one(f"shown_{d}d", "count", f"impressions in {d} days", Count("impression", d))
    for goal in goals:
        for d in (7, 30):
            yield one(f"{goal}_{d}d", "count", f"times `{goal}` was reached in {d} days", Count(f"goal:{goal}", d))
        rate = f"`{goal}` per impression in 30 days, smoothed with {PRIOR_SHOWN:g} impressions of everybody's rate"
        yield one(f"{goal}_per_shown_30d", "rate", rate, Rate(goal, 30, PRIOR_SHOWN))
    for d in (7, 30):
        yield one(f"dwell_seconds_{d}d", "s", f"engaged time in {d} days", Total("active", "dwell_seconds", d))
    for h in HALF_LIVES:
        yield one(f"activity_{h}", "strength", f"decayed activity, half-life {h}", Decayed("active", h))
    yield one("mobile_share", "share", "of what was done in 365 days, on a mobile", Share("mobile", "active", 365))
    yield one("tenure_days", "days", "since the person was first seen", Tenure())
    yield from _rfm(one)
    yield from _sessions(one, categories, channels)


def _rfm(one: Callable[..., Feature]) -> Iterator[Feature]:
    yield one("rfm_recency_days", "days", "since the last activity", Since("active"))
    for d in WINDOWS_DAYS:
        yield one(f"rfm_frequency_{d}d", "days", f"active days in {d}", Days("active", d))
    for d in WINDOWS_DAYS:
        meaning = f"net value of orders in {d} days, refunds subtracted"
        yield one(f"rfm_monetary_{d}d", "currency", meaning, Total("money", "value", d))
    for d in WINDOWS_DAYS:
        yield one(f"purchases_{d}d", "count", f"purchases in {d} days", Count("purchase", d))
    yield one("purchase_recency_days", "days", "since the last purchase", Since("purchase"))
    btyd = "buy-till-you-die summary:"
    yield one("btyd_frequency", "days", f"{btyd} days with purchases after the first", Btyd("frequency"))
    yield one("btyd_recency_days", "days", f"{btyd} first to last day with purchases", Btyd("recency"))
    yield one("btyd_age_days", "days", f"{btyd} first day with purchases to now (T)", Btyd("age"))
    yield one("btyd_monetary", "currency", f"{btyd} mean value of the days after the first", Btyd("monetary"))
    learned = "cut-points learned on training nights; 5 is best"
    yield one("r_score", "1..5", f"recency quintile, {learned}", Score("rfm_recency_days"))
    yield one("f_score", "1..5", f"frequency quintile, {learned}", Score("rfm_frequency_90d"))
    yield one("m_score", "1..5", f"monetary quintile, {learned}", Score("rfm_monetary_365d"))


def _attribute(one: Attribute) -> Feature:
    return Feature(
        one.column, "person", "number" if one.values is None else "code", f"`{one.name}` as the CRM has it", one
    )


def _named(parts: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What parts are called, as it may stand in a column's name in every system; and each part with its meaning."""
    named: dict[str, tuple[str, str]] = {}
    for what, meaning in parts.items():
        name = re.sub(r"\W+", "_", what.lower()).strip("_")
        same = sum(other == name or other.startswith(f"{name}__") for other in named)
        named[f"{name}__{same + 1}" if same else name] = (what, meaning)
    return named


def _sessions(one: Callable[..., Feature], categories: Sequence[str], channels: Sequence[str]) -> Iterator[Feature]:
    scalars = {
        "minutes": ("minutes", "minutes from first to last event"),
        "depth": ("count", "things done"),
        "dwell_seconds": ("s", "engaged time"),
    }
    for d in (7, 30):
        meaning = f"sessions begun in {d} days; one ends after 30 silent minutes"
        yield one(f"sessions_{d}d", "count", meaning, Count("session", d))
    for what, (unit, meaning) in scalars.items():
        for h in SESSION_HALF_LIVES:
            mean = f"{meaning} a session, mean, each session weighing 2^(-age / {h})"
            yield one(f"session_{what}_{h}", unit, mean, Session(what, h))
        yield one(f"last_session_{what}", unit, f"{meaning} in the last session", Session(what))
    shares = {f"mix:{kind}": f"things done that are {kind}" for kind in MIX}
    wide = {f"category:{name}": f"things done in the category {name}" for name in categories}
    begun = {
        **{f"entry:{name}": f"sessions that began in the channel {name}" for name in channels},
        **{f"hour:{hour}": f"sessions that began between {hour.replace('_', ' and ')} o'clock" for hour in HOURS},
        **{f"weekday:{day}": f"sessions that began on a {day}" for day in WEEKDAYS},
    }
    for name, (what, meaning) in _named({**shares, **wide}).items():
        modelled = what in shares
        for h in VECTOR_HALF_LIVES:
            mean = f"share of {meaning}, mean over sessions, each weighing 2^(-age / {h})"
            yield one(f"session_{name}_{h}", "share", mean, Session(what, h), modelled=modelled)
        yield one(
            f"last_session_{name}", "share", f"share of {meaning}, last session", Session(what), modelled=modelled
        )
    for name, (what, meaning) in _named(begun).items():
        mean = f"share of {meaning}, each session weighing 2^(-age / 30d)"
        yield one(f"session_{name}_30d", "share", mean, Session(what, "30d"))


def _content(goals: tuple[str, ...]) -> list[Feature]:
    def one(name: str, unit: str, meaning: str) -> Feature:
        return Feature(name, "content", unit, meaning)

    return [
        one("age_days", "days", "since publication"),
        one("quality", "0..1", "editorial quality from the catalogue"),
        *(one(f"people_{d}d", "count", f"distinct people who did something with it in {d} days") for d in (1, 7, 30)),
        *(
            one(f"popularity_{label}", "strength", f"decayed activity of everybody, half-life {label}")
            for label in CONTENT_HALF_LIVES
        ),
        one(
            "trend",
            "ratio",
            "readers (people and anonymous views) of one day over the daily mean of seven, plus one each",
        ),
        one("gravity", "ratio", "readers of seven days / (age in days + 0.5)^1.5"),
        one("age_busy", "busy days", f"since publication, {BUSY}"),
        *(
            one(f"readers_busy_{label}", "count", f"readers, fading with a half-life of {half_life:g} days, {BUSY}")
            for label, half_life in BUSY_HALF_LIVES.items()
        ),
        one("gravity_busy", "ratio", f"readers / (age + 0.5)^1.5, {BUSY}"),
        one("reach", "share", "readers, of the people who did anything since publication (and 5 more)"),
        one("reach_1d", "share", "readers of the last day, of the people who did anything on it since publication"),
        one("idle_days", "days", "since anybody did something with it"),
        one("author_popularity_7d", "strength", "mean popularity_7d of the author's content"),
        one("category_popularity_7d", "strength", "mean popularity_7d of the category's content"),
        one("content_shown_30d", "count", "impressions in 30 days"),
        *(
            one(
                f"content_{goal}_rate_30d",
                "rate",
                f"`{goal}` per impression (per reader where none are logged) in 30 days, smoothed",
            )
            for goal in goals
        ),
    ]


def _pair() -> list[Feature]:
    return [
        *(Feature(f.name, "pair", f.unit, f.meaning, modelled=f.modelled) for f in PAIRS),
        *(Feature(name, "pair", unit, meaning) for name, (unit, meaning) in SINCE.items()),
        *(Feature(name, "pair", "score", meaning) for name, meaning in SAID.items()),
    ]
