"""XGBoost's trees as arrays, read from its own JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from models import forest_pass

Dense = NDArray[np.float32]
Floats = NDArray[np.float64]

_BASE: Mapping[str, Callable[[np.float32], float]] = {
    "binary:logistic": forest_pass.logit,
    "reg:logistic": forest_pass.logit,
    "count:poisson": forest_pass.log,
    "reg:gamma": forest_pass.log,
    "reg:tweedie": forest_pass.log,
}
"""What XGBoost makes of its base score before it adds leaves to it, by objective; all others of ours leave it."""

_PLAIN = ("binary:logitraw", "reg:squarederror", "reg:absoluteerror", "rank:ndcg", "rank:map", "rank:pairwise")


class CannotCompileError(ValueError):
    """A booster that has to be asked itself: the message says what it has that a forest does not."""


@dataclass(frozen=True)
class Tree:
    """By node: children, the feature that it asks, what it compares with (of a leaf its value), where missing goes."""

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: Dense
    missing_left: NDArray[np.bool_]
    weight: Floats
    """How much of the training's rows came by (the sum of their second derivatives)."""

    @property
    def leaf(self) -> NDArray[np.bool_]:
        """Which nodes are leaves."""
        return self.left < 0

    @property
    def depth(self) -> int:
        """Splits from the root to the deepest leaf."""
        level, depth = np.zeros(1, np.int64), -1
        while len(level):
            inner = level[~self.leaf[level]]
            level, depth = np.concatenate([self.left[inner], self.right[inner]]), depth + 1
        return depth

    @property
    def expected(self) -> Floats:
        """By node: the mean of the leaves below it, as training's rows weigh them."""
        found, level, levels = self.threshold.astype(np.float64), np.zeros(1, np.int64), []
        while len(level):
            inner = level[~self.leaf[level]]
            levels.append(inner)
            level = np.concatenate([self.left[inner], self.right[inner]])
        for inner in reversed(levels):
            left, right = self.left[inner], self.right[inner]
            found[inner] = (found[left] * self.weight[left] + found[right] * self.weight[right]) / self.weight[inner]
        return found


@dataclass(frozen=True)
class Read:
    """A booster's trees, and what their leaves are added to."""

    trees: list[Tree]
    base: float


def read(booster: xgb.Booster) -> Read:
    """The trees of a booster with one output.

    Raises:
        CannotCompileError: It has categorical splits, several targets, an unknown objective, or is not made of trees.
    """
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective, parameters = learner["objective"]["name"], learner["learner_model_param"]
    if learner["gradient_booster"]["name"] != "gbtree":
        raise CannotCompileError(f"forest: booster {learner['gradient_booster']['name']!r}, expected 'gbtree'.")
    if objective not in _BASE and objective not in _PLAIN:
        raise CannotCompileError(f"forest: objective {objective!r}; known are {', '.join((*_BASE, *_PLAIN))}.")
    base = np.atleast_1d(np.asarray(json.loads(parameters["base_score"]), np.float32))
    if int(parameters["num_class"]) > 1 or int(parameters["num_target"]) > 1 or len(base) > 1:
        raise CannotCompileError("forest: a booster of several classes or targets, expected one.")
    trees = [_tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
    transformed = _BASE[objective](base[0]) if objective in _BASE else base[0]
    return Read(trees, float(transformed))


def _tree(found: Mapping[str, Any]) -> Tree:
    if any(found["split_type"]):
        raise CannotCompileError("forest: a tree with categorical splits.")
    return Tree(
        np.array(found["left_children"], np.int32),
        np.array(found["right_children"], np.int32),
        np.array(found["split_indices"], np.int32),
        np.array(found["split_conditions"], np.float32),
        np.array(found["default_left"], bool),
        np.array(found["sum_hessian"], np.float64),
    )
