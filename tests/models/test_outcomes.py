"""Figures of a night by segment: who is few is not told of, and what is not defined is left out."""

from __future__ import annotations

import numpy as np
import pytest

from models.outcomes import Lists, Promises


def test_segments_of_eleven_people_have_figures_of_their_own() -> None:
    """The mean over a segment's lists; ten people, and whoever has no segment, only count among everybody."""
    person = np.arange(30)
    segment = np.array(["loyal"] * 11 + ["new"] * 10 + [""] * 9, object)
    ndcg = np.where(person < 11, 0.6, 0.2)
    found = list(Lists(person, segment, {"ndcg_10": ndcg}, np.full(30, 0.1)).figures())
    by_segment = {one.segment: one for one in found if one.metric == "ndcg_10.lift"}
    assert set(by_segment) == {None, "loyal"}
    assert by_segment["loyal"].value == pytest.approx(6)
    assert by_segment["loyal"].n == 11
    assert by_segment[None].value == pytest.approx((11 * 6 + 19 * 2) / 30)
    assert by_segment[None].low < by_segment[None].value < by_segment[None].high


def test_what_is_not_defined_is_no_figure() -> None:
    """Where nothing was reached there is no AUC, and beside most-popular lists that reached nothing no ratio."""
    person = np.repeat(np.arange(12), 2)
    names = {
        one.metric for one in Promises("read", person, np.full(24, "", object), np.full(24, 0.1), person < 0).figures()
    }
    assert names == {"read.ece", "read.log_loss", "read.expected", "read.observed"}
    lists = Lists(np.arange(3), np.full(3, "", object), {"ndcg_10": np.ones(3)}, np.zeros(3))
    assert {one.metric for one in lists.figures()} == {"ndcg_10", "ndcg_10.most_popular", "ndcg_10.difference"}
    nobody = np.zeros(0, np.int64)
    assert list(Promises("read", nobody, nobody.astype(object), nobody * 1.0, nobody).figures()) == []
