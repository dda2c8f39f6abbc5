"""Promotion: on proof, with figures, and never downhill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from models.gate import Verdict, promote
from models.gate_rows import Shown, TestRows

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


def failed(verdict: Verdict) -> list[str]:
    """The checks that did not hold."""
    return [check.name for check in verdict.checks if not check.passed]


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
        assert "NDCG@10 against the champion, not worse" in verdict.reason


def test_an_equal_challenger_replaces_only_a_stale_or_dipping_champion() -> None:
    """A model that is no better is not worth a change, unless the champion is too old to stay, or does worse."""
    rows, truth = lists()
    assert not promote(rows, truth, truth).promote
    assert "not proven better" in promote(rows, truth, truth).reason
    for reason in ("stale", "dipping"):
        replaced = promote(rows, truth, truth, **{f"champion_{reason}": True})
        assert replaced.promote
        assert f"in place of a {reason} champion" in replaced.reason


def test_ranking_gains_do_not_buy_wrong_probabilities() -> None:
    """A challenger that ranks better but inflates its probabilities fails on the log-loss of each goal, by name."""
    rows, truth = lists()
    inflated = {goal: np.clip(1.5 * p, 0, 0.999) for goal, p in truth.items()}
    champion = blurred(truth, noise=0.3)
    verdict = promote(rows, inflated, champion, champion_stale=True)
    assert not verdict.promote
    assert failed(verdict) == [
        f"{measure} of {goal}{end}"
        for goal in ("click", "read")
        for measure, end in (("log-loss", ", relative"), ("calibration error (ECE)", ""))
    ]
    assert "bound +0.0100" in verdict.reason


def test_better_probabilities_do_not_buy_a_worse_ranking() -> None:
    """A challenger that is better calibrated but ranks worse fails on NDCG alone, stale champion or not."""
    rows, truth = lists()
    champion = {goal: np.clip(1.5 * p, 0, 0.999) for goal, p in truth.items()}
    verdict = promote(rows, blurred(truth, noise=0.3), champion, champion_stale=True)
    assert not verdict.promote
    assert failed(verdict) == ["NDCG@10 against the champion, better", "NDCG@10 against the champion, not worse"]


def test_a_first_model_that_may_be_equal_begins() -> None:
    """A first model somewhat below popularity, but within the interval, is promoted with its figures."""
    rows, truth = lists(40)
    rival = replace(rows, popularity=rows.relevance(blurred(truth, seed=1, noise=0.2)))
    verdict = promote(rival, blurred(truth, seed=0, noise=0.3), None)
    assert verdict.checks[-1].value < 0 < verdict.checks[-1].high
    assert verdict.promote
    assert "first model: NDCG@10 against most-popular -0.0" in verdict.reason


def test_whom_popularity_beats_beyond_doubt_is_refused() -> None:
    """A model passes beside a random popularity, and fails beside one that knows all, whatever the champion is."""
    rows, truth = lists()
    some = blurred(truth, noise=0.4)
    assert promote(rows, some, None).promote
    for champion in (None, blurred(truth)):
        refused = promote(replace(rows, popularity=rows.relevance(truth)), some, champion)
        assert failed(refused) == ["NDCG@10 against most-popular"]
        assert not refused.promote


def test_who_knows_no_more_than_the_rates_is_refused() -> None:
    """Random relevance around the right rates never serves: first or not, however old the champion, whatever it does.

    Where all that was engaged in is too little to tell, it is said that nobody judged it.
    """
    rows, truth = lists()
    rng = np.random.default_rng(5)
    noise = {goal: p.mean() * np.exp(0.02 * rng.normal(size=len(p))) for goal, p in truth.items()}
    for champion in (None, noise, {goal: p[::-1] for goal, p in truth.items()}):
        refused = promote(rows, noise, champion, champion_stale=True, champion_dipping=True)
        assert not refused.promote
        assert "known beyond the goals' rates" in refused.reason
    few, _ = lists(5)
    begun = promote(few, {goal: p[: len(few.person)] for goal, p in noise.items()}, None)
    assert begun.promote
    assert any("of the 100 engagements needed" in one for one in begun.unjudged)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.5, -0.1, None])
def test_what_is_no_probability_is_refused(wrong: float | None) -> None:
    """One answer that is none, of one goal; or the same answer for all rows of every goal."""
    rows, truth = lists(30)
    broken = {goal: p.copy() for goal, p in truth.items()}
    for p in broken.values() if wrong is None else ():
        p[:] = 0.1
    if wrong is not None:
        broken["read"][7] = wrong
    expected = ["relevance, from the least to the greatest"] if wrong is None else []
    for champion in (None, truth):
        refused = promote(rows, broken, champion, champion_stale=True)
        assert not refused.promote
        assert set(failed(refused)) >= set(expected)
        assert wrong is None or "share of the probabilities of read" in refused.reason


def test_no_group_pays_for_the_others() -> None:
    """Better on the whole and worse for one group: refused by that group's name; who is too few is not judged."""
    rows, truth = lists(600)
    crowd = np.arange(1200) // 2  # whose each list is
    names = np.where(crowd < 100, "loyal", np.where(crowd < 595, "new", "at risk"))
    loyal = np.repeat(names == "loyal", CANDIDATES)
    rng = np.random.default_rng(3)
    worse = {goal: np.where(loyal, rng.permutation(p), p) for goal, p in truth.items()}
    champion = {goal: np.where(loyal, p, blurred(truth)[goal]) for goal, p in truth.items()}
    refused = promote(replace(rows, groups={"segment": names}), worse, champion, champion_stale=True)
    assert "NDCG@10 of segment loyal" in failed(refused)
    assert "NDCG@10 of segment new" not in failed(refused)
    assert refused.checks[0].passed
    assert "segment at risk: fewer than 11 of the 30 people needed engaged" in refused.unjudged


