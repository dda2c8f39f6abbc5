"""Compiled trees say what XGBoost says, to the last bit: of any model of ours, about anybody and anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import example, given
from hypothesis import strategies as st

from models.forest import Forest
from models.scorer import rows
from models.trees import CannotCompileError
from tests.features.images import image

WIDTHS = (3, 2, 3)
"""Features of a person, of a content, of a pair."""

OBJECTIVES = (
    "binary:logistic",
    "binary:logitraw",
    "reg:logistic",
    "reg:squarederror",
    "count:poisson",
    "rank:ndcg",
    "rank:pairwise",
)


class World:
    """People, contents and pairs at random, some values missing, some the same as others, some infinite."""

    def __init__(self, seed: int, pairs: int, missing: float, position: float = 1.0) -> None:
        self.rng, self.missing = np.random.default_rng(seed), missing
        self.people, self.contents, self.between = self.values(6, 0), self.values(9, 1), self.values(pairs, 2)
        self.person, self.content = np.sort(self.rng.integers(0, 6, pairs)), self.rng.integers(0, 9, pairs)
        self.position = position

    def values(self, many: int, group: int) -> np.ndarray:
        """Of one of the groups of features, tenths among them: so that thresholds are met as well as passed."""
        found = self.rng.normal(size=(many, WIDTHS[group]))
        found = np.where(self.rng.random(found.shape) < 0.5, np.round(found, 1), found)
        found[self.rng.random(found.shape) < 0.02] = np.inf
        found[self.rng.random(found.shape) < 0.02] = -np.inf
        found[self.rng.random(found.shape) < self.missing] = np.nan
        return found.astype(np.float32)

    @property
    def x(self) -> np.ndarray:
        """The rows put together."""
        return rows(self.people, self.contents, self.between, self.person, self.content, self.position)

    def asked(self, boosters: list[xgb.Booster]) -> np.ndarray:
        """What the compiled boosters say of all pairs."""
        forest = Forest.of(boosters, *WIDTHS)
        codes = forest.contents(self.contents)
        return forest.margins(self.people, codes, self.between, self.person, self.content, self.position)


def booster(world: World, rounds: int, many: int = 400, **params: Any) -> xgb.Booster:
    """Trained on so many other rows of the same kind, with values missing where they tell something."""
    x = np.column_stack([world.values(many, group) for group in range(3)])
    x = np.column_stack([x, np.where(world.rng.random(many) < 0.2, np.nan, world.rng.integers(1, 9, many))])
    score = np.nan_to_num(x, nan=1.5, posinf=3, neginf=-3) @ world.rng.normal(size=x.shape[1])
    y = (score > np.median(score)).astype(np.float32)
    ranked = str(params.get("objective", "")).startswith("rank:")
    data = xgb.DMatrix(np.where(np.isinf(x), 9, x).astype(np.float32), y, qid=np.arange(many) // 8 if ranked else None)
    settings = {"objective": "binary:logistic", "min_child_weight": 0, "learning_rate": 0.2, "nthread": 1, **params}
    return xgb.train({**settings, "seed": int(world.rng.integers(1 << 30))}, data, rounds)


def said(one: xgb.Booster, world: World) -> np.ndarray:
    """XGBoost's own margins."""
    return one.inplace_predict(world.x, predict_type="margin", missing=np.nan)


