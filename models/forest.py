"""XGBoost's trees as flat arrays, for people who are each asked about many contents.

A person's own splits fall the same way for all of her candidates, so for her every tree shrinks to the few splits of
content and pair that are left (partial evaluation). Those are asked of all her candidates at once: values are numbers
of bins between the trees' own thresholds, a byte each, and from the leaves up a split chooses, candidate by candidate,
which of two leaf numbers goes on. Nothing is approximated: leaves are added in XGBoost's order, in single precision,
so margins are XGBoost's to the last bit. Leaf bitmasks (QuickScorer; Lucchese et al., SIGIR 2015) came before: see
docs/decisions/0016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from models import forest_pass
from models.forest_pass import LEAF, MOVING, PERSON, Cuts, Nodes
from models.trees import CannotCompileError, Tree, read

Dense = NDArray[np.float32]
Codes = NDArray[np.unsignedinteger[Any]]
Integers = NDArray[np.int64]

_WIDTHS = (np.uint8, np.uint16)
"""A code is as narrow as the most thresholds of a feature, and the most leaves of a tree, allow."""


@dataclass(frozen=True)
class Forest:
    """The trees of G boosters that read the same rows; `features` are how many of them are the person's, the content's
    and the pair's, in that order, and the position comes last.
    """

    nodes: Nodes
    cuts: Cuts
    base: Dense
    features: tuple[int, int, int]

    @classmethod
    def of(cls, boosters: Sequence[xgb.Booster], people: int, contents: int, pairs: int) -> Forest:
        """Compile boosters whose rows are so many features of people, contents and pairs, and the position.

        Raises:
            CannotCompileError: A booster has categorical splits, several targets, an unknown objective, or trees too
                large; ask XGBoost itself.
        """
        found = [read(booster) for booster in boosters]
        trees = [tree for one in found for tree in one.trees]
        moving = range(people, people + contents + pairs)
        thresholds = _thresholds(trees, people + contents + pairs)
        used = [feature for feature in moving if len(thresholds[feature])]
        leaves = max((int(tree.leaf.sum()) for tree in trees), default=0)
        code = _narrowest(max([len(thresholds[feature]) for feature in used], default=0) + 1, leaves)
        rows = {feature: row for row, feature in enumerate(used)}
        ends = np.cumsum([0, *(len(one.trees) for one in found)])
        return cls(
            _nodes(trees, ends, people, people + contents + pairs, rows, thresholds, code),
            _cuts(used, thresholds, people + contents),
            np.array([one.base for one in found], np.float32),
            (people, contents, pairs),
        )

    def contents(self, contents: Dense) -> Codes:
        """The codes of contents (C, Fc), made once a night, for `margins`: (C, features that any tree reads)."""
        self._check("contents", contents, self.features[1])
        found = np.empty((len(contents), self.cuts.contents), self.nodes.cut.dtype)
        for row, feature in enumerate(self.cuts.feature[: self.cuts.contents]):
            column = np.ascontiguousarray(contents[:, feature - self.features[0]])
            found[:, row] = forest_pass.coded(column, self.cuts, row, self.nodes.missing)
        return found

    def margins(
        self,
        people: Dense,
        contents: Codes,
        between: Dense,
        person: Integers,
        content: Integers,
        position: float,
        leaves: Codes | None = None,
        column: int = 0,
    ) -> Dense:
        """(G, N): what each booster's `inplace_predict(..., predict_type="margin")` says of N pairs.

        Args:
            people: (P, Fp); contents: what `contents` made of (C, Fc); between: (N, Fx).
            person, content: (N,) indices; fastest where all pairs of a person stand together.
            position: Of all; NaN where unknown.
            leaves: (trees, ...) where to write, from `column` on, to which leaf of each tree each pair comes; they are
                numbered in the order of its nodes.
        """
        self._check("people", people, self.features[0])
        self._check("between", between, self.features[2])
        starts = np.concatenate([np.flatnonzero(np.diff(person, prepend=-1)), [len(person)]])
        out = np.empty((len(self.base), len(person)), np.float32)
        forest_pass.add_up(
            self.nodes,
            self.cuts,
            self.base,
            np.ascontiguousarray(people, np.float32),
            np.ascontiguousarray(contents),
            np.ascontiguousarray(between, np.float32),
            self.features[0] + self.features[1],
            person[starts[:-1]],
            starts,
            content,
            np.float32(position),
            out,
            self.leaves(0)[:0] if leaves is None else leaves,
            column,
        )
        return out

    def leaves(self, pairs: int) -> Codes:
        """Where `margins` may write the leaves of so many pairs: (trees, pairs)."""
        return np.empty((len(self.nodes.roots), pairs), self.nodes.cut.dtype)

    @staticmethod
    def _check(what: str, found: NDArray[Any], width: int) -> None:
        if found.ndim != 2 or found.shape[1] != width:
            raise ValueError(f"forest: {what} of shape {found.shape}, expected (N, {width}).")


# ---------------------------------------------------------------- from trees


def _thresholds(trees: Sequence[Tree], features: int) -> list[Dense]:
    """What the trees compare each of so many features with, sorted, each once."""
    if not trees:
        return [np.zeros(0, np.float32)] * features
    feature = np.concatenate([tree.feature[~tree.leaf] for tree in trees])
    threshold = np.concatenate([tree.threshold[~tree.leaf] for tree in trees])
    order = np.argsort(feature, kind="stable")
    ends = np.searchsorted(feature[order], np.arange(features + 1))
    return [np.unique(threshold[order[start:end]]) for start, end in pairwise(ends)]


def _narrowest(codes: int, leaves: int) -> Any:
    """The type that holds so many codes, one for what is missing, and so many leaves."""
    for kind in _WIDTHS:
        if max(codes + 1, leaves) <= np.iinfo(kind).max + 1:
            return kind
    raise CannotCompileError(f"forest: {codes} bins of a feature and {leaves} leaves of a tree are more than 16 bits.")


def _nodes(
    trees: Sequence[Tree],
    ends: Integers,
    people: int,
    position: int,
    rows: Mapping[int, int],
    thresholds: Sequence[Dense],
    code: Any,
) -> Nodes:
    """All nodes of all trees; a node's children are places among all of them."""
    roots = np.cumsum([0, *(len(tree.left) for tree in trees)])
    parts = [_part(tree, people, position, rows, thresholds, code) for tree in trees]
    return Nodes(
        kind=_concatenated([kind for kind, _, _ in parts], np.uint8),
        column=_concatenated([column for _, column, _ in parts], np.int32),
        cut=_concatenated([cut for _, _, cut in parts], code),
        threshold=_concatenated([tree.threshold for tree in trees], np.float32),
        left=_concatenated([tree.left + root for tree, root in zip(trees, roots, strict=False)], np.int32),
        right=_concatenated([tree.right + root for tree, root in zip(trees, roots, strict=False)], np.int32),
        missing_left=_concatenated([tree.missing_left for tree in trees], np.bool_),
        leaves=_concatenated([tree.threshold[tree.leaf] for tree in trees], np.float32),
        first_leaf=np.cumsum([0, *(int(tree.leaf.sum()) for tree in trees)]),
        roots=roots[:-1],
        ends=np.asarray(ends, np.int64),
        depth=max((tree.depth for tree in trees), default=0),
        missing=code(np.iinfo(code).max),
    )