def test_lists_of_everybody_do_not_become_the_same() -> None:
    """A challenger that ranks better by five contents of sixty for everybody is refused for what it no longer lists."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(400), 60)
    content = np.tile(np.arange(60), 400)
    truth = {"click": np.where(content < 5, 0.5, 0.02 + 0.02 * rng.random(len(group)))}
    labels = {"click": (rng.random(len(group)) < truth["click"]).astype(float)}
    rows = TestRows(group, group, labels, {"click": 1.0}, None, content)
    narrow = {"click": np.where(content < 5, truth["click"], 0.03 - 1e-4 * content)}
    wide = {"click": np.clip(truth["click"] * np.exp(2 * rng.normal(size=len(group))), 1e-3, 0.99)}
    refused = promote(rows, narrow, wide, champion_stale=True)
    assert refused.checks[0].passed
    assert failed(refused) == ["different contents in the first 10 places, relative"]
    assert refused.checks[-2].value == pytest.approx(10 / 60 - 1)


def test_relevance_on_another_scale_is_refused() -> None:
    """The same order on another scale has the same NDCG; what it does to probabilities and their spread is seen."""
    rows, truth = lists()
    refused = promote(rows, {goal: p / 20 for goal, p in truth.items()}, truth, champion_stale=True)
    assert "relevance against the champion's, population stability index" in failed(refused)
    assert "click observed against expected, relative" in failed(refused)
    assert refused.checks[0].value == 0


def test_a_champion_that_says_one_thing_of_all_is_replaced() -> None:
    """Any model that knows something spreads relevance wider than one that knew nothing: that is what it is for."""
    rows, truth = lists()
    verdict = promote(rows, truth, {goal: np.full(len(p), p.mean()) for goal, p in truth.items()})
    (spread,) = [check for check in verdict.checks if "stability" in check.name]
    assert spread.value > spread.bound
    assert verdict.promote


def test_a_rare_goal_refuses_only_what_surely_harms_it() -> None:
    """With a dozen engagements log-loss that is 3 % worse by chance does not stop a model that ranks better."""
    rows, truth = lists(600)
    rng = np.random.default_rng(8)
    rare = {**truth, "read": np.full(len(rows.person), 0.002)}
    labels = {**rows.labels, "read": (rng.random(len(rows.person)) < 0.002).astype(float)}
    champion = {**blurred(truth), "read": rare["read"] * np.where(labels["read"] > 0, 1.3, 1)}
    verdict = promote(replace(rows, labels=labels), rare, champion)
    (loss,) = [check for check in verdict.checks if check.name == "log-loss of read, relative"]
    assert loss.value > loss.bound > 0
    assert (loss.passed, verdict.promote) == (False, False)
    (few,) = [replace(rows, labels={**labels, "read": labels["read"] * (rng.random(len(rows.person)) < 0.2)})]
    assert promote(few, rare, champion).promote


def test_probabilities_are_held_to_what_was_shown() -> None:
    """Where people were shown a part of the lists, what was not shown says nothing of probabilities."""
    rows, truth = lists()
    seen = np.random.default_rng(2).random(len(rows.person)) < 0.3
    labels = {goal: y * seen for goal, y in rows.labels.items()}
    shown = Shown(
        rows.person[seen],
        {goal: y[seen] for goal, y in labels.items()},
        {goal: p[seen] for goal, p in truth.items()},
        {goal: blurred(truth)[goal][seen] for goal in truth},
    )
    verdict = promote(replace(rows, labels=labels), truth, blurred(truth), shown=shown)
    assert verdict.promote
    (expected,) = [check for check in verdict.checks if check.name == "click observed against expected, relative"]
    assert abs(expected.value) < 0.1


def test_the_graded_rows_have_a_fingerprint() -> None:
    """The same rows the same, whoever is graded on them; any other outcome, person or content another."""
    rows, truth = lists(20)
    rows = replace(rows, content=np.arange(len(rows.person)))
    own = promote(rows, truth, blurred(truth)).rows
    assert len(own) == 64
    assert promote(rows, blurred(truth), None).rows == own
    labels = {goal: y.copy() for goal, y in rows.labels.items()}
    labels["read"][3] = 1 - labels["read"][3]
    for other in ({"labels": labels}, {"person": rows.person + 1}, {"content": rows.content[::-1]}):
        assert promote(replace(rows, **other), truth, blurred(truth)).rows != own


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
    labels = {g: y[order] for g, y in rows.labels.items()}
    shuffled = TestRows(rows.person[order], rows.group[order], labels, rows.weights, rows.popularity[order])
    found = promote(shuffled, {g: p[order] for g, p in truth.items()}, {g: p[order] for g, p in other.items()})
    expected = promote(rows, truth, other)
    assert found.reason == expected.reason
    for mine, theirs in zip(found.checks, expected.checks, strict=True):
        assert (mine.value, mine.low, mine.high) == pytest.approx(
            (theirs.value, theirs.low, theirs.high), abs=1e-9, nan_ok=True
        )


def test_rows_and_goals_that_do_not_match_are_refused() -> None:
    """A comparison needs the same goals and the same rows; the message names the side."""
    rows, truth = lists(5)
    with pytest.raises(ValueError, match=r"champion lacks the goals \['read'\]"):
        promote(rows, truth, {"click": truth["click"]})
    with pytest.raises(ValueError, match="challenger has rows"):
        promote(rows, {goal: p[:-1] for goal, p in truth.items()}, truth)
