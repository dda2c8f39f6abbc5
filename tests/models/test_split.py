"""Splits by global time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.split import MOST, split_nights
from tests.examples import examples

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def daily(count: int) -> list[datetime]:
    """One midnight a day."""
    return [START + n * DAY for n in range(count)]


@settings(max_examples=examples(100))
@given(
    hours=st.lists(st.integers(0, 2000), min_size=1, max_size=60),
    horizon=st.integers(1, 200),
    shares=st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45)),
)
def test_no_outcome_of_a_group_is_open_when_the_next_begins(
    hours: list[int], horizon: int, shares: tuple[float, float]
) -> None:
    """Whatever the nights, every group is known before the next one starts, or the split is refused."""
    nights, mature = [START + timedelta(hours=h) for h in hours], timedelta(hours=horizon)
    try:
        split = split_nights(nights, mature, *shares)
    except ValueError:
        # Three nights, each a horizon after the one before, are all it takes: none may exist.
        first = min(nights)
        second = min((n for n in nights if n >= first + mature), default=None)
        assert second is None or not any(n >= second + mature for n in nights)
        return
    assert split.train
    assert max(split.train) + mature <= min(split.validation)
    assert max(split.validation) + mature <= min(split.test)
    assert max(split.test) == max(nights)


def test_sizes_follow_the_shares_and_the_gap_belongs_to_nobody() -> None:
    """Of 60 nights with a 3-day horizon, 9 test, 9 validate, and 2 nights fall into each gap."""
    split = split_nights(daily(60), 3 * DAY)
    assert (len(split.train), len(split.validation), len(split.test)) == (38, 9, 9)
    assert split.validation == tuple(daily(60)[40:49])


@given(
    count=st.integers(3, 400),
    horizon=st.integers(1, 3),
    shares=st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45)),
)
def test_enough_is_held_out_and_no_more(count: int, horizon: int, shares: tuple[float, float]) -> None:
    """However many nights there are, `MOST` are enough to judge on, and training gets all others but the gaps."""
    if count < 2 * horizon + 1:
        return
    split = split_nights(daily(count), horizon * DAY, *shares)
    held_out = (len(split.validation), len(split.test))
    assert max(held_out) <= MOST
    if count > 2 * MOST + 2 * horizon:  # room for both groups and more: none of them had to shrink
        assert held_out == tuple(min(max(1, round(share * count)), MOST) for share in shares)
    assert split.train == tuple(daily(count)[: count - sum(held_out) - 2 * (horizon - 1)])


def test_of_a_year_a_fortnight_each_is_held_out() -> None:
    """The newest 14 test, the 14 before a gap validate: shares of 15 % would have made training two months older."""
    split = split_nights(daily(365), 3 * DAY)
    assert split.test == tuple(daily(365)[351:])
    assert split.validation == tuple(daily(365)[335:349])
    assert split.train == tuple(daily(365)[:333])


def test_a_horizon_of_one_step_drops_no_night() -> None:
    """A daily outcome is known at the next midnight, so daily nights lose nothing to the gap."""
    split = split_nights(daily(10), DAY)
    assert split.train + split.validation + split.test == tuple(daily(10))


def test_order_and_repetition_do_not_matter() -> None:
    """The same nights in another order, some of them twice, give the same split."""
    nights = daily(30)
    assert split_nights([*nights[::-1], *nights[:7]], 2 * DAY) == split_nights(nights, 2 * DAY)


def test_groups_shrink_before_training_is_left_empty() -> None:
    """Where a long horizon eats most nights, validation and test get smaller rather than training nothing."""
    split = split_nights(daily(20), 8 * DAY, 0.3, 0.3)
    assert split.train
    assert len(split.validation) == len(split.test) == 2


def test_too_few_nights_are_refused_with_both_numbers() -> None:
    """The message says how many nights there are and how many it takes."""
    with pytest.raises(ValueError, match="found 6 nights, needed 7 at this cadence"):
        split_nights(daily(6), 3 * DAY)
    assert split_nights(daily(7), 3 * DAY).train == (START,)


@pytest.mark.parametrize(
    ("horizon", "validation", "test"), [(timedelta(0), 0.1, 0.1), (DAY, 0.0, 0.1), (DAY, 0.5, 0.5)]
)
def test_settings_that_make_no_sense_are_refused(horizon: timedelta, validation: float, test: float) -> None:
    """A horizon of nothing, or shares that leave no training, do not pass silently."""
    with pytest.raises(ValueError, match="split_nights"):
        split_nights(daily(30), horizon, validation, test)
