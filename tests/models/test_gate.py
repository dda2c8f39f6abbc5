"""Promotion: on proof, with figures, and never downhill."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from models.gate import TestRows, promote

CANDIDATES = 12


def lists(people: int = 300, seed: int = 0, popularity: bool = True) -> tuple[TestRows, Mapping[str, np.ndarray]]:
    """Test rows of two goals, and the true probabilities that made their labels."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(2 * people), CANDIDATES)
    truth = {"click": rng.beta(1, 5, len(group)), "read": rng.beta(1, 9, len(group))}
    labels = {goal: (rng.random(len(group)) < p).astype(float) for goal, p in truth.items()}
    scores = rng.random(len(group)) if popularity else None
    return TestRows(group // 2, group, labels, {"click": 1.0, "read": 0.5}, scores), truth


def blurred(truth: Mapping[str, np.ndarray], seed: int = 9, noise: float = 1.0) -> dict[str, np.ndarray]:
    """A worse model: the true probabilities, their order disturbed."""
    rng = np.random.default_rng(seed)
    return {
        goal: np.clip(p * np.exp(noise * rng.normal(size=len(p)) - noise / 2), 1e-3, 0.99) for goal, p in truth.items()
    }


def test_a_better_challenger_is_promoted() -> None:
    """When NDCG is better beyond doubt and log-loss is not worse, the challenger takes over."""
    rows, truth = lists()
    verdict = promote(rows, truth, blurred(truth))
    assert verdict.promote
    assert all(check.passed for check in verdict.checks)
    assert "challenger promoted: NDCG@10 against the champion" in verdict.reason


def test_a_worse_challenger_is_kept_out() -> None:
    """The mirror image: what promoted one side keeps the other out, stale champion or not."""
    rows, truth = lists()
    for stale in (False, True):
        verdict = promote(rows, blurred(truth), truth, champion_stale=stale)
        assert not verdict.promote
        assert "may be worse" in verdict.reason


def test_an_equal_challenger_replaces_only_a_stale_champion() -> None:
    """A model that is no better is not worth a change, unless the champion is too old to stay."""
    rows, truth = lists()
    assert not promote(rows, truth, truth).promote
    assert "not proven better" in promote(rows, truth, truth).reason
    assert promote(rows, truth, truth, champion_stale=True).promote


def test_ranking_gains_do_not_buy_wrong_probabilities() -> None:
    """A challenger that ranks better but inflates its probabilities fails on the log-loss of each goal, by name."""
    rows, truth = lists()
    inflated = {goal: np.clip(1.5 * p, 0, 0.999) for goal, p in truth.items()}
    champion = blurred(truth, noise=0.3)
    verdict = promote(rows, inflated, champion, champion_stale=True)
    assert not verdict.promote
    failed = [check.name for check in verdict.checks if not check.passed]
    assert failed == ["log-loss of click, relative", "log-loss of read, relative"]
    assert "bound +0.0100" in verdict.reason


def test_better_probabilities_do_not_buy_a_worse_ranking() -> None:
    """A challenger that is better calibrated but ranks worse fails on NDCG alone, stale champion or not."""
    rows, truth = lists()
    champion = {goal: np.clip(1.5 * p, 0, 0.999) for goal, p in truth.items()}
    verdict = promote(rows, blurred(truth, noise=0.3), champion, champion_stale=True)
    assert not verdict.promote
    assert [check.name for check in verdict.checks if not check.passed] == [
        "NDCG@10 against the champion, not worse",
        "NDCG@10 against the champion, better",
    ]


def test_a_first_model_that_may_be_equal_begins() -> None:
    """A first model somewhat below popularity, but within the interval, is promoted with its figures."""
    rows, truth = lists(40)
    rival = TestRows(rows.person, rows.group, rows.labels, rows.weights, rows.relevance(blurred(truth, seed=20)))
    verdict = promote(rival, blurred(truth, seed=0, noise=1.1), None)
    assert verdict.checks[0].value < 0 < verdict.checks[0].high
    assert verdict.promote
    assert "first model: NDCG@10 against most-popular -0.03" in verdict.reason


def test_a_first_model_is_refused_only_when_popularity_beats_it_beyond_doubt() -> None:
    """A random first model passes beside a random popularity, and fails beside one that knows the truth."""
    rows, truth = lists()
    noise = {goal: np.random.default_rng(5).random(len(p)) for goal, p in truth.items()}
    assert promote(rows, noise, None).promote
    telling = TestRows(rows.person, rows.group, rows.labels, rows.weights, rows.relevance(truth))
    refused = promote(telling, noise, None)
    assert not refused.promote
    assert refused.checks[0].high < 0
    assert "worse than most-popular" in refused.reason
    assert promote(telling, truth, None).promote


def test_a_first_model_without_popularity_is_promoted_and_says_so() -> None:
    """Nothing to compare with is said, not hidden."""
    rows, truth = lists(popularity=False)
    verdict = promote(rows, truth, None)
    assert verdict.promote
    assert "no popularity" in verdict.reason


def test_without_outcomes_the_champion_stays() -> None:
    """Test nights on which nobody engaged prove nothing: a champion stays, a first model may begin."""
    rows, truth = lists(20)
    silent = TestRows(rows.person, rows.group, {goal: np.zeros(len(rows.person)) for goal in truth}, rows.weights)
    assert not promote(silent, truth, blurred(truth)).promote
    assert promote(silent, truth, None).promote
    assert "nobody engaged" in promote(silent, truth, None).reason


def test_row_order_does_not_matter() -> None:
    """Shuffled rows give the same verdict with the same figures."""
    rows, truth = lists(60)
    other = blurred(truth)
    order = np.random.default_rng(1).permutation(len(rows.person))
    shuffled = TestRows(
        rows.person[order], rows.group[order], {g: y[order] for g, y in rows.labels.items()}, rows.weights, None
    )
    found = promote(shuffled, {g: p[order] for g, p in truth.items()}, {g: p[order] for g, p in other.items()})
    expected = promote(rows, truth, other)
    assert found.reason == expected.reason
    for mine, theirs in zip(found.checks, expected.checks, strict=True):
        assert (mine.value, mine.low, mine.high) == pytest.approx((theirs.value, theirs.low, theirs.high), abs=1e-9)


def test_rows_and_goals_that_do_not_match_are_refused() -> None:
    """A comparison needs the same goals and the same rows; the message names the side."""
    rows, truth = lists(5)
    with pytest.raises(ValueError, match=r"champion lacks the goals \['read'\]"):
        promote(rows, truth, {"click": truth["click"]})
    with pytest.raises(ValueError, match="challenger has rows"):
        promote(rows, {goal: p[:-1] for goal, p in truth.items()}, truth)
