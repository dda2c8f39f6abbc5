"""Judging at several origins: each fold is what a training of that time would have had, and nothing is left behind."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

import numpy as np
import pyarrow as pa
import pytest
from mlflow import MlflowClient

from models.rolling import origins
from pipeline import config as configuration
from pipeline import registry, rolling
from pipeline.build_features import replayed_nights
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.rebuild import rebuild
from pipeline.records import ModelVersion, Tracker
from pipeline.rows import Rows
from pipeline.train import budget_of
from pipeline.training_rows import TrainingRows, grouped
from tests.pipeline.lakes import END, archive, config_in, fortnight, written
from tests.pipeline.small import shortlist
from tests.worlds import World

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
GROUPS = ("train", "validation", "test", "lists")


@dataclass(frozen=True)
class Recorded:
    """What a training could leave behind: files of models and when they were written, versions, runs, tables."""

    models: dict[Path, int]
    versions: list[ModelVersion]
    runs: int
    lake: dict[str, int]

    @classmethod
    def of(cls, config: Config) -> Recorded:
        """As it is now."""
        lake = Lake.of(config)
        tracker = Tracker(lake.tracking, config.project.name)
        client = MlflowClient(tracker.uri)
        experiments = [one.experiment_id for one in client.search_experiments()]
        return cls(
            {path: path.stat().st_mtime_ns for path in lake.root.parent.rglob("*.ubj")},
            registry.versions(tracker),
            len(client.search_runs(experiments, max_results=10_000)),
            lake.versions(),
        )


def assert_same(some: Rows, others: Rows) -> None:
    """The same rows to the last bit."""
    for part in fields(Rows):
        one, other = getattr(some, part.name), getattr(others, part.name)
        if isinstance(one, dict):
            assert list(one) == list(other)
            assert all(np.array_equal(one[name], other[name]) for name in one)
        elif isinstance(one, pa.Table):
            assert one.equals(other)
        else:
            assert np.array_equal(one, other, equal_nan=part.name in {"said", "raw"})


def test_a_fold_has_the_rows_of_a_training_of_that_time(tmp_path: Path) -> None:
    """Nights are rebuilt once for all folds, and no fold can tell: tested nights become nights to learn from."""
    config = config_in(tmp_path, training={"nights": 12, "negatives": 0.5})
    known = archive(fortnight(impressions=False), config)
    splits = origins(replayed_nights(known, config), config.horizon, 2)
    assert set(splits[0].test) & set(splits[1].validation + splits[1].train), "a world in which no night serves twice"
    for split, data in rolling.rows(known, splits, config):
        alone = grouped(
            split,
            list(rebuild(known, split.train, config, lists=False, thinned=True)),
            list(rebuild(known, split.validation, config, lists=False)),
            list(rebuild(known, split.test, config, lists=True)),
            config,
        )
        assert isinstance(data, TrainingRows)
        assert isinstance(alone, TrainingRows)
        assert data.test is data.lists
        for group in GROUPS:
            assert_same(getattr(data, group), getattr(alone, group))


def test_folds_are_judged_and_nothing_is_recorded(small_night: World, capsys: pytest.CaptureFixture[str]) -> None:
    """`train --folds` says mean and spread of every figure over the folds; models, lake and tables stay as they are."""
    config = configuration.load(small_night.config)
    before = Recorded.of(config)
    assert before.models
    assert before.versions
    assert before.runs
    assert before.lake
    said = shortlist(capsys, "train", "--config", small_night.config, "--as-of", "2026-07-01", "--folds", "2", "--json")
    assert said.code == 0, said.err
    found = said.json
    first, last = found["folds"]
    assert (first["first"][:10], last["last"][:10]) == ("2026-06-29", "2026-06-30")
    assert (first["training_nights"], last["training_nights"]) == (1, 2)
    assert found["params"].startswith("those of the champion")
    for name in ("model", "most_popular", "rank_ndcg"):
        each = [fold["figures"][f"ndcg_10.{name}"] for fold in found["folds"]]
        assert found["figures"][f"ndcg_10.{name}"]["mean"] == pytest.approx(mean(each))
        assert found["figures"][f"ndcg_10.{name}"]["deviation"] == pytest.approx(np.std(each, ddof=1))
    assert found["figures"]["click.auc.model"]["folds"] == sum(
        "click.auc.model" in f["figures"] for f in found["folds"]
    )
    assert Recorded.of(config) == before


def test_the_last_fold_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each fold how many are done, and at the end that all are."""
    config = config_in(tmp_path, training={"nights": 12, "negatives": 0.5})
    written(fortnight(impressions=False), config)
    monkeypatch.setattr(rolling, "_fold", lambda *_: rolling.Fold("a", "b", 1, {}, {"ndcg_10.model": 0.5}))
    told: list[tuple[int, int]] = []
    rolling.run(END, config, 2, on_fold=lambda done, folds: told.append((done, folds)))
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_too_many_folds_are_the_work_s_failure(small_night: World) -> None:
    """The message says as of when, how many nights there are, and how many it would take."""
    with pytest.raises(ShortlistError, match=r"as of 2026-07-01.*found 4 nights, needed 11"):
        rolling.run(AS_OF, configuration.load(small_night.config), 9)


def test_a_grid_is_searched_within_the_same_budget(tmp_path: Path) -> None:
    """No more trials than were asked for, and none beyond the defaults and the grid."""
    few, many = (config_in(tmp_path, training={"search": "grid", "trials": trials}) for trials in (5, 500))
    assert budget_of(few).trials == 5
    assert budget_of(many).trials == 1 + len(budget_of(many).known) == 25
    assert budget_of(config_in(tmp_path, training={"trials": 500})).trials == 500
    assert not budget_of(config_in(tmp_path)).known
