"""How many contents of a group stand in a list, and whether there is room for more. For compiled loops."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

_inlined: Any = numba.njit(inline="always", cache=True, nogil=True)


@_inlined  # type: ignore[untyped-decorator]
def counters(groups: Integers) -> Integers:
    """Of every group (codes, G) how many of its contents stand in a list: none yet."""
    codes = 0
    for row in range(groups.shape[0]):
        for group in range(groups.shape[1]):
            codes = max(codes, groups[row, group] + 1)
    return np.zeros((codes, groups.shape[1]), np.int64)


@_inlined  # type: ignore[untyped-decorator]
def room(content: int, groups: Integers, full: Integers, most: Integers) -> bool:
    """Whether none of a content's groups is full."""
    found = True
    for group in range(groups.shape[1]):
        code = groups[content, group]
        if code >= 0 and full[code, group] >= most[group]:
            found = False
    return found


@_inlined  # type: ignore[untyped-decorator]
def count(content: int, groups: Integers, full: Integers, more: int) -> None:
    """Count a content in, or out, of its groups."""
    for group in range(groups.shape[1]):
        code = groups[content, group]
        if code >= 0:
            full[code, group] += more
