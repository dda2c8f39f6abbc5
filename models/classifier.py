"""One goal's model: XGBoost trees, a calibration, and the bytes that they are stored as.

Rows are float32 matrices (N, F) in the order of the feature names; NaN is missing. Training follows the rows' order
(row sampling does), so the caller sorts them; for the same rows, parameters and seed the bytes are the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from scipy.special import expit

from models.batches import Passes, Stream, check_width
from models.calibration import IDENTITY, Calibration
from models.calibration import fit as fit_calibration

Array = NDArray[Any]
Floats = NDArray[np.float64]
Json = Any
Binned = xgb.QuantileDMatrix | xgb.ExtMemQuantileDMatrix

MAX_BIN = 256
"""Histogram bins a feature. Fixed, so that one matrix serves every trial of a study."""

SKETCHED = 500_000
"""Rows from which cuts are sketched. Of more, so many are drawn by lot: a quantile of theirs is off by 0.0007 of the
rows (one standard deviation), where a bin has 0.004 of them, and sketching is more than half of what a matrix costs.
"""

PAGED_CELLS = 50_000_000
"""Rows x features that are learned from in memory: they take 250 MB there, where values are missing."""

PLAIN_CELLS = 20_000_000
"""Rows x features that are held out plain: 160 MB."""

MANIFEST = "bundle.json"
FORMAT = 1


def matrix(
    x: Array,
    features: Sequence[str],
    y: Array | None = None,
    weight: Array | None = None,
    ref: xgb.QuantileDMatrix | None = None,
) -> xgb.QuantileDMatrix:
    """Build the binned matrix of `x` (N, F) once; with `ref` (the training matrix) it takes that one's bins."""
    check_width(x, features, "matrix")
    return xgb.QuantileDMatrix(
        np.asarray(x, np.float32), label=y, weight=weight, feature_names=list(features), max_bin=MAX_BIN, ref=ref
    )


def binned(stream: Stream, features: Sequence[str], ref: Binned | None = None, pages: str | None = None) -> Binned:
    """Bin rows (N, F) that come in batches; what it makes is what `matrix` makes of all of them, up to SKETCHED rows.

    With `ref` (the training matrix) it takes that one's bins. More than PAGED_CELLS XGBoost keeps in a file whose name
    begins with `pages`, where that is given, as long as the matrix is there; trees are the same to the last bit. Raises
    ValueError where a batch is not (n, F).
    """
    if ref is None and stream.rows > SKETCHED:
        ref = _cuts(stream.drawn(SKETCHED), features)
    if pages is not None and stream.rows * len(features) > PAGED_CELLS:
        return xgb.ExtMemQuantileDMatrix(Passes(stream, features, pages), max_bin=MAX_BIN, ref=ref)
    return xgb.QuantileDMatrix(Passes(stream, features), max_bin=MAX_BIN, ref=ref)


def _cuts(stream: Stream, features: Sequence[str]) -> xgb.QuantileDMatrix:
    """A matrix that has the rows' cuts and next to nothing else: what they take is free before others are binned."""
    sketched = xgb.QuantileDMatrix(Passes(stream, features), max_bin=MAX_BIN)
    nothing = np.full((1, len(features)), np.nan, np.float32)
    return matrix(nothing, features, ref=sketched)


def held_out(stream: Stream, features: Sequence[str], train_matrix: Binned) -> xgb.DMatrix:
    """What training is judged on after every round: rows (M, F) as they are, or (what is large) in the training's bins.

    The trees and losses are the same. XGBoost judges plain rows several times faster, and on binned ones it may spend
    more time judging than learning; but plain ones take eight bytes a cell.
    """
    if stream.rows * len(features) > PLAIN_CELLS:
        return binned(stream, features, train_matrix)
    rows = stream.whole()
    check_width(rows.x, features, "held_out")
    return xgb.DMatrix(np.asarray(rows.x, np.float32), label=rows.y, weight=rows.weight, feature_names=list(features))


