"""Phrases: a number has its unit, is as long as it has to be, and never says more or less than it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from features.measures import HALF_LIVES
from features.phrases import SPELT_OUT, ago, counted, last, money, noun, number, percent, seconds, span


@pytest.mark.parametrize(
    ("phrase", "value", "said"),
    [
        (number, 12345.0, "12,345"),
        (number, 1234.5, "1,234"),
        (number, 2.345, "2.35"),
        (money, 1234.5, "1,234.50"),
        (percent, 0.0, "0 %"),
        (percent, 0.0001, "less than 0.1 %"),
        (percent, 0.0521, "5.2 %"),
        (percent, 0.623, "62 %"),
        (percent, 0.996, "99.6 %"),
        (percent, 0.99999, "nearly 100 %"),
        (percent, 1.0, "100 %"),
        (span, 0.0, "0 days"),
        (span, 0.5, "12 hours"),
        (span, 1.0, "1 day"),
        (span, 7.0, "7 days"),
        (last, 1, "the last day"),
        (last, 30, "the last 30 days"),
        (ago, 3.0, "3 days ago"),
        (ago, 1.2, "29 hours ago"),
        (ago, 1 / 24, "60 minutes ago"),
        (ago, 1 / 1440, "1 minute ago"),
        (ago, 1e-9, "less than a minute ago"),
        (seconds, 5.25, "5.2 s"),
        (seconds, 59.7, "1 min"),
        (seconds, 260.0, "4 min 20 s"),
        (seconds, 3600.0, "1 h"),
        (seconds, 7500.0, "2 h 5 min"),
    ],
)
def test_a_number_is_said_with_its_unit(phrase: Callable[[float], str], value: float, said: str) -> None:
    """In the largest units that fit, rounded, and never to nothing or all where it is neither."""
    assert phrase(value) == said


def test_rows_are_counted() -> None:
    """None, one and many differ, and some classes of rows have names of their own."""
    assert [counted("click", count) for count in (0, 1, 2)] == ["no clicks", "1 click", "2 clicks"]
    assert [noun("money", count) for count in (1, 2)] == ["order or refund", "orders and refunds"]


def test_every_half_life_is_spelt_out() -> None:
    """A new one has its words, too."""
    assert SPELT_OUT.keys() == HALF_LIVES.keys()
