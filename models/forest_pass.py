"""The loops behind `models.forest`: a person after the other, and for each one tree after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from models.products import compiled

Dense = NDArray[np.float32]
Codes = NDArray[Any]
Integers = NDArray[Any]

_inlined: Any = numba.njit(inline="always", cache=True, nogil=True)

STRIP = 512
"""Candidates that are asked together: their codes stay in a processor's nearest caches."""

LANES = 64
"""Candidates that an instruction handles at the most: loops go on to a multiple, over what stood there before."""

TOGETHER = 4
"""Trees whose leaves are added in one go over the candidates."""

LEAF, PERSON, MOVING = 0, 1, 2
"""A split that a person decides for all of her candidates, and one that may fall differently for each of them."""


class Nodes(NamedTuple):
    """All nodes of T trees. `left` and `right` are places among them.

    `column`: a PERSON's feature, or the row of codes of a MOVING. `threshold`: what a PERSON compares with. `cut`: a
    MOVING goes left where the code is less; the number of a LEAF, its value being `leaves[first_leaf[tree] + cut]`.
    `roots` (T,); booster g's trees are `ends[g]` to `ends[g + 1]`; `missing` is the code of what is missing.
    """

    kind: NDArray[np.uint8]
    column: NDArray[np.int32]
    cut: Codes
    threshold: Dense
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    leaves: Dense
    first_leaf: Integers
    roots: Integers
    ends: Integers
    depth: int
    missing: Any


class Cuts(NamedTuple):
    """Thresholds of the features that MOVING nodes ask for, the first `contents` of them features of contents.

    Those of feature `feature[i]` are the first `size[i]` from `start[i]` on; up to 2 x `half[i]` - 1 they are infinite.
    """

    feature: Integers
    contents: int
    threshold: Dense
    start: Integers
    size: Integers
    half: Integers


def coded(values: Dense, cuts: Cuts, at: int, missing: Any) -> Codes:
    """How many thresholds of a feature each value (n,) has reached; `missing` of NaN."""
    codes, places = np.empty((1, len(values)), np.asarray(missing).dtype), np.empty(len(values), np.uint32)
    _code(values, len(values), cuts, at, missing, places, codes, 0)
    found: Codes = codes[0]
    return found


@compiled()  # type: ignore[untyped-decorator]
def log(x: np.float32) -> Any:
    """By the system's mathematical library, as XGBoost takes it: numpy's own differs in the last bit now and then."""
    return np.log(np.float32(x))


@compiled()  # type: ignore[untyped-decorator]
def logit(p: np.float32) -> Any:
    """As XGBoost writes and rounds it."""
    return -np.log(np.float32(np.float32(1) / np.float32(p) - np.float32(1)))