def train(
    train_matrix: Binned,
    validation_matrix: xgb.DMatrix,
    params: Mapping[str, Json],
    rounds: int,
    early_stopping: int,
    seed: int,
    callbacks: Sequence[xgb.callback.TrainingCallback] = (),
) -> xgb.Booster:
    """Boost up to `rounds` trees, until the validation loss has not improved for `early_stopping` rounds.

    `params` are XGBoost's own (`device` among them: "cpu" or "cuda"); the objective is binary log-loss. Returns the
    booster with all its trees; `best_iteration` says where it was best.
    """
    return xgb.train(
        _settings(params, seed),
        train_matrix,
        rounds,
        evals=[(validation_matrix, "validation")],
        early_stopping_rounds=early_stopping,
        callbacks=list(callbacks),
        verbose_eval=False,
    )


def grow(train_matrix: Binned, params: Mapping[str, Json], rounds: int, seed: int) -> xgb.Booster:
    """Boost exactly `rounds` trees, judged by nobody."""
    return xgb.train(_settings(params, seed), train_matrix, rounds, verbose_eval=False)


def _settings(params: Mapping[str, Json], seed: int) -> dict[str, Json]:
    settings = {"tree_method": "hist", "eval_metric": "logloss", "max_bin": MAX_BIN, **params}
    return {**settings, "objective": "binary:logistic", "seed": seed}


@dataclass(frozen=True)
class GoalModel:
    """A goal's trees, up to the best round, and their calibration."""

    goal: str
    features: tuple[str, ...]
    booster_ubj: bytes = field(repr=False)
    calibration: Calibration
    best_iteration: int
    params: Mapping[str, Json]
    negatives: float = 1.0
    """The share w of the negatives that it learned from; log-odds are moved by log(w): q = p / (p + (1 - p) / w)."""

    @staticmethod
    def of(goal: str, booster: xgb.Booster, params: Mapping[str, Json], negatives: float = 1.0) -> GoalModel:
        """The model of a freshly trained booster, cut after its best round and not calibrated yet."""
        best = booster.best_iteration
        trees = bytes(booster[: best + 1].save_raw("ubj"))
        return GoalModel(goal, tuple(booster.feature_names or ()), trees, IDENTITY, best, dict(params), negatives)

    @cached_property
    def booster(self) -> xgb.Booster:
        """The trees, read once."""
        return xgb.Booster(model_file=bytearray(self.booster_ubj))

    def margin(self, x: Array) -> Floats:
        """Log-odds (N,) before calibration, as of rows of which none was left out."""
        check_width(x, self.features, f"model of {self.goal!r}")
        rounds = (0, self.best_iteration + 1)
        margins = self.booster.inplace_predict(np.asarray(x, np.float32), iteration_range=rounds, predict_type="margin")
        return self.log_odds(margins)

    def log_odds(self, leaves: Array) -> Floats:
        """The same (N,) of what the trees' leaves and their base add up to, whoever added them."""
        return np.asarray(leaves, np.float64) + math.log(self.negatives)

    def probabilities(self, margin: Array) -> Floats:
        """Calibrated probabilities (N,) of log-odds (N,)."""
        return self.calibration.apply(expit(np.asarray(margin, np.float64)))

    def predict(self, x: Array) -> Floats:
        """Calibrated probabilities (N,)."""
        return self.probabilities(self.margin(x))

    def contributions(self, x: Array) -> Floats:
        """What each feature adds to the log-odds, (N, F + 1), the last being the base (SHAP; Lundberg et al. 2018)."""
        check_width(x, self.features, f"model of {self.goal!r}")
        rows = xgb.DMatrix(np.asarray(x, np.float32), feature_names=list(self.features))
        found = np.asarray(self.booster.predict(rows, pred_contribs=True), np.float64)
        found[:, -1] += math.log(self.negatives)
        return found

    def calibrated(self, x: Array, y: Array, people: Array) -> GoalModel:
        """The same trees, calibrated on validation rows `x` (N, F), `y` (N,) 0 or 1, `people` (N,)."""
        return replace(self, calibration=fit_calibration(expit(self.margin(x)), y, people))


