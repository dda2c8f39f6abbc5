"""Features in words: how one is measured, how far back it looks, and what a person's value of it says.

Everything follows from the measure (`features.measures`), so a new line of the list of features has its words, too.
"""

from __future__ import annotations

import math
from functools import singledispatch

from features.measures import (
    HALF_LIVES,
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
from features.spec import Feature

TOPICS = (
    "Activity",
    "Goals",
    "Recency, frequency, money",
    "Buying so far",
    "Last session",
    "Sessions (recent ones count more)",
    "Where and when sessions begin",
    "Scores",
    "From the CRM",
    "Other",
)
"""What a person's features are about, in the order in which people want to read it."""

_ACTIVITY, _GOALS, _RFM, _BUYING, _LAST, _SESSIONS, _BEGUN, _SCORES, _CRM, _OTHER = TOPICS

_NOUNS = {
    "any": ("event", "events"),
    "active": ("thing done", "things done"),
    "impression": ("impression", "impressions"),
    "social": ("reaction", "reactions"),
    "money": ("order or refund", "orders and refunds"),
    "mobile": ("thing done on a mobile", "things done on a mobile"),
    "other": ("custom event", "custom events"),
}
"""Classes of rows whose plural is more than an s."""

_SOLD = ("purchase", "refund", "money")
_LONG = {"1h": "1 hour", "1d": "1 day", "7d": "7 days", "30d": "30 days"}
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
_NO_SESSION, _NEVER_BOUGHT = "no session yet", "never bought"


def in_words(feature: Feature, value: float | str | None) -> str:
    """What a value of a feature says of its person, its unit spelt out: "12 things done in 7 days".

    A value that is missing (None, NaN) is said plainly: "never bought".
    """
    if isinstance(value, str):
        return value
    if value is None or not math.isfinite(value):
        return "not known" if feature.measure is None else _lacking(feature.measure)
    value = min(max(value, -_MOST), _MOST)
    said = None if feature.measure is None else _said(feature.measure, value)
    return _plainly(feature, value) if said is None else said


def measured_in_words(feature: Feature) -> str:
    """How the feature is measured; nothing where its meaning says it all."""
    return "" if feature.measure is None else _measured(feature.measure)


def memory_in_words(feature: Feature) -> str:
    """How far back the feature looks: before the log is as old, its values grow with it."""
    days = feature.memory_days
    if days == 0:
        return "does not grow with the log"
    if math.isinf(days):
        return "from the first event on" if feature.measure is not None else "all that is known"
    match feature.measure:
        case Session(half_life=None):
            return "the last session"
        case Decayed(half_life=label) | Session(half_life=str(label)):
            return f"{_span(days)} ({_number(days / HALF_LIVES[label])} half-lives)"
        case _:
            return _span(days)


def topic(feature: Feature) -> str:
    """Which of `TOPICS` the feature is about."""
    return _OTHER if feature.measure is None else _topic(feature.measure)


# ---------------------------------------------------------------- what a measure is about


@singledispatch
def _topic(measure: Measure) -> str:
    return _ACTIVITY


@_topic.register
def _(measure: Count) -> str:
    if measure.of in _SOLD:
        return _RFM
    return _GOALS if measure.of.startswith("goal:") else _ACTIVITY


@_topic.register
def _(measure: Total) -> str:
    return _RFM if measure.what == "value" else _ACTIVITY


@_topic.register(Days)
@_topic.register(Since)
def _(measure: Days | Since) -> str:
    return _RFM


@_topic.register
def _(measure: Rate) -> str:
    return _GOALS


@_topic.register
def _(measure: Score) -> str:
    return _SCORES


@_topic.register
def _(measure: Btyd) -> str:
    return _BUYING


@_topic.register
def _(measure: Session) -> str:
    if measure.half_life is None:
        return _LAST
    return _BEGUN if measure.what.startswith(("entry:", "hour:", "weekday:")) else _SESSIONS


@_topic.register
def _(measure: Attribute) -> str:
    return _CRM


# ---------------------------------------------------------------- what a value says


@singledispatch
def _said(measure: Measure, value: float) -> str | None:
    """None for a measure that has no words yet: the meaning must do."""
    return None


@_said.register
def _(measure: Count, value: float) -> str:
    window = f"in {_span(measure.days)}"
    if measure.of.startswith("goal:"):
        times = {0.0: "never reached", 1.0: "reached once"}.get(value, f"reached {_number(value)} times")
        return f"`{measure.of.removeprefix('goal:')}` {times} {window}"
    if measure.of == "active" and not value:
        return f"nothing done {window}"
    return f"{_counted(measure.of, value)} {window}"


@_said.register
def _(measure: Total, value: float) -> str:
    window = f"in {_span(measure.days)}"
    if measure.what == "dwell_seconds":
        return f"{_seconds(value) if value else 'no'} engaged time {window}"
    if not value:
        return f"nothing spent {window}"
    if value < 0:
        return f"{_money(-value)} more refunded than spent {window}"
    return f"{_money(value)} spent {window}, refunds subtracted"


@_said.register
def _(measure: Share, value: float) -> str:
    also = "on a mobile" if measure.of == "mobile" else f"{_noun(measure.of, 2)}"
    return f"{_percent(value)} of the {_noun(measure.per, 2)} in {_span(measure.days)} were {also}"


@_said.register
def _(measure: Days, value: float) -> str:
    window = f"{_last(measure.days)}"
    if measure.of != "active":
        return f"{_noun(measure.of, 2)} on {_number(value)} of {window}"
    return f"active on {_number(value)} of {window}" if value else f"not active in {window}"


@_said.register
def _(measure: Decayed, value: float) -> str:
    strength = f"{'' if measure.of == 'active' else f'{_noun(measure.of, 2)} '}worth {_counted('view', value)} just now"
    left = strength if value >= 0.01 else "next to nothing left"
    return f"activity: {left} (half-life {_LONG[measure.half_life]})"


@_said.register
def _(measure: Since, value: float) -> str:
    last = {"active": "last active", "purchase": "last bought"}.get(measure.of, f"last {_noun(measure.of, 1)}")
    return f"{last} {_ago(value)}"


@_said.register
def _(measure: Tenure, value: float) -> str:
    return f"first seen {_ago(value)}"


@_said.register
def _(measure: Rate, value: float) -> str:
    return f"`{measure.goal}` after {_percent(value)} of the impressions in {_span(measure.days)}, smoothed"


@_said.register
def _(measure: Score, value: float) -> str:
    what = next((word for word in ("recency", "frequency", "monetary") if word in measure.feature), measure.feature)
    ends = {1.0: " (the lowest fifth)", 5.0: " (the best fifth)"}
    return f"{what} {_number(value)} of 5{ends.get(value, '')}"


@_said.register
def _(measure: Attribute, value: float) -> str:
    if measure.values is None:
        return f"{measure.name}: {_number(value)}"
    return f"{measure.name}: {dict(enumerate(measure.values)).get(int(value), 'another value')}"


@_said.register
def _(measure: Btyd, value: float) -> str:
    match measure.what:
        case "frequency":
            return f"bought on {_span(value)} after the first" if value else "bought on one day only"
        case "recency":
            return f"first and last day with purchases are {_span(value)} apart" if value else "bought on one day only"
        case "age":
            return f"first bought {_span(value)} before the night"
        case "monetary":
            worth = f"spent {_money(value)} on the average day with purchases after the first"
            return worth if value else "nothing bought after the first day"


@_said.register
def _(measure: Session, value: float) -> str:
    kind, _colon, name = measure.what.partition(":")
    if measure.half_life is None:
        return f"last session: {_part(kind, name, value)}"
    counts = f"(half-life {_LONG[measure.half_life]})"
    if kind in ("entry", "hour", "weekday"):
        return f"{_percent(value)} of sessions began {_begun(kind, name)} {counts}"
    if kind == "minutes":
        return f"a session lasts {_seconds(60 * value)} on average {counts}"
    return f"{_part(kind, name, value)} a session on average {counts}"


def _part(kind: str, name: str, value: float) -> str:
    """A part of one session, or of the average one."""
    match kind:
        case "minutes":
            return f"{_seconds(60 * value)} long" if value else "one moment long"
        case "depth":
            return _counted("active", value)
        case "dwell_seconds":
            return f"{_seconds(value) if value else 'no'} engaged time"
        case "mix":
            return f"{_percent(value)} {_noun(name, 2)}"
        case "category":
            return f"{_percent(value)} in the category {name}"
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
            return f"{_span(value)} {feature.meaning}"
        case "count":
            return f"{_number(value)} {feature.meaning}"
        case "share" | "rate":
            return f"{_percent(value)}: {feature.meaning}"
        case _:
            return f"{_number(value)}: {feature.meaning}"


# ---------------------------------------------------------------- what a missing value says


@singledispatch
def _lacking(measure: Measure) -> str:
    return "not known"


@_lacking.register
def _(measure: Since) -> str:
    return {"active": "never active", "purchase": _NEVER_BOUGHT}.get(measure.of, f"no {_noun(measure.of, 1)} so far")


@_lacking.register
def _(measure: Share) -> str:
    nothing = "nothing done" if measure.per == "active" else f"no {_noun(measure.per, 2)}"
    return f"{nothing} in {_span(measure.days)}"


@_lacking.register
def _(measure: Btyd) -> str:
    return _NEVER_BOUGHT


@_lacking.register
def _(measure: Session) -> str:
    return _NO_SESSION


@_lacking.register
def _(measure: Rate) -> str:
    return "nobody was shown anything that we know of"


@_lacking.register
def _(measure: Score) -> str:
    return "not scored: cut-points come with the first trained model"


@_lacking.register
def _(measure: Attribute) -> str:
    return f"{measure.name}: the CRM does not say"


# ---------------------------------------------------------------- how a measure measures


@singledispatch
def _measured(measure: Measure) -> str:
    return ""


@_measured.register
def _(measure: Count) -> str:
    if measure.of.startswith("goal:"):
        what = f"how often `{measure.of.removeprefix('goal:')}` was reached"
        return f"counts {what} in {_last(measure.days)}"
    return f"counts the {_noun(measure.of, 2)} of {_last(measure.days)}"


@_measured.register
def _(measure: Total) -> str:
    what = "engaged time" if measure.what == "dwell_seconds" else "the value"
    return f"sums {what} of the {_noun(measure.of, 2)} of {_last(measure.days)}; none counts as 0"


@_measured.register
def _(measure: Share) -> str:
    of = f"{_noun(measure.per, 2)} of {_last(measure.days)}"
    return f"{_noun(measure.of, 2)} over {of}; missing without any"


@_measured.register
def _(measure: Days) -> str:
    return f"counts the days (UTC) of {_last(measure.days)} with {_noun(measure.of, 2)}"


@_measured.register
def _(measure: Decayed) -> str:
    return f"sums the {_noun(measure.of, 2)} by strength, each weighing 2^(-age / {_LONG[measure.half_life]})"


@_measured.register
def _(measure: Since) -> str:
    return f"days since the last {_noun(measure.of, 1)}; missing without any"


@_measured.register
def _(measure: Tenure) -> str:
    return "days since the first event of any kind"


@_measured.register
def _(measure: Session) -> str:
    if measure.half_life is None:
        return "of the last session alone, cut at the night; missing without any"
    return f"mean over all sessions, each weighing 2^(-age / {_LONG[measure.half_life]}); missing without any"


@_measured.register
def _(measure: Btyd) -> str:
    return "from the days (UTC) with purchases of all time, refunds ignored; missing for who never bought"


@_measured.register
def _(measure: Rate) -> str:
    prior = f"{measure.prior:g}"
    return f"(times reached + {prior} x everybody's rate) / (impressions + {prior}), of {_last(measure.days)}"


@_measured.register
def _(measure: Score) -> str:
    return f"fifth of `{measure.feature}`, by cut-points of the training nights"


@_measured.register
def _(measure: Attribute) -> str:
    if measure.values is None:
        return "the number that the CRM has as of the night"
    codes = ", ".join(f"{code} {value}" for code, value in enumerate(measure.values))
    return f"a code of the training nights: {codes}, {len(measure.values)} any other"


# ---------------------------------------------------------------- numbers and nouns


def _noun(of: str, count: float) -> str:
    one, many = _NOUNS.get(of, (of, f"{of}s"))
    return one if count == 1 else many


def _counted(of: str, count: float) -> str:
    return f"{_number(count) if count else 'no'} {_noun(of, count)}"


def _number(value: float) -> str:
    """Whole numbers whole, thousands apart, all else to three digits."""
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _money(value: float) -> str:
    """In the shop's own currency, whichever that is."""
    return f"{value:,.2f}"


def _percent(share: float) -> str:
    """A share that is neither nothing nor all is never written as 0 or 100 %."""
    percent = 100 * share
    digits = 0 if percent == round(percent) or 10 <= percent < 99.5 else 1
    if 0 < percent < 0.05:
        return "less than 0.1 %"
    return "nearly 100 %" if 99.95 <= percent < 100 else f"{percent:.{digits}f} %"


def _span(days: float) -> str:
    if days < 1:
        return f"{_number(24 * days)} hours" if days else "0 days"
    return "1 day" if days == 1 else f"{_number(days)} days"


def _last(days: int) -> str:
    return "the last day" if days == 1 else f"the last {_span(days)}"


def _ago(days: float) -> str:
    """In the largest unit of which there is more than one and a half."""
    for unit, length in (("day", 1.0), ("hour", HALF_LIVES["1h"]), ("minute", HALF_LIVES["1h"] / 60)):
        count = round(days / length)
        if days >= 1.5 * length or (count and unit == "minute"):
            return f"{count:,} {unit}{'' if count == 1 else 's'} ago"
    return "less than a minute ago"


def _seconds(value: float) -> str:
    """In the two largest units."""
    whole = round(value)
    if whole < 60:
        return f"{value:.2g} s" if value < 10 else f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(round(whole / 60), 60)
    return f"{hours:,} h {rest} min" if rest else f"{hours:,} h"
