"""What `training.device = "cuda"` changes: how long a goal takes to learn, and nothing that its lists could tell.

The same rows (5 M x 60, and half a million to stop and calibrate on) are learned from by `models.learning.learn` and
`anew`, as a training does for one goal, each time in a process of its own. The search tries the parameters that every
search begins with and what a seed draws next: before Optuna has heard enough to choose, both devices try the same.

- Rows are sampled by another generator on the GPU, so the trees are others, as with another seed. AUC is the mean of
  five seeds on each device, of the best trial's parameters, on rows of other people; how sure the difference is comes
  of drawing people and, on each device by itself, seeds again.
- The judge sees no GPU, as a night's machine may have none: it reads the bundle that a training on the GPU wrote, and
  what it scores has to be XGBoost's own answer to the last bit, without a warning.
- `peak` is all that a process holds in main memory, rows included; the GPU's is what nvidia-smi saw, context included.

Ten rows a person: they share its first twenty features and a taste that no feature tells. One feature in ten is
missing every other time. `QUICK=1` takes a tenth of the rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost as xgb
from scipy.special import expit

from benchmarks import measure
from benchmarks.measure import Cost
from benchmarks.table import QUICK, Row, finish
from models import resampling, scorer
from models.classifier import Bundle, GoalModel
from models.contributions import Contributions, by_xgboost
from models.learning import Budget, Sample, anew, learn, relearn
from models.resampling import Draws, Floats
from models.scorer import Scorer

ROWS, HELD_OUT, TEST = (500_000, 50_000, 50_000) if QUICK else (5_000_000, 500_000, 200_000)
PERSON, CONTENT, PAIR = 20, 20, 19
FEATURES = PERSON + CONTENT + PAIR + 1
NAMES = tuple(f"feature {n}" for n in range(FEATURES))
PART, EACH = 50_000, 10
"""Rows that are made at a time, and rows of a person."""

TRIALS, SEED, SEEDS = 3, 7, 5
GOAL, DEVICES = "click", ("cpu", "cuda")
FEW = "2"
"""Threads of the smallest machine that a training is meant for."""


def main() -> None:
    """Measure, print, write."""
    if not measure.measured("cuda", "look").told["gpu"]:  # in a process that ends: who asks holds some of its memory
        raise SystemExit(
            f"cuda: XGBoost {xgb.__version__} learns on no GPU here (there is none, its driver is too old, or this "
            "XGBoost was built without CUDA), so there is nothing to measure."
        )
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # idle threads that spin cost CPU time on a busy machine
    threads = str(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as home:
        gpu, again = (learned(home, name, "cuda", TRIALS) for name in ("gpu", "again"))
        cpu = learned(home, "cpu", "cpu", TRIALS)
        for device in DEVICES:
            measured("seeds", home, device)
        with environment(CUDA_VISIBLE_DEVICES=""):
            told = measured("judge", home).told
    with environment(OMP_NUM_THREADS=FEW):
        few = measured("first")
    rows = [
        Row("AUC on cpu, mean of the seeds", told["cpu"]),
        Row("AUC on cuda, mean of the seeds", told["cuda"]),
        Row("cuda minus cpu, x 10,000", 1e4 * told["difference"]),
        Row("of it the lower end (95 %), x 10,000", 1e4 * told["low"], 0.0, better="lower"),
        Row("of it the upper end, x 10,000", 1e4 * told["high"], 0.0),
        Row("standard deviation of a seed on cpu, x 10,000", 1e4 * told["cpu, deviation"]),
        Row("standard deviation of a seed on cuda, x 10,000", 1e4 * told["cuda, deviation"]),
        Row("trials that had the same parameters on both", told["same trials"], float(TRIALS)),
        Row("the best of them is the same one (1: yes)", told["same recipe"]),
        Row("their log-loss at validation: largest difference", told["losses"], better="lower"),
        Row("twice on cuda: models with the same bytes, of 2", told["same bytes"], 2.0),
        Row(
            "our scorer beside XGBoost, without a GPU: largest difference of a probability",
            told["scores"],
            0.0,
            better="lower",
        ),
        Row("what moved a score beside XGBoost: largest difference", told["themes"], 1e-4, better="lower"),
        Row(f"{TRIALS} trials and the model that serves, {threads} threads: s", whole(cpu), better="lower"),
        Row(f"{TRIALS} trials and the model that serves, cuda: s", whole(gpu), better="lower"),
        Row("how many times as fast", whole(cpu) / whole(gpu)),
        Row(f"the trials, {threads} threads: s", cpu.told["trials"], better="lower"),
        Row("the trials, cuda: s", gpu.told["trials"], better="lower"),
        Row("the trials, cuda again: s", again.told["trials"], better="lower"),
        Row("how many times as fast", cpu.told["trials"] / gpu.told["trials"]),
        Row(f"the first trial, {FEW} threads: s", few.told["first"], better="lower"),
        Row(f"the first trial, {threads} threads: s", cpu.told["first"], better="lower"),
        Row("the first trial, cuda: s", gpu.told["first"], better="lower"),
        Row(f"how many times as fast as {FEW} threads", few.told["first"] / gpu.told["first"]),
        Row(f"of each: matrices and calibration, {threads} threads: s", cpu.told["beside"], better="lower"),
        Row("of each: matrices and calibration, beside cuda: s", gpu.told["beside"], better="lower"),
        Row("peak, cpu: MB", cpu.peak_mb, better="lower"),
        Row("peak, cuda: MB", gpu.peak_mb, better="lower"),
        Row("of the GPU, cuda: MB", gpu.told["gpu_mb"], better="lower"),
    ]
    finish("cuda", rows, libraries=("xgboost", "numpy", "numba", "optuna"), beside=gpu_name())


def learned(home: str, name: str, device: str, trials: int) -> Cost:
    """What a training took, whose bundle is kept in `home` under a name."""
    return measured("job", str(Path(home, name)), device, str(trials))


def measured(job: str, *arguments: str) -> Cost:
    """What a job cost, said at once: a lent machine may be taken back before the table is printed."""
    cost = measure.measured("cuda", job, *arguments)
    sys.stderr.write(f"{job} {' '.join(arguments)}: {cost}\n")
    return cost


def whole(cost: Cost) -> float:
    """Seconds of a goal: matrices, search, calibration, and what serves grown on all rows."""
    return cost.told["learn"] + cost.told["anew"]


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """What is started meanwhile finds these variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# ---------------------------------------------------------------- jobs