@given(
    seed=st.integers(0, 2**32 - 1),
    pairs=st.integers(0, 90),
    missing=st.sampled_from([0.0, 0.1, 0.9]),
    position=st.sampled_from([1.0, 7.0, float("nan")]),
    depth=st.integers(1, 12),
    rounds=st.integers(1, 9),
    objective=st.sampled_from(OBJECTIVES),
    lossguide=st.booleans(),
)
@example(
    seed=1953, pairs=81, missing=0.9, position=1.0, depth=2, rounds=1, objective="binary:logistic", lossguide=False
)
@example(seed=1, pairs=40, missing=0.1, position=1.0, depth=12, rounds=9, objective="rank:ndcg", lossguide=True)
def test_margins_are_those_of_xgboost(
    seed: int,
    pairs: int,
    missing: float,
    position: float,
    depth: int,
    rounds: int,
    objective: str,
    lossguide: bool,
) -> None:
    """Any depth, any of our objectives, grown either way, with and without missing values; nothing asked is changed."""
    world = World(seed, pairs, missing, position)
    grown = {"grow_policy": "lossguide", "max_leaves": 2 * depth} if lossguide else {"max_depth": depth}
    one = booster(world, rounds, objective=objective, **grown)
    before = image([world.people, world.contents, world.between, world.person, world.content])
    np.testing.assert_array_equal(world.asked([one])[0], said(one, world))
    assert image([world.people, world.contents, world.between, world.person, world.content]) == before


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5, 1000])
def test_any_number_of_trees(rounds: int) -> None:
    """Also where they are not a multiple of those that are added together; and of several models, each its own sum."""
    world = World(rounds, 60, 0.1)
    ones = [booster(world, many, max_depth=4) for many in (rounds, 3, rounds)]
    for found, one in zip(world.asked(ones), ones, strict=True):
        np.testing.assert_array_equal(found, said(one, world))
    assert len(np.unique(world.asked(ones)[0])) > 1


def test_more_bins_and_leaves_than_a_byte_holds() -> None:
    """Hundreds of thresholds of one feature, and of leaves of one tree."""
    world = World(5, 300, 0.05)
    one = booster(world, 25, 6000, max_depth=0, grow_policy="lossguide", max_leaves=400, max_bin=1024)
    forest = Forest.of([one], *WIDTHS)
    assert forest.nodes.cut.dtype == np.uint16
    assert np.diff(forest.nodes.first_leaf).max() > 256
    assert forest.cuts.size.max() > 255
    assert Forest.of([booster(world, 1, max_depth=2)], *WIDTHS).nodes.cut.dtype == np.uint8
    np.testing.assert_array_equal(world.asked([one])[0], said(one, world))


def test_a_person_may_have_thousands_of_candidates_or_stand_anywhere() -> None:
    """Longer than a strip; and the same answers in any order of the pairs."""
    world = World(7, 3000, 0.1)
    world.person[:] = np.where(np.arange(3000) < 2900, 2, world.person)
    one = booster(world, 5, max_depth=6)
    found = world.asked([one])[0]
    np.testing.assert_array_equal(found, said(one, world))
    order = world.rng.permutation(3000)
    world.person, world.content, world.between = world.person[order], world.content[order], world.between[order]
    np.testing.assert_array_equal(world.asked([one])[0], found[order])


def test_trees_that_never_split_are_their_leaf() -> None:
    """Where nothing could be learned, everybody gets the same."""
    world = World(3, 20, 0.0)
    one = booster(world, 3, gamma=1e9)
    np.testing.assert_array_equal(world.asked([one])[0], said(one, world))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"booster": "dart"}, "booster 'dart'"),
        ({"objective": "reg:gamma"}, None),
        ({"objective": "binary:hinge"}, "objective 'binary:hinge'"),
        ({"objective": "multi:softprob", "num_class": 3}, "objective 'multi:softprob'"),
    ],
)
def test_what_cannot_be_compiled_is_said(params: dict[str, Any], says: str | None) -> None:
    """And what can be, is."""
    world = World(11, 30, 0.0)
    if says:
        one = booster(world, 2, **params)
        with pytest.raises(CannotCompileError, match=says):
            Forest.of([one], *WIDTHS)
    else:
        x = np.column_stack([world.values(50, group) for group in range(3)] + [np.ones(50)])
        data = xgb.DMatrix(np.where(np.isinf(x), 9, x), np.arange(1, 51))
        one = xgb.train(params, data, 5)
        np.testing.assert_array_equal(world.asked([one])[0], said(one, world))


def test_rows_of_another_width_are_refused() -> None:
    """People, contents and pairs are each told how wide they should be."""
    world = World(2, 10, 0.0)
    forest = Forest.of([booster(world, 1)], *WIDTHS)
    with pytest.raises(ValueError, match=r"contents of shape \(9, 1\), expected \(N, 2\)"):
        forest.contents(world.contents[:, :1])
    codes = forest.contents(world.contents)
    with pytest.raises(ValueError, match=r"between of shape \(10, 2\), expected \(N, 3\)"):
        forest.margins(world.people, codes, world.between[:, :2], world.person, world.content, 1.0)
