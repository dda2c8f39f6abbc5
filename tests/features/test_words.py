"""Values in words: every feature's have them, units are spelt out, and what is missing is said plainly."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.measures import Btyd, Count, Days, Decayed, Rate, Score, Session, Share, Since, Tenure, Total
from features.spec import Feature
from features.words import in_words
from tests.features.word_cases import BY_NAME, FEATURES, NOT_WORDS, STRANGE


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("events_7d", 12.0, "12 things done in 7 days"),
        ("events_1d", 1.0, "1 thing done in 1 day"),
        ("events_30d", 0.0, "nothing done in 30 days"),
        ("shown_30d", 0.0, "no impressions in 30 days"),
        ("click_7d", 0.0, "`click` never reached in 7 days"),
        ("click_7d", 1.0, "`click` reached once in 7 days"),
        ("read_30d", 4.0, "`read` reached 4 times in 30 days"),
        ("read_per_shown_30d", 0.0521, "`read` after 5.2 % of the impressions in 30 days, smoothed"),
        ("dwell_seconds_7d", 260.0, "4 min 20 s engaged time in 7 days"),
        ("dwell_seconds_30d", 0.0, "no engaged time in 30 days"),
        ("activity_7d", 2.345, "activity: worth 2.35 views just now (half-life 7 days)"),
        ("activity_1h", 0.0, "activity: next to nothing left (half-life 1 hour)"),
        ("mobile_share", 0.623, "62 % of the things done in 365 days were on a mobile"),
        ("tenure_days", 40.2, "first seen 40 days ago"),
        ("rfm_recency_days", 3.0, "last active 3 days ago"),
        ("purchase_recency_days", 12.0, "last bought 12 days ago"),
        ("purchase_recency_days", math.nan, "never bought"),
        ("rfm_frequency_30d", 5.0, "active on 5 of the last 30 days"),
        ("rfm_frequency_30d", 0.0, "not active in the last 30 days"),
        ("rfm_monetary_90d", 1234.5, "1,234.50 spent in 90 days, refunds subtracted"),
        ("rfm_monetary_90d", -20.0, "20.00 more refunded than spent in 90 days"),
        ("rfm_monetary_90d", 0.0, "nothing spent in 90 days"),
        ("btyd_frequency", 3.0, "bought on 3 days after the first"),
        ("btyd_frequency", 0.0, "bought on one day only"),
        ("btyd_age_days", 1.0, "first bought 1 day before the night"),
        ("btyd_monetary", 34.5, "spent 34.50 on the average day with purchases after the first"),
        ("btyd_monetary", None, "never bought"),
        ("r_score", 5.0, "recency 5 of 5 (the best fifth)"),
        ("m_score", None, "not scored: cut-points come with the first trained model"),
        ("sessions_7d", 1.0, "1 session in 7 days"),
        ("last_session_minutes", 7.5, "last session: 7 min 30 s long"),
        ("last_session_minutes", 0.0, "last session: one moment long"),
        ("last_session_depth", 3.0, "last session: 3 things done"),
        ("session_minutes_7d", 7.5, "a session lasts 7 min 30 s on average (half-life 7 days)"),
        ("session_mix_social_7d", 0.25, "25 % reactions a session on average (half-life 7 days)"),
        ("session_mix_view_7d", math.nan, "no session yet"),
        ("last_session_category_sport", 0.5, "last session: 50 % in the category sport"),
        ("session_entry_web_30d", 0.62, "62 % of sessions began on the web (half-life 30 days)"),
        ("session_hour_08_12_30d", 1.0, "100 % of sessions began between 08 and 12 o'clock (half-life 30 days)"),
        ("session_weekday_monday_30d", 0.0, "0 % of sessions began on a Monday (half-life 30 days)"),
    ],
)
def test_a_value_says_what_it_means(name: str, value: float | None, said: str) -> None:
    """In the words of who asked, with its unit, its window and its half-life."""
    assert in_words(BY_NAME[name], value) == said


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_has_words(feature: Feature) -> None:
    """A new line of the list is told, whatever the value; no word of Python's shows through."""
    values = [in_words(feature, value) for value in (None, math.nan, math.inf, 0.0, 0.5, 1.0, 3.0, 1e9)]
    assert all(values)
    assert not [text for text in values if re.search(NOT_WORDS, text)]
    assert len(set(values[:3])) == 1


@pytest.mark.parametrize(
    ("measure", "value", "said"),
    [
        (Count("like", 7), 2.0, "2 likes in 7 days"),
        (Count("refund", 7), 1.0, "1 refund in 7 days"),
        (Days("purchase", 30), 2.0, "purchases on 2 of the last 30 days"),
        (Decayed("like", "1d"), 1.0, "activity: likes worth 1 view just now (half-life 1 day)"),
        (Since("like"), 2.0, "last like 2 days ago"),
        (Since("like"), None, "no like so far"),
        (Share("view", "active", 7), None, "nothing done in 7 days"),
        (Share("view", "any", 7), None, "no events in 7 days"),
        (Share("view", "active", 7), 0.5, "50 % of the things done in 7 days were views"),
        (Session("entry:kiosk", None), 1.0, "last session: began in the channel kiosk"),
        (Session("weekday:monday", None), 0.0, "last session: did not begin on a Monday"),
        (Session("dwell_seconds", None), 5.25, "last session: 5.2 s engaged time"),
        (Rate("click", 30, 20), None, "nobody was shown anything that we know of"),
        (Score("tenure_days"), 2.0, "tenure_days 2 of 5"),
        (Total("view", "dwell_seconds", 1), 3600.0, "1 h engaged time in 1 day"),
        (Tenure(), 2.0, "first seen 2 days ago"),
        (Btyd("recency"), 0.0, "bought on one day only"),
    ],
)
def test_a_measure_that_nobody_uses_yet_has_words(measure: object, value: float | None, said: str) -> None:
    """Windows, half-lives and classes of rows are free: the words follow."""
    assert in_words(Feature("new", "person", "x", "new", measure), value) == said  # type: ignore[arg-type]


def test_what_has_no_measure_is_told_by_its_unit() -> None:
    """Features of contents and pairs, and attributes of people, whose values may be text."""
    assert in_words(BY_NAME["age_days"], 3.0) == "3 days since publication"
    assert in_words(BY_NAME["people_7d"], 3.0) == "3 distinct people who did something with it in 7 days"
    assert in_words(BY_NAME["quality"], 0.75) == "0.75: editorial quality from the catalogue"
    assert in_words(BY_NAME["quality"], None) == "not known"
    assert in_words(Feature("crm_country", "person", "code", "country"), "DE") == "DE"


def test_a_measure_that_words_do_not_know_harms_nobody() -> None:
    """Whoever adds a kind of measure may add its words later: until then its meaning is what is said."""
    assert in_words(STRANGE, 2.0) == "2 odd things"
    assert in_words(STRANGE, None) == "not known"


@given(st.sampled_from(FEATURES), st.floats() | st.none())
def test_any_number_can_be_said(feature: Feature, value: float | None) -> None:
    """Whatever is in the lake: a report never fails for a value."""
    assert in_words(feature, value)
