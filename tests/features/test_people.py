"""Everything known about each person, against counting by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from features.history import DAY
from features.people import WINDOWS_DAYS, person_features
from features.rfm import rfm_features
from features.sessions import session_features, sessionize
from tests.features.logs import GOALS, Row, history_of, logs

NAN = float("nan")


def by_hand(person: int, rows: list[Row]) -> dict[str, float]:
    """The counts and rates of one person among all."""
    mine = [row for row in rows if row.person == person]
    recent = [row for row in mine if row.age <= 30 * DAY]
    active = [row for row in mine if row.active]
    found: dict[str, float] = {f"events_{d}d": sum(row.age <= d * DAY for row in active) for d in WINDOWS_DAYS}
    found["shown_30d"] = sum(row.event == "impression" for row in recent)
    everybody = [row for row in rows if row.age <= 30 * DAY]
    shown = max(sum(row.event == "impression" for row in everybody), 1)
    for goal in GOALS:
        found[f"{goal}_30d"] = sum(row.reaches(goal) for row in recent)
        overall = sum(row.reaches(goal) for row in everybody) / shown
        found[f"{goal}_per_shown_30d"] = (found[f"{goal}_30d"] + 20 * overall) / (found["shown_30d"] + 20)
    found["mobile_share"] = sum(row.device == "mobile" for row in active) / len(active) if active else NAN
    return found


@settings(max_examples=100, deadline=None)
@given(logs())
def test_activity_is_what_is_counted_by_hand(rows: list[Row]) -> None:
    """Counts by window, goals, smoothed response rates and the share of mobile, of everybody in the log."""
    history = history_of(rows)
    found = person_features(history, sessionize(history))
    assert found["person_id"].to_pylist() == sorted({row.person for row in rows})
    for at, person in enumerate(found["person_id"].to_pylist()):
        expected = by_hand(person, rows)
        assert {name: found[name][at].as_py() for name in expected} == pytest.approx(expected, nan_ok=True)


def test_rfm_and_session_vectors_stand_in_the_same_rows() -> None:
    """The parts are joined person by person, none left out."""
    history = history_of([Row(person=person, age=person * DAY) for person in (3, 1, 2)])
    sessions = sessionize(history)
    found = person_features(history, sessions)
    for part in (rfm_features(history), session_features(history, sessions)):
        assert found.select(part.column_names).to_pandas().equals(part.to_pandas())
    assert found["rfm_recency_days"].to_pylist() == [1.0, 2.0, 3.0]
