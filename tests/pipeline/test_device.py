"""Trees grow where the configuration says, whatever an earlier training's did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from features import rfm
from models import learning
from models.calibration import IDENTITY
from models.classifier import Bundle, GoalModel
from models.split import Split
from models.tuning import DEFAULTS
from pipeline import rolling, train
from pipeline.build_features import NO_CRM
from pipeline.config import Config
from pipeline.retraining import Retraining
from pipeline.training_rows import TrainingRows
from tests.pipeline.lakes import END, archive, config_in, fortnight, rebuilt

CHAMPION = {**DEFAULTS, "device": "cpu", "eval_metric": "logloss"}


class AskedError(Exception):
    """Something was to be learned."""


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    training = {"trials": 4, "min_positives": 2, "challengers": [], "device": "cuda"}
    return config_in(tmp_path_factory.mktemp("device"), training=training)


@pytest.fixture(name="data", scope="module")
def _data(config: Config) -> TrainingRows:
    night = rebuilt(fortnight(), config)
    rows = night.shown.scored(rfm.cut_points([night.people]), tuple(config.goals))
    split = Split((END,), (END,), (END,))
    return TrainingRows(split, {}, NO_CRM, rows, rows, rows, rows)


def asked_for(monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[[], object]) -> object:
    """The device that a function of `learning` is given, its last argument by place."""
    given: list[object] = []

    def told(*arguments: object, **_: object) -> None:
        given.append(arguments[-1])
        raise AskedError

    monkeypatch.setattr(learning, name, told)
    with pytest.raises(AskedError):
        call()
    return given[-1]


def test_what_serves_grows_there(monkeypatch: pytest.MonkeyPatch, config: Config, data: TrainingRows) -> None:
    """The judged model was found on another device."""
    bundle = Bundle({"click": GoalModel("click", ("a",), b"", IDENTITY, 0, CHAMPION)}, {"click": 1.0})
    assert asked_for(monkeypatch, "anew", lambda: train.served(bundle, data, config)) == "cuda"


def test_a_fold_is_learned_there(monkeypatch: pytest.MonkeyPatch, config: Config, data: TrainingRows) -> None:
    """With the parameters of a champion from elsewhere."""
    params = dict.fromkeys(config.goals, CHAMPION)
    assert asked_for(monkeypatch, "relearn", lambda: rolling._fold(data.split, data, params, config)) == "cuda"


def test_a_replay_learns_there(
    monkeypatch: pytest.MonkeyPatch, config: Config, data: TrainingRows, tmp_path: Path
) -> None:
    """Its later trainings too, that search no more."""
    replayed = Retraining(archive(fortnight(), config_in(tmp_path)), config)
    replayed._params = dict.fromkeys(config.goals, CHAMPION)
    assert asked_for(monkeypatch, "relearn", lambda: replayed._learned(data, END)) == "cuda"
