"""Everything known about each content, against counting by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.contents import HALF_LIVES_DAYS, content_features
from features.history import DAY
from tests.features.logs import CATALOGUE, CATEGORY, CONTENTS, GOALS, Count, Row, ages, history_of, logs

NAN = float("nan")
PUBLISHED = {str(one["content_id"]): one["published"] for one in CATALOGUE}
AUTHOR = {str(one["content_id"]): one["author"] for one in CATALOGUE}


def people(rows: list[Row], days: int) -> int:
    """Distinct people who did something in the last `days`."""
    return len({row.person for row in rows if row.active and row.age <= days * DAY})


def popularity(rows: list[Row], half_life: float) -> float:
    """Decayed activity."""
    return float(sum(row.strength * 2 ** (-row.age / DAY / half_life) for row in rows if row.active))


def by_hand(content: str, rows: list[Row]) -> dict[str, float]:
    """One content's own features, from its rows."""
    published = PUBLISHED.get(content)
    undated = 365 * DAY  # in the catalogue without a date, and nobody touched it
    age = (max((row.age for row in rows), default=undated) if published is None else published) / DAY
    idle = min([row.age / DAY for row in rows if row.active], default=age)
    counts = {f"people_{days}d": people(rows, days) for days in (1, 7, 30)}
    return {
        "age_days": age,
        **counts,
        **{f"popularity_{label}": popularity(rows, half_life) for label, half_life in HALF_LIVES_DAYS.items()},
        "trend": (counts["people_1d"] + 1) / (counts["people_7d"] / 7 + 1),
        "gravity": counts["people_7d"] / (max(age, 0) + 0.5) ** 1.5,
        "idle_days": min(idle, age),
        "content_shown_30d": sum(row.event == "impression" and row.age <= 30 * DAY for row in rows),
    }


@given(logs())
def test_age_popularity_and_trend_are_those_counted_by_hand(rows: list[Row]) -> None:
    """Readers, decayed activity, trend, gravity, idleness and impressions of every content of catalogue or log."""
    found = content_features(history_of(rows)).to_pylist()
    assert [row["content_id"] for row in found] == sorted({*CATEGORY, *(row.content for row in rows)})
    for row in found:
        expected = by_hand(row["content_id"], [r for r in rows if r.content == row["content_id"]])
        assert {name: row[name] for name in expected} == pytest.approx(expected)


@given(logs())
def test_rates_are_smoothed_towards_everybodys(rows: list[Row]) -> None:
    """(goals + rate x prior) / (impressions + prior); readers stand in for impressions where none are logged."""
    recent = [row for row in rows if row.age <= 30 * DAY]
    logged = any(row.event == "impression" for row in recent)
    found = {row["content_id"]: row for row in content_features(history_of(rows)).to_pylist()}

    def exposure(mine: list[Row]) -> int:
        return sum(row.event == "impression" for row in mine) if logged else people(mine, 30)

    by_content = {name: [row for row in recent if row.content == name] for name in found}
    whole, prior = max(sum(map(exposure, by_content.values())), 1), 50 if logged else 20
    for goal in GOALS:
        overall = sum(row.reaches(goal) for row in recent) / whole
        for name, mine in by_content.items():
            expected = (sum(row.reaches(goal) for row in mine) + prior * overall) / (exposure(mine) + prior)
            assert found[name][f"content_{goal}_rate_30d"] == pytest.approx(expected)


@given(logs())
def test_authors_and_categories_have_the_mean_of_their_content(rows: list[Row]) -> None:
    """The mean popularity of an author's or a category's content; missing where there is none."""
    found = {row["content_id"]: row for row in content_features(history_of(rows)).to_pylist()}

    def mean(group: Callable[[str], str | None], name: str) -> float:
        alike = [other for other in found if group(other) is not None and group(other) == group(name)]
        return float(np.mean([found[other]["popularity_7d"] for other in alike])) if alike else NAN

    for name, row in found.items():
        assert row["category_popularity_7d"] == pytest.approx(mean(CATEGORY.get, name), nan_ok=True)
        assert row["author_popularity_7d"] == pytest.approx(mean(AUTHOR.get, name), nan_ok=True)


def test_content_from_the_future_has_no_gravity_problem() -> None:
    """Scheduled content (published after the night) has finite figures: a root of a negative age is none."""
    found = {row["content_id"]: row for row in content_features(history_of([Row(content="c5")])).to_pylist()}
    assert found["c5"]["age_days"] == -2
    assert not found["c5"]["listed"]
    assert np.isfinite(found["c5"]["gravity"])


