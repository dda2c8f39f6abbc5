"""Rolling origins: no fold knows what a later one is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rolling import Spread, origins, spread, spreads
from models.split import MOST, split_nights

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def daily(count: int) -> list[datetime]:
    """One midnight a day."""
    return [START + n * DAY for n in range(count)]


@given(
    hours=st.lists(st.integers(0, 1500), min_size=1, max_size=50),
    horizon=st.integers(1, 100),
    folds=st.integers(1, 6),
)
def test_no_label_of_a_fold_is_open_when_the_next_one_is_tested(hours: list[int], horizon: int, folds: int) -> None:
    """Whatever the nights: groups mature one before the other, folds too, or it is refused for want of nights."""
    nights, mature = [START + timedelta(hours=h) for h in hours], timedelta(hours=horizon)
    try:
        found = origins(nights, mature, folds)
    except ValueError:
        first, chain = min(nights), 0  # nights each a horizon after the one before: as many as that are all it takes
        while first is not None:
            chain, first = chain + 1, min((n for n in nights if n >= first + mature), default=None)  # type: ignore[assignment]
        assert chain < folds + 2
        return
    assert len(found) == folds
    for split in found:
        assert max(split.train) + mature <= min(split.validation)
        assert max(split.validation) + mature <= min(split.test)
    for earlier, later in pairwise(found):
        assert max(earlier.test) + mature <= min(later.test)
        assert set(earlier.train) < set(later.train)
    assert len({(len(split.validation), len(split.test)) for split in found}) == 1
    assert max(found[-1].test) == max(nights)
    assert origins(nights[::-1] * 2, mature, folds) == found


def test_one_fold_is_the_split_of_a_training() -> None:
    """Judging once, as of now, is what a training does."""
    assert origins(daily(60), 3 * DAY, 1) == (split_nights(daily(60), 3 * DAY),)


def test_groups_shrink_before_training_has_nothing_left() -> None:
    """Of 60 nights a fold tests nine; six folds of nine leave no room, so each tests fewer; never more than `MOST`."""
    assert [len(split.test) for split in origins(daily(60), DAY, 4)] == [9] * 4
    assert [len(split.test) for split in origins(daily(60), DAY, 6)] == [8] * 6
    assert [len(split.test) for split in origins(daily(400), DAY, 2)] == [MOST] * 2


def test_too_many_folds_are_refused_with_what_they_would_take() -> None:
    """The message says how many nights there are and how many would do, and that many do."""
    with pytest.raises(ValueError, match=r"found 12 nights, needed 13 at this cadence.*3 to test on"):
        origins(daily(12), 3 * DAY, 3)
    assert [len(split.test) for split in origins(daily(13), 3 * DAY, 3)] == [1] * 3
    with pytest.raises(ValueError, match="folds=0"):
        origins(daily(12), DAY, 0)


def test_spread_is_of_what_there_is() -> None:
    """A fold without a figure counts for nothing; one fold has no spread, none no mean."""
    assert spread([1.0, None, 3.0, float("nan")]) == Spread(2.0, pytest.approx(2**0.5), 2)
    assert spread([0.5]) == Spread(0.5, None, 1)
    assert spread([None]) is None
    found = spreads([{"a": 1.0, "b": None}, {"a": 3.0, "c": 0.0}])
    assert list(found) == ["a", "c"]
    assert (found["a"].mean, found["c"].folds) == (2.0, 1)
