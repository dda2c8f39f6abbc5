"""The grid: what it says it tries is what is tried."""

from __future__ import annotations

import numpy as np
import pytest

from models import grid
from models.learning import Budget, Sample, learn
from models.tuning import DEFAULTS, SPACE


def test_every_point_could_have_been_found_by_the_search() -> None:
    """Each combination once, none outside of the search's space, and all but the grid's parameters at the defaults."""
    points = grid.points(3)
    assert len({tuple(sorted(point.items())) for point in points}) == len(points) == 24
    for point in points:
        assert set(point) == set(SPACE)
        assert all(SPACE[name]._contains(SPACE[name].to_internal_repr(value)) for name, value in point.items())
        assert {name: point[name] for name in set(SPACE) - set(grid.GRID)} == {
            name: DEFAULTS[name] for name in set(SPACE) - set(grid.GRID)
        }


def test_the_seed_decides_only_the_order() -> None:
    """A budget that ends early sees other points with another seed, and the same ones with the same."""
    assert grid.points(1) == grid.points(1)
    assert grid.points(1) != grid.points(2)
    assert sorted(map(repr, grid.points(1))) == sorted(map(repr, grid.points(2)))


def test_a_search_tries_the_defaults_and_then_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a budget of all points nothing else is tried, and no point twice."""
    monkeypatch.setattr(grid, "GRID", {"max_depth": (2, 3), "reg_lambda": (20.0, 50.0)})
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1)).astype(np.float32)
    rows = Sample(x, (rng.random(300) < 1 / (1 + np.exp(-x[:, 0]))).astype(np.float32), np.arange(300))
    points = grid.points(5)
    assert {**DEFAULTS} in points
    found = learn("g", ("a",), rows, rows, Budget(4, 60, 5, known=points)).trials
    assert len(found) == 4
    assert [trial.params["max_depth"] for trial in found[:1]] == [DEFAULTS["max_depth"]]
    assert sorted(repr(sorted(trial.params.items())) for trial in found) == sorted(
        repr(sorted(point.items())) for point in points
    )
