"""The rivals: every setting works on every night, and the blend is of what it says."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings

from models import neighbours, popularity
from models.contenders import BLEND, CONTENDERS, Contender, blend
from models.engagement import Engagement, Shared, standardised
from tests.examples import examples
from tests.models.readings import all_scores, engagement, engagements

RIVALS = (*CONTENDERS, blend({"power": 2.2, "offset_hours": 2.0}, {"half_life_hours": 12.0}))


@settings(max_examples=examples(15))
@given(engagements())
def test_every_setting_ranks_every_night(one: Engagement) -> None:
    """A number for everybody and everything, nights on which nothing ever happened among them."""
    for rival in RIVALS:
        for knobs in rival.settings():
            assert np.isfinite(all_scores(one, rival.scores(one, knobs))).all(), (rival.name, knobs)


def test_settings_are_every_combination_once() -> None:
    """A grid of two and three values has six; without a grid there is one, which sets nothing."""
    wide = Contender("wide", popularity.gravity, {"power": (1.0, 2.0), "offset_hours": (1.0, 2.0, 3.0)})
    assert {tuple(knobs.values()) for knobs in wide.settings()} == {(p, o) for p in (1, 2) for o in (1, 2, 3)}
    assert [list(knobs) for knobs in wide.settings()] == [["power", "offset_hours"]] * 6
    assert list(Contender("plain", popularity.newest).settings()) == [{}]


def test_names_are_unique_and_settings_are_the_ones_that_are_used() -> None:
    """Lists are kept by name, and every setting that is tried changes the scores."""
    assert len({rival.name for rival in RIVALS}) == len(RIVALS)
    rng = np.random.default_rng(0)
    rows = [(int(u), int(i), int(ago)) for u, i, ago in rng.integers([0, 0, 1], [8, 10, 600], (60, 3))]
    one = engagement(rows, 8, 10, rng.integers(1, 900, 10).tolist())
    for rival in RIVALS:
        found = [all_scores(one, rival.scores(one, knobs)).tobytes() for knobs in rival.settings()]
        assert len(set(found)) == len(found) == math.prod(len(values) for values in rival.grid.values()), rival.name


def test_the_blend_mixes_the_two_with_the_settings_that_they_won_with() -> None:
    """`share` is what user-kNN has of it, and only the share is left to choose."""
    one = engagement([(0, 0, 1), (0, 1, 9), (1, 1, 30), (1, 2, 40), (2, 2, 90)], 3, 3, [50, 60, 400])
    mixed = blend({"power": 1.5, "offset_hours": 12.0}, {"half_life_hours": 6.0})
    pull = popularity.gravity(one, 1.5, 12.0).scores(np.arange(3), np.arange(3))
    votes = neighbours.user_knn(one, 6.0).scores(np.arange(3), np.arange(3))
    assert mixed.name == BLEND
    for knobs in mixed.settings():
        share = knobs["share"]
        expected = (1 - share) * standardised(pull) + share * standardised(votes)
        np.testing.assert_allclose(all_scores(one, mixed.scores(one, knobs)), expected, atol=1e-5)
        assert {**knobs, "share": 0} == {"share": 0, "power": 1.5, "offset_hours": 12.0, "half_life_hours": 6.0}


def test_most_popular_and_newest_are_among_the_rivals() -> None:
    """Whatever else is tried, a model is always held against the two that nobody had to tune."""
    one = engagement([(0, 1, 1), (1, 1, 1), (1, 0, 1)], 2, 2, [1, 99])
    found = {rival.name: rival.scores(one, {}) for rival in CONTENDERS if not rival.grid}
    assert set(found) == {"most_popular", "newest"}
    first = {name: int(scores.content.argmax()) for name, scores in found.items() if isinstance(scores, Shared)}
    assert first == {"most_popular": 1, "newest": 0}