def look() -> Mapping[str, float]:
    """Whether there is a GPU."""
    return {"gpu": float(on_gpu())}


def job(home: str, device: str, trials: str) -> Mapping[str, float]:
    """Learn, keep the bundle, tell how long it took."""
    training, validation = samples()
    with watched_gpu(device) as used:
        start = time.monotonic()
        found = learn(GOAL, NAMES, training, validation, Budget(int(trials), 3600, SEED, device))
        learning = time.monotonic() - start
        serves = anew(found.model, [training, validation], SEED, device)
        whole = time.monotonic() - start
    tried = [one.seconds for one in found.trials]
    keep(home, Bundle({GOAL: found.model}, {GOAL: 1.0}, anew={GOAL: serves}))
    values = [[one.value, *one.params.values()] for one in found.trials]
    Path(home, "trials.json").write_text(json.dumps(values), encoding="utf-8")
    return {
        "learn": learning,
        "anew": whole - learning,
        "first": tried[0],
        "trials": sum(tried),
        "beside": learning - sum(tried),
        "gpu_mb": max(used, default=0.0),
    }


def first() -> Mapping[str, float]:
    """The first trial of a search on the processor, and nothing else: few threads take their time."""
    training, validation = samples()
    return {"first": learn(GOAL, NAMES, training, validation, Budget(1, 3600, SEED)).trials[0].seconds}


