"""What a feature is, in words: which topic it is about, how it is measured, and how far back it looks.

Everything follows from the measure (`features.measures`), so a new line of the list of features is defined, too.
"""

from __future__ import annotations

import math

from features.measures import (
    HALF_LIVES,
    Attribute,
    Btyd,
    Count,
    Days,
    Decayed,
    Rate,
    Score,
    Session,
    Share,
    Since,
    Tenure,
    Total,
)
from features.phrases import SPELT_OUT, last, noun, number, span
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

_ALWAYS_ABOUT = {
    Days: _RFM,
    Since: _RFM,
    Rate: _GOALS,
    Btyd: _BUYING,
    Score: _SCORES,
    Attribute: _CRM,
    type(None): _OTHER,
}
"""Topics of measures that have one, whatever they measure."""


def topic(feature: Feature) -> str:
    """Which of `TOPICS` the feature is about."""
    match feature.measure:
        case Count(of="purchase" | "refund" | "money") | Total(what="value"):
            return _RFM
        case Count(of=of) if of.startswith("goal:"):
            return _GOALS
        case Session(half_life=None):
            return _LAST
        case Session(what=what):
            return _BEGUN if what.startswith(("entry:", "hour:", "weekday:")) else _SESSIONS
        case measure:
            return _ALWAYS_ABOUT.get(type(measure), _ACTIVITY)


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
            return f"{span(days)} ({number(days / HALF_LIVES[label])} half-lives)"
        case _:
            return span(days)


def measured_in_words(feature: Feature) -> str:
    """How the feature is measured; nothing where its meaning says it all."""
    match feature.measure:
        case Count() | Total() | Share() | Days() | Rate() as measure:
            return _in_a_window(measure, last(measure.days))
        case Decayed() | Since() | Tenure() | Session() | Btyd() as measure:
            return _from_the_start(measure)
        case Score(feature=name):
            return f"fifth of `{name}`, by cut-points of the training nights"
        case Attribute(values=values):
            return _said_by_the_crm(values)
        case _:
            return ""


def _in_a_window(measure: Count | Total | Share | Days | Rate, window: str) -> str:
    match measure:
        case Count(of=of) if of.startswith("goal:"):
            return f"counts how often `{of.removeprefix('goal:')}` was reached in {window}"
        case Count(of=of):
            return f"counts the {noun(of, 2)} of {window}"
        case Total(of=of, what=what):
            summed = "engaged time" if what == "dwell_seconds" else "the value"
            return f"sums {summed} of the {noun(of, 2)} of {window}; none counts as 0"
        case Share(of=of, per=per):
            return f"{noun(of, 2)} over {noun(per, 2)} of {window}; missing without any"
        case Days(of=of):
            return f"counts the days (UTC) of {window} with {noun(of, 2)}"
        case Rate(prior=prior):
            return f"(times reached + {prior:g} x everybody's rate) / (impressions + {prior:g}), of {window}"


def _from_the_start(measure: Decayed | Since | Tenure | Session | Btyd) -> str:
    match measure:
        case Decayed(of=of, half_life=label):
            return f"sums the {noun(of, 2)} by strength, each weighing 2^(-age / {SPELT_OUT[label]})"
        case Since(of=of):
            return f"days since the last {noun(of, 1)}; missing without any"
        case Tenure():
            return "days since the first event of any kind"
        case Session(half_life=str(label)):
            return f"mean over all sessions, each weighing 2^(-age / {SPELT_OUT[label]}); missing without any"
        case Session():
            return "of the last session alone, cut at the night; missing without any"
        case Btyd():
            return "from the days (UTC) with purchases of all time, refunds ignored; missing for who never bought"


def _said_by_the_crm(values: tuple[str, ...] | None) -> str:
    if values is None:
        return "the number that the CRM has as of the night"
    codes = ", ".join(f"{code} {value}" for code, value in enumerate(values))
    return f"a code of the training nights: {codes}, {len(values)} any other"
