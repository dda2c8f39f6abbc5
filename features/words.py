"""Features in words: what a person's value of one says, or that it is missing.

Everything follows from the measure (`features.measures`), so a new line of the list of features has its words, too.
"""

from __future__ import annotations

import math
from functools import singledispatch

from features.measures import (
    Attribute,
    Btyd,
    Count,
    Days,
    Decayed,
    Measure,
    Rate,
    Score,
    Session,
    Share,
    Since,
    Tenure,
    Total,
)
from features.phrases import SPELT_OUT, ago, counted, last, money, noun, number, percent, seconds, span
from features.spec import Feature

_ENTRIES = {
    "web": "on the web",
    "app": "in the app",
    "email": "from an e-mail",
    "push": "from a push message",
    "social": "from social media",
    "search": "from a search",
}
_MOST = 1e15
"""What is beyond is no number of anything that people do, and is said as this."""

_MISSING = {
    Session: "no session yet",
    Rate: "nobody was shown anything that we know of",
    Score: "not scored: cut-points come with the first trained model",
}
"""Of measures whose missing value says the same, whatever they measure."""


def in_words(feature: Feature, value: float | str | None) -> str:
    """What a value of a feature says of its person, its unit spelt out: "12 things done in 7 days".

    A value that is missing (None, NaN) is said plainly: "never bought".
    """
    if isinstance(value, str):
        return value
    if value is None or not math.isfinite(value):
        return _lacking(feature.measure)
    value = min(max(value, -_MOST), _MOST)
    said = _said(feature.measure, value)
    return _plainly(feature, value) if said is None else said


def _lacking(measure: Measure | None) -> str:
    match measure:
        case Since(of="active"):
            return "never active"
        case Since(of="purchase") | Btyd():
            return "never bought"
        case Since(of=of):
            return f"no {noun(of, 1)} so far"
        case Share(per=per, days=days):
            return f"{'nothing done' if per == 'active' else counted(per, 0)} in {span(days)}"
        case Attribute(name=name):
            return f"{name}: the CRM does not say"
        case _:
            return _MISSING.get(type(measure), "not known")


@singledispatch
def _said(measure: Measure | None, value: float) -> str | None:
    """None without a measure, and for one that has no words yet: the meaning must do."""
    return None


@_said.register
def _(measure: Count, value: float) -> str:
    window = f"in {span(measure.days)}"
    if measure.of.startswith("goal:"):
        times = {0.0: "never reached", 1.0: "reached once"}.get(value, f"reached {number(value)} times")
        return f"`{measure.of.removeprefix('goal:')}` {times} {window}"
    if measure.of == "active" and not value:
        return f"nothing done {window}"
    return f"{counted(measure.of, value)} {window}"


@_said.register
def _(measure: Total, value: float) -> str:
    window = f"in {span(measure.days)}"
    if measure.what == "dwell_seconds":
        return f"{seconds(value) if value else 'no'} engaged time {window}"
    if not value:
        return f"nothing spent {window}"
    if value < 0:
        return f"{money(-value)} more refunded than spent {window}"
    return f"{money(value)} spent {window}, refunds subtracted"


@_said.register
def _(measure: Share, value: float) -> str:
    also = "on a mobile" if measure.of == "mobile" else noun(measure.of, 2)
    return f"{percent(value)} of the {noun(measure.per, 2)} in {span(measure.days)} were {also}"


@_said.register
def _(measure: Days, value: float) -> str:
    window = last(measure.days)
    if measure.of != "active":
        return f"{noun(measure.of, 2)} on {number(value)} of {window}"
    return f"active on {number(value)} of {window}" if value else f"not active in {window}"


@_said.register
def _(measure: Decayed, value: float) -> str:
    strength = f"{'' if measure.of == 'active' else f'{noun(measure.of, 2)} '}worth {counted('view', value)} just now"
    left = strength if value >= 0.01 else "next to nothing left"
    return f"activity: {left} (half-life {SPELT_OUT[measure.half_life]})"


@_said.register
def _(measure: Since, value: float) -> str:
    what = {"active": "active", "purchase": "bought"}.get(measure.of, noun(measure.of, 1))
    return f"last {what} {ago(value)}"


@_said.register
def _(measure: Tenure, value: float) -> str:
    return f"first seen {ago(value)}"


@_said.register
def _(measure: Rate, value: float) -> str:
    return f"`{measure.goal}` after {percent(value)} of the impressions in {span(measure.days)}, smoothed"


@_said.register
def _(measure: Score, value: float) -> str:
    what = next((word for word in ("recency", "frequency", "monetary") if word in measure.feature), measure.feature)
    ends = {1.0: " (the lowest fifth)", 5.0: " (the best fifth)"}
    return f"{what} {number(value)} of 5{ends.get(value, '')}"


@_said.register
def _(measure: Attribute, value: float) -> str:
    if measure.values is None:
        return f"{measure.name}: {number(value)}"
    return f"{measure.name}: {dict(enumerate(measure.values)).get(int(value), 'another value')}"


@_said.register
def _(measure: Btyd, value: float) -> str:
    match measure.what:
        case "frequency":
            return f"bought on {span(value)} after the first" if value else "bought on one day only"
        case "recency":
            return f"first and last day with purchases are {span(value)} apart" if value else "bought on one day only"
        case "age":
            return f"first bought {span(value)} before the night"
        case "monetary":
            worth = f"spent {money(value)} on the average day with purchases after the first"
            return worth if value else "nothing bought after the first day"


@_said.register
def _(measure: Session, value: float) -> str:
    kind, _colon, name = measure.what.partition(":")
    if measure.half_life is None:
        return f"last session: {_part(kind, name, value)}"
    counts = f"(half-life {SPELT_OUT[measure.half_life]})"
    if kind in ("entry", "hour", "weekday"):
        return f"{percent(value)} of sessions began {_begun(kind, name)} {counts}"
    if kind == "minutes":
        return f"a session lasts {seconds(60 * value)} on average {counts}"
    return f"{_part(kind, name, value)} a session on average {counts}"


def _part(kind: str, name: str, value: float) -> str:
    """A part of one session, or of the average one."""
    match kind:
        case "minutes":
            return f"{seconds(60 * value)} long" if value else "one moment long"
        case "depth":
            return counted("active", value)
        case "dwell_seconds":
            return f"{seconds(value) if value else 'no'} engaged time"
        case "mix":
            return f"{percent(value)} {noun(name, 2)}"
        case "category":
            return f"{percent(value)} in the category {name}"
        case _:
            return f"began {_begun(kind, name)}" if value else f"did not begin {_begun(kind, name)}"


def _begun(kind: str, name: str) -> str:
    if kind == "entry":
        return _ENTRIES.get(name, f"in the channel {name}")
    if kind == "hour":
        return f"between {name.replace('_', ' and ')} o'clock"
    return f"on a {name.title()}"


def _plainly(feature: Feature, value: float) -> str:
    """By the unit and the meaning alone."""
    match feature.unit:
        case "days":
            return f"{span(value)} {feature.meaning}"
        case "count":
            return f"{number(value)} {feature.meaning}"
        case "share" | "rate":
            return f"{percent(value)}: {feature.meaning}"
        case _:
            return f"{number(value)}: {feature.meaning}"
