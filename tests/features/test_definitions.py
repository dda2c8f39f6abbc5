"""Definitions in words: every feature has its topic and its memory, and a person's say how they are measured."""

from __future__ import annotations

import re

import pytest

from features.definitions import TOPICS, measured_in_words, memory_in_words, topic
from features.measures import Count, Decayed, Measure, Rate, Session, Share, Since, Total
from features.spec import Feature
from tests.features.word_cases import BY_NAME, FEATURES, NOT_WORDS, STRANGE

PERSON = [feature for feature in FEATURES if feature.group == "person"]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_is_defined(feature: Feature) -> None:
    """A new line of the list is measured and placed; no word of Python's shows through."""
    told = [memory_in_words(feature), topic(feature)]
    assert all(told)
    assert not [text for text in told if re.search(NOT_WORDS, text)]
    assert feature.group != "person" or measured_in_words(feature)
    assert topic(feature) in TOPICS


def test_a_person_has_no_feature_without_a_topic() -> None:
    """Only what has no measure is left over."""
    assert [feature.name for feature in PERSON if topic(feature) == "Other"] == []


def test_topics() -> None:
    """By the measure, and for counts, sums and sessions by what is measured."""
    expected = {
        "events_7d": "Activity",
        "dwell_seconds_7d": "Activity",
        "click_7d": "Goals",
        "read_per_shown_30d": "Goals",
        "rfm_recency_days": "Recency, frequency, money",
        "rfm_monetary_90d": "Recency, frequency, money",
        "btyd_age_days": "Buying so far",
        "last_session_depth": "Last session",
        "session_depth_7d": "Sessions (recent ones count more)",
        "session_hour_08_12_30d": "Where and when sessions begin",
        "r_score": "Scores",
        "quality": "Other",
    }
    assert {name: topic(BY_NAME[name]) for name in expected} == expected


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        (Count("view", 1), "counts the views of the last day"),
        (Count("goal:click", 7), "counts how often `click` was reached in the last 7 days"),
        (Total("money", "value", 7), "sums the value of the orders and refunds of the last 7 days; none counts as 0"),
        (
            Share("mobile", "active", 7),
            "things done on a mobile over things done of the last 7 days; missing without any",
        ),
        (Decayed("active", "1h"), "sums the things done by strength, each weighing 2^(-age / 1 hour)"),
        (Since("purchase"), "days since the last purchase; missing without any"),
        (Session("depth"), "of the last session alone, cut at the night; missing without any"),
        (Session("depth", "7d"), "mean over all sessions, each weighing 2^(-age / 7 days); missing without any"),
        (Rate("click", 30, 20.0), "(times reached + 20 x everybody's rate) / (impressions + 20), of the last 30 days"),
    ],
)
def test_how_a_feature_is_measured(measure: Measure, said: str) -> None:
    """What is computed of which rows, and what becomes of who has none."""
    assert measured_in_words(Feature("new", "person", "x", "new", measure)) == said


def test_a_measure_that_definitions_do_not_know_harms_nobody() -> None:
    """Whoever adds a kind of measure may add its words later: until then nothing is said of how it measures."""
    assert measured_in_words(STRANGE) == ""
    assert topic(STRANGE) in TOPICS


def test_memory() -> None:
    """How far back a feature looks, in days or in half-lives."""
    expected = {
        "events_1d": "1 day",
        "activity_1h": "10 hours (10 half-lives)",
        "activity_7d": "70 days (10 half-lives)",
        "session_depth_7d": "28 days (4 half-lives)",
        "last_session_depth": "the last session",
        "mobile_share": "does not grow with the log",
        "tenure_days": "from the first event on",
        "quality": "all that is known",
    }
    assert {name: memory_in_words(BY_NAME[name]) for name in expected} == expected
