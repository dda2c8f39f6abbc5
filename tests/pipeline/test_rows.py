"""Rows of past nights: scored, joined, chosen, known by content and night, and how much each counts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features import rfm, spec
from pipeline.config import Config
from pipeline.rebuild import rebuild
from pipeline.rows import joined
from pipeline.training_rows import to_learn
from tests.features.images import image
from tests.pipeline.lakes import FIRST, NIGHT, Tables, archive, config_in, fortnight, rebuilt, tables

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The fortnight's settings: goals that mature in 1, 2 and 3 days."""
    return config_in(tmp_path_factory.mktemp("rows"))


# ---------------------------------------------------------------- rows of several nights


def test_scores_are_filled_in_and_nothing_else(config: Config) -> None:
    """The RFM columns get the scores of the given cut-points; the rows that were there stay as they were."""
    rows = rebuilt(fortnight(), config).shown
    before = image(rows)
    goals = tuple(config.goals)
    at = [spec.names(goals).index(name) for name in rfm.SCORES]
    assert np.isnan(rows.x[:, at]).all()
    cuts = rfm.cut_points([rebuilt(fortnight(), config).people])
    scored = rows.scored(cuts, goals)
    expected = rfm.scores(pa.table(list(rows.raw.T), names=list(rfm.RAW)), cuts)
    np.testing.assert_array_equal(scored.x[:, at], np.column_stack([np.asarray(expected[name]) for name in rfm.SCORES]))
    rest = np.delete(np.arange(rows.x.shape[1]), at)
    np.testing.assert_array_equal(scored.x[:, rest], rows.x[:, rest])
    assert image(rows) == before


def test_nights_are_joined_in_order_and_lists_stay_apart(config: Config) -> None:
    """A person on two nights has two lists: no group number is used twice."""
    nights = rebuild(archive(fortnight(), config), [NIGHT, NIGHT + DAY], config, lists=False)
    parts = [night.shown for night in nights]
    whole = joined(parts)
    assert whole.size == sum(part.size for part in parts)
    np.testing.assert_array_equal(whole.x, np.concatenate([part.x for part in parts]))
    np.testing.assert_array_equal(whole.labels["read"], np.concatenate([part.labels["read"] for part in parts]))
    first, second = np.split(whole.group, [parts[0].size])
    assert not set(first) & set(second)
    assert len(set(whole.group)) == sum(len(set(part.person)) for part in parts)


def test_rows_know_their_content_and_their_night(config: Config) -> None:
    """Joined to other nights, of which one is empty and one knew other contents; chosen; scored: each row is its own's.

    It costs a row four bytes.
    """
    nothing = rebuilt(tables(events=[{"ts": FIRST, "person": 1, "content_id": "c01"}]), config, FIRST + DAY).shown
    other = rebuilt(shown_with({(1, "c02"): [(1, 0.5)], (2, "c01"): [(1, 0.1)]}), config).shown
    nights = list(rebuild(archive(fortnight(), config), [NIGHT, NIGHT + DAY], config, lists=False))
    parts = [other, nights[0].shown, nothing, nights[1].shown]
    expected = [
        (int(part.person[row]), part.content_id(row), as_of)
        for part, as_of in zip(parts, (NIGHT, NIGHT, FIRST + DAY, NIGHT + DAY), strict=True)
        for row in range(part.size)
    ]
    assert other.ids != parts[1].ids
    kept = np.random.default_rng(0).random(len(expected)) < 0.3
    rows = joined(parts).where(kept).scored(rfm.cut_points([nights[0].people]), tuple(config.goals))
    found = [(int(rows.person[row]), rows.content_id(row), rows.night(row)) for row in range(rows.size)]
    assert found == [row for row, chosen in zip(expected, kept, strict=True) if chosen]
    assert rows.content.itemsize == 4


def test_an_empty_night_joins_without_a_trace(config: Config) -> None:
    """Nobody came on one night, and the others are as they would have been."""
    rows = rebuilt(fortnight(), config).shown
    nothing = rebuilt(tables(events=[{"ts": FIRST, "person": 1, "content_id": "c01"}]), config, FIRST + DAY).shown
    assert nothing.size == 0
    assert image(joined([nothing, rows])) == image(joined([rows]))


