"""What a feature of a person is: one line of `features.spec` names one of these, and everything else follows from it.

A measure says what is measured (`of`: a class of rows), over which time, and how. The kernel (`features.kernel`)
computes it, `features.sql` writes it as SQL, and the report explains it in words. All of them count rows that were
known, and happened, strictly before the night.

Classes of rows: `any`; `active` (the person did something: neither an impression nor a refund); a kind of event
(`impression`, `view`, `click`, `purchase`, `refund` …); `social` (like, save, share, comment, follow); `money`
(purchases, and refunds with their negative value); `mobile` (active, on a mobile); `session` (the first row of a
session); or `goal:<name>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HALF_LIVES = {"1h": 1 / 24, "1d": 1.0, "7d": 7.0, "30d": 30.0}
"""In days."""

MIX = ("view", "click", "social", "purchase")
"""The parts of a session's event mix."""

HOURS = ("00_04", "04_08", "08_12", "12_16", "16_20", "20_24")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

CHANNELS = ("web", "app", "email", "push", "social", "search")
"""Where a session can begin, as `events.channel` says it; any other is none of these."""


@dataclass(frozen=True)
class Count:
    """How many rows of a class there were in the last `days`."""

    of: str
    days: int


@dataclass(frozen=True)
class Total:
    """The sum of `what` over the rows of a class in the last `days`; what is missing counts as 0.

    Summed as whole milliseconds and as whole millionths of the currency: exact, whatever the order of the rows.
    """

    of: str
    what: Literal["dwell_seconds", "value"]
    days: int


@dataclass(frozen=True)
class Share:
    """Which share of the rows of class `per` in the last `days` was also `of`; missing where there was none."""

    of: str
    per: str
    days: int


@dataclass(frozen=True)
class Days:
    """On how many days (UTC) of the last `days` there was a row of a class."""

    of: str
    days: int


@dataclass(frozen=True)
class Decayed:
    """The strength of the rows of a class, each weighing 2^(-age / half-life)."""

    of: str
    half_life: str


@dataclass(frozen=True)
class Since:
    """Days since the last row of a class; missing where there was none."""

    of: str


@dataclass(frozen=True)
class Tenure:
    """Days since the first row of all."""


@dataclass(frozen=True)
class Session:
    """A part of the last session (`half_life` None), or its mean over all sessions, each weighing 2^(-age / half-life).

    `what` is `minutes` (first row to last), `depth` (active rows), `dwell_seconds`, or a share: `mix:<kind>` and
    `category:<name>` of the session's active rows, `entry:<channel>`, `hour:<bin>` and `weekday:<day>` (project time
    zone) of sessions that began there. The age is that of the session's last row. Missing without any session.
    """

    what: str
    half_life: str | None = None


@dataclass(frozen=True)
class Btyd:
    """The buy-till-you-die summary of the purchases of all time, by days in UTC (Fader, Hardie & Lee 2005).

    `frequency`: days with purchases after the first; `recency`: from the first such day to the last, in days; `age`
    (T): from the first to the night's last day; `monetary`: mean value of the days after the first, 0 without any.
    Missing for who never bought. Refunds do not count.
    """

    what: Literal["frequency", "recency", "age", "monetary"]


@dataclass(frozen=True)
class Rate:
    """A goal per impression in the last `days`, smoothed with `prior` impressions of everybody's rate on the night.

    (n + prior x rate) / (shown + prior): worked out when all shards are done.
    """

    goal: str
    days: int
    prior: float

    @property
    def counts(self) -> tuple[Count, Count]:
        """What it is made of: n and shown."""
        return Count(f"goal:{self.goal}", self.days), Count("impression", self.days)


@dataclass(frozen=True)
class Score:
    """A quintile, 1 to 5 (best), of another feature, by cut-points that were learned on training nights."""

    feature: str


@dataclass(frozen=True)
class Attribute:
    """What the CRM says of the person as of the night (`features.crm`), in a column of this name; missing is missing.

    `values` None: the number itself. Otherwise a code: the place among `values`, and `len(values)` for any other.
    """

    column: str
    name: str
    values: tuple[str, ...] | None = None


Measured = Count | Total | Share | Days | Decayed | Since | Tenure | Session | Btyd
"""What the kernel computes, a person at a time."""

Measure = Measured | Rate | Score | Attribute