def seeds(home: str, device: str) -> Mapping[str, float]:
    """The best trial's parameters, whichever device they were found on, learned with one seed after another."""
    training, validation = samples()
    params = read(str(Path(home, "cpu"))).models[GOAL].params
    for seed in range(SEEDS):
        model = relearn(GOAL, NAMES, training, validation, params, seed, device).model
        keep(str(Path(home, f"{device} {seed}")), Bundle({GOAL: model}, {GOAL: 1.0}))
    return {}


def judge(home: str) -> Mapping[str, float]:
    """Read every bundle, and hold it against the others and against XGBoost."""
    warnings.simplefilter("error")
    if on_gpu(quietly=True):
        raise SystemExit("cuda: the judge was to see no GPU.")
    bundles = {name: read(str(Path(home, name))) for name in ("cpu", "gpu", "again")}
    told = judged(home)
    tried = [json.loads(Path(home, name, "trials.json").read_text(encoding="utf-8")) for name in ("cpu", "gpu")]
    same = [(one[0], other[0]) for one, other in zip(*tried, strict=True) if one[1:] == other[1:]]
    told |= {"same trials": len(same), "losses": max(abs(a - b) for a, b in same)}
    recipes = [{**bundles[name].models[GOAL].params, "device": ""} for name in ("cpu", "gpu")]
    told["same recipe"] = float(recipes[0] == recipes[1])
    bytes_of = [[model.booster_ubj for model in both(bundles[name])] for name in ("gpu", "again")]
    told["same bytes"] = sum(one == other for one, other in zip(*bytes_of, strict=True))
    gaps = [gaps_to_xgboost(model) for model in both(bundles["gpu"])]
    return {**told, "scores": max(gap[0] for gap in gaps), "themes": max(gap[1] for gap in gaps)}


def judged(home: str) -> dict[str, float]:
    """Mean and spread of AUC over a device's seeds, and the difference of the means with its interval."""
    test = Made(2, TEST).sample()
    draws, rng = Draws.of(test.people), np.random.default_rng(0)
    means: list[Floats] = []
    told: dict[str, float] = {}
    for device in DEVICES:
        models = [read(str(Path(home, f"{device} {seed}"))).models[GOAL] for seed in range(SEEDS)]
        auc = np.array([draws.figures(test.y, model.predict(test.x), ["auc"])["auc"] for model in models])
        told |= {device: auc[:, 0].mean(), f"{device}, deviation": auc[:, 0].std(ddof=1)}
        again = rng.integers(0, SEEDS, auc.shape)
        again[:, 0] = np.arange(SEEDS)  # the first draw is everybody once
        means.append(np.take_along_axis(auc, again, axis=0).mean(axis=0))
    found = resampling.interval(means[1] - means[0])
    return {**told, "difference": found.mean, "low": found.low, "high": found.high}


def both(bundle: Bundle) -> list[GoalModel]:
    """What was judged, and what serves."""
    return [bundle.models[GOAL], bundle.anew[GOAL]]


def gaps_to_xgboost(model: GoalModel) -> tuple[float, float]:
    """How far our scores, and what moved them by theme, are from XGBoost's own, at the most."""
    rng = np.random.default_rng(3)
    people, contents = rng.random((500, PERSON), np.float32), rng.random((400, CONTENT), np.float32)
    person, content = np.repeat(np.arange(500), 200), rng.integers(0, 400, 100_000)
    pairs = rng.random((100_000, PAIR), np.float32)
    pairs[rng.random(pairs.shape) < 0.1] = np.nan
    ready = Scorer.of({GOAL: model}, people, contents, workers=2)
    leaves = ready.room(len(person))
    if leaves is None:
        raise SystemExit("cuda: our scorer cannot read what was learned on the GPU.")
    scored = ready.score({GOAL: 1.0}, pairs, person, content, scorer.TOP, leaves=leaves).probabilities[GOAL]
    x = scorer.rows(people, contents, pairs, person, content, scorer.TOP)
    theme, some = np.arange(FEATURES) % 4, np.arange(0, len(person), 20)
    moved = Contributions.of([model.booster], theme, 4).by_theme(leaves, some)
    theirs = by_xgboost([model.booster], x[some], theme, 4)
    return float(np.abs(scored - model.predict(x)).max()), float(np.abs(moved - theirs).max())


