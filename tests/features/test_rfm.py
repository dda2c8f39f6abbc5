"""RFM: scores from learned cut-points, and segments."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.rfm import RAW, SCORES, SEGMENTS, cut_points, scores, segments

NAN = float("nan")


def table(recency: list[float], frequency: list[float], monetary: list[float], tenure: float = 99.0) -> pa.Table:
    """Raw values of some people."""
    return pa.table(dict(zip(RAW, (recency, frequency, monetary), strict=True))).append_column(
        "tenure_days", pa.array([tenure] * len(recency))
    )


def test_cut_points_are_quintiles_of_all_training_nights_together() -> None:
    """1..10 over two nights, with one value missing, is cut at 2.8, 4.6, 6.4 and 8.2."""
    first = table([1.0, 3, 5, 7, 9], [1.0] * 5, [0.0] * 5)
    second = table([2.0, 4, 6, 8, 10, NAN], [1.0] * 6, [0.0] * 6)
    cuts = cut_points([first, second])
    assert cuts["rfm_recency_days"] == pytest.approx([2.8, 4.6, 6.4, 8.2])
    assert cuts["rfm_frequency_90d"] == [1.0]


def test_nobody_gives_no_cut_points() -> None:
    """Where a value is known of nobody, there is nothing to cut."""
    assert cut_points([table([NAN], [NAN], [NAN])]) == {name: [] for name in RAW}


def test_intervals_are_closed_on_the_right() -> None:
    """A value that equals a cut-point belongs to the lower class."""
    cuts = {name: [1.0, 2.0, 3.0, 4.0] for name in RAW}
    values = [0.0, 1.0, 1.0001, 2.0, 3.0, 4.0, 4.0001]
    found = scores(table(values, values, values), cuts)
    assert found["f_score"].to_pylist() == [1, 1, 2, 2, 3, 4, 5]
    assert found["r_score"].to_pylist() == [5, 5, 4, 4, 3, 2, 1]


def test_tied_cut_points_still_reach_five() -> None:
    """Where most people have the same value, the others are still told apart from them."""
    cuts = cut_points([table([1.0] * 5, [0.0, 0.0, 0.0, 0.0, 7.0], [0.0] * 3 + [5.0, 9.0])])
    found = scores(table([1.0] * 2, [0.0, 7.0], [0.0, 9.0]), cuts)
    assert found["f_score"].to_pylist() == [1, 5]
    assert found["m_score"].to_pylist() == [1, 5]


def test_what_is_not_known_has_no_score() -> None:
    """Somebody who never did anything gets no recency score, rather than the worst or the best."""
    found = scores(table([NAN], [0.0], [0.0]), {name: [1.0] for name in RAW})
    assert np.isnan(found["r_score"][0].as_py())
    assert found["f_score"].to_pylist() == [1]


VALUES = st.lists(st.one_of(st.integers(-3, 9).map(float), st.floats(-1e6, 1e6)), min_size=1, max_size=30)


@given(learned=VALUES, seen=VALUES)
def test_scores_follow_values_and_equal_people_have_equal_scores(learned: list[float], seen: list[float]) -> None:
    """More is never worse (for recency: never better), within 1..5, whatever nights the cut-points were learned on."""
    cuts = cut_points([table(learned, learned, learned)])
    people = table(seen, seen, seen)
    found = {name: np.array(scores(people, cuts)[name].to_pylist()) for name in SCORES}
    order = np.argsort(seen)
    for name in ("f_score", "m_score"):
        assert (np.diff(found[name][order]) >= 0).all()
    assert (np.diff(found["r_score"][order]) <= 0).all()
    assert set(np.concatenate(list(found.values()))) <= {1, 2, 3, 4, 5}
    for i, value in enumerate(seen):
        assert {found["f_score"][j] for j, other in enumerate(seen) if other == value} == {found["f_score"][i]}


@pytest.mark.parametrize(
    ("tenure", "r", "f", "segment"),
    [
        (6.9, 1, 1, "new"),
        (7.0, 5, 4, "champions"),
        (99, 3, 3, "loyal"),
        (99, 5, 3, "loyal"),
        (99, 4, 2, "recent"),
        (99, 3, 2, "regular"),
        (99, 2, 3, "at risk"),
        (99, 2, 2, "dormant"),
        (99, NAN, 1, "regular"),
    ],
)
def test_segments(tenure: float, r: float, f: float, segment: str) -> None:
    """Each combination of tenure, recency and frequency has its name."""
    scored = pa.table({"r_score": [float(r)], "f_score": [float(f)], "m_score": [1.0]})
    found = segments(table([1.0], [1.0], [0.0], tenure), scored).to_pylist()
    assert found == [segment]
    assert segment in SEGMENTS