@dataclass(frozen=True)
class Bundle:
    """Everything that scoring needs: a model a goal, the goals' weights, and JSON that the features were built with.

    `models` are what was judged: they know nothing of the newest nights, so those can tell how good they are. `anew`
    are the same recipes learned from the newest nights too; what of it there is serves in their place.
    """

    models: Mapping[str, GoalModel]
    weights: Mapping[str, float]
    context: Mapping[str, Json] = field(default_factory=dict)
    anew: Mapping[str, GoalModel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse goals that do not match, or that cannot name a file."""
        if set(self.models) != set(self.weights):
            raise ValueError(
                f"bundle: models for {sorted(self.models)}, weights for {sorted(self.weights)}; need the same goals."
            )
        if not set(self.anew) <= set(self.models):
            raise ValueError(f"bundle: {sorted(self.anew)} learned anew, but only {sorted(self.models)} were judged.")
        odd = [goal for goal in self.models if not re.fullmatch(r"[A-Za-z0-9_-]+", goal)]
        if odd:
            raise ValueError(f"bundle: goals {odd} cannot name files; use letters, digits, '-' and '_'.")

    @property
    def serving(self) -> dict[str, GoalModel]:
        """The models that people's lists are made with."""
        return {**self.models, **self.anew}

    @property
    def sha256(self) -> str:
        """Of all that it is: the manifest has those of the trees."""
        return _sha256(self.to_files()[MANIFEST])

    def to_files(self) -> dict[str, bytes]:
        """The files by name: `<goal>.ubj` of what serves, `<goal>.judged.ubj` where another one was judged, and
        `bundle.json` with their sha256 and all the rest.
        """
        judged = {goal: self.models[goal] for goal in self.anew}
        manifest = {
            "format": FORMAT,
            "goals": {goal: self._goal(model) for goal, model in self.serving.items()},
            "judged": {goal: self._goal(model) for goal, model in judged.items()},
            "context": dict(self.context),
        }
        text = json.dumps(manifest, sort_keys=True, indent=1, allow_nan=False)
        trees = {_file(goal): model.booster_ubj for goal, model in self.serving.items()}
        trees |= {_judged_file(goal): model.booster_ubj for goal, model in judged.items()}
        return {**dict(sorted(trees.items())), MANIFEST: text.encode()}

    @staticmethod
    def from_files(files: Mapping[str, bytes]) -> Bundle:
        """The bundle that `to_files` wrote. Raises ValueError naming a file that is missing or was changed."""
        manifest = json.loads(_file_of(files, MANIFEST))
        if manifest["format"] != FORMAT:
            raise ValueError(
                f"{MANIFEST}: format {manifest['format']}, expected {FORMAT}; use the version that wrote it."
            )
        goals = manifest["goals"]
        serving = {goal: _model(goal, entry, _file(goal), files) for goal, entry in goals.items()}
        twins = manifest.get("judged", {})
        judged = {goal: _model(goal, entry, _judged_file(goal), files) for goal, entry in twins.items()}
        weights = {goal: entry["weight"] for goal, entry in goals.items()}
        return Bundle({**serving, **judged}, weights, manifest["context"], {goal: serving[goal] for goal in judged})

    def _goal(self, model: GoalModel) -> dict[str, Json]:
        return {
            "sha256": _sha256(model.booster_ubj),
            "weight": self.weights[model.goal],
            "features": list(model.features),
            "calibration": asdict(model.calibration),
            "best_iteration": model.best_iteration,
            "params": dict(model.params),
            "negatives": model.negatives,
        }


def _model(goal: str, entry: Mapping[str, Json], file: str, files: Mapping[str, bytes]) -> GoalModel:
    trees = _file_of(files, file)
    if _sha256(trees) != entry["sha256"]:
        raise ValueError(
            f"{file}: sha256 is {_sha256(trees)}, {MANIFEST} says {entry['sha256']}; the file was changed "
            "after it was written. Fetch the model again."
        )
    calibration = Calibration.from_json(json.dumps(entry["calibration"]))
    return GoalModel(
        goal,
        tuple(entry["features"]),
        trees,
        calibration,
        entry["best_iteration"],
        entry["params"],
        entry.get("negatives", 1.0),
    )


def _file_of(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise ValueError(f"{name}: missing from the model's files (found: {sorted(files)}). Fetch the model again.")
    return files[name]


def _file(goal: str) -> str:
    return f"{goal}.ubj"


def _judged_file(goal: str) -> str:
    return f"{goal}.judged.ubj"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
