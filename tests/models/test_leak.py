"""The leak alarm: the answer put in as a feature is found, whatever it is dressed as; honest features are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models import leak, metrics

ROWS, NAMES = 4000, ("answer", "honest", "noise")


@pytest.fixture(scope="module")
def y() -> np.ndarray:
    """One row in twelve engaged."""
    return (np.random.default_rng(5).random(ROWS) < 1 / 12).astype(np.float64)


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    """Ten rows a person."""
    return np.arange(ROWS) // 10


def features(y: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """`answer`, a feature that knows much (AUC 0.92), and one that knows nothing."""
    rng = np.random.default_rng(6)
    return np.column_stack([answer, 2 * y + rng.normal(size=ROWS), rng.normal(size=ROWS)]).astype(np.float32)


def found(answer: np.ndarray, y: np.ndarray, people: np.ndarray) -> list[str]:
    """The names of the leaks."""
    return [one.feature for one in leak.leaks(features(y, answer), NAMES, y, people)]


def test_the_label_as_a_feature_is_named(y: np.ndarray, people: np.ndarray) -> None:
    """Only it, and the message has its AUC."""
    (one,) = leak.leaks(features(y, y), NAMES, y, people)
    assert (one.feature, one.auc) == ("answer", 1.0)
    assert str(one) == "answer (AUC 1.0000 by itself)"


@pytest.mark.parametrize("dress", ["negative", "noisy", "missing unless engaged", "missing where engaged", "rank"])
def test_the_label_in_disguise_is_named(dress: str, y: np.ndarray, people: np.ndarray) -> None:
    """A lower AUC than 0.02, a value that only the engaged have, or lack, and a blurred answer are leaks, too."""
    rng = np.random.default_rng(7)
    answers = {
        "negative": -y,
        "noisy": y + rng.normal(scale=0.2, size=ROWS),
        "missing unless engaged": np.where(y > 0, rng.normal(size=ROWS), np.nan),
        "missing where engaged": np.where(y > 0, np.nan, rng.normal(size=ROWS)),
        "rank": np.argsort(np.argsort(y, kind="stable")),
    }
    assert found(answers[dress], y, people) == ["answer"]


def test_honest_features_are_not_named(y: np.ndarray, people: np.ndarray) -> None:
    """Not even a strong one, a constant, one that is missing everywhere, or one that is missing at random."""
    rng = np.random.default_rng(8)
    for answer in (np.ones(ROWS), np.full(ROWS, np.nan), np.where(rng.random(ROWS) < 0.5, 1.0, np.nan)):
        assert found(answer, y, people) == []
    aucs = leak.single_feature_auc(features(y, np.ones(ROWS)), NAMES, y)
    assert aucs["answer"] == 0.5
    assert 0.9 < aucs["honest"] < 0.95
    assert abs(aucs["noise"] - 0.5) < 0.06


def test_several_are_named_the_most_telling_first(y: np.ndarray, people: np.ndarray) -> None:
    """Of two leaks the stronger one comes first."""
    rng = np.random.default_rng(9)
    x = np.column_stack([y + rng.normal(scale=0.25, size=ROWS), -y])
    assert [one.feature for one in leak.leaks(x, ("blurred", "plain"), y, people)] == ["plain", "blurred"]


@pytest.mark.parametrize("engaged", [0, 1, 29])
def test_too_few_engagements_accuse_nobody(engaged: int, people: np.ndarray) -> None:
    """With less than LEAST_POSITIVES nothing is judged, and one class alone has no AUC."""
    y = (np.arange(ROWS) % 130 == 0) & (np.arange(ROWS) < 130 * engaged)
    assert y.sum() == engaged
    assert found(y.astype(np.float64), y, people) == []


def test_a_few_busy_people_accuse_nobody(people: np.ndarray) -> None:
    """All engagements are of three people: what singles them out is not the answer."""
    y = people < 3
    assert found(y.astype(np.float64), y, people) == []
    assert found(y.astype(np.float64), y, np.arange(ROWS)) == ["answer"]


def test_one_class_has_no_auc() -> None:
    """Nothing to tell apart."""
    assert np.isnan(leak.single_feature_auc(np.ones((5, 1)), ["a"], np.zeros(5))["a"])


@given(
    arrays.arrays(np.int8, st.integers(2, 40), elements=st.integers(0, 4)),
    st.integers(0, 2**40 - 1),
)
def test_it_is_the_auc_of_metrics(values: np.ndarray, bits: int) -> None:
    """With ties, and with 0 for missing: the farther from one half of both ends, as `metrics.auc` has it."""
    y = np.array([bits >> i & 1 for i in range(len(values))])
    x = np.where(values == 0, np.nan, values)[:, None]
    (auc,) = leak.single_feature_auc(x, ["a"], y).values()
    ends = [metrics.auc(y, np.where(values == 0, end, values)) for end in (-1, 9)]
    if y.min() == y.max():
        assert np.isnan(auc)
    else:
        assert auc in (pytest.approx(ends[0]), pytest.approx(ends[1]))
        assert abs(auc - 0.5) == pytest.approx(max(abs(end - 0.5) for end in ends))


def test_a_sample_of_rows_is_enough(monkeypatch: pytest.MonkeyPatch, y: np.ndarray) -> None:
    """Where there are more rows than are ranked, the AUC moves by no more than chance allows."""
    x = features(y, y)
    whole = leak.single_feature_auc(x, NAMES, y)
    monkeypatch.setattr(leak, "MOST", 200)
    sampled = leak.single_feature_auc(x, NAMES, y)
    assert sampled["answer"] == 1.0
    assert sampled["honest"] == pytest.approx(whole["honest"], abs=0.05)
