"""Forward decay: a sum in which every event loses half its weight every half-life, kept as a plain running sum.

Cormode et al. 2009, "Forward decay": instead of ageing what was summed, an event at `ts` is added with the weight
2^((ts - anchor) / half-life), and the sum is multiplied by 2^-((as_of - anchor) / half-life) when it is read. Anchors
lie on a fixed grid of 512 half-lives, so weights fit a double for ever; to move a sum to a later anchor is to multiply
it by a power of two, which is exact. 2^x comes from tables and a polynomial of our own: the C library's differs in its
last bit from one processor to the next, and features are to be the same bytes everywhere.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

from features.jit import inlined

ANCHOR = 512
"""Half-lives from one anchor to the next."""

_COARSE, _FINE = 64, 4096
_LARGEST = 1022


def _powers(step: int) -> NDArray[np.float64]:
    """2^(i / step) for i = 0..63, correctly rounded."""
    with localcontext(prec=40):
        return np.array([float(Decimal(2) ** (Decimal(i) / step)) for i in range(_COARSE)])


_BY_COARSE, _BY_FINE = _powers(_COARSE), _powers(_FINE)
_BY_WHOLE = np.ldexp(np.ones(2 * _LARGEST + 1), np.arange(-_LARGEST, _LARGEST + 1))
_C1, _C2, _C3 = 0.6931471805599453, 0.24022650695910072, 0.05550410866482158
"""ln 2, (ln 2)^2 / 2, (ln 2)^3 / 6: what is left is below 1 / 4096, and its fourth power below a double's last bit."""


@inlined
def power_of_two(x):
    """2^x to a relative 6e-16, by additions and multiplications alone; 0 below 2^-1022, 2^1022 above.

    Five roundings of at most 1.11e-16 each (two entries of tables, the polynomial, two products) and 0.4e-16 left out.
    """
    if x < -_LARGEST:
        return 0.0
    if x >= _LARGEST:
        return _BY_WHOLE[2 * _LARGEST]
    return _power_of_two(x)


@inlined
def _power_of_two(x):
    """The same where it is known to lie between."""
    steps = np.int64(np.floor(x * _FINE))
    rest = x - steps / _FINE
    polynomial = 1.0 + rest * (_C1 + rest * (_C2 + rest * _C3))
    fraction = steps & (_FINE - 1)
    by_fraction = _BY_COARSE[fraction >> 6] * _BY_FINE[fraction & (_COARSE - 1)] * polynomial
    return _BY_WHOLE[(steps >> 12) + _LARGEST] * by_fraction


@inlined
def anchor_of(ts, half_life):
    """The anchor at or before `ts`, an instant; all in microseconds."""
    return ts // (half_life * ANCHOR) * (half_life * ANCHOR)


@inlined
def is_at(ts, anchor, half_life):
    """Whether `anchor` is the anchor of `ts`: quicker than to ask which is."""
    return 0 <= ts - anchor < half_life * ANCHOR


@inlined
def weight(ts, anchor, half_life):
    """2^((ts - anchor) / half-life): what an event at `ts` adds to a sum that is kept at `anchor`."""
    return _power_of_two((ts - anchor) / half_life)


@inlined
def moved(anchor, to, half_life):
    """What a sum at `anchor` is multiplied by to be one at the later anchor `to`: 2^(-512 a step)."""
    steps = (to - anchor) // (half_life * ANCHOR)
    return power_of_two(-float(ANCHOR) * steps) if steps < 3 else 0.0


@inlined
def to_anchor(anchors, at, ts, half_life):
    """Put the anchor of `ts` into `anchors[at]`; returns what sums at the one before it are multiplied by."""
    before = anchors[at]
    if is_at(ts, before, half_life):
        return 1.0
    anchors[at] = anchor_of(ts, half_life)
    return moved(before, anchors[at], half_life)


@inlined
def read(as_of, anchor, half_life):
    """What a sum at `anchor` is multiplied by to be its value at `as_of`."""
    return power_of_two(-(as_of - anchor) / half_life)
