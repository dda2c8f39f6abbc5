"""The log and the catalogue as of one night, encoded."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given

from features.history import DAY, KINDS, STRENGTH, GoalRule, History, reached
from tests.features.logs import AS_OF, GOALS, NOW, Row, content_of, history_of, log_of, logs, popularity_of


@given(logs())
def test_nothing_is_lost_and_everything_is_in_order(rows: list[Row]) -> None:
    """The encoded rows are the log's, each as often as it was there, sorted by person and time."""
    history = history_of(rows)
    ids = history.catalogue.ids.to_pylist()
    got = [
        (int(history.people[p]), int(ts), ids[c], KINDS[kind])
        for p, ts, c, kind in zip(history.person, history.ts, history.content, history.kind, strict=True)
    ]
    assert got == sorted(got, key=lambda row: row[:2])
    assert sorted(got) == sorted((row.person, NOW - row.age, row.content, row.kind) for row in rows)
    assert history.people.tolist() == sorted({row.person for row in rows})


@given(logs())
def test_goals_and_strength_are_those_said_by_hand(rows: list[Row]) -> None:
    """Every row reaches the goals that its rule says, and says as much about taste as the table of strengths."""
    history = history_of(rows)
    for name in GOALS:
        assert history.goals[name].sum() == sum(row.reaches(name) for row in rows)
        assert reached(log_of(rows), GOALS[name]).to_pylist() == [row.reaches(name) for row in rows]
    active = history.strength[history.active].sum()
    assert active == pytest.approx(sum(row.strength for row in rows if row.active))


def test_every_kind_has_its_strength() -> None:
    """The two tables have the same length, and being shown something says nothing about taste."""
    assert len(KINDS) == len(STRENGTH)
    assert STRENGTH[KINDS.index("impression")] == 0


@pytest.mark.parametrize("age", [0, -1])
def test_the_future_is_refused(age: int) -> None:
    """A row at the very instant of the night, or after it, is an error and never a feature."""
    with pytest.raises(ValueError, match="the log knows the future"):
        history_of([Row(), Row(age=age)])


def test_a_microsecond_before_the_night_is_known() -> None:
    """Strictly before is all that is asked."""
    assert history_of([Row(age=1)]).rows == 1


@pytest.mark.parametrize(("days", "rows"), [(1, 2), (2, 3)])
def test_a_window_holds_its_first_instant(days: int, rows: int) -> None:
    """The last `days` days are [as_of - days, as_of)."""
    history = history_of([Row(age=1), Row(age=DAY), Row(age=DAY + 1), Row(age=2 * DAY + 1)])
    assert history.within(days).sum() == rows


def test_decay_halves_with_every_half_life() -> None:
    """A row two half-lives old weighs a quarter."""
    assert history_of([Row(age=14 * DAY)]).decay(7.0).tolist() == [0.25]


def test_what_is_listed() -> None:
    """Published content that is neither expired at the night, nor a draft, nor from the future, nor unknown."""
    catalogue = history_of([Row(content="unknown"), Row(content="c3")]).catalogue
    listed = [name for name, is_listed in zip(catalogue.ids.to_pylist(), catalogue.listed, strict=True) if is_listed]
    assert listed == ["c0", "c1", "c3", "c6"]


def test_publication_is_when_it_was_first_seen_if_nobody_says() -> None:
    """Content without a date is as old as its first event; unknown content too; a stated date wins."""
    rows = [Row(content=name, age=age * DAY) for name in ("c3", "unknown", "c0") for age in (2, 5)]
    catalogue = history_of(rows).catalogue
    ages = dict(zip(catalogue.ids.to_pylist(), (NOW - catalogue.published) / DAY, strict=True))
    assert (ages["c3"], ages["unknown"], ages["c0"]) == (5, 5, 20)


def test_facts_stand_beside_their_content() -> None:
    """Category, author, quality and tags of each content, whatever order the catalogue came in."""
    content = content_of()
    backwards = content.take(list(range(content.num_rows))[::-1])
    catalogue = History.of(log_of([Row(content="unknown")]), backwards, popularity_of(), AS_OF, GOALS).catalogue
    names = [*catalogue.categories, None]
    assert [names[code] for code in catalogue.category] == ["a", "b", "a", None, "c", "b", "d", None]
    authors = [*catalogue.authors, None]
    assert [authors[code] for code in catalogue.author] == ["ann", "ann", "bob", None, "bob", "cy", "cy", None]
    assert catalogue.quality[0] == 0.5
    assert np.isnan(catalogue.quality[1:]).all()
    tags = {(int(c), catalogue.tags[t]) for c, t in zip(catalogue.tag_content, catalogue.tag, strict=True)}
    assert tags == {(0, "x"), (0, "y"), (1, "x"), (4, "z"), (5, "y"), (6, "z")}


def test_a_night_in_another_time_zone_is_the_same_instant() -> None:
    """`as_of` is an instant; its time zone is only how it is written."""
    moved = AS_OF.astimezone(tz=None) + timedelta(0)
    assert History.of(log_of([]), content_of(), popularity_of(), moved, GOALS).as_of == NOW


def test_a_goal_may_be_dwell_alone() -> None:
    """A view of exactly the least dwell reaches it; a click that long, or a view of unknown length, does not."""
    rule = GoalRule((), 30.0)
    rows = [Row(dwell=30.0), Row(dwell=29.9), Row(dwell=None), Row(event="click", dwell=99.0)]
    assert reached(log_of(rows), rule).to_pylist() == [True, False, False, False]
