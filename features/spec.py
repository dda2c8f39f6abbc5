"""Every feature by name: its unit and what it means. The model's columns, in the order in which it reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from features.contents import HALF_LIVES_DAYS as CONTENT_HALF_LIVES
from features.pairs import HALF_LIVES_DAYS as PAIR_HALF_LIVES
from features.pairs import PAIR_FEATURES
from features.people import WINDOWS_DAYS
from features.sessions import HALF_LIFE_DAYS, MIX

Group = Literal["person", "content", "pair", "context"]


@dataclass(frozen=True)
class Feature:
    """One column of the model's rows."""

    name: str
    group: Group
    unit: str
    meaning: str

    @property
    def memory_days(self) -> float:
        """How far back it looks: in a younger log its values grow night by night, whatever people do.

        The window that ends its name; four half-lives of a decayed mean; without end for what counts from the start.
        """
        window = re.search(r"_(\d+)d$", self.name)
        if window:
            return float(window[1])
        return _MEMORY_DAYS.get(self.name, math.inf)


_MEMORY_DAYS = {
    **dict.fromkeys(("session_minutes", "session_depth", "session_dwell_seconds"), 4 * HALF_LIFE_DAYS),
    **{f"mix_{kind}": 4 * HALF_LIFE_DAYS for kind, _ in MIX},
    **dict.fromkeys(("last_session_minutes", "last_session_depth"), 4 * HALF_LIFE_DAYS),
    "mobile_share": 0.0,  # a share does not grow
    "f_score": 90.0,
    "m_score": 365.0,
}


def features(goals: Iterable[str]) -> tuple[Feature, ...]:
    """All features, in the model's order: person, content, pair, context."""
    names = tuple(goals)
    return (
        *_person(names),
        *_content(names),
        *_pair(),
        Feature("position", "context", "rank", "place in the list that showed it; scored as 1"),
    )


def names(goals: Iterable[str], group: Group | None = None) -> tuple[str, ...]:
    """The names of all features, or of one group."""
    return tuple(f.name for f in features(goals) if group in (None, f.group))


def _person(goals: tuple[str, ...]) -> list[Feature]:
    def one(name: str, unit: str, meaning: str) -> Feature:
        return Feature(name, "person", unit, meaning)

    found = [one(f"events_{d}d", "count", f"things done in {d} days") for d in WINDOWS_DAYS]
    found.append(one("shown_30d", "count", "impressions in 30 days"))
    for goal in goals:
        found.append(one(f"{goal}_30d", "count", f"times `{goal}` was reached in 30 days"))
        found.append(
            one(
                f"{goal}_per_shown_30d",
                "rate",
                f"`{goal}` per impression in 30 days, smoothed with 20 impressions of everybody's rate",
            )
        )
    return [
        *found,
        one("mobile_share", "share", "of what was done, on a mobile"),
        one("rfm_recency_days", "days", "since the last activity"),
        one("rfm_frequency_90d", "days", "active days in 90"),
        one("rfm_monetary_365d", "currency", "net value of orders in 365 days, refunds subtracted"),
        one("monetary_30d", "currency", "net value of orders in 30 days"),
        one("purchases_365d", "count", "purchases in 365 days"),
        one("purchase_recency_days", "days", "since the last purchase"),
        one("tenure_days", "days", "since the person was first seen"),
        one("sessions_30d", "count", "sessions in 30 days; a session ends after 30 silent minutes"),
        one("session_minutes", "minutes", "mean session length, each session weighing 2^(-age / 7 d)"),
        one("session_depth", "count", "mean things done a session, weighed likewise"),
        one("session_dwell_seconds", "s", "mean engaged time a session, weighed likewise"),
        one("last_session_minutes", "minutes", "length of the last session"),
        one("last_session_depth", "count", "things done in the last session"),
        *(one(f"mix_{kind}", "share", f"of a session's events that are {kind}, weighed likewise") for kind, _ in MIX),
        one("r_score", "1..5", "recency quintile, cut-points learned on training nights; 5 is best"),
        one("f_score", "1..5", "frequency quintile"),
        one("m_score", "1..5", "monetary quintile"),
    ]


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


_PAIR_MEANINGS = {
    **{
        f"affinity_category_{label}": (
            "share",
            f"of the person's decayed activity in the content's category, half-life {label}",
        )
        for label in PAIR_HALF_LIVES
    },
    "affinity_author": ("share", "of the person's decayed activity with the content's author, half-life 30 d"),
    "affinity_tags": (
        "share",
        "of the person's decayed activity with the content's tags, mean over them, half-life 30 d",
    ),
    "category_response": (
        "rate",
        "the person's engagements per impression in the category in 30 days, smoothed with 10 impressions",
    ),
    "last_session_category": ("share", "of the last session's activity in the content's category"),
    "covisit": ("score", "decayed recent activity times cosine co-visitation with the content"),
    "seen": ("count", "times the person did something with the content in 365 days"),
    "shown": ("count", "times it was shown to the person in 30 days"),
    "shown_days_ago": ("days", "since it was last shown to the person"),
}


def _pair() -> list[Feature]:
    return [Feature(name, "pair", *_PAIR_MEANINGS[name]) for name in PAIR_FEATURES]
