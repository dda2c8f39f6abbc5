"""The drift gate: silent on unchanged people, however their rows lie; loud on a change that matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from models import drift
from models.drift import Histograms

Log = tuple[np.ndarray, np.ndarray, np.ndarray]


def log(seed: int, reference: tuple[int, int], current: tuple[int, int], shared: bool = False, icc: float = 0.3) -> Log:
    """Values, person and window of unchanged data: (people, rows a person) in each window, correlated within people."""
    rng = np.random.default_rng(seed)
    owners = [np.repeat(np.arange(reference[0]), reference[1]), np.repeat(np.arange(current[0]), current[1])]
    person = np.concatenate([owners[0], owners[1] + (0 if shared else reference[0])])
    window = np.repeat([0, 1], [len(owners[0]), len(owners[1])])
    level = rng.normal(size=person.max() + 1) * np.sqrt(icc)
    return level[person] + rng.normal(size=len(person)) * np.sqrt(1 - icc), person, window


@pytest.mark.parametrize(
    ("reference", "current", "shared", "icc"),
    [((200, 10), (200, 10), False, 0.3), ((200, 30), (200, 1), True, 0.0), ((75, 20), (75, 5), False, 0.3)],
    ids=["other people", "the same people, a month against a day", "uneven windows"],
)
def test_unchanged_data_rarely_alarm(
    reference: tuple[int, int], current: tuple[int, int], shared: bool, icc: float
) -> None:
    """At 5 % no more than some 5 % of unchanged windows alarm, though rows of one person resemble each other."""
    alarms = 0
    for seed in range(200):
        values, person, window = log(seed, reference, current, shared, icc)
        found = drift.check({"score": values}, person, window, permutations=199, q=0.05, floor=0.0, seed=seed)
        alarms += found.features[0].p_value <= 0.05
    assert alarms <= 16  # 5 % of 200, and two standard errors


def test_a_shift_of_a_third_of_a_deviation_in_one_feature_is_found() -> None:
    """One feature of ten moves by 0.3 standard deviations: it alone is named."""
    frame = {}
    for n in range(10):
        values, person, window = log(n, (500, 10), (300, 10))
        frame[f"f{n}"] = values + (0.3 * window if n == 4 else 0)
    found = drift.check(frame, person, window)
    assert [f.name for f in found.features if f.drifted] == ["f4"]
    assert found.drifted
    assert (found.people_reference, found.people_current) == (500, 300)


def test_a_change_too_small_to_matter_is_no_drift() -> None:
    """A shift that is certain but tiny stays below the floor."""
    values, person, window = log(0, (4000, 5), (4000, 5), icc=0.0)
    found = drift.check({"score": values + 0.08 * window}, person, window).features[0]
    assert found.adjusted <= 0.01
    assert found.psi < 0.02
    assert not found.drifted


def test_of_two_nights_the_mean_is_held_against_the_floor() -> None:
    """What was certain on both nights counts by its mean: one night's estimate may fall below the floor, or rise."""
    values, person, window = log(0, (4000, 5), (4000, 5), icc=0.0)
    frame = {"score": values + 0.08 * window, "same": values}

    def twice(before: dict[str, float], floor: float = 0.02) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = drift.check(frame, person, window, before=before, floor=floor)
        return found.twice, found.moved

    small = drift.check(frame, person, window).beyond_chance
    assert list(small) == ["score"]
    assert small["score"] < 0.02
    assert twice({"score": 0.04 - small["score"] + 1e-6}) == (("score",), ("score",))
    assert twice({"score": 0.04 - small["score"] - 1e-6}) == ((), ())
    assert twice({"same": 9.0, "another": 9.0}) == ((), ()), "chance explains tonight's"
    assert twice({}, floor=0.0) == ((), ("score",)), "nobody saw it on the night before"
    assert twice({"score": 0.0}, floor=small["score"]) == ((), ("score",)), "tonight it is large, on average not"