def test_nobody_at_all_is_an_error(config: Config) -> None:
    """There is nothing to learn from, and that is said."""
    nothing = rebuilt(tables(events=[{"ts": FIRST, "person": 1, "content_id": "c01"}]), config, FIRST + DAY).shown
    with pytest.raises(ValueError, match="nobody was active"):
        joined([nothing])


# ---------------------------------------------------------------- how much rows count


def shown_with(propensities: dict[tuple[int, str], list[tuple[int, float | None]]]) -> Tables:
    """People and contents that were shown at these positions with these probabilities; nobody did anything."""
    known = [{"ts": NIGHT - DAY, "person": person, "content_id": "c99"} for person in {p for p, _ in propensities}]
    impressions = [
        {"ts": NIGHT, "person": person, "content_id": content, "event": "impression", "position": at, "propensity": p}
        for (person, content), times in propensities.items()
        for at, p in times
    ]
    return tables(events=known + impressions, content=[{"content_id": f"c0{n}"} for n in range(1, 4)])


def test_a_row_keeps_the_probability_of_the_place_that_it_is_of(config: Config) -> None:
    """Of the best position, and of several there the smallest, in whatever order they came; unknown stays unknown."""
    found = shown_with({(1, "c01"): [(3, 0.9), (1, 0.25), (1, 0.5)], (1, "c02"): [(2, None)], (2, "c01"): [(1, 0.0)]})
    rows = rebuilt(found, config).shown
    assert rows.propensity is not None
    np.testing.assert_array_equal(rows.propensity, [0.25, np.nan, 0.0])
    weight = to_learn(rows, "click", config).weight
    assert weight is not None
    np.testing.assert_allclose(weight / weight[1], [4, 1, 10])
    assert weight.mean() == pytest.approx(1)


def test_where_no_probability_is_logged_nothing_is_weighted(config: Config) -> None:
    """Neither rows that were shown, nor candidates of people whose impressions nobody records."""
    for found in (shown_with({(1, "c01"): [(1, None)], (2, "c02"): [(2, None)]}), fortnight(impressions=False)):
        rows = rebuilt(found, config).shown
        assert rows.propensity is None
        assert to_learn(rows, "click", config).weight is None


def test_probabilities_follow_their_rows(config: Config) -> None:
    """Through nights on which none was logged, and through choosing some of the rows."""
    one = rebuilt(shown_with({(1, "c01"): [(1, 0.5)], (1, "c02"): [(1, 0.1)]}), config).shown
    other = rebuilt(shown_with({(1, "c01"): [(1, None)]}), config).shown
    whole = joined([one, other])
    assert whole.propensity is not None
    np.testing.assert_array_equal(whole.propensity, [0.5, 0.1, np.nan])
    kept = whole.where(np.array([False, True, True])).propensity
    assert kept is not None
    np.testing.assert_array_equal(kept, [0.1, np.nan])


def test_balance_counts_the_rows_that_are_learned_from(tmp_path: Path) -> None:
    """New, light and heavy people's drawn rows and engagements count for the same, and others for nothing."""
    config = config_in(tmp_path, training={"balance": "segment", "negatives": 0.3})
    night = rebuilt(fortnight(impressions=False), config)
    rows = night.shown.scored(rfm.cut_points([night.people]), tuple(config.goals))
    events = rows.x[:, spec.names(config.goals).index("events_30d")].copy()
    rows.x[:, spec.names(config.goals).index("events_30d")] = np.where(rows.person % 3 == 0, 1, events + 30)
    found = to_learn(rows, "read", config)
    assert found.weight is not None
    kept = rows.drawn | (rows.labels["read"] > 0)
    assert kept.sum() < rows.size
    assert not found.weight[~kept].any()
    new = rows.person % 3 == 0
    assert found.weight[new].sum() == pytest.approx(found.weight[~new].sum())
    assert found.weight[kept].mean() == pytest.approx(1)
    learned = found.to_learn.weight
    assert learned is not None
    np.testing.assert_array_equal(learned, found.weight[kept])
    assert to_learn(rows, "read", config_in(tmp_path)).weight is None
