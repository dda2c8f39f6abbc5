"""What training on 5 M rows x 60 features costs: memory beside the rows' own size, and what the search adds to it.

Rows are float32 numbers that hardly ever repeat, and half a million more are held out; `missing`: as in a simulated
company's nights, where one feature in ten is missing every other time and the others never are. They come

- as `nights`: made a batch at a time whenever XGBoost asks for them, held by nobody, and binned in memory;
- `held`: all in memory as one `Sample`, and binned there;
- or `filed`: in a file as one `Sample`, and binned in another, as a training has its rows where they are many.

The peak is all that the process takes (`benchmarks.measure`: interpreter and libraries, rows where they are held,
matrices, training), over the float32 size of the rows that are learned from. The search is `models.tuning.tune`; after
each of its trials XGBoost alone trains with the same parameters, as many rounds, and the same rows to judge them.
`QUICK=1` takes a tenth of the rows.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xgboost as xgb

from benchmarks import measure
from benchmarks.table import QUICK, Row, finish
from models.batches import Batch, Stream
from models.classifier import MAX_BIN, Binned, binned, held_out
from models.learning import Sample, stream
from models.mapped import let_go
from models.tuning import TrialRecord, tune
from pipeline import scratch

ROWS, HELD_OUT, FEATURES = (500_000, 50_000, 60) if QUICK else (5_000_000, 500_000, 60)
NAMES = tuple(f"feature {n}" for n in range(FEATURES))
PART, SEED = 62_500, 1
LOOK, SEARCH = (1, 3), (3, 12)
"""Trials, and rounds of each: where only the peak counts, and where the search does."""


def main() -> None:
    """Measure, print, write."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # idle threads that spin cost CPU time on a busy machine
    raw_mb = ROWS * FEATURES * 4 / 1024**2
    dense = measure.measured("training", "job", "nights", "complete", *map(str, SEARCH))
    sparse = measure.measured("training", "job", "nights", "missing", *map(str, LOOK))
    held, filed = (measure.measured("training", "job", how, "missing", *map(str, LOOK)) for how in ("held", "filed"))
    told, bare = dense.told, measure.measured("training", "nothing").peak_mb
    rows = [
        Row("peak / raw: in files, 5 % of values missing: as a training", filed.peak_mb / raw_mb, 1.2, better="lower"),
        Row("peak / raw: as nights, nothing missing", dense.peak_mb / raw_mb, better="lower"),
        Row("peak / raw: as nights, 5 % of values missing", sparse.peak_mb / raw_mb, better="lower"),
        Row("peak / raw: held, 5 % of values missing", held.peak_mb / raw_mb, better="lower"),
        Row("CPU a round: in files / held", _a_round(filed) / _a_round(held), better="lower"),
        Row("of each: interpreter and libraries", bare / raw_mb, better="lower"),
        Row("search minus training alone, share of CPU s", told["added_cpu"], 0.05, better="lower"),
        Row("search minus training alone, share of wall s", told["added_wall"], better="lower"),
        Row("outside of trials, share of wall s", told["outside"], better="lower"),
        *_parts("as nights, nothing missing", dense),
        *_parts("as nights, 5 % missing", sparse),
        *_parts("held, 5 % missing", held),
        *_parts("in files, 5 % missing", filed),
        Row("load average (1 min) at the end", os.getloadavg()[0], better="lower"),
    ]
    finish("training", rows)


def _parts(what: str, cost: measure.Cost) -> list[Row]:
    told = {name: cost.told[name] for name in ("build matrices, CPU s", "train, CPU s a round")}
    return [Row(f"{what}: {name}", value, better="lower") for name, value in told.items()]


def _a_round(cost: measure.Cost) -> float:
    return cost.told["train, CPU s a round"]


def job(how: str, values: str, trials: str, rounds: str) -> Mapping[str, float]:
    """Bin, search; what each took."""
    with tempfile.TemporaryDirectory() as folder:
        return _job(how, values, trials, rounds, Path(folder))


