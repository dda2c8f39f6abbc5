"""Contributions, summed up: they are the log-odds, the largest come first, and colours follow values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from models import shap_summary
from models.classifier import GoalModel, matrix, train

FEATURES = ("strong", "idle", "weak")


def test_contributions_are_the_margin_and_find_what_matters() -> None:
    """A row's contributions sum to its log-odds; what decides comes first, and what does nothing is out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3_000, 3)).astype(np.float32)
    x[:, 1] = 7.0
    x[::9, 2] = np.nan
    y = (rng.random(3_000) < expit(2 * x[:, 0] + 0.3 * np.nan_to_num(x[:, 2]) - 1)).astype(np.float32)
    built = matrix(x[:2_000], FEATURES, y[:2_000])
    booster = train(built, matrix(x[2_000:], FEATURES, y[2_000:], ref=built), {"max_depth": 3}, 30, 5, 0)
    model = GoalModel.of("click", booster, {}, negatives=0.2)
    moved = model.contributions(x[:500])
    assert moved.sum(axis=1) == pytest.approx(model.margin(x[:500]), abs=1e-4)

    found = shap_summary.effects(moved, x[:500], FEATURES, top=12)
    assert [one.name for one in found] == ["strong", "weak"]
    assert found[0].mean == pytest.approx(np.abs(moved[:, 0]).mean())
    assert np.corrcoef(found[0].levels, found[0].contributions)[0, 1] > 0.8
    assert np.isnan(found[1].levels[::9]).all()
    assert shap_summary.strongest(moved[0], 5) == sorted(
        (place for place in range(3) if moved[0, place]), key=lambda place: -abs(moved[0, place])
    )


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    """A column too few would put every name beside another feature's values."""
    with pytest.raises(ValueError, match=r"\(M, F \+ 1\)"):
        shap_summary.effects(np.zeros((5, 3)), np.zeros((5, 3)), FEATURES, 2)


@given(st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(float("nan"))), max_size=30))
def test_levels_follow_values(values: list[float]) -> None:
    """Between 0 and 1, equal for equal values, higher for higher ones, missing for missing ones."""
    levels = shap_summary.levels(np.array(values, np.float64))
    known = [(value, level) for value, level in zip(values, levels.tolist(), strict=True) if not math.isnan(value)]
    assert np.isnan(levels).sum() == len(values) - len(known)
    assert all(0 <= level <= 1 for _, level in known)
    assert all((a < b) == (p < q) for a, p in known for b, q in known)


@given(st.integers(0, 5_000), st.integers(1, 300))
def test_spaced_rows_are_few_and_reach_from_end_to_end(rows: int, most: int) -> None:
    """Never more than asked for, no row twice, the first among them, and the last wherever two fit."""
    found = shap_summary.spaced(rows, most).tolist()
    assert len(found) == min(rows, most) == len(set(found))
    if found:
        assert found[0] == 0
        assert most == 1 or found[-1] == rows - 1
