"""What moved a prediction, by theme: XGBoost's own contributions, added up."""

from __future__ import annotations

import numpy as np
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contributions import Contributions, by_xgboost
from models.forest import Forest
from tests.examples import examples
from tests.models.test_forest import OBJECTIVES, WIDTHS, World, booster

FEATURES = sum(WIDTHS) + 1


def by_theme(world: World, boosters: list[xgb.Booster], theme: np.ndarray, workers: int = 1) -> np.ndarray:
    """What ours says of every second pair: (G, N / 2, T); leaves are written in two goes."""
    forest = Forest.of(boosters, *WIDTHS)
    leaves, codes, half = forest.leaves(len(world.person)), forest.contents(world.contents), len(world.person) // 2
    for part in (slice(0, half), slice(half, None)):
        pairs = world.people, codes, world.between[part], world.person[part], world.content[part]
        forest.margins(*pairs, world.position, leaves, part.start)
    asked = Contributions.of(boosters, theme, int(theme.max()) + 1)
    pair = np.arange(0, len(world.person), 2)
    order = np.random.default_rng(0).permutation(len(pair))
    return asked.by_theme(leaves, pair[order], workers)[:, np.argsort(order)]


def finite(world: World) -> World:
    """Without what XGBoost's matrix refuses."""
    for part in (world.people, world.contents, world.between):
        part[np.isinf(part)] = 9
    return world


@settings(max_examples=examples(25))
@given(st.integers(0, 2**32 - 1), st.sampled_from(OBJECTIVES), st.integers(1, 12), st.sampled_from([1, 3]))
def test_contributions_are_xgboosts_own(seed: int, objective: str, depth: int, workers: int) -> None:
    """Of two boosters, features of no theme left out, in any number of threads."""
    world = finite(World(seed, 40, 0.2))
    boosters = [booster(world, rounds, objective=objective, max_depth=depth) for rounds in (1, 12)]
    theme = np.random.default_rng(seed).integers(-1, 4, FEATURES)
    theme[0] = 3
    found = by_theme(world, boosters, theme, workers)
    for one, ours in zip(boosters, found, strict=True):
        data = xgb.DMatrix(world.x[::2], missing=np.nan)
        theirs = one.predict(data, pred_contribs=True, approx_contribs=True)[:, :-1]  # the last is what all begin with
        added = np.stack([theirs[:, theme == each].sum(axis=1) for each in range(4)], axis=1)
        np.testing.assert_allclose(ours, added, atol=2e-5, rtol=1e-4)
        np.testing.assert_allclose(by_xgboost([one], world.x[::2], theme, 4)[0], added, atol=2e-5, rtol=1e-4)


def test_all_themes_together_make_the_margin() -> None:
    """Less what is the same for everybody."""
    world = World(5, 60, 0.1)
    one = booster(world, 20, max_depth=6)
    total = by_theme(world, [one], np.zeros(FEATURES, np.int64))[0, :, 0]
    margin = one.inplace_predict(world.x[::2], predict_type="margin", missing=np.nan)
    rest = margin - total
    np.testing.assert_allclose(rest, rest[0], atol=1e-5)
    assert np.ptp(total) > 0.5