def _part(
    tree: Tree, people: int, position: int, rows: Mapping[int, int], thresholds: Sequence[Dense], code: Any
) -> tuple[NDArray[Any], ...]:
    """By node: its kind; where to look, the person's feature or the row of codes; what to compare a code with.

    A row of codes stands twice, the second time so that what is missing is less than everything. A leaf's `cut` is its
    number.
    """
    own = (tree.feature < people) | (tree.feature == position)
    kind = np.where(tree.leaf, LEAF, np.where(own, PERSON, MOVING)).astype(np.uint8)
    column, cut = tree.feature.copy(), np.zeros(len(kind), code)
    column[tree.feature == position] = people
    cut[tree.leaf] = np.arange(tree.leaf.sum())
    for node in np.flatnonzero(kind == MOVING):
        feature, later = int(tree.feature[node]), bool(tree.missing_left[node])
        column[node] = 2 * rows[feature] + later
        cut[node] = np.searchsorted(thresholds[feature], tree.threshold[node]) + 1 + later
    return kind, column, cut


def _cuts(used: Sequence[int], thresholds: Sequence[Dense], pairs_from: int) -> Cuts:
    """Thresholds of the features that trees read, each filled up to one less than a power of two, for bisection."""
    sizes = np.array([len(thresholds[feature]) for feature in used], np.int64)
    half = np.array([1 << (int(size).bit_length() - 1) for size in sizes], np.int64)
    filled = [
        np.concatenate([thresholds[feature], np.full(2 * most - 1 - size, np.inf, np.float32)])
        for feature, most, size in zip(used, half.tolist(), sizes.tolist(), strict=True)
    ]
    return Cuts(
        feature=np.array(used, np.int64),
        contents=int(np.searchsorted(used, pairs_from)),
        threshold=_concatenated(filled, np.float32),
        start=np.cumsum([0, *(2 * half - 1)])[:-1],
        size=sizes,
        half=half,
    )


def _concatenated(parts: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind, copy=False)
