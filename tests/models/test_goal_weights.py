"""Suggested weights: found where they are looked for, judged elsewhere, and none where nothing is gained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import metrics
from models.goal_weights import LONGEST, K, Lists, Suggestion, _Places, chosen, suggestions
from models.scorer import relevance

GOALS = ("click", "purchase", "read")
ALIKE = dict.fromkeys(GOALS, 1.0)


def lists(seed: int, many: int = 300, size: int = 25) -> Lists:
    """Clicks are likely and rightly foreseen, reads are rarer, and purchases are foreseen by nothing at all."""
    rng = np.random.default_rng(seed)
    n = many * size
    p = {"click": rng.beta(2, 6, n), "read": rng.beta(1, 30, n), "purchase": rng.beta(1, 300, n)}
    truth = {"click": p["click"], "read": p["read"], "purchase": np.full(n, 0.01)}
    labels = {goal: (rng.random(n) < truth[goal]).astype(np.float32) for goal in GOALS}
    return Lists(np.arange(n) // (2 * size), np.arange(n) // size, p, labels)


def by_metric(found: tuple[Suggestion, ...]) -> dict[str, Suggestion]:
    """Each under its measure."""
    return {one.metric: one for one in found}


def parts(one: Suggestion, of: Lists) -> dict[str, float]:
    """What part of all relevance each goal makes up."""
    size = {goal: weight * float(of.p[goal].sum()) for goal, weight in one.weights.items()}
    return {goal: value / sum(size.values()) for goal, value in size.items()}


def test_the_weights_of_a_goal_alone_are_found_and_judged_elsewhere() -> None:
    """Where noise was trusted, trusting it less is a suggestion; the figures are `metrics`' on the later lists."""
    searched, judged = lists(0), lists(1)
    today = {"click": 0.05, "read": 0.05, "purchase": 3.0}
    found = by_metric(suggestions(searched, judged, today, ALIKE))
    assert set(found) == {"ndcg_10", "value_10", *(f"ndcg_10.{goal}" for goal in GOALS)}
    clicks = found["ndcg_10.click"]
    assert clicks.better
    assert parts(clicks, searched)["click"] > 0.8
    assert sum(clicks.weights.values()) == pytest.approx(sum(today.values()), rel=0.01)
    for weights, value in ((today, clicks.today), (clicks.weights, clicks.suggested)):
        score = relevance(judged.p, weights)
        assert value == pytest.approx(metrics.ndcg_at_k(judged.group, score, judged.labels["click"], K))
    assert clicks.difference.mean == pytest.approx(clicks.suggested - clicks.today)


def test_what_is_no_better_later_is_no_suggestion() -> None:
    """Purchases are noise: whatever fits them best on some nights is not better on others beyond doubt."""
    for seed in range(3):
        found = by_metric(suggestions(lists(seed), lists(seed + 10), ALIKE, ALIKE))
        assert not found["ndcg_10.purchase"].better


def test_the_best_weights_there_are_stay() -> None:
    """Where today's are right, they come back as they are, with no difference at all."""
    searched = lists(0)
    perfect = replace(searched, labels={**searched.labels, "click": (searched.p["click"] > 0.5).astype(float)})
    one = by_metric(suggestions(perfect, lists(1), {"click": 2.0, "read": 0.0, "purchase": 0.0}, ALIKE))[
        "ndcg_10.click"
    ]
    assert one.weights == {"click": 2.0, "read": 0.0, "purchase": 0.0}
    assert one.difference == (0.0, 0.0, 0.0)
    assert not one.better


def test_values_count_in_what_is_reached_and_in_what_is_relevant() -> None:
    """A read that is worth a hundred clicks draws the best value towards reads; weights are told without values."""
    searched, judged = lists(0), lists(1)
    values = {"click": 1.0, "read": 100.0, "purchase": 1.0}
    found = by_metric(suggestions(searched, judged, ALIKE, values))["value_10"]
    score = relevance(judged.p, {goal: found.weights[goal] * values[goal] for goal in GOALS})
    worth = relevance(judged.labels, values)
    first = np.argsort(-score.reshape(-1, 25), axis=1)[:, :K]
    reached = np.take_along_axis(worth.reshape(-1, 25), first, axis=1).sum(axis=1)
    assert found.suggested == pytest.approx(reached[worth.reshape(-1, 25).sum(axis=1) > 0].mean())
    plain = by_metric(suggestions(searched, judged, ALIKE, ALIKE))["value_10"]
    assert found.weights["read"] * 100 * plain.weights["click"] > plain.weights["read"] * found.weights["click"]


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=14), min_size=1, max_size=4),
)
def test_places_are_metrics_places(found: list[list[tuple[int, bool]]]) -> None:
    """Lists of any length, and ties anywhere: NDCG is `metrics`', list by list."""
    group = np.repeat(np.arange(len(found)), [len(one) for one in found])
    score, hit = (np.array([row[i] for one in found for row in one], float) for i in (0, 1))
    other = {"b": np.zeros(len(group))}
    places = _Places.of(
        Lists(group, group, {"a": score, **other}, {"a": hit, **other}), ("a", "b"), np.ones(2), np.ones(2)
    )
    reached = places.by_list(np.array([1.0, 0.0]))
    np.testing.assert_allclose(reached[1], metrics.ndcg_by_group(group, score, hit, K))


def test_lists_are_chosen_whole_and_only_where_something_was_reached() -> None:
    """What is left out could not tell weights apart, is a robot's, or is every other of too many."""
    group = np.repeat(np.arange(5), [3, 4, 3, LONGEST + 1, 2])
    label = np.zeros(len(group))
    label[[0, 8, 20, len(group) - 1]] = 1
    assert set(group[chosen(group, {"a": label}, 100)]) == {0, 2, 4}
    assert chosen(group, {"a": label}, 100).sum() == 8
    assert set(group[chosen(group, {"a": label}, 6)]) == {0, 4}
    assert not chosen(group, {"a": np.zeros(len(group))}, 100).any()


def test_nothing_is_suggested_where_there_is_nothing_to_choose() -> None:
    """Of one goal, of no rows, and by a measure that either nights know nothing of."""
    one = {"click": 1.0}
    some = lists(0)
    nothing = Lists(*(np.zeros(0, int),) * 2, *({goal: np.zeros(0) for goal in GOALS},) * 2)
    assert suggestions(some, some, one, one) == suggestions(some, nothing, ALIKE, ALIKE) == ()
    unsold = replace(some, labels={**some.labels, "purchase": np.zeros(len(some.group))})
    assert "ndcg_10.purchase" not in by_metric(suggestions(some, unsold, ALIKE, ALIKE))
