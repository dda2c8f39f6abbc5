"""What connects a person with a content, against counting by hand over every pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.covisits import covisits
from features.history import DAY, History
from features.pairs import HALF_LIVES_DAYS, PAIR_FEATURES, PairSpace, affinity_table
from features.sessions import category_mix, sessionize
from tests.features.logs import CATALOGUE, CATEGORY, MINUTE, Row, history_of, logs

NAN = float("nan")
AUTHOR = {str(one["content_id"]): one["author"] for one in CATALOGUE}
TAGS = {str(one["content_id"]): {tag for tag in one["tags"] or () if tag} for one in CATALOGUE}
ENGAGED = {"click", "like", "save", "share", "comment", "purchase"}

Pair = dict[str, float]


def space_of(history: History) -> PairSpace:
    """The space of a history."""
    return PairSpace.of(history, sessionize(history))


def opened(history: History) -> dict[tuple[int, str], Pair]:
    """Every pair of a history with its features."""
    people, ids = history.people.tolist(), history.catalogue.ids.to_pylist()
    person, content = (at.ravel() for at in np.mgrid[: len(people), : len(ids)])
    values = space_of(history).block(slice(0, len(people))).features(person, content)
    return {
        (people[p], ids[c]): dict(zip(PAIR_FEATURES, map(float, row), strict=True))
        for p, c, row in zip(person, content, values, strict=True)
    }


def share(rows: list[Row], group: str | None, of: dict[str, str | None], half_life: float | None) -> float:
    """A group's share of decayed activity, with one unit of doubt; NaN for content that belongs to none."""
    if group is None:
        return NAN
    weights = [row.strength * (2 ** (-row.age / DAY / half_life) if half_life else 1) for row in rows]
    mine = sum(w for row, w in zip(rows, weights, strict=True) if of.get(row.content) == group)
    return mine / (sum(weights) + 1)


def tag_share(rows: list[Row], content: str) -> float:
    """The mean share of decayed activity of the content's tags; each activity is spread over its own content's tags."""
    weights = [row.strength * 2 ** (-row.age / DAY / 30) for row in rows]
    by_tag = {
        tag: sum(
            weight / len(TAGS[row.content])
            for row, weight in zip(rows, weights, strict=True)
            if tag in TAGS.get(row.content, ())
        )
        for tag in TAGS.get(content, ())
    }
    return float(np.mean(list(by_tag.values()))) / (sum(weights) + 1) if by_tag else 0.0


def response(rows: list[Row], person: int, category: str | None) -> float:
    """Engagements per impression in the category in 30 days, with ten impressions of everybody's rate."""
    recent = [row for row in rows if row.age <= 30 * DAY and CATEGORY.get(row.content)]
    shown = [row for row in recent if row.event == "impression"]
    done = [row for row in recent if row.event in ENGAGED]
    if category is None or not shown:
        return NAN

    def here(found: list[Row]) -> int:
        return sum(row.person == person and CATEGORY[row.content] == category for row in found)

    return (here(done) + 10 * len(done) / len(shown)) / (here(shown) + 10)


def by_hand(rows: list[Row], person: int, content: str) -> Pair:
    """All pair features but co-visitation."""
    active = [row for row in rows if row.person == person and row.active]
    shown = [row.age for row in rows if (row.person, row.content, row.event) == (person, content, "impression")]
    shown = [age for age in shown if age <= 30 * DAY]
    category = CATEGORY.get(content)
    return {
        **{f"affinity_category_{label}": share(active, category, CATEGORY, h) for label, h in HALF_LIVES_DAYS.items()},
        "affinity_author": share(active, AUTHOR.get(content), AUTHOR, 30),
        "affinity_tags": tag_share(active, content),
        "category_response": response(rows, person, category),
        "last_session_category": share(_last_session(rows, person), category, CATEGORY, None),
        "seen": sum(row.content == content and row.age <= 365 * DAY for row in active),
        "shown": len(shown),
        "shown_days_ago": max(min(shown) / DAY, 1e-6) if shown else NAN,
    }


def _last_session(rows: list[Row], person: int) -> list[Row]:
    present = sorted((row for row in rows if row.person == person and row.event != "refund"), key=lambda row: row.age)
    last: list[Row] = []
    for row in present:
        if last and row.age - last[-1].age > 30 * MINUTE:
            break
        last.append(row)
    return [row for row in last if row.active]


