"""Does the champion do worse? Sure where it does, silent where it does not, and honest where nobody can tell."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import metrics, performance
from models.performance import CANNOT_TELL, DIPPED, STEADY, Figure, dips, expected_auc, level_of


def figure(seed: int, people: int, flipped: float = 0.0, rate: float = -2.0, name: str = "AUC") -> Figure:
    """Probabilities that hold, of the same people in both windows; a share of the current labels is turned round."""
    rng = np.random.default_rng(seed)
    person = np.tile(np.repeat(np.arange(people), 5), 2)
    window = np.repeat([0, 1], 5 * people)
    taste = rng.normal(size=people)[person]
    p = 1 / (1 + np.exp(-(rate + taste + rng.normal(size=len(person)))))
    label = (rng.random(len(p)) < p).astype(float)
    turned = (rng.random(len(p)) < flipped) & (window == 1)
    label[turned] = 1 - label[turned]
    return Figure(name, label, p, person, window, margin=0.01, detectable=0.05)


def test_labels_that_turn_round_are_a_dip() -> None:
    """A tenth of the labels is other than it was, the inputs are the same: seen at the third look already."""
    (found,) = dips([figure(0, 1500, flipped=0.1)], look=3)
    assert found.verdict == DIPPED
    assert found.low > 0.01
    assert found.reference == pytest.approx(found.current + found.drop)
    assert "more than the 0.01 allowed" in str(found)


def test_as_good_as_ever() -> None:
    """Enough people, and nothing changed: no dip, and the interval holds the truth."""
    (found,) = dips([figure(1, 4000)], look=1)
    assert found.verdict == STEADY
    assert found.low < 0 < found.high
    assert found.needed is not None
    assert found.positives >= found.needed


def test_too_few_to_tell() -> None:
    """Below the number needed silence is no comfort, and the sentence says how many it takes."""
    (found,) = dips([figure(2, 150)], look=1)
    assert found.verdict == CANNOT_TELL
    assert found.needed is None or found.positives < found.needed
    assert "cannot tell with" in str(found)


def test_a_handful_of_positives_proves_nothing() -> None:
    """However large the drop that a handful of engagements seem to show."""
    person, window = np.arange(400), np.repeat([0, 1], 200)
    label = (np.arange(400) % 20 == 0).astype(float)
    score = np.where(window == 0, label, -label)
    (found,) = dips([Figure("AUC", label, score, person, window, 0.01, 0.05)], look=1)
    assert found.drop == pytest.approx(1.0)
    assert found.verdict == CANNOT_TELL


def test_more_people_need_no_more_positives() -> None:
    """What is needed is a matter of the figure, not of how many there are: twice the people, about the same number."""
    needed = [dips([figure(3, people)], look=2)[0].needed for people in (3000, 6000)]
    assert None not in needed
    assert needed == sorted(needed, reverse=True)


def test_a_mean_over_lists_is_judged_as_well() -> None:
    """NDCG@10 a list: no score, the mean of the values."""
    rng = np.random.default_rng(4)
    person, window = np.tile(np.arange(800), 2), np.repeat([0, 1], 800)
    values = np.clip(rng.beta(2, 3, 1600) - 0.1 * window, 0, 1)
    (found,) = dips([Figure("NDCG@10", values, None, person, window, 0.01, 0.05)], look=1)
    assert found.verdict == DIPPED
    assert found.positives == 800
    assert found.reference == pytest.approx(values[:800].mean())


def test_looking_every_night_spends_no_more_than_was_given() -> None:
    """The levels of a thousand looks at three figures add up to less than the whole, and each is smaller."""
    spent = [3 * level_of(look, 0.01, 3) for look in range(1, 1001)]
    assert 0.0099 < sum(spent) < 0.01
    assert all(later < earlier for earlier, later in pairwise(spent))
    with pytest.raises(ValueError, match="counted from 1"):
        level_of(0, 0.01)


def test_champions_that_hold_are_not_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a level of 10 % no more than some 10 % of unchanged champions are ever accused in three looks."""
    monkeypatch.setattr(performance, "DRAWS", 200)
    accused = 0
    for seed in range(60):
        looks = [replace(figure(100 * look + seed, 60, rate=-0.5), margin=0.0) for look in (1, 2, 3)]
        found = [dips([one], look, alpha=0.1, seed=seed)[0] for look, one in enumerate(looks, 1)]
        accused += any(dip.verdict == DIPPED for dip in found)
    assert accused <= 10  # 6, and two standard errors


def test_rows_in_another_order_make_the_same_figures() -> None:
    """Up to the last digits of sums, in whatever order rows come."""
    one = figure(5, 300)
    order = np.random.default_rng(0).permutation(len(one.person))
    other = Figure(one.name, one.label[order], one.score[order], one.person[order], one.window[order], 0.01, 0.05)
    (a,), (b,) = dips([one], look=1), dips([other], look=1)
    assert (a.low, a.drop, a.high) == pytest.approx((b.low, b.drop, b.high), abs=1e-12)


@given(st.lists(st.integers(0, 1), min_size=2, max_size=30))
def test_certain_probabilities_promise_what_is_true(labels: list[int]) -> None:
    """Where every probability is 0 or 1, the promised AUC is the AUC; where all are the same, one half."""
    y = np.array(labels, float)
    if y.any() and not y.all():
        assert expected_auc(y) == pytest.approx(metrics.auc(y, y))
    assert math.isnan(expected_auc(y)) == (not y.any() or bool(y.all()))
    assert expected_auc(np.full(len(y), 0.3)) == pytest.approx(0.5)


def test_calibrated_probabilities_promise_the_auc_that_comes() -> None:
    """What was promised before any outcome is what the outcomes say."""
    one = figure(6, 8000)
    inside = one.window == 0
    assert expected_auc(one.score[inside]) == pytest.approx(metrics.auc(one.label[inside], one.score[inside]), abs=0.01)


def test_a_figure_of_nobody_is_no_verdict() -> None:
    """Nothing to judge, nothing judged."""
    assert dips([], look=1) == ()
