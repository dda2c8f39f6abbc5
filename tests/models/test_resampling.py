"""Figures of drawn people: what `models.metrics` says of the same rows written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import metrics, resampling
from models.resampling import Draws, interval

ROWS = st.lists(st.tuples(st.booleans(), st.integers(1, 6), st.integers(0, 4)), min_size=1, max_size=40)
"""Outcome, score with many ties, and whose row it is."""


def columns(rows: list[tuple[bool, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, scores and people."""
    y, score, people = (np.array(column) for column in zip(*rows, strict=True))
    return y.astype(float), score / 10, people


@given(ROWS, st.integers(0, 3))
def test_a_draw_is_the_rows_of_the_people_drawn(rows: list[tuple[bool, int, int]], seed: int) -> None:
    """AUC, PR-AUC, lift and means of every draw are those of its rows, each as often as its person was drawn."""
    y, score, people = columns(rows)
    draws = Draws.of(people, draws=4, seed=seed)
    figures, means, totals = draws.figures(y, score), draws.means(y), draws.totals(np.column_stack([y, score]))
    cell = people % 3
    cells, distinct = draws.cells(y, cell, 3), draws.distinct((10 * score).astype(np.int64))
    assert draws.ece(y, score)[0] == pytest.approx(metrics.ece(y, score))
    times = next(draws._times(1))
    assert (times[:, 0] == 1).all()
    assert (times.sum(axis=0) == len(set(people.tolist()))).all()
    for draw in range(5):
        again = np.repeat(np.arange(len(y)), times[draws.owner, draw].astype(int))
        for name, metric in (("auc", metrics.auc), ("pr_auc", metrics.pr_auc), ("lift_10", metrics.lift)):
            assert figures[name][draw] == pytest.approx(metric(y[again], score[again]), nan_ok=True), name
        assert means[draw] == pytest.approx(y[again].mean())
        assert cells[draw] == pytest.approx(np.bincount(cell[again], y[again], 3))
        assert distinct[draw] == len(set(score[again].tolist()))
        assert totals[draw] == pytest.approx([y[again].sum(), score[again].sum()])


def test_large_and_small_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few cells fit at a time, every draw comes to the same, but for rounding."""
    rng = np.random.default_rng(0)
    y, score, people = rng.random(500) < 0.2, rng.random(500), rng.integers(0, 60, 500)
    whole = Draws.of(people, draws=30).figures(y, score)
    monkeypatch.setattr(resampling, "_CELLS", 700)
    pieces = Draws.of(people, draws=30).figures(y, score)
    for name in resampling.FIGURES:
        assert pieces[name] == pytest.approx(whole[name], abs=1e-12)


def test_the_interval_holds_what_it_is_an_interval_of() -> None:
    """About 19 of 20 intervals of samples hold the AUC of the population."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        people = np.repeat(np.arange(80), 5)
        y = rng.random(400) < 0.3
        score = rng.normal(size=400) + y  # AUC of two normals one apart: 0.7602
        found = interval(Draws.of(people, draws=100).figures(y, score)["auc"])
        held += found.low <= 0.7602 <= found.high
    assert 51 <= held <= 60


def test_without_both_outcomes_there_is_no_auc() -> None:
    """NaN, with no interval made up around it."""
    found = interval(Draws.of(np.arange(20)).figures(np.zeros(20), np.arange(20))["auc"])
    assert np.isnan(found).all()