def test_missing_values_and_new_values_are_changes() -> None:
    """More missing values, and a value that the reference never held, both count as drift."""
    _, person, window = log(1, (300, 4), (300, 4))
    absent = np.where((window == 1) & (person % 4 == 0), np.nan, 1.0)
    found = drift.check(
        {"absent": absent, "new": np.where(window == 1, 5.0, 0.0), "same": np.zeros(len(window))}, person, window
    )
    assert [f.drifted for f in found.features] == [True, True, False]
    assert found.features[2].psi == 0
    assert found.features[2].p_value == 1


def test_rows_in_another_order_give_the_same_p_values() -> None:
    """The result belongs to the data, not to the order that they were read in."""
    values, person, window = log(2, (100, 5), (80, 5))
    order = np.random.default_rng(0).permutation(len(values))
    frame = {"b": values, "score": values**2}
    shuffled = {name: column[order] for name, column in frame.items()}
    expected = drift.check(frame, person, window)
    assert drift.check(shuffled, person[order], window[order]) == expected
    assert [f.name for f in expected.features] == ["score", "b"]


def test_a_feature_s_p_value_does_not_depend_on_the_others() -> None:
    """All features meet the same flips: alone or among others, the same value."""
    values, person, window = log(3, (100, 5), (80, 5))
    frame = {"a": values, "b": -values + window, "c": np.round(values)}
    whole = {f.name: f.p_value for f in drift.check(frame, person, window, permutations=5000).features}
    for name, column in frame.items():
        alone = drift.check({name: column}, person, window, permutations=5000).features[0]
        assert alone.p_value == whole[name]


def test_one_drifted_feature_among_many_can_pass_the_correction() -> None:
    """The number of permutations grows with the number of features; else the smallest p-value could never pass."""
    values, person, window = log(4, (200, 3), (200, 3))
    frame = {f"f{n}": np.roll(values, 3 * n) for n in range(30)} | {"moved": values + window}
    drifted = [f for f in drift.check(frame, person, window, permutations=100).features if f.drifted]
    assert [f.name for f in drifted] == ["moved"]
    assert drifted[0].p_value < 0.01 / 30


def test_an_empty_window_is_refused() -> None:
    """Nobody to compare with is an error, not the absence of drift."""
    with pytest.raises(ValueError, match="0 people in the reference"):
        drift.check({"score": np.ones(3)}, np.arange(3), np.ones(3))


