"""The retrain decision: how often it cries wolf, what it sees, and what it costs, beside the usual rules.

- False alarms: both windows are drawn from the same people of real logs and of the simulated world (`drift_people`), so
  every alarm is false. One window counts, though the arm wants two nights in a row.
- Power: people with 10 rows each, alike within people (intraclass correlation 0.3), of which something is changed.
- A year without change (`drift_year`): the simulated world, looked at every night as the nightly run does.
- Two pictures (`drift_curves`): false alarms by people, and what is seen by how far one feature moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import drift_curves, drift_rivals, drift_year, measure
from benchmarks.drift_curves import OURS, Curves
from benchmarks.drift_people import NIGHTS, ROOT, ROWS, People
from benchmarks.table import QUICK, RESULTS, Row, finish
from models import bursts, drift, performance
from models.drift import DriftResult
from models.performance import Figure
from pipeline import config as configuration
from pipeline import retrain_arms
from pipeline.config import Config
from pipeline.drift_evidence import Evidence
from pipeline.performance_evidence import Performance
from pipeline.retrain_arms import Known

Array = NDArray[Any]
Frame = Mapping[str, Array]

SIZES = (200, 1000) if QUICK else (200, 1000, 5000, 50_000)
FEATURES = (5, 20, 100)
DRAWN = 20
"""So many features have the rivals and the pictures."""
WINDOWS = 40 if QUICK else 400
RIVALS = 20 if QUICK else 100
NIGHTLY = 20 if QUICK else 200
SHIFTS, DRAWS = (0.05, 0.1, 0.15, 0.2, 0.3), 10 if QUICK else 40
"""Of the picture: by how much one feature moves, in standard deviations, and how often that is tried."""
CORES = 2

PEOPLE, BEFORE, EACH, WIDTH = 500, 1500, 10, 20
"""Current people, reference people, rows each, features."""
ICC = 0.3


def main() -> None:
    """Measure, print, write."""
    alarms, by_size = _false_alarms()
    finish("drift", [*alarms, *_power(), *drift_year.rows(quick=QUICK), *_cost()])
    drift_curves.draw(by_size, _by_shift(), RESULTS)


# ---------------------------------------------------------------- nothing changed


def _false_alarms() -> tuple[list[Row], Curves]:
    people = {source: People.of(source) for source in NIGHTS}
    found: list[Row] = []
    bound = 0.01 + 2 * np.sqrt(0.01 * 0.99 / WINDOWS)
    curves: dict[str, list[tuple[float, float]]] = {rule: [] for rule in (OURS, *drift_rivals.RULES)}
    with ProcessPoolExecutor(CORES, initializer=_given, initargs=(people,)) as pool:
        for size in SIZES:
            for features in FEATURES:
                rate = float(np.mean(list(pool.map(partial(_alarm, size, features), range(WINDOWS), chunksize=5))))
                what = f"false alarms, {size} people, {features} features, {WINDOWS} windows"
                found.append(Row(what, rate, bound, better="lower"))
                if features == DRAWN:
                    curves[OURS].append((size, rate))
        for size in SIZES[:3]:
            told = list(pool.map(partial(_rival_alarms, size), range(RIVALS), chunksize=5))
            for rule in drift_rivals.RULES:
                rate = float(np.mean([one[rule] for one in told]))
                found.append(Row(f"{rule}: false alarms, {size} people, {DRAWN} features", rate, better="lower"))
                curves[rule].append((size, rate))
    return found, curves


_PEOPLE: dict[str, People] = {}


def _given(people: Mapping[str, People]) -> None:
    _PEOPLE.update(people)


def _drawn(size: int, features: int, seed: int) -> tuple[Frame, Array, Array]:
    """Two windows of so many people, drawn with replacement from those of one source; the sources take turns."""
    rng = np.random.default_rng([seed, size, features])
    source = list(_PEOPLE.values())[seed % len(_PEOPLE)]
    chosen = np.sort(rng.choice(len(source.names), min(features, len(source.names)), replace=False))
    rows = np.concatenate([source.window(rng.integers(0, len(source.values), size), chosen) for _ in (0, 1)])
    frame = {str(source.names[feature]): rows[:, at] for at, feature in enumerate(chosen)}
    return frame, np.repeat(np.arange(2 * size), ROWS), np.repeat([0, 1], size * ROWS)


def _alarm(size: int, features: int, seed: int) -> bool:
    frame, person, window = _drawn(size, features, seed)
    return drift.check(frame, person, window, seed=seed).drifted


def _rival_alarms(size: int, seed: int) -> dict[str, bool]:
    frame, _, window = _drawn(size, DRAWN, seed)
    return drift_rivals.alarms(frame, window)


# ---------------------------------------------------------------- something changed

PERSON = np.concatenate([np.repeat(np.arange(BEFORE), EACH), np.repeat(np.arange(BEFORE, BEFORE + PEOPLE), EACH)])
WINDOW = (np.where(PERSON >= BEFORE, 1, 0)).astype(np.int64)
NOW = WINDOW == 1
KIND = "kind"
IMPORTANCE = {f"f{at}": 1.0 for at in range(WIDTH)}


def _features(rng: np.random.Generator) -> dict[str, Array]:
    """Unchanged people's numbers, and a category that is each person's own four times of five."""
    level = rng.normal(size=(BEFORE + PEOPLE, WIDTH)) * np.sqrt(ICC)
    x = level[PERSON] + rng.normal(size=(len(PERSON), WIDTH)) * np.sqrt(1 - ICC)
    shares = (0.35, 0.25, 0.2, 0.1, 0.1)
    own = rng.choice(5, BEFORE + PEOPLE, p=shares)[PERSON]
    kind = np.where(rng.random(len(PERSON)) < 0.8, own, rng.choice(5, len(PERSON), p=shares))
    return {**{f"f{at}": column for at, column in enumerate(x.T)}, KIND: kind.astype(float)}


def _one(frame: dict[str, Array], _: np.random.Generator, by: float = 0.2) -> None:
    frame["f3"] = frame["f3"] + by * NOW


def _all(frame: dict[str, Array], _: np.random.Generator) -> None:
    for at in range(WIDTH):
        frame[f"f{at}"] = frame[f"f{at}"] + 0.1 * NOW


def _swap(frame: dict[str, Array], _: np.random.Generator) -> None:
    swapped = np.array([0, 3, 2, 1, 4], float)[frame[KIND].astype(int)]
    frame[KIND] = np.where(NOW, swapped, frame[KIND])


def _nulls(frame: dict[str, Array], rng: np.random.Generator) -> None:
    lost = (rng.random(BEFORE + PEOPLE) < 0.3)[PERSON] & NOW
    frame["f3"] = np.where(lost, np.nan, frame["f3"])


def _power() -> list[Row]:
    with ProcessPoolExecutor(CORES) as pool:

        def share(of: Callable[[int], Any]) -> float:
            return float(np.mean(list(pool.map(of, range(NIGHTLY), chunksize=5))))

        return [
            Row("0.2 sd in 1 of 20 features: seen on 2 nights of 2", share(partial(_seen, _one)), 0.95),
            *_rivals_see(pool, _one, "0.2 sd in 1 of 20 features"),
            Row("0.1 sd in all 20 features: seen on 2 nights of 2", share(partial(_seen, _all)), 0.9),
            *_rivals_see(pool, _all, "0.1 sd in all 20 features"),
            Row("a category swap: seen on 2 nights of 2", share(partial(_seen, _swap)), 0.9),
            *_rivals_see(pool, _swap, "a category swap"),
            Row("a null burst: data quality alone", share(_null_burst), 0.9),
            *_rivals_see(pool, _nulls, "a null burst, called drift", better="lower"),
            Row("10 % of labels flipped: no drift, a dip within 3 matured nights", share(_flipped), 0.9),
            Row("0.5 sd in what goals do not depend on: warned of, not trained on", share(_harmless), 0.9),
        ]


def _by_shift() -> Curves:
    """What is seen on both of two nights, by how far one feature moved."""
    curves: dict[str, list[tuple[float, float]]] = {rule: [] for rule in (OURS, *drift_rivals.RULES)}
    with ProcessPoolExecutor(CORES) as pool:
        for by in SHIFTS:
            change = partial(_one, by=by)
            curves[OURS].append((by, float(np.mean(list(pool.map(partial(_seen, change), range(DRAWS)))))))
            told = list(pool.map(partial(_rivals_saw, change), range(DRAWS)))
            for rule in drift_rivals.RULES:
                curves[rule].append((by, float(np.mean([one[rule] for one in told]))))
    return curves


def _checked(
    change: Callable[..., None], seed: int, night: int, before: Mapping[str, float] | None = None
) -> DriftResult:
    rng = np.random.default_rng([seed, night])
    frame = _features(rng)
    change(frame, rng)
    recorded = [KIND, *(f"f{at}" for at in range(WIDTH))]
    return drift.check(
        frame,
        PERSON,
        WINDOW,
        categorical=[KIND],
        recorded=recorded,
        importance=IMPORTANCE,
        before=before,
        seed=seed,
    )


def _seen(change: Callable[..., None], seed: int) -> bool:
    """Whether the same thing moved on both of two nights."""
    first = _checked(change, seed, 0)
    return bool(_checked(change, seed, 1, first.beyond_chance).twice)


def _rivals_see(pool: ProcessPoolExecutor, change: Callable[..., None], what: str, better: str = "higher") -> list[Row]:
    told = list(pool.map(partial(_rivals_saw, change), range(RIVALS), chunksize=5))
    return [
        Row(f"{what}: {rule}", float(np.mean([one[rule] for one in told])), better=better)  # type: ignore[arg-type]
        for rule in drift_rivals.RULES
    ]


def _rivals_saw(change: Callable[..., None], seed: int) -> dict[str, bool]:
    """On both of two nights."""
    both = []
    for night in (0, 1):
        rng = np.random.default_rng([seed, night])
        frame = _features(rng)
        change(frame, rng)
        both.append(drift_rivals.alarms(frame, WINDOW, (KIND,)))
    return {rule: all(one[rule] for one in both) for rule in drift_rivals.RULES}


def _null_burst(seed: int) -> bool:
    """Whether the night is held back for the column that lost values, and nothing is called drift."""
    rng = np.random.default_rng([seed, 0])
    frame = _features(rng)
    _nulls(frame, rng)
    faults = bursts.bursts({name: np.isnan(values) for name, values in frame.items()}, PERSON, WINDOW)
    held_for = [one.name for one in faults if one.burst]
    return held_for == ["f3"] and not _checked(_nulls, seed, 0).drifted


# ---------------------------------------------------------------- what people do


@dataclass(frozen=True)
class _Outcome:
    """Rows of some nights: whose, their features, what the champion says, and what they did."""

    person: Array
    frame: Frame
    p: Array
    y: Array

    @classmethod
    def drawn(cls, seed: Sequence[int], people: int, flipped: float = 0.0, shift: float = 0.0) -> _Outcome:
        """Goals depend on five features of twenty, and `shift` moves one of the others."""
        rng = np.random.default_rng(seed)
        person = np.repeat(np.arange(people), EACH)
        level = rng.normal(size=(people, WIDTH)) * np.sqrt(ICC)
        x = level[person] + rng.normal(size=(len(person), WIDTH)) * np.sqrt(1 - ICC)
        p = 1 / (1 + np.exp(-(x[:, :5] @ np.array([0.8, 0.6, 0.5, 0.4, 0.3]) - 2.5)))
        y = rng.random(len(p)) < p
        y = np.where(rng.random(len(p)) < flipped, ~y, y).astype(float)
        x[:, 12] += shift
        return cls(person, {**{f"f{at}": column for at, column in enumerate(x.T)}, drift.SCORE: p}, p, y)


IMPORTANCE_OF_GOALS = {f"f{at}": float(at < 5) for at in range(WIDTH)}


def _against(then: _Outcome, now: _Outcome, seed: int, before: Mapping[str, float] | None = None) -> DriftResult:
    person = np.concatenate([then.person, now.person + BEFORE])
    window = np.repeat([0, 1], [len(then.person), len(now.person)])
    frame = {name: np.concatenate([then.frame[name], now.frame[name]]) for name in then.frame}
    return drift.check(frame, person, window, importance=IMPORTANCE_OF_GOALS, before=before, seed=seed)


def _dips(then: _Outcome, nights: Sequence[_Outcome]) -> tuple[performance.Dip, ...]:
    every = [then, *nights]
    figure = Figure(
        "AUC",
        np.concatenate([one.y for one in every]),
        np.concatenate([one.p for one in every]),
        np.concatenate([one.person for one in every]),
        np.repeat([0, *(1 for _ in nights)], [len(one.person) for one in every]),
        margin=0.01,
        detectable=0.05,
    )
    return performance.dips([figure], look=len(nights))


def _flipped(seed: int) -> bool:
    """Whether labels alone give it away: nothing moved on two nights, and a dip on one of three."""
    then = _Outcome.drawn([seed, 9], BEFORE)
    nights = [_Outcome.drawn([seed, night], PEOPLE, flipped=0.1) for night in range(3)]
    first = _against(then, nights[0], seed)
    second = _against(then, nights[1], seed, first.beyond_chance)
    seen = any(_dips(then, nights[: upto + 1])[0].verdict == performance.DIPPED for upto in range(3))
    return seen and not second.twice


def _harmless(seed: int) -> bool:
    """Whether the arm warns, and does not fire."""
    then = _Outcome.drawn([seed, 9], BEFORE)
    nights = [_Outcome.drawn([seed, night], PEOPLE, shift=0.5) for night in range(2)]
    result = _against(then, nights[1], seed, _against(then, nights[0], seed).beyond_chance)
    known = Known(
        as_of=datetime(2026, 7, 1, tzinfo=UTC),
        champion=None,
        predecessor=None,
        misfit=False,
        trained=None,
        evidence=Evidence(result, {}, ()),
        drift_note="",
        performance=Performance(_dips(then, nights)),
        performance_note="",
        labels_reach=True,
        matters=drift.matters(IMPORTANCE_OF_GOALS),
    )
    arm = next(arm for arm in retrain_arms.arms(known, _config(), asked=False) if arm["name"] == "drift")
    return arm["state"] == "warns"


@cache
def _config() -> Config:
    return configuration.load(ROOT / "shortlist.toml")


# ---------------------------------------------------------------- what it costs


def _cost() -> list[Row]:
    run = measure.measured("drift", "large")
    return [
        Row("1 M rows x 100 features, 1,000 permutations, s on 2 cores", run.told["seconds"], 20, better="lower"),
        Row("1 M rows x 100 features, peak MB", run.peak_mb, 1000, better="lower"),
    ]


def large() -> Mapping[str, float]:
    """100,000 people with ten rows each."""
    rng, people, rows = np.random.default_rng(0), 100_000, 10
    person = np.repeat(rng.permutation(people), rows)
    window = (np.arange(people * rows) // rows % 4 == 0).astype(np.int64)
    frame = {f"f{at}": rng.normal(size=people * rows).astype(np.float32) for at in range(100)}
    started = time.perf_counter()
    drift.check(frame, person, window, permutations=1000)
    return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    measure.main({"large": large}, main)
