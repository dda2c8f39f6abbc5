"""All features together: blind on unchanged people, and seeing what no single feature shows."""

from __future__ import annotations

import numpy as np

from models.domain import told_apart

PEOPLE, ROWS = 400, 4
PERSON = np.repeat(np.arange(PEOPLE), ROWS)
WINDOW = (PERSON >= PEOPLE // 2).astype(int)


def frame(seed: int, together: float = 0.0) -> dict[str, np.ndarray]:
    """Three features, alike within people; the first two move together in the current window, each alone as ever."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(PEOPLE, 3))[PERSON] * np.sqrt(0.3) + rng.normal(size=(len(PERSON), 3)) * np.sqrt(0.7)
    x[:, 1] = np.where(WINDOW == 1, together * x[:, 0] + np.sqrt(1 - together**2) * x[:, 1], x[:, 1])
    return {f"f{at}": column for at, column in enumerate(x.T)}


def test_unchanged_people_are_not_told_apart() -> None:
    """At 5 % no more than some 5 % of unchanged windows, though rows of one person resemble each other."""
    p_values = np.array([told.p_value for seed in range(120) if (told := told_apart(frame(seed), PERSON, WINDOW, 199))])
    assert len(p_values) == 120
    assert (p_values <= 0.05).sum() <= 11  # 6, and two standard errors
    assert 0.4 < p_values.mean() < 0.6


def test_what_moves_together_is_seen() -> None:
    """Two features that agree where they did not: no single one has changed."""
    told = told_apart(frame(1, together=0.9), PERSON, WINDOW)
    assert told is not None
    assert told.auc > 0.6
    assert told.p_value <= 0.001


def test_the_order_of_rows_and_features_does_not_matter() -> None:
    """The same people, read in another order, are told apart as well to the last digit."""
    columns = frame(2, together=0.5)
    order = np.random.default_rng(0).permutation(len(PERSON))
    shuffled = {name: columns[name][order] for name in reversed(columns)}
    assert told_apart(shuffled, PERSON[order], WINDOW[order]) == told_apart(columns, PERSON, WINDOW)


def test_lost_records_tell_nothing_apart() -> None:
    """Half of the values of the current window are lost: told by the hole they leave, unless they are records."""
    columns = frame(5)
    columns["f0"] = np.where((WINDOW == 1) & (PERSON % 2 == 0), np.nan, columns["f0"])
    plain, recorded = (told_apart(columns, PERSON, WINDOW, recorded=names) for names in ((), ("f0",)))
    assert plain is not None
    assert recorded is not None
    assert plain.p_value <= 0.01 < recorded.p_value


def test_with_too_few_nothing_is_claimed() -> None:
    """One feature alone, or a handful of people, is no matter of all features together."""
    columns = frame(3)
    assert told_apart({"f0": columns["f0"]}, PERSON, WINDOW) is None
    few = (PERSON < 10) | (PERSON >= PEOPLE - 10)
    assert told_apart({name: values[few] for name, values in columns.items()}, PERSON[few], WINDOW[few]) is None


def test_of_very_many_people_a_part_is_asked() -> None:
    """A million rows cost what forty thousand do, and find what is there."""
    rng = np.random.default_rng(4)
    person = rng.permutation(60_000)
    window = person % 2
    columns = {"a": rng.normal(size=60_000) + 0.5 * window, "b": rng.normal(size=60_000)}
    told = told_apart(columns, person, window)
    assert told is not None
    assert 0.6 < told.auc < 0.67  # of a shift of half a deviation it is 0.638
