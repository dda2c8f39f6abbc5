"""What candidates cost that are learned from who turned to what: fit once a night, then 200 proposals for everybody.

A log of 5 M readings of 5,000 contents by 100,000 people (`benchmarks.candidates_log`), on one core. Each is the least
of `TIMES` goes in one process, without imports and compilation; recommending goes through everybody once, a block of
people at a time. The two sources that read the catalogue and the pair kernel (`affinity`, `covisit`) are not in it.
`QUICK=1` takes a tenth of the people and events.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import candidates_log, measure
from benchmarks.table import QUICK, Row, finish
from models import candidates, factors, neighbours, popularity
from models.engagement import Engagement, Linear, Shared
from models.places import first_choices

PEOPLE, CONTENTS, EVENTS = (10_000, 5_000, 500_000) if QUICK else (100_000, 5_000, 5_000_000)
LIMIT, BLOCK, TIMES = 200, 1_000, 3
ONE_CORE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

SHARED: dict[str, Callable[[Engagement], Shared]] = {
    "trending": lambda log: popularity.trending(log, 24),
    "rising": lambda log: popularity.trending(log, 3),
    "fresh": popularity.newest,
}
ALL_BUT_SOURCES = ("neighbours_6h", "neighbours_3d", "neighbours_busy", "neighbours_reach")
SOURCES = {"neighbours_12h": "neighbours", "followed": "followed", "beside": "beside"} | {
    name: name for name in ("sessions", "factors")
}
"""What is learned of people, and the source that proposes by it."""


def main() -> None:
    """Measure, print, write."""
    os.environ.update(dict.fromkeys(ONE_CORE, "1"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log.npz"
        log = candidates_log.engagement(PEOPLE, CONTENTS, EVENTS)
        np.savez(file, person=log.person, content=log.content, ts=log.ts, born=log.born, as_of=log.as_of)
        cost = measure.measured("candidates", "job", str(file))
    told = cost.told
    rows = [
        Row("fit: all sources, CPU s", told["fit"], 2, better="lower"),
        Row("recommend to everybody: all sources, CPU s", told["recommend"], 6, better="lower"),
        *(Row(what, value, better="lower") for what, value in told.items() if what not in ("fit", "recommend")),
        Row("peak memory, MB", cost.peak_mb, better="lower"),
    ]
    finish("candidates", rows)


def job(file: str) -> Mapping[str, float]:
    """CPU seconds of each part, by what it is."""
    small = candidates_log.engagement(200, 40, 2_000)
    _everything(small, candidates.personal(small, small), {})  # compiled by now
    seconds: dict[str, float] = {}
    found: dict[str, Any] = {}
    for _ in range(TIMES):
        found.clear()  # before the next is made: a night is learned from once
        log = _read(Path(file))
        found, parts = _fit(log)
        seconds = {what: min(value, seconds.get(what, value)) for what, value in parts.items()}
    sources = [value for what, value in seconds.items() if not any(name in what for name in ALL_BUT_SOURCES)]
    told = {"readings": float(len(log.ts)), "people with contents": float(len(log.pairs.person)), **seconds}
    shared = {name: make(log).content for name, make in SHARED.items()}
    for name, source in SOURCES.items():
        told[f"recommend to everybody: {source} alone, CPU s"] = _timed(lambda one=found[name]: _alone(log, one))
    told["recommend"] = _timed(lambda: _everything(log, found, shared))
    return {**told, "fit": sum(sources)}


def _read(file: Path) -> Engagement:
    stored = np.load(file)
    columns = {name: stored[name] for name in ("person", "content", "ts", "born")}
    return Engagement(as_of=int(stored["as_of"]), people=PEOPLE, contents=CONTENTS, **columns)


def _fit(log: Engagement) -> tuple[dict[str, Any], dict[str, float]]:
    """Everything that is learned, and how long each took."""
    makers: dict[str, Callable[[], Any]] = {
        "who read what when": lambda: (log.pairs, log.session, log.baskets),
        "neighbours_12h": lambda: neighbours.user_knn(log, 12),
        "followed": lambda: neighbours.item_to_item(log, 30, 12),
        "beside": lambda: neighbours.co_visits(log, 3, 14),
        "sessions": lambda: neighbours.session_knn(log, 24),
        "factors": lambda: factors.als(log, 16, memory_days=0.5, confidence=40, regularisation=100),
        "neighbours_6h": lambda: neighbours.user_knn(log, 6),
        "neighbours_3d": lambda: neighbours.user_knn(log, 72),
        "neighbours_busy": lambda: neighbours.user_knn(log, 17),
        "neighbours_reach": lambda: neighbours.neighbours_reach(log),
    }
    found, seconds = {}, {}
    for name, make in makers.items():
        started = time.process_time()
        one = make()
        seconds[f"fit: {name}, CPU s"] = time.process_time() - started
        if name in SOURCES:
            found[name] = one
    return found, seconds


def _timed(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _alone(log: Engagement, one: Linear) -> None:
    """One source's own proposals for everybody."""
    for rows in _blocks(log):
        first_choices(one.scores(rows, np.arange(log.contents)), _eligible(log, rows), LIMIT)


def _everything(log: Engagement, found: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    """Everybody's candidates from all sources."""
    every = np.arange(log.contents)
    for rows in _blocks(log):
        scores = {source: found[name].scores(rows, every) for name, source in SOURCES.items()}
        candidates.choose({**shared, **scores}, _eligible(log, rows), LIMIT)


def _blocks(log: Engagement) -> list[Any]:
    return [np.arange(start, min(start + BLOCK, log.people)) for start in range(0, log.people, BLOCK)]


def _eligible(log: Engagement, rows: Any) -> Any:
    """What the people of consecutive `rows` have not turned to yet."""
    found = np.ones((len(rows), log.contents), bool)
    mine = slice(log.pairs.starts[rows[0]], log.pairs.starts[rows[-1] + 1])
    found[log.pairs.person[mine] - rows[0], log.pairs.content[mine]] = False
    return found


if __name__ == "__main__":
    measure.main({"job": job}, main)
