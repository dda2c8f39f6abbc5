"""Metrics against scikit-learn and against answers known by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from models import metrics

LABELLED = st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(LABELLED)
def test_classification_metrics_agree_with_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    """AUC, PR-AUC, log-loss and Brier are scikit-learn's, ties included."""
    y, p = np.array([label for label, _ in rows], float), np.array([score / 10 for _, score in rows])
    assert metrics.auc(y, p) == pytest.approx(reference.roc_auc_score(y, p))
    assert metrics.pr_auc(y, p) == pytest.approx(reference.average_precision_score(y, p))
    assert metrics.log_loss(y, p) == pytest.approx(reference.log_loss(y, p))
    assert metrics.brier(y, p) == pytest.approx(reference.brier_score_loss(y, p))


def test_certain_and_wrong_is_costly_but_finite() -> None:
    """A probability of exactly 0 for what happened gives a large number, not infinity."""
    assert 30 < metrics.log_loss(np.array([1.0]), np.array([0.0])) < 40


@pytest.mark.parametrize("metric", [metrics.auc, metrics.pr_auc, metrics.lift])
def test_without_positives_a_metric_is_nan(metric: object) -> None:
    """A metric that is not defined is NaN: nobody may mistake it for a result."""
    assert callable(metric)
    assert math.isnan(metric(np.zeros(5), np.arange(5.0)))


def test_calibration_error_of_a_known_miscalibration() -> None:
    """Probabilities that are 0.1 too high everywhere have a calibration error of 0.1."""
    y = np.tile([1.0, 0, 0, 0, 0], 300)
    assert metrics.ece(y, np.full(len(y), 0.3)) == pytest.approx(0.1)
    assert metrics.ece(y, np.full(len(y), 0.2)) == pytest.approx(0.0)


def test_reliability_bins_hold_equal_numbers() -> None:
    """Bins have equal mass, so a crowd near 0 does not end up in one bin."""
    p = np.random.default_rng(0).beta(1, 60, 1500)
    table = metrics.reliability(np.zeros(1500), p)
    assert table["rows"].to_pylist() == [100] * 15
    assert table["predicted"].to_pylist() == sorted(table["predicted"].to_pylist())


@given(LABELLED, st.randoms(use_true_random=False))
def test_no_figure_depends_on_the_order_of_tied_rows(rows: list[tuple[bool, int]], random: object) -> None:
    """Shuffling rows, many of them tied, changes neither lift nor gain nor reliability."""
    y, p = np.array([label for label, _ in rows], float), np.array([score / 10 for _, score in rows])
    order = np.array(sorted(range(len(y)), key=lambda _: random.random()))  # type: ignore[attr-defined]
    assert metrics.lift(y[order], p[order]) == pytest.approx(metrics.lift(y, p))
    assert metrics.ece(y[order], p[order]) == pytest.approx(metrics.ece(y, p))


def test_lift_of_a_perfect_ranking_and_of_chance() -> None:
    """With 20 % positives a perfect ranking lifts the best tenth 5 times, and equal scores lift nothing."""
    y = np.repeat([1.0, 0.0], [20, 80])
    assert metrics.lift(y, y) == pytest.approx(5.0)
    assert metrics.lift(y, np.ones(100)) == pytest.approx(1.0)


def test_the_gain_curve_runs_from_nothing_to_everything() -> None:
    """The curve starts at 0, never falls, ends at 1, and reaches everything where the positives end."""
    y = np.repeat([1.0, 0.0], [25, 75])
    curve = metrics.gain_curve(y, y + 0.0)
    gains = curve["gain"].to_numpy()
    assert gains[0] == 0
    assert gains[25] == gains[-1] == pytest.approx(1.0)
    assert (np.diff(gains) >= 0).all()


@given(
    lists=st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 0.5, 1.0])), min_size=2, max_size=15),
        min_size=1,
        max_size=5,
    ),
    k=st.integers(1, 12),
)
def test_ndcg_agrees_with_scikit_learn(lists: list[list[tuple[int, float]]], k: int) -> None:
    """NDCG@k of every group is scikit-learn's, ties at the cut included, and groups do not touch each other."""
    group = np.concatenate([np.full(len(rows), 7 * i + 3) for i, rows in enumerate(lists)])
    score, relevance = np.array([row for rows in lists for row in rows], float).T
    found = metrics.ndcg_by_group(group, score, relevance, k)
    for value, rows in zip(found, lists, strict=True):
        s, r = np.array(rows, float).T
        expected = reference.ndcg_score([r], [s], k=k) if r.any() else math.nan
        assert value == pytest.approx(expected, nan_ok=True)


def test_relevant_content_that_was_not_ranked_counts_against_the_list() -> None:
    """What a person wanted and the list lacked lowers NDCG even where the list is shorter than k."""
    group, relevance = np.zeros(3, int), np.array([1.0, 0.0, 1.0])
    whole = metrics.ndcg_at_k(group, np.array([3.0, 2.0, 1.0]), relevance)
    lacking = metrics.ndcg_at_k(group, np.array([3.0, 2.0, -np.inf]), relevance)
    assert lacking == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert lacking < whole


def test_people_without_outcome_are_left_out_of_the_mean() -> None:
    """NDCG averages over groups in which something was relevant; the others say nothing."""
    group = np.array([1, 1, 2, 2])
    assert metrics.ndcg_at_k(group, np.array([2.0, 1, 2, 1]), np.array([1.0, 0, 0, 0])) == 1.0


def clustered(people: int, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences whose rows repeat their person's value, and the people."""
    owners = np.repeat(np.arange(people), rows)
    return np.random.default_rng(seed).normal(size=people)[owners], owners


def test_the_bootstrap_interval_counts_people_not_rows() -> None:
    """Fifty identical rows a person do not narrow the interval: it is that of the people's mean."""
    values, people = clustered(400, 50, 1)
    found = metrics.bootstrap_difference(values, np.zeros_like(values), people, seed=2)
    half = 1.96 * values[::50].std() / math.sqrt(400)
    assert found.mean == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_the_bootstrap_is_paired() -> None:
    """A constant advantage on wildly different people has an interval without width."""
    values, people = clustered(100, 2, 3)
    found = metrics.bootstrap_difference(100 * values + 0.25, 100 * values, people)
    assert found == pytest.approx((0.25, 0.25, 0.25))


def test_the_bootstrap_ignores_row_order_and_undefined_rows() -> None:
    """Shuffled rows, and rows that are NaN on both sides, leave the interval the same to the last bit."""
    rng = np.random.default_rng(4)
    values, people = rng.normal(size=300), rng.integers(0, 60, 300)
    expected = metrics.bootstrap_difference(values, np.zeros(300), people)
    order = rng.permutation(302)
    more, none, owners = (
        np.append(values, [np.nan] * 2),
        np.append(np.zeros(300), [np.nan] * 2),
        np.append(people, [5, 6]),
    )
    assert metrics.bootstrap_difference(more[order], none[order], owners[order]) == expected


def test_rows_graded_on_one_side_only_are_refused() -> None:
    """A comparison on different rows is no comparison."""
    with pytest.raises(ValueError, match="one side only"):
        metrics.bootstrap_difference(np.array([1.0, np.nan]), np.zeros(2), np.arange(2))
    with pytest.raises(ValueError, match="no row has a value"):
        metrics.bootstrap_difference(np.full(2, np.nan), np.full(2, np.nan), np.arange(2))