def keep(home: str, bundle: Bundle) -> None:
    """Write a bundle's files."""
    Path(home).mkdir()
    for name, content in bundle.to_files().items():
        Path(home, name).write_bytes(content)


def read(home: str) -> Bundle:
    """The bundle in a folder."""
    return Bundle.from_files({file.name: file.read_bytes() for file in Path(home).iterdir()})


# ---------------------------------------------------------------- the GPU


def on_gpu(*, quietly: bool = False) -> bool:
    """Whether XGBoost learns on a GPU when it is told to: it goes on without one, and says so."""
    tiny = xgb.QuantileDMatrix(np.zeros((2, 1), np.float32), label=[0, 1])
    with warnings.catch_warnings():
        if quietly:
            warnings.simplefilter("ignore")
        booster = xgb.train({"device": "cuda", "tree_method": "hist"}, tiny, 1)
    used: str = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    return used.startswith("cuda")


def gpu_name() -> str:
    """Its name and its driver's version."""
    return asked("name,memory.total,driver_version")


def asked(what: str) -> str:
    """What nvidia-smi says of the first GPU."""
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader", "--id=0"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@contextmanager
def watched_gpu(device: str) -> Iterator[list[float]]:
    """Collects how much of the GPU's memory is used, in MB, five times a second; nothing where none is."""
    used: list[float] = []
    if device == "cpu":
        yield used
        return
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0", "--loop-ms=200"]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said)
        try:
            yield used
        finally:
            process.terminate()
            process.wait()
            said.seek(0)
            used += [float(line) for line in said.read().split() if line.isdigit()]


# ---------------------------------------------------------------- rows


def samples() -> tuple[Sample, Sample]:
    """To learn from, and to stop and calibrate on."""
    return Made(0, ROWS).sample(), Made(1, HELD_OUT).sample()


@dataclass(frozen=True)
class Made:
    """Made-up rows, of people whom no other rows are of."""

    seed: int
    rows: int

    def sample(self) -> Sample:
        """All of them."""
        x, y = np.empty((self.rows, FEATURES), np.float32), np.empty(self.rows, np.float32)
        for number in range(self.rows // PART):
            part = slice(number * PART, (number + 1) * PART)
            x[part], y[part] = self._part(number)
        return Sample(x, y, np.arange(self.rows) // EACH)

    def _part(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, number])
        x = rng.random((PART, FEATURES), np.float32)
        x[:, :PERSON] = x[::EACH, :PERSON].repeat(EACH, axis=0)
        y = rng.random(PART) < expit(_log_odds(x) + rng.normal(0, 0.7, PART // EACH).repeat(EACH))
        some = x[:, :: FEATURES // 6]
        some[rng.random(some.shape) < 0.5] = np.nan
        return x, y.astype(np.float32)


def _log_odds(x: np.ndarray) -> np.ndarray:
    """Half of the features matter, by themselves and in pairs, so that hundreds of trees find something to learn."""
    rng = np.random.default_rng(11)
    weights = rng.normal(0, 1, FEATURES) * (np.arange(FEATURES) % 2)
    log_odds = -3.5 + (x - 0.5) @ weights
    for a, b, by in zip(
        rng.permutation(FEATURES)[:20], rng.permutation(FEATURES)[:20], rng.normal(0, 1, 20), strict=True
    ):
        log_odds += by * ((x[:, a] > 0.6) & (x[:, b] < 0.7)) - 0.28 * by
    return log_odds


JOBS: Mapping[str, Callable[..., Mapping[str, float]]] = {
    "look": look,
    "job": job,
    "first": first,
    "seeds": seeds,
    "judge": judge,
}

if __name__ == "__main__":
    measure.main(JOBS, main)
