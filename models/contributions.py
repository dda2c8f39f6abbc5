"""What moved a prediction: how far each theme of features took it from what is expected of anybody.

On the way down a tree the expected leaf changes at every split; the change is the contribution of the feature that was
asked (Saabas 2014). Contributions of all features add up to the margin less its mean over training, exactly, and are
what XGBoost calls approximate: `pred_contribs=True, approx_contribs=True`. Shapley values share what features do
together more evenly, and cost as much as all the rest of a night.

The way to a leaf is always the same. So what each theme adds on it is a row of a table, and a pair's contributions are
the sum over trees of the rows of the leaves that it came to, which scoring knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from models.products import compiled
from models.trees import Tree, read

WIDE, _TOGETHER = 6, 64
"""Themes at the most, an even number; and pairs that are added up in one go."""

Dense = NDArray[np.float32]
Leaves = NDArray[np.unsignedinteger[Any]]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Contributions:
    """What the ways to all leaves of G boosters add, by theme: (leaves, WIDE), of which the first T are themes.

    The leaves of tree `t` begin at `first[t]`; booster g's trees are `ends[g]` to `ends[g + 1]`.
    """

    added: Dense
    first: Integers
    ends: Integers
    themes: int

    @classmethod
    def of(cls, boosters: Sequence[xgb.Booster], theme: Integers, themes: int) -> Contributions:
        """Read the boosters' trees; `theme` (F,) is the theme of each of their features, of T, or -1 for none.

        Raises:
            CannotCompileError: A booster has categorical splits, several targets or an unknown objective.
            ValueError: There are more than `WIDE` themes.
        """
        if themes > WIDE:
            raise ValueError(f"contributions: {themes} themes, expected at most {WIDE}.")
        found = [read(booster).trees for booster in boosters]
        tables = [_ways(tree, theme, WIDE) for trees in found for tree in trees]
        return cls(
            np.concatenate([np.zeros((0, WIDE)), *tables]).astype(np.float32),
            np.cumsum([0, *(len(table) for table in tables)])[:-1],
            np.cumsum([0, *(len(trees) for trees in found)]),
            themes,
        )

    def by_theme(self, leaves: Leaves, pair: Integers, workers: int = 1) -> Dense:
        """(G, M, T): what each theme adds to each booster's margin of M of N pairs.

        Args:
            leaves: (trees, N) which leaf of each tree each pair comes to, as `Forest.margins` keeps them.
            pair: (M,) places among the N.
            workers: Threads.
        """
        found = np.zeros((len(self.ends) - 1, len(pair), self.themes), np.float32)
        order = np.argsort(pair, kind="stable")  # so that leaves are read one beside the other
        asked = _by_two(self.added), self.first, self.ends, leaves, pair, order

        def add_up(part: tuple[int, int]) -> None:
            ways = np.empty((_TOGETHER, WIDE), np.float32)
            _add_up(*asked, *part, ways.ravel(), _by_two(ways), np.empty(ways.size, np.float32), found)

        parts = pairwise(len(pair) * worker // workers for worker in range(workers + 1))
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(add_up, parts))
        return found


def by_xgboost(boosters: Sequence[xgb.Booster], x: Dense, theme: Integers, themes: int) -> Dense:
    """The same (G, M, T) from XGBoost itself, of rows (M, F), for boosters that cannot be read."""
    found = np.zeros((len(boosters), len(x), themes), np.float32)
    for said, booster in zip(found, boosters, strict=True):
        data = xgb.DMatrix(x, missing=np.nan)
        contributions = booster.predict(data, pred_contribs=True, approx_contribs=True, validate_features=False)
        for feature in np.flatnonzero(theme >= 0):
            said[:, theme[feature]] += contributions[:, feature]
    return found


def _ways(tree: Tree, theme: Integers, themes: int) -> NDArray[np.float64]:
    """(leaves, T), leaves in the order of their nodes."""
    expected, added = tree.expected, np.zeros((len(tree.left), themes))
    level = np.zeros(1, np.int64)
    while len(level):
        inner = level[~tree.leaf[level]]
        of = theme[tree.feature[inner]]
        for children in (tree.left[inner], tree.right[inner]):
            added[children] = added[inner]
            told = of >= 0
            added[children[told], of[told]] += (expected[children] - expected[inner])[told]
        level = np.concatenate([tree.left[inner], tree.right[inner]])
    return added[tree.leaf]


def _by_two(ways: Dense) -> NDArray[np.uint64]:
    """The same memory with two themes a number: that many fewer are handed on."""
    return ways.view(np.uint64)


@compiled()  # type: ignore[untyped-decorator]
def _add_up(
    added: NDArray[np.uint64],
    first: Integers,
    ends: Integers,
    leaves: Leaves,
    pair: Integers,
    order: Integers,
    start: int,
    end: int,
    way: Dense,
    ways: NDArray[np.uint64],
    total: Dense,
    found: Dense,
) -> None:
    """A few pairs at a time, tree by tree: of those of a person the leaves stand close together.

    Ways are laid side by side before they are added, so that an instruction adds eight numbers, whoever's they are.
    `ways` is the memory of `way`, as `added` is two themes a number.
    """
    for begin in range(start, end, _TOGETHER):
        many = min(_TOGETHER, end - begin)
        for booster in range(len(ends) - 1):
            total[:] = 0
            for tree in range(ends[booster], ends[booster + 1]):
                for at in range(many):
                    leaf = np.uint64(first[tree] + leaves[tree, pair[order[begin + at]]])
                    for two in range(WIDE // 2):
                        ways[at, two] = added[leaf, two]
                for at in range(many * WIDE):
                    total[at] += way[at]
            for at in range(many):
                for theme in range(found.shape[2]):
                    found[booster, order[begin + at], theme] = total[at * WIDE + theme]
