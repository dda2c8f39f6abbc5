"""What connects a person with a content at an instant, by name: its unit, what it means, and how it is measured.

The list `PAIRS` is the documentation, the schema and what the kernel computes (`features.pair_kernel`): another
half-life or window is another line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from features.measures import CHANNELS, HALF_LIVES
from features.pair_measures import (
    KINDS,
    Affinity,
    Count,
    Dwell,
    Groups,
    LastSession,
    Measured,
    Response,
    Since,
    Unanswered,
)
from features.pair_program import Program, Vocabulary, program_of, vocabulary_of


@dataclass(frozen=True)
class PairFeature:
    """One column. `modelled` is false for those that no model reads."""

    name: str
    unit: str
    meaning: str
    measure: Measured | Response
    modelled: bool = True


RESPONSE = Response(30, 10.0)

PAIRS: tuple[PairFeature, ...] = (
    *(
        PairFeature(
            f"affinity_category_{h}",
            "share",
            f"of the person's decayed activity in the content's category, half-life {h}",
            Affinity("category", h),
        )
        for h in HALF_LIVES
    ),
    PairFeature(
        "affinity_author",
        "share",
        "of the person's decayed activity with the content's author, half-life 30 d",
        Affinity("author", "30d"),
    ),
    PairFeature(
        "affinity_tags",
        "share",
        "of the person's decayed activity with the content's tags, mean over them, half-life 30 d",
        Affinity("tag", "30d", without=0.0),
    ),
    PairFeature(
        "affinity_format",
        "share",
        "of the person's decayed activity in the content's format, half-life 30 d",
        Affinity("format", "30d"),
    ),
    PairFeature(
        "category_response",
        "rate",
        "engagements per impression in the category in 30 days, smoothed with 10 impressions of everybody's",
        RESPONSE,
    ),
    PairFeature(
        "category_engaged_30d",
        "count",
        "times the person engaged with content of the category in 30 days",
        Count("engaged", "category", RESPONSE.days),
    ),
    PairFeature(
        "category_shown_30d",
        "count",
        "times content of the category was shown to the person in 30 days",
        Count("impression", "category", RESPONSE.days),
    ),
    PairFeature(
        "last_session_category",
        "share",
        "of the last session's activity in the content's category",
        LastSession(),
    ),
    PairFeature("seen", "count", "times the person did something with it in 365 days", Count("active", "content", 365)),
    PairFeature("engaged_days_ago", "days", "since the person last engaged with it", Since("engaged", "content")),
    PairFeature("shown", "count", "times it was shown to the person in 30 days", Count("impression", "content", 30)),
    PairFeature(
        "shown_days_ago",
        "days",
        "since it was last shown to the person, within 30",
        Since("impression", "content", 30),
    ),
    PairFeature("shown_unanswered", "count", "times it was shown since the last engagement with it", Unanswered()),
    PairFeature("events_so_far", "count", "rows of the person so far, impressions too", Count("any", "person"), False),
    PairFeature("events_so_far_7d", "count", "rows of the person in 7 days", Count("any", "person", 7), False),
    PairFeature("dwell_so_far_seconds", "s", "engaged time of the person so far", Dwell("any", "person"), False),
    PairFeature("event_days_ago", "days", "since the last row of the person", Since("any", "person"), False),
)

MODELLED = tuple(f for f in PAIRS if f.modelled)


@dataclass(frozen=True)
class PairSpec:
    """What the pair kernel computes, and the vocabulary in which: everything it knows beside rows and requests."""

    groups: Groups
    channels: tuple[str, ...] = CHANNELS
    """The names that an affinity to a source can have."""
    features: tuple[PairFeature, ...] = PAIRS
    half_lives: tuple[str, ...] = tuple(HALF_LIVES)
    """Those of the table of tastes, shortest first."""

    @property
    def names(self) -> tuple[str, ...]:
        """The kernel's columns."""
        return tuple(f.name for f in self.features if isinstance(f.measure, Measured))

    @cached_property
    def program(self) -> Program:
        """What the kernel computes for requests."""
        return program_of([f.measure for f in self.features if isinstance(f.measure, Measured)])

    @cached_property
    def tastes(self) -> Program:
        """Affinities of every kind and half-life, for the table of tastes."""
        return program_of([Affinity(kind, h) for kind in KINDS for h in self.half_lives])

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Contents and their groups by number."""
        return vocabulary_of(self.groups, self.channels)
