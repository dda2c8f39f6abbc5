"""Calibrated probabilities mean what they say and never reorder people."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, logit

from models.calibration import EDGE, IDENTITY, Calibration, fit
from models.metrics import ece, log_loss

PROBABILITIES = hnp.arrays(np.float64, st.integers(2, 60), elements=st.floats(0, 1, width=32))


def rows(n: int, seed: int, distort: object = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions that `distort` spoiled, labels drawn from the true probabilities, and people with five rows each."""
    rng = np.random.default_rng(seed)
    true = rng.beta(1, 6, n)
    p = distort(true) if callable(distort) else true
    return p, (rng.random(n) < true).astype(float), rng.integers(0, n // 5, n)


@given(p=PROBABILITIES, data=st.data(), method=st.sampled_from(["isotonic", "platt"]))
def test_calibration_never_reverses_two_rows(p: np.ndarray, data: st.DataObject, method: str) -> None:
    """Whatever it was fitted to, a higher score never gets a lower probability, and none is 0 or 1."""
    y = data.draw(hnp.arrays(np.float64, len(p), elements=st.sampled_from([0.0, 1.0])))
    calibration = fit(p, y, np.arange(len(p)), method)  # type: ignore[arg-type]
    fine = np.unique(np.concatenate([np.linspace(0, 1, 2001), p, np.nextafter(p, 0), np.nextafter(p, 1)]))
    applied = calibration.apply(fine)
    assert (np.diff(applied) >= 0).all()
    assert applied.min() >= EDGE
    assert applied.max() <= 1 - EDGE


@pytest.mark.parametrize("method", ["isotonic", "platt", "auto"])
def test_an_overconfident_model_is_corrected_on_new_people(method: str) -> None:
    """Margins that are twice too large are brought back on rows that calibration never saw."""

    def twice(p: np.ndarray) -> np.ndarray:
        return np.asarray(expit(2 * logit(np.clip(p, 1e-9, 1)) + 1))

    calibration = fit(*rows(20_000, 1, twice), method)  # type: ignore[arg-type]
    p, y, _ = rows(20_000, 2, twice)
    assert ece(y, p) > 0.05
    assert ece(y, calibration.apply(p)) < 0.012


def test_platt_recovers_the_line_that_spoiled_the_scores() -> None:
    """Scores of slope 2 and intercept 1 are undone by slope 1/2 and intercept -1/2."""
    p, y, people = rows(50_000, 3, lambda true: expit(2 * logit(np.clip(true, 1e-6, 1)) + 1))
    calibration = fit(p, y, people, "platt")
    assert calibration.slope == pytest.approx(0.5, abs=0.03)
    assert calibration.intercept == pytest.approx(-0.5, abs=0.06)


def test_a_bent_curve_is_given_to_isotonic() -> None:
    """Where no logistic line fits and positives abound, `auto` takes isotonic, and the log-loss proves it right."""
    p, y, people = rows(20_000, 4, lambda true: np.where(true < 0.15, true, 0.85 + 0.15 * true))
    auto = fit(p, y, people)
    assert auto.method == "isotonic"
    assert log_loss(y, auto.apply(p)) < log_loss(y, fit(p, y, people, "platt").apply(p))


def test_few_positives_are_given_to_platt() -> None:
    """With a handful of positives an isotonic curve would follow noise."""
    p, y, people = rows(300, 5, lambda true: np.where(true < 0.15, true, 0.85 + 0.15 * true))
    assert y.sum() < 100
    assert fit(p, y, people).method == "platt"


def test_one_person_cannot_vouch_for_another() -> None:
    """With all rows of one person there is nobody to choose on, so the simpler kind is taken."""
    p, y, _ = rows(5_000, 6)
    assert fit(p, y, np.zeros(5_000)).method == "platt"


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_night_of_one_outcome_gives_a_finite_answer(label: float) -> None:
    """When nobody (or everybody) engaged, the probability is small (or large) but not impossible."""
    p = np.linspace(0.01, 0.4, 200)
    mean = fit(p, np.full(200, label), np.arange(200)).apply(p).mean()
    assert abs(mean - label) == pytest.approx(1 / 202, rel=0.05)


def test_rounding_at_a_knot_does_not_reverse_two_rows() -> None:
    """Plain interpolation overshoots this knot by its last bit; ours does not."""
    knots = Calibration("isotonic", x=(0.0008962595282760288, 0.018711935231686017), y=(0.0, 0.20159089911030326))
    below = np.nextafter(knots.x[1], 0)
    assert (np.diff(knots.apply(np.array([below, knots.x[1]]))) >= 0).all()


@given(p=PROBABILITIES, data=st.data())
def test_platt_reaches_its_optimum(p: np.ndarray, data: st.DataObject) -> None:
    """However odd the rows, the mean probability is that of Platt's smoothed labels, as it is at the optimum."""
    y = data.draw(hnp.arrays(np.float64, len(p), elements=st.sampled_from([0.0, 1.0])))
    positives, negatives = y.sum(), len(y) - y.sum()
    expected = (positives * (positives + 1) / (positives + 2) + negatives / (negatives + 2)) / len(y)
    assert fit(p, y, np.arange(len(p)), "platt").apply(p).mean() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_json_keeps_every_bit(method: str) -> None:
    """A calibration read back from its text gives the same probabilities exactly."""
    p, y, people = rows(2_000, 7)
    calibration = fit(p, y, people, method)  # type: ignore[arg-type]
    again = Calibration.from_json(calibration.to_json())
    assert again == calibration
    assert np.array_equal(again.apply(p), calibration.apply(p))


def test_row_order_does_not_matter_and_inputs_stay() -> None:
    """Shuffled rows give the same calibration to the last bit, and nothing is changed in place."""
    p, y, people = rows(3_000, 8)
    before = (p.copy(), y.copy(), people.copy())
    order = np.random.default_rng(0).permutation(3_000)
    assert fit(p[order], y[order], people[order]) == fit(p, y, people)
    assert all(np.array_equal(now, then) for now, then in zip((p, y, people), before, strict=True))


def test_the_identity_changes_nothing() -> None:
    """A model that was not calibrated gives its own probabilities."""
    p = np.linspace(0.001, 0.999, 500)
    assert IDENTITY.apply(p) == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize(
    ("p", "y", "words"),
    [
        ([0.1, np.nan], [0, 1], "missing or outside"),
        ([0.1, 2.0], [0, 1], "outside 0..1"),
        ([0.1, 0.2], [0, 2], "label"),
    ],
)
def test_rows_that_cannot_be_calibrated_are_refused(p: list[float], y: list[float], words: str) -> None:
    """Margins, missing values and open outcomes are named, not fitted."""
    with pytest.raises(ValueError, match=words):
        fit(np.array(p), np.array(y), np.arange(2))
