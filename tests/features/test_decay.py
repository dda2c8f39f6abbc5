"""Forward decay: powers of two of our own, and weights that may be moved from anchor to anchor."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from features.decay import ANCHOR, anchor_of, moved, power_of_two, read, weight
from features.history import DAY

EXPONENTS = st.floats(-1021.9, 1021.9)
TIMES = st.integers(0, 2_000_000_000_000_000)
HALF_LIVES = st.sampled_from([DAY // 24, DAY, 7 * DAY, 30 * DAY])


def true_power(x: float) -> Decimal:
    """2^x to 40 digits."""
    with localcontext(prec=40):
        return Decimal(2) ** Decimal(x)


@given(EXPONENTS)
@example(1.2035860245410959)  # 4.2e-16
def test_powers_of_two_are_right_to_the_last_bits(x: float) -> None:
    """Within 6e-16 of the truth."""
    found, truth = Decimal(power_of_two(x)), true_power(x)
    assert abs(found - truth) <= truth * Decimal("6e-16")


def test_whole_powers_are_exact() -> None:
    """As far as doubles go, and 0 or the largest one beyond."""
    for x in range(-1022, 1023):
        assert power_of_two(float(x)) == np.ldexp(1.0, x)
    assert [power_of_two(x) for x in (-1022.1, -1e300, 1e300)] == [0.0, 0.0, 2.0**1022]


@given(TIMES, st.integers(0, 400), st.floats(0, 1), HALF_LIVES)
def test_what_is_added_and_read_halves_every_half_life(ts: int, halves: int, part: float, half_life: int) -> None:
    """A weight times its reading is 2^(-age / half-life), to 1e-12, whatever anchors lie between."""
    as_of = ts + int((halves + part) * half_life)
    anchor = anchor_of(ts, half_life)
    kept = weight(ts, anchor, half_life)
    truth = float(true_power(-(as_of - ts) / half_life))
    np.testing.assert_allclose(kept * read(as_of, anchor, half_life), truth, rtol=1e-12)
    later = anchor_of(as_of, half_life)
    np.testing.assert_allclose(
        kept * moved(anchor, later, half_life) * read(as_of, later, half_life), truth, rtol=1e-12
    )


@given(TIMES, HALF_LIVES)
def test_anchors_lie_on_a_grid(ts: int, half_life: int) -> None:
    """At or before the time, at most 512 half-lives: a weight is at least 1, and fits a double."""
    anchor = anchor_of(ts, half_life)
    assert anchor % (half_life * ANCHOR) == 0
    assert 0 <= ts - anchor < half_life * ANCHOR
    assert 1.0 <= weight(ts, anchor, half_life) < 2.0**ANCHOR


def test_to_move_a_sum_is_exact() -> None:
    """It is a power of two, and what lies more than two anchors back is nothing."""
    span = DAY * ANCHOR
    assert [moved(3 * span, to * span, DAY) for to in (3, 4, 5, 6, 99)] == [1.0, 2.0**-512, 0.0, 0.0, 0.0]
