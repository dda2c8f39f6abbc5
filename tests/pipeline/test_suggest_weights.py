"""The rows that weights are looked for on and judged on; and that a value counts wherever a weight does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from models import scorer
from pipeline import grade, suggest_weights
from pipeline.build_features import NO_CRM, NightFeatures, goals_of
from pipeline.compare import Contest
from pipeline.rows import Rows
from tests.pipeline.lakes import NIGHT, archive, config_in, fortnight
from tests.pipeline.test_tell_examples import NAMES, rows


def contest(found: Rows, **more: Any) -> Contest:
    """As much of one as is asked for."""
    data = SimpleNamespace(validation=found, lists=found, vocabulary=NO_CRM)
    made = {
        "data": data,
        "config": SimpleNamespace(goals={"click": None}),
        "bundle": SimpleNamespace(models={"click": 1}),
    }
    return cast("Contest", SimpleNamespace(**{**made, **more}))


def test_weights_are_looked_for_as_if_everything_stood_at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the lists that people get: at the place where it was shown, a row would be sorted by that place."""
    found = rows()
    before, asked = found.x.copy(), []

    def predictions(_: object, x: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        asked.append(x)
        return {"click": np.arange(len(x), dtype=np.float64)}

    monkeypatch.setattr(suggest_weights, "predictions", predictions)
    lists = suggest_weights._searched(contest(found))
    at = NAMES.index(scorer.POSITION)
    np.testing.assert_array_equal(found.x, before)
    known = ~np.isnan(asked[0][:, at])
    assert 0 < known.sum() < len(known)
    assert set(asked[0][known, at]) == {scorer.TOP}
    kept = np.flatnonzero(np.isin(found.group, np.unique(found.group[found.labels["click"] > 0])))
    np.testing.assert_array_equal(np.delete(asked[0], at, 1), np.delete(before[kept], at, 1))
    np.testing.assert_array_equal(lists.labels["click"], found.labels["click"][kept])
    listed = np.random.default_rng(0).random(found.size)
    judged = suggest_weights._judged(contest(found, listed={"click": listed}))
    np.testing.assert_array_equal(judged.p["click"], listed[kept])


def test_of_one_goal_nothing_is_suggested() -> None:
    """There is nothing to weigh it against."""
    assert suggest_weights.suggestions(contest(rows())) == ()


def test_what_one_is_worth_counts_in_what_people_wanted(tmp_path: Path) -> None:
    """Grades are of weight x value; no model has to be learned anew for either."""
    plain = config_in(tmp_path)
    goals = {**plain.goals, "read": plain.goals["read"].model_copy(update={"value": 8.0})}
    dear = plain.model_copy(update={"goals": goals})
    assert (dear.goals["read"].worth, plain.goals["read"].worth) == (4.0, 0.5)
    assert goals_of(dear) == goals_of(plain)
    found = NightFeatures.of(archive(fortnight(), plain).night(NIGHT), plain)
    before, after = (grade.wanted(found, archive(fortnight(), one), one) for one in (plain, dear))
    gained = (after - before).data
    assert len(gained) > 0
    np.testing.assert_allclose(gained, 3.5)