@compiled()  # type: ignore[untyped-decorator]
def add_up(
    nodes: Nodes,
    cuts: Cuts,
    base: Dense,
    people: Dense,
    contents: Codes,
    between: Dense,
    pairs_from: int,
    person: Integers,
    starts: Integers,
    content: Integers,
    position: float,
    out: Dense,
    leaves: Codes,
    column: int,
) -> None:
    """Write the margins of all pairs to `out` (G, N); those of `person[i]` are `starts[i]` to `starts[i + 1]`.

    Their leaves go to `leaves` (T, ...), from a column on, unless it has no rows.
    """
    codes = np.zeros((2 * len(cuts.feature), STRIP), nodes.cut.dtype)
    values, places = np.empty(STRIP, np.float32), np.empty(STRIP, np.uint32)
    chosen = np.zeros((nodes.depth + 1 + TOGETHER, STRIP), nodes.cut.dtype)
    fixed, leaf = np.empty(len(chosen), np.bool_), np.empty(len(chosen), nodes.cut.dtype)
    waiting = np.empty(2 * nodes.depth + 2, np.int32)
    for who in range(len(person)):
        own = people[person[who]]
        for start in range(starts[who], starts[who + 1], STRIP):
            many = min(STRIP, starts[who + 1] - start)
            wide = -(-many // LANES) * LANES
            _open(cuts, contents, between, pairs_from, content, start, many, nodes.missing, values, places, codes)
            for booster in range(len(base)):
                total = out[booster, start : start + many]
                total[:] = base[booster]
                for tree in range(nodes.ends[booster], nodes.ends[booster + 1], TOGETHER):
                    together = min(TOGETHER, nodes.ends[booster + 1] - tree)
                    for at in range(together):
                        _ask(
                            nodes, nodes.roots[tree + at], own, position, codes, chosen, fixed, leaf, waiting, at, wide
                        )
                        if len(leaves) > 0:
                            kept = np.uint64(column + start)  # of other indices the compiler fears they are negative
                            for i in range(many):
                                leaves[tree + at, kept + np.uint64(i)] = chosen[at, i]
                    _add(nodes, tree, together, chosen, total)


@_inlined  # type: ignore[untyped-decorator]
def _open(
    cuts: Cuts,
    contents: Codes,
    between: Dense,
    pairs_from: int,
    content: Integers,
    start: int,
    many: int,
    missing: Any,
    values: Dense,
    places: NDArray[np.uint32],
    codes: Codes,
) -> None:
    """The codes of some candidates, each row twice: what is missing is first more than everything, then less."""
    for i in range(many):
        known = contents[content[start + i]]
        for row in range(cuts.contents):
            codes[2 * row, i] = known[row]
    for row in range(cuts.contents, len(cuts.feature)):
        column = cuts.feature[row] - pairs_from
        for i in range(many):
            values[i] = between[start + i, column]
        _code(values, many, cuts, row, missing, places, codes, 2 * row)
    for row in range(len(cuts.feature)):
        for i in range(many):
            codes[2 * row + 1, i] = codes[2 * row, i] + 1


@compiled()  # type: ignore[untyped-decorator]
def _code(
    values: Dense, many: int, cuts: Cuts, at: int, missing: Any, places: NDArray[np.uint32], codes: Codes, row: int
) -> None:
    """Bisect all values side by side: no step depends on how another's went, so several are done at a time."""
    for i in range(many):
        places[i] = 0
    half = cuts.half[at]
    while half > 0:
        middle = np.uint64(cuts.start[at] + half - 1)
        step = np.uint32(half)
        for i in range(many):
            place = places[i]
            places[i] = place + step if cuts.threshold[np.uint64(place) + middle] <= values[i] else place
        half //= 2
    most = np.uint32(cuts.size[at])
    for i in range(many):
        codes[row, i] = min(places[i], most) if not np.isnan(values[i]) else missing


@_inlined  # type: ignore[untyped-decorator]
def _ask(
    nodes: Nodes,
    root: int,
    own: Dense,
    position: float,
    codes: Codes,
    chosen: Codes,
    fixed: NDArray[np.bool_],
    leaf: Codes,
    waiting: NDArray[np.int32],
    at: int,
    wide: int,
) -> None:
    """Leave in `chosen[at]` which leaf of a tree each candidate comes to.

    Splits wait until both of their sides are known: sides are stacked in `chosen`, from `at` on, or in `leaf` where
    they are a leaf.
    """
    sides, left_to_do = at, 0
    node = root
    while True:
        while nodes.kind[node] != LEAF:
            if nodes.kind[node] == MOVING:
                waiting[left_to_do] = ~node
                waiting[left_to_do + 1] = nodes.right[node]
                left_to_do += 2
                node = nodes.left[node]
            else:
                value = own[nodes.column[node]] if nodes.column[node] < len(own) else position
                left = value < nodes.threshold[node] if not np.isnan(value) else nodes.missing_left[node]
                node = nodes.left[node] if left else nodes.right[node]
        fixed[sides], leaf[sides] = True, nodes.cut[node]
        sides += 1
        while left_to_do > 0 and waiting[left_to_do - 1] < 0:
            left_to_do -= 1
            node = ~waiting[left_to_do]
            _choose(codes, nodes.column[node], nodes.cut[node], chosen, fixed, leaf, sides - 2, sides - 1, wide)
            sides -= 1
            fixed[sides - 1] = False
        if left_to_do == 0:
            break
        left_to_do -= 1
        node = waiting[left_to_do]
    if fixed[at]:
        chosen[at, :] = leaf[at]


@_inlined  # type: ignore[untyped-decorator]
def _add(nodes: Nodes, tree: int, together: int, chosen: Codes, total: Dense) -> None:
    """Add the leaves of some trees, in their order; of four at a time, as looking up is what a tree costs most."""
    leaves, first = nodes.leaves, nodes.first_leaf
    if together == TOGETHER:
        a, b, c, d = first[tree], first[tree + 1], first[tree + 2], first[tree + 3]
        for i in range(len(total)):
            up = total[i] + leaves[a + chosen[0, i]] + leaves[b + chosen[1, i]]
            total[i] = up + leaves[c + chosen[2, i]] + leaves[d + chosen[3, i]]
    else:
        for at in range(together):
            a = first[tree + at]
            for i in range(len(total)):
                total[i] += leaves[a + chosen[at, i]]


@_inlined  # type: ignore[untyped-decorator]
def _choose(
    codes: Codes,
    row: int,
    cut: Any,
    chosen: Codes,
    fixed: NDArray[np.bool_],
    leaf: Codes,
    left: int,
    right: int,
    wide: int,
) -> None:
    """Into `chosen[left]`, for each candidate, the left side where the code is less than `cut`, else the right one.

    Four loops, each of a single kind and over whole strips: compilers make of such 32 candidates an instruction.
    """
    of_left, of_right = leaf[left], leaf[right]
    if fixed[left] and fixed[right]:
        for i in range(wide):
            chosen[left, i] = of_left if codes[row, i] < cut else of_right
    elif fixed[left]:
        for i in range(wide):
            other = chosen[right, i]
            chosen[left, i] = of_left if codes[row, i] < cut else other
    elif fixed[right]:
        for i in range(wide):
            one = chosen[left, i]
            chosen[left, i] = one if codes[row, i] < cut else of_right
    else:
        for i in range(wide):
            one, other = chosen[left, i], chosen[right, i]
            chosen[left, i] = one if codes[row, i] < cut else other
