"""Data that went missing: a jump is seen at once, chance and slow decay are not, and nobody learns from it."""

from __future__ import annotations

import numpy as np
import pytest

from models.bursts import bursts

PERSON = np.repeat(np.arange(600), 3)
WINDOW = (PERSON >= 400).astype(int)


def lost(share: float, before: float = 0.1, seed: int = 0) -> np.ndarray:
    """Whole people's rows are at fault: a share of them now, another before."""
    rng = np.random.default_rng(seed)
    return (rng.random(600)[PERSON] < np.where(WINDOW == 1, share, before)).astype(bool)


def test_a_jump_is_a_burst() -> None:
    """From a tenth of the rows to three tenths; the column beside it is as it was."""
    found = bursts({"broken": lost(0.3), "as ever": lost(0.1, seed=1)}, PERSON, WINDOW)
    assert [(one.name, one.burst) for one in found] == [("as ever", False), ("broken", True)]
    assert found[1].reference == pytest.approx(0.1, abs=0.05)
    assert found[1].current == pytest.approx(0.3, abs=0.08)


def test_fewer_faults_are_no_burst() -> None:
    """A repaired export holds nothing back."""
    assert not bursts({"repaired": lost(0.0, before=0.5)}, PERSON, WINDOW)[0].burst


def test_a_rise_that_is_too_small_to_matter_is_none() -> None:
    """Two points in a hundred are certain with so many rows, and no fault."""
    person = np.arange(40_000)
    window = person % 2
    faults = np.random.default_rng(0).random(40_000) < np.where(window, 0.12, 0.10)
    (found,) = bursts({"a little": faults}, person, window)
    assert found.adjusted <= 0.01
    assert not found.burst


def test_chance_is_no_burst() -> None:
    """Of 100 unchanged nights with a few people hardly one is held back, though their rows are at fault together."""
    small = PERSON % 20 == 0
    alarms = sum(
        one.burst
        for seed in range(100)
        for one in bursts(
            {"a": lost(0.3, before=0.3, seed=seed)[small]}, PERSON[small], WINDOW[small], permutations=199
        )
    )
    assert alarms <= 3  # 1 % of 100, and two standard errors


def test_an_empty_window_is_refused() -> None:
    """Nobody to compare with is an error."""
    with pytest.raises(ValueError, match="0 rows in the reference"):
        bursts({"a": np.zeros(3, bool)}, np.arange(3), np.ones(3, int))