def test_nothing_at_all_is_an_empty_table() -> None:
    """No log and no catalogue give no rows, but all columns."""
    found = content_features(history_of([], content=()))
    assert found.num_rows == 0
    assert {"people_7d", "content_click_rate_30d"} <= set(found.column_names)


# ---------------------------------------------------------------- what nobody in particular did

OF_EVERYBODY = (
    "age_days",
    *(f"popularity_{label}" for label in HALF_LIVES_DAYS),
    "trend",
    "gravity",
    "idle_days",
    "author_popularity_7d",
    "category_popularity_7d",
)


@given(logs(), st.sampled_from(CONTENTS), ages(), st.integers(1, 10))
def test_anonymous_views_count_like_those_of_as_many_visitors(
    rows: list[Row], content: str, age: int, views: int
) -> None:
    """Views without consent are as popular as those of visitors who each looked once; people are no more for it."""
    visitors = [Row(person=1000 + number, age=age, content=content) for number in range(views)]
    known = content_features(history_of([*rows, *visitors])).to_pydict()
    found = content_features(history_of(rows, crowd=[Count(age, content, "view", float(views))])).to_pydict()
    assert found["content_id"] == known["content_id"]
    assert found["listed"] == known["listed"]
    for name in OF_EVERYBODY:
        assert found[name] == pytest.approx(known[name], nan_ok=True), name


@given(
    logs(),
    st.lists(
        st.builds(
            Count, ages(), st.sampled_from(CONTENTS), st.sampled_from(["view", "click"]), count=st.floats(0.0, 1e6)
        ),
        max_size=20,
    ),
)
def test_the_crowd_changes_no_figure_of_people(rows: list[Row], crowd: list[Count]) -> None:
    """Readers and rates are of people whom we know: a goal that the crowd reached is nobody's label."""
    mine = {name: row for row in content_features(history_of(rows)).to_pylist() if (name := row["content_id"])}
    for row in content_features(history_of(rows, crowd=crowd)).to_pylist():
        for name in row:
            if row["content_id"] in mine and name.startswith(("people_", "content_")):
                assert row[name] == mine[row["content_id"]][name], name


@pytest.mark.parametrize(
    ("event", "popularity"), [("like", 3.0), ("custom:a", 1.0), ("impression", 0.0), ("refund", 0.0)]
)
def test_an_anonymous_event_weighs_what_its_kind_says_about_taste(event: str, popularity: float) -> None:
    """A like is worth three views; what was only shown is no popularity."""
    (found,) = content_features(history_of([], content=(), crowd=[Count(DAY, "c0", event, 2.0)])).to_pylist()
    assert found["popularity_1d"] == popularity  # two of them, a half-life ago


def test_counts_from_the_future_are_refused() -> None:
    """Like a row of the log: whoever hands them over did not cut at the night."""
    with pytest.raises(ValueError, match="knows the future"):
        history_of([], crowd=[Count(age=0)])


@given(logs(max_size=18))
def test_the_busy_clock_counts_what_everybody_does(rows: list[Row]) -> None:
    """Ages and readers on it, and reach: who turned to a content, of those who were there to do so."""
    history = history_of(rows)
    table = content_features(history)
    done = sorted(history.as_of - row.age for row in rows if row.active)
    days = max(min(28.0, (history.as_of - done[0]) / DAY), 1.0) if done else 1.0
    pace = max(sum(ts >= history.as_of - 28 * DAY for ts in done) / days, 1.0)

    def busy(instant: int) -> float:
        return sum(ts >= instant for ts in done) / pace

    seen: dict[int, int] = {}
    for row in rows:
        if row.active:
            seen[row.person] = max(seen.get(row.person, 0), history.as_of - row.age)
    for place, name in enumerate(history.catalogue.ids.to_pylist()):
        born = int(history.catalogue.published[place])
        last: dict[int, int] = {}
        for row in rows:
            if row.active and row.content == name:
                last[row.person] = max(last.get(row.person, 0), history.as_of - row.age)
        there = sum(ts >= born for ts in seen.values())
        assert table["age_busy"][place].as_py() == pytest.approx(busy(born))
        assert table["reach"][place].as_py() == pytest.approx(len(last) / (there + 5))
        assert table["gravity_busy"][place].as_py() == pytest.approx(len(last) / (busy(born) + 0.5) ** 1.5)
        faded = sum(2 ** (-busy(ts) / 0.7) for ts in last.values())
        assert table["readers_busy_0_7d"][place].as_py() == pytest.approx(faded)
