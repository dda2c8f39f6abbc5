"""The history of a search: the best so far never gets worse, and is never a pruned trial's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import search_history
from models.search_history import LEAST
from models.tuning import TrialRecord


def trial(number: int, value: float | None, state: str = "complete", **params: float) -> TrialRecord:
    """A trial of which only these matter."""
    return TrialRecord(number, params, value, state, 10, 1.0)


@given(st.lists(st.tuples(st.sampled_from(["complete", "pruned", "fail"]), st.none() | st.floats(0, 1)), max_size=20))
def test_the_best_so_far_is_the_least_whole_value_so_far(trials: list[tuple[str, float | None]]) -> None:
    """It never rises, begins with the first whole trial, and every trial that has a value has its point."""
    points = search_history.history([trial(n, value, state) for n, (state, value) in enumerate(trials)])
    assert [one.number for one in points] == [n for n, (_, value) in enumerate(trials) if value is not None]
    for one in points:
        so_far = [value for state, value in trials[: one.number + 1] if state == "complete" and value is not None]
        assert one.best == (min(so_far) if so_far else None)
        assert one.whole == (trials[one.number][0] == "complete")


def planted(count: int) -> list[TrialRecord]:
    """Trials of which the learning rate decides all."""
    rng = np.random.default_rng(0)
    drawn = [(float(rng.uniform(0.02, 0.15)), int(rng.integers(2, 7))) for _ in range(count)]
    return [
        trial(n, 0.2 + abs(math.log(rate / 0.05)), learning_rate=rate, max_depth=depth, device=0.0)
        for n, (rate, depth) in enumerate(drawn)
    ]


def test_the_setting_that_decides_is_found() -> None:
    """It comes first with nearly all of the importance; what never varies is not in the list."""
    found = search_history.importances(planted(LEAST))
    assert isinstance(found, dict)
    assert list(found) == ["learning_rate", "max_depth"]
    assert found["learning_rate"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_too_few_trials_are_told_in_words() -> None:
    """Noise is not shown: pruned trials do not count, and where all came to the same there is nothing to tell."""
    few = [*planted(LEAST - 1), trial(90, 0.1, "pruned", learning_rate=0.1, max_depth=3, device=0.0)]
    assert search_history.importances(few) == "29 whole trials: which setting mattered can be told from 30 on."
    alike = [trial(one.number, 0.5, **one.params) for one in planted(LEAST)]
    assert search_history.importances(alike) == "All whole trials came to the same: no setting mattered."