def test_psi_of_two_known_histograms() -> None:
    """The index is the textbook sum, up to half a row a bin; bins that nobody uses change nothing."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])
    textbook = ((q - p) * np.log(q / p)).sum()
    assert drift.psi(1e7 * p, 1e6 * q) == pytest.approx(textbook, rel=1e-4)
    assert drift.psi(np.append(1e3 * p, 0), np.append(1e2 * q, 0)) == pytest.approx(float(drift.psi(1e3 * p, 1e2 * q)))


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=80),
    st.booleans(),
    st.booleans(),
)
def test_every_value_has_a_bin(values: list[float], categorical: bool, recorded: bool) -> None:
    """Whatever the reference, every value is counted once, in its window: a missing one too, unless it was recorded."""
    column = np.array([*values, np.nan, np.inf, -np.inf])
    person, window = np.arange(len(column)) % 3, np.arange(len(column)) % 2
    found = Histograms.of(column, person, 3, window, categorical=categorical, recorded=recorded)
    counted = ~np.isnan(column) if recorded else np.ones(len(column), bool)
    assert found.counts.shape == (3, 2, len(found.bins))
    assert np.array_equal(found.counts.sum(axis=(0, 2)), np.bincount(window[counted], minlength=2))
    if not recorded:
        assert found.counts.sum(axis=(0, 1))[-1] == np.isnan(column).sum()


@given(st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0]), max_size=80), st.integers(2, 12))
def test_edges_rise(values: list[float], bins: int) -> None:
    """No two edges are the same, and there are no more than were asked for."""
    edges = drift.quantile_edges(np.array([*values, np.nan, np.inf]), bins)
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= bins + 1


def test_deciles_cut_a_continuous_reference_evenly() -> None:
    """Without ties every bin holds a tenth of the reference."""
    values = np.random.default_rng(0).permutation(1000).astype(float)
    found = Histograms.of(values, np.zeros(1000, int), 1, np.zeros(1000, int))
    assert found.counts[0, 0].tolist() == [100] * 10 + [0]


def test_common_categories_have_a_bin_each_and_rare_ones_share_the_last() -> None:
    """The 20 commonest of the reference; one that it never held is "other"."""
    values = np.array([*np.repeat(np.arange(25), np.arange(25, 0, -1)), 99.0])
    window = np.append(np.zeros(len(values) - 1, int), 1)
    found = Histograms.of(values, np.zeros(len(values), int), 1, window, categorical=True)
    assert found.bins == (*map(str, range(20)), "other", "missing")
    assert found.counts[0, 0].tolist() == [*range(25, 5, -1), 1 + 2 + 3 + 4 + 5, 0]
    assert found.counts[0, 1].tolist() == [0] * 20 + [1, 0]


def test_categories_that_change_places_are_drift() -> None:
    """Two categories swap their shares: the sum of all numbers hardly moves, and it is found."""
    rng = np.random.default_rng(7)
    person = np.repeat(np.arange(800), 5)
    window = (person >= 500).astype(int)
    kind = np.where(
        rng.random(4000) < np.where(window, 0.2, 0.5), 0.0, np.where(window, 1.0, 2.0) * (1 + rng.integers(0, 2, 4000))
    )
    found = drift.check({"kind": kind, "other": rng.random(4000)}, person, window, categorical=["kind"])
    assert "kind" in found.moved


def test_missing_records_are_no_drift() -> None:
    """What a company's records lost is a fault of the data: the values that are there are alike."""
    values, person, window = log(1, (300, 4), (300, 4))
    lost = np.where((window == 1) & (person % 2 == 0), np.nan, values)
    assert "crm" in drift.check({"crm": lost}, person, window).moved
    assert not drift.check({"crm": lost}, person, window, recorded=["crm"]).moved


def test_the_score_and_what_matters_have_more_of_the_rate() -> None:
    """Weights are 0.8 on average, an important feature has more than another, and the score a quarter of all."""
    values, person, window = log(2, (60, 2), (60, 2))
    frame = {"score": values, "much": values, "little": values}
    found = {f.name: f.weight for f in drift.check(frame, person, window, importance={"much": 9, "little": 1}).features}
    assert found["score"] == pytest.approx(4 * 0.25)
    assert found["much"] == pytest.approx(4 * 0.4 * (0.5 + 0.9) / 2)
    assert found["little"] == pytest.approx(4 * 0.4 * (0.5 + 0.1) / 2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_values_agree_with_scipy(p_values: list[float]) -> None:
    """The false discovery correction is the published one."""
    assert drift.benjamini_hochberg(np.array(p_values)) == pytest.approx(false_discovery_control(p_values))


def test_weights_share_out_the_rate() -> None:
    """A hypothesis of weight 2 is adjusted half as much; weights of 1 change nothing."""
    p_values = np.array([0.01, 0.02, 0.5])
    assert drift.benjamini_hochberg(p_values, np.ones(3)).tolist() == drift.benjamini_hochberg(p_values).tolist()
    assert drift.benjamini_hochberg(p_values, np.array([2, 0.5, 0.5]))[0] == pytest.approx(0.01 / 2 * 3)


def test_the_test_of_one_feature_is_reproducible() -> None:
    """A seed determines the p-value, and its smallest value is 1 / (permutations + 1)."""
    values, person, window = log(5, (100, 4), (100, 4))
    counts = Histograms.of(values + 3 * window, person, 200, window).counts
    index, p_value = drift.permutation_tests([counts], 99, seed=1)
    assert (index, p_value) == drift.permutation_tests([counts], 99, seed=1)
    assert p_value[0] == pytest.approx(1 / 100)