@settings(max_examples=60, deadline=None)
@given(logs(max_size=18))
def test_pair_features_are_those_computed_by_hand(rows: list[Row]) -> None:
    """Affinities, response, last session, seen and shown of every person with every content."""
    for (person, content), found in opened(history_of(rows)).items():
        expected = by_hand(rows, person, content)
        assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True, rel=1e-5, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(logs(max_size=18))
def test_covisit_sums_recent_activity_times_cosine(rows: list[Row]) -> None:
    """What the person did lately, decayed with three days, times how alike those contents are to this one."""
    history = history_of(rows)
    alike, ids = covisits(history).toarray(), history.catalogue.ids.to_pylist()
    for (person, content), found in opened(history).items():
        expected = sum(
            row.strength * 2 ** (-row.age / DAY / 3) * alike[ids.index(row.content), ids.index(content)]
            for row in rows
            if row.person == person and row.active
        )
        assert found["covisit"] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(logs())
def test_a_slice_of_people_is_the_same_as_all_of_them(rows: list[Row]) -> None:
    """People are opened a block at a time; which block they fall into changes nothing."""
    history = history_of(rows)
    space, size = space_of(history), history.catalogue.size
    every, content = slice(0, len(history.people)), np.arange(size)
    for at in range(len(history.people)):
        one, whole = space.block(slice(at, at + 1)), space.block(every)
        mine, ours = np.zeros(size, np.int64), np.full(size, at)
        np.testing.assert_array_equal(one.features(mine, content), whole.features(ours, content))
        np.testing.assert_array_equal(one.seen()[0], whole.seen()[at])
        np.testing.assert_array_equal(one.covisit()[0], whole.covisit()[at])
        np.testing.assert_array_equal(one.affinity("7d")[0], whole.affinity("7d")[at])


@settings(max_examples=40, deadline=None)
@given(logs(), st.sets(st.integers(0, 6)))
def test_some_contents_are_the_same_as_among_all_of_them(rows: list[Row], some: set[int]) -> None:
    """A block of what can be listed says of it what a block of everything says; contents keep their own indices."""
    history = history_of(rows)
    space, every, chosen = space_of(history), slice(0, len(history.people)), np.array(sorted(some), np.int64)
    few, whole = space.block(every, chosen), space.block(every)
    person, content = (at.ravel() for at in np.meshgrid(np.arange(len(history.people)), chosen))
    np.testing.assert_array_equal(few.features(person, content), whole.features(person, content))
    np.testing.assert_array_equal(few.seen(), whole.seen()[:, chosen])
    np.testing.assert_array_equal(few.covisit(), whole.covisit()[:, chosen])
    np.testing.assert_array_equal(few.affinity("1d"), whole.affinity("1d")[:, chosen])


@settings(max_examples=40, deadline=None)
@given(logs())
def test_the_table_of_tastes_says_what_the_pairs_say(rows: list[Row]) -> None:
    """Each affinity is the one of the pairs of that category, beside the person's session shares."""
    history = history_of(rows)
    sessions = sessionize(history)
    table = affinity_table(history, sessions, PairSpace.of(history, sessions))
    assert table.select(["person_id", "category", "session_share", "last_session_share"]).equals(
        category_mix(history, sessions)
    )
    pairs = opened(history)
    for row in table.to_pylist():
        content = next(name for name, category in CATEGORY.items() if category == row["category"])
        for label in HALF_LIVES_DAYS:
            expected = pairs[row["person_id"], content][f"affinity_category_{label}"]
            assert row[f"affinity_{label}"] == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_a_recent_taste_is_stronger_at_a_short_half_life() -> None:
    """Who turned from `a` to `b` yesterday is a person of `b` by the day, and still one of `a` by the month."""
    rows = [Row(content="c0", age=20 * DAY + i) for i in range(30)] + [Row(content="c1", age=DAY)] * 4
    found = opened(history_of(rows))
    assert found[1, "c1"]["affinity_category_1d"] > found[1, "c0"]["affinity_category_1d"]
    assert found[1, "c1"]["affinity_category_30d"] < found[1, "c0"]["affinity_category_30d"]


def test_one_click_is_no_passion() -> None:
    """A single fresh click has a share of a half, not of one."""
    assert opened(history_of([Row(age=1, event="click")]))[1, "c0"]["affinity_category_7d"] == pytest.approx(0.5)


def test_features_come_in_the_order_of_their_names() -> None:
    """As many columns as names, also for no pairs at all."""
    block = space_of(history_of([Row()])).block(slice(0, 1))
    nothing = np.zeros(0, np.int64)
    assert block.features(nothing, nothing).shape == (0, len(PAIR_FEATURES))