def _job(how: str, values: str, trials: str, rounds: str, folder: Path) -> Mapping[str, float]:
    made = {seed: Made(seed, rows, values == "missing") for seed, rows in ((0, ROWS), (1, HELD_OUT))}
    root = folder if how == "filed" else None
    training, validation = (one.stream() if how == "nights" else one.held(root) for one in made.values())
    started = time.process_time()
    built = binned(training, NAMES, pages=str(root / "bins") if root else None)
    judged = held_out(validation, NAMES, built)
    building = time.process_time() - started
    alone = Alone(built, judged, int(rounds))
    alone.train({})  # what is done once, before any clock runs
    start = _now()
    tune(
        built,
        judged,
        trials=int(trials),
        seconds=3600,
        seed=SEED,
        rounds=int(rounds),
        early_stopping=int(rounds),
        on_trial=alone,
    )
    study = _since(start)
    cpu, wall = (sum(taken) for taken in zip(*alone.took, strict=True))
    return {
        "build matrices, CPU s": building,
        "train, CPU s a round": cpu / (int(trials) * int(rounds)),
        "added_cpu": 1 - cpu / (study.cpu - cpu),
        "added_wall": 1 - wall / (study.wall - wall),
        "outside": 1 - sum(alone.trials) / (study.wall - wall),
    }


def nothing() -> Mapping[str, float]:
    """What a process holds that imported everything."""
    time.sleep(1)
    return {}


class Taken(NamedTuple):
    """Seconds."""

    cpu: float
    wall: float


def _now() -> Taken:
    return Taken(time.process_time(), time.monotonic())


def _since(start: Taken) -> Taken:
    return Taken(*(now - then for now, then in zip(_now(), start, strict=True)))


@dataclass
class Alone:
    """XGBoost by itself after each trial, so that both meet the same load; `took` a trial, `trials` the search's own.

    The search calls it, so the search's time holds this one's.
    """

    built: Binned
    judged: xgb.DMatrix
    rounds: int
    took: list[Taken] = field(default_factory=list)
    trials: list[float] = field(default_factory=list)

    def __call__(self, trial: TrialRecord) -> None:
        """Do what a trial did."""
        start = _now()
        self.train(trial.params)
        self.took.append(_since(start))
        self.trials.append(trial.seconds)

    def train(self, params: Mapping[str, float]) -> None:
        """Grow trees, judged after every round."""
        fixed = {"tree_method": "hist", "max_bin": MAX_BIN, "objective": "binary:logistic", "eval_metric": "logloss"}
        evals = [(self.judged, "validation")]
        xgb.train({**fixed, "seed": SEED, **params}, self.built, self.rounds, evals=evals, verbose_eval=False)


@dataclass(frozen=True)
class Made:
    """Made-up rows; each part of them is made anew whenever it is asked for."""

    seed: int
    rows: int
    missing: bool

    def part(self, number: int) -> Batch:
        """The rows from `number` x PART on."""
        rng = np.random.default_rng([self.seed, number])
        rows = min(PART, self.rows - number * PART)
        x = rng.random((rows, FEATURES), np.float32)
        y = (rng.random(rows) < 0.3 * x[:, -1] * (x[:, -2] > x[:, 0])).astype(np.float32)
        if self.missing:
            some = x[:, : FEATURES // 10]
            some[rng.random(some.shape) < 0.5] = np.nan
        return Batch(x, y)

    def parts(self) -> Iterator[Batch]:
        """All rows."""
        return map(self.part, range(-(-self.rows // PART)))

    def stream(self) -> Stream:
        """The rows held by nobody."""
        return Stream(self.rows, self.parts)

    def held(self, root: Path | None) -> Stream:
        """The rows held by a sample in which every row was drawn; in a file, where there is a folder for it."""
        x, y = scratch.floats((self.rows, FEATURES), root), np.empty(self.rows, np.float32)
        for number, one in enumerate(self.parts()):
            part = slice(number * PART, number * PART + len(one.y))
            x[part], y[part] = one.x, one.y
            let_go(x)
        return stream([Sample(x, y, np.arange(self.rows), np.ones(self.rows, bool))])


JOBS: Mapping[str, Callable[..., Mapping[str, float]]] = {"job": job, "nothing": nothing}

if __name__ == "__main__":
    measure.main(JOBS, main)
