"""A search begins with what served and with what the last search liked, and ends the same however often it is begun."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from features import rfm
from models.calibration import IDENTITY
from models.classifier import Bundle, GoalModel
from models.learning import Learned
from models.split import Split
from models.tuning import DEFAULTS, SPACE
from pipeline import known_trials, registry, train
from pipeline.build_features import NO_CRM
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.training_rows import TrainingRows
from tests.pipeline.lakes import NIGHT, config_in, fortnight, rebuilt

DAY = timedelta(days=1)
SERVED = {**DEFAULTS, "max_depth": 2, "learning_rate": 0.1}


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    training = {"trials": 4, "min_positives": 2, "challengers": []}
    return config_in(tmp_path_factory.mktemp("known"), training=training)


@pytest.fixture(name="data", scope="module")
def _data(config: Config) -> TrainingRows:
    night = rebuilt(fortnight(), config)
    rows = night.shown.scored(rfm.cut_points([night.people]), tuple(config.goals))
    return TrainingRows(Split((), (), ()), {}, NO_CRM, rows, rows, rows, rows)


def serving(monkeypatch: pytest.MonkeyPatch, params: dict[str, float], since: datetime) -> None:
    """A model of clicks that serves from an instant on."""
    model = GoalModel("click", ("a",), b"", IDENTITY, 0, {**params, "device": "cpu", "eval_metric": "logloss"})
    files = Bundle({"click": model}, {"click": 1.0}).to_files()
    version = SimpleNamespace(version="1")
    monkeypatch.setattr(registry, "champion", lambda _, as_of: version if as_of >= since else None)
    monkeypatch.setattr(registry, "load_bundle_files", lambda *_: files)


def trials(learned: dict[str, Learned]) -> list[dict[str, float]]:
    """What was tried for clicks, in order."""
    return [dict(one.params) for one in learned["click"].trials]


def searched(lake: Lake, as_of: datetime, liked: list[dict[str, float]]) -> None:
    """A search for clicks of that night: these trials, worst first, and a pruned one that looked better."""
    path = known_trials.journal(as_of, lake)
    path.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(storage=known_trials.storage(path), study_name="click")
    pruned = {"value": 0.0, "state": optuna.trial.TrialState.PRUNED}
    for number, params in enumerate([SERVED, *liked]):
        more = pruned if number == 0 else {"value": 1 - number / 10}
        study.add_trial(optuna.create_trial(params=params, distributions=dict(SPACE), **more))  # type: ignore[arg-type]


def likes(*rates: float) -> list[dict[str, float]]:
    """Parameters that differ in the learning rate."""
    return [{**DEFAULTS, "learning_rate": rate} for rate in rates]


def test_a_second_training_begins_with_what_is_known(
    config: Config, data: TrainingRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults, the champion, and the best of the last search that are neither; where nothing is known, defaults."""
    lake = Lake.of(config)
    first, _ = train._learn(data, NIGHT, config, lake, None)
    assert trials(first)[0] == DEFAULTS
    serving(monkeypatch, SERVED, NIGHT)
    whole = [t for t in first["click"].trials if t.state == "complete" and t.params != DEFAULTS]
    liked = [dict(t.params) for t in sorted(whole, key=lambda t: t.value or 0.0)]
    second, _ = train._learn(data, NIGHT + DAY, config, lake, None)
    assert len(liked) >= 2
    assert trials(second) == [DEFAULTS, SERVED, *liked][:4]
    assert trials(second)[1] not in trials(first)


def test_the_best_of_the_last_search_come_best_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most four, whole ones, of the newest night that has any; none twice, and none that is tried anyway."""
    config = config_in(tmp_path)
    lake = Lake.of(config)
    assert known_trials.known_trials(NIGHT, config, lake) == {goal: [] for goal in config.goals}
    searched(lake, NIGHT - 2 * DAY, likes(0.15))
    searched(lake, NIGHT - DAY, likes(0.02, 0.03, 0.04, 0.06, 0.07, 0.05, 0.07))
    assert known_trials.known_trials(NIGHT, config, lake)["click"] == likes(0.07, 0.06, 0.04, 0.03)
    serving(monkeypatch, likes(0.06)[0], NIGHT - DAY)
    assert known_trials.known_trials(NIGHT, config, lake)["click"] == likes(0.06, 0.07, 0.04, 0.03, 0.02)


def test_what_this_night_left_itself_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted and begun anew, or made again long after, a training finds what it found before."""
    config = config_in(tmp_path)
    lake = Lake.of(config)
    searched(lake, NIGHT - DAY, likes(0.07))
    searched(lake, NIGHT, likes(0.08))
    searched(lake, NIGHT + DAY, likes(0.09))
    serving(monkeypatch, SERVED, NIGHT)
    assert known_trials.known_trials(NIGHT, config, lake)["click"] == likes(0.07)
    known_trials.journal(NIGHT - DAY, lake).write_text("{broken\n{}\n", encoding="utf-8")
    assert known_trials.known_trials(NIGHT, config, lake)["click"] == []


@pytest.mark.parametrize(("name", "value"), [("max_depth", 9), ("learning_rate", 0.001), ("gamma", None)])
def test_what_the_space_no_longer_holds_has_its_default(
    name: str, value: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree deeper than a machine word is not tried, whoever served with it; the rest of it is."""
    params = {key: found for key, found in {**SERVED, name: value}.items() if found is not None}
    serving(monkeypatch, params, NIGHT)
    config = config_in(tmp_path)
    found = known_trials.known_trials(NIGHT + DAY, config, Lake.of(config))
    assert found["click"] == [{**SERVED, name: DEFAULTS[name]}]
    assert found["read"] == []
    assert set(found["click"][0]) == set(SPACE)
