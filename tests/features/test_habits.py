"""What people turned to of late, counted: distinct contents of a category and with a tag."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.habits import Habits
from features.history import History
from pipeline.build_features import goal_rules
from tests.pipeline import lakes

CATEGORIES, TAGS = ("news", "sport", None), ("x", "y", "z")
Row = tuple[int, int, int, str]


@st.composite
def nights(draw: st.DrawFn) -> tuple[list[Row], list[dict[str, Any]]]:
    """(person, content, days ago, event) and a catalogue of six."""
    kinds = st.sampled_from(["view", "click", "impression"])
    row = st.tuples(st.integers(1, 3), st.integers(0, 5), st.integers(1, 40), kinds)
    rows = draw(st.lists(row, min_size=1, max_size=30))
    catalogue = [
        {
            "content_id": f"c{number}",
            "category": draw(st.sampled_from(CATEGORIES)),
            "tags": draw(st.lists(st.sampled_from(TAGS), unique=True)),
        }
        for number in range(6)
    ]
    return rows, catalogue


@given(nights(), st.sets(st.sampled_from(TAGS), max_size=2))
def test_habits_are_what_counting_by_hand_says(
    night: tuple[list[Row], list[dict[str, Any]]], unnamed: set[str]
) -> None:
    """Every person and content: contents counted once, impressions not at all, unnamed tags never chosen."""
    rows, catalogue = night
    config = lakes.config_in(lakes.Path("/nowhere"), training={"history_days": 60})
    events = [
        lakes.event(lakes.NIGHT - timedelta(days=days) + timedelta(hours=1), who, f"c{what}", event=event)
        for who, what, days, event in rows
    ]
    found = lakes.night_of(config, events=events, content=catalogue)
    history = History.of(found.log, found.content, found.popularity, found.as_of, goal_rules(config))
    habits, ids = Habits.of(history), history.catalogue.ids.to_pylist()
    person, content = (one.ravel() for one in np.meshgrid(np.arange(len(history.people)), np.arange(len(ids))))
    counts = habits.in_category(person, content)
    tags = habits.favourite_tag(person, content, np.array([tag in unnamed for tag in history.catalogue.tags], bool))
    by_id = {one["content_id"]: one for one in catalogue}
    for who, what, count, tag in zip(person.tolist(), content.tolist(), counts.tolist(), tags.tolist(), strict=True):
        about = by_id[ids[what]]
        touched = {days: _touched(rows, int(history.people[who]), days) for days in (7, 30)}
        same = [one for one in touched[7] if by_id[one]["category"] == about["category"]]
        assert count == (len(same) if about["category"] else 0)
        had = Counter(tag for one in touched[30] for tag in by_id[one]["tags"])
        options = {one: had[one] for one in about["tags"] if had[one] and one not in unnamed}
        name = history.catalogue.tags[tag] if tag >= 0 else None
        assert name == (min(options, key=lambda one: (-options[one], one)) if options else None)


def _touched(rows: list[Row], person: int, days: int) -> set[str]:
    """Contents that a person did something with in so many days; an hour after their midnight."""
    return {f"c{what}" for who, what, ago, event in rows if who == person and ago <= days and event != "impression"}
