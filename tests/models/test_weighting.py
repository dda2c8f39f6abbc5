"""Weights: what they make equal, what they may not exceed, and what a model learns with them and not without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from models.classifier import GoalModel
from models.learning import Sample, relearn
from models.tuning import DEFAULTS
from models.weighting import MOST_BALANCED, MOST_INVERSE, balanced, inverse_propensity

NAMES = st.lists(st.sampled_from(["new", "light", "heavy"]), min_size=1, max_size=120)


def totals(segment: list[str], weight: np.ndarray) -> dict[str, float]:
    """What each segment counts for."""
    return {name: float(weight[np.array(segment) == name].sum()) for name in sorted(set(segment))}


@given(NAMES)
def test_segments_count_for_the_same_or_their_rows_for_as_much_as_they_may(segment: list[str]) -> None:
    """All totals are alike but those of segments whose rows are at the cap; the average row counts as before."""
    weight = balanced(np.array(segment))
    assert weight.mean() == pytest.approx(1)
    assert weight.max() <= MOST_BALANCED + 1e-9
    at_cap = {name for name in segment if weight[segment.index(name)] >= MOST_BALANCED - 1e-9}
    free = [total for name, total in totals(segment, weight).items() if name not in at_cap]
    assert free == pytest.approx([free[0]] * len(free))
    assert all(total <= free[0] + 1e-9 for name, total in totals(segment, weight).items() if name in at_cap)


@given(NAMES, st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing(segment: list[str], random: np.random.Generator) -> None:
    """A row's weight follows it."""
    order = list(range(len(segment)))
    random.shuffle(order)
    np.testing.assert_allclose(balanced(np.array(segment)[order]), balanced(np.array(segment))[order])


def test_balance_comes_on_top_of_other_weights() -> None:
    """Within a segment rows keep their proportions; between them the totals are alike."""
    segment, before = ["new", "new", "heavy", "heavy", "heavy"], np.array([1.0, 3.0, 1.0, 1.0, 1.0])
    weight = balanced(np.array(segment), before)
    assert weight[1] == pytest.approx(3 * weight[0])
    assert totals(segment, weight) == {"heavy": pytest.approx(2.5), "new": pytest.approx(2.5)}


def test_a_few_rows_do_not_decide_alone() -> None:
    """One new person's row among a thousand counts five times, not five hundred."""
    weight = balanced(np.array(["new"] + ["heavy"] * 999))
    assert weight[0] == pytest.approx(MOST_BALANCED)
    assert weight[1] == pytest.approx(995 / 999)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=60))
def test_the_rarer_something_was_shown_the_more_it_counts(propensity: list[float | None]) -> None:
    """In proportion to 1 / p up to the cap; an unknown probability counts as 1, and the average row as before."""
    p = np.array([np.nan if one is None else one for one in propensity])
    weight = inverse_propensity(p)
    assert weight.mean() == pytest.approx(1)
    sure = weight / weight.min()
    known = np.where(np.isnan(p), 1.0, p)
    expected = 1 / np.clip(known, 1 / MOST_INVERSE, 1)
    np.testing.assert_allclose(sure, expected / expected.min())
    assert sure.max() <= MOST_INVERSE + 1e-9


def test_nothing_logged_but_certainty_changes_nothing() -> None:
    """Without exploration all is shown for sure, and all rows count alike."""
    assert inverse_propensity(np.ones(4)).tolist() == [1, 1, 1, 1]
    assert inverse_propensity(np.full(4, np.nan)).tolist() == [1, 1, 1, 1]


PARAMS = {**DEFAULTS, "learning_rate": 0.3, "min_child_weight": 1.0, "reg_lambda": 1.0}


def shown(seed: int, rows: int = 20_000) -> tuple[Sample, np.ndarray]:
    """A log whose policy knew who was in the mood, which no feature says, and what chance it gave each row.

    Half of the people are: they engage with anything 0.4 more often. Content 1 engages 0.1 more than content 0; but 0
    was shown to nine in ten of those who were in the mood and to one in ten of the others, and 1 to half of all.
    """
    rng = np.random.default_rng(seed)
    content, mood = rng.integers(0, 2, rows), rng.random(rows) < 0.5
    chance = np.where(content == 1, 0.5, np.where(mood, 0.9, 0.1))
    y = rng.random(rows) < 0.1 + 0.1 * content + 0.4 * mood
    seen = rng.random(rows) < chance
    x = content[seen, None].astype(np.float32)
    return Sample(x, y[seen].astype(np.float32), np.arange(seen.sum())), chance[seen]


def test_propensities_take_the_policy_out_of_what_is_learned() -> None:
    """Unweighted, the worse content looks better, as it was shown to the keen; weighted, each is what it truly is."""
    (training, chance), (validation, other) = shown(1), shown(2)
    contents = np.array([[0], [1]], np.float32)

    def learned(training: Sample, validation: Sample) -> GoalModel:
        return relearn("g", ("content",), training, validation, PARAMS, 1).model

    naive = learned(training, validation)
    weighted = learned(
        *(replace(s, weight=inverse_propensity(p)) for s, p in ((training, chance), (validation, other)))
    )
    assert np.diff(expit(naive.margin(contents))) < -0.05
    assert expit(weighted.margin(contents)) == pytest.approx([0.3, 0.4], abs=0.03)
    calibrated = weighted.predict(validation.x)
    assert calibrated.mean() == pytest.approx(validation.y.mean(), abs=0.01), "rows are calibrated on as they are"


def test_balance_makes_few_people_heard() -> None:
    """Trees with one split to spend find what matters to a tenth of the people, once they count for as much."""
    rng = np.random.default_rng(0)
    new = rng.random(6000) < 0.1
    x = rng.integers(0, 2, (6000, 2)).astype(np.float32)
    p = np.where(new, 0.1 + 0.8 * x[:, 0], 0.3 + 0.2 * x[:, 1])
    rows = Sample(x, (rng.random(6000) < p).astype(np.float32), np.arange(6000))
    weight = balanced(np.where(new, "new", "heavy"))
    params = {**PARAMS, "max_depth": 1, "colsample_bytree": 1.0}

    def effect(weighted: Sample) -> float:
        """How much the feature of the new people moves the log-odds."""
        model = relearn("g", ("a", "b"), weighted, weighted, params, 1).model
        return float(np.diff(model.margin(np.array([[0, 0], [1, 0]], np.float32)))[0])

    assert effect(replace(rows, weight=weight)) > 2 * effect(rows)
