"""A whole nightly run without training, beside what its kernels take: how much is spent around what has to be done.

10 M events of 90 days, 100,000 people, 5,000 contents, 200 candidates, lists of 20, in one process and one thread. The
kernels are the person's and the pairs' features, candidates, trees and calibration, lists, reasons, and Parquet; their
CPU seconds are taken where the run itself calls them. `QUICK=1` is a twentieth of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import event_log, measure
from benchmarks.table import QUICK, Row, finish
from expectations import schemas
from features import kernel, pair_kernel
from models import candidates, contributions, rerank
from models.classifier import GoalModel
from models.forest import Forest
from pipeline import block, build_features, check_drift, grade, parts, publish, rank, train
from pipeline import config as configuration
from pipeline.lake import UNDATED

EVENTS, CONTENTS = (500_000, 1_000) if QUICK else (10_000_000, 5_000)
NIGHT = datetime.combine(event_log.FIRST, datetime.min.time(), UTC) + timedelta(days=event_log.DAYS)
STEPS: Mapping[str, Callable[..., Any]] = {
    "features": build_features.run,
    "grade": grade.run,
    "drift": check_drift.run,
    "rank": rank.run,
    "publish": publish.run,
}
KERNELS: Mapping[str, tuple[tuple[Any, str], ...]] = {
    "person features": ((kernel, "_run"),),
    "pair features": ((pair_kernel, "_answered"), (pair_kernel, "_tastes")),
    "candidates": ((candidates, "personal"), (candidates, "choose"), (block.NightBlock, "said")),
    "trees and calibration": ((Forest, "margins"), (GoalModel, "log_odds"), (GoalModel, "probabilities")),
    "lists": ((rerank, "top"),),
    "reasons": ((contributions.Contributions, "by_theme"),),
    "Parquet": ((parts, "write"),),
}
SETTINGS = """
[project]
name = "nightly"
development_key = true

[ranking]
k = 20
candidates = 200

[training]
nights = 3
trials = 1
seconds = 60
max_rows = 200_000
challengers = []

[engine]
workers = 1
"""


def main() -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        _make(Path(folder))
        measure.measured("nightly", "learn", folder)
        run = measure.measured("nightly", "night", folder)
    told = run.told
    kernels, steps = sum(told[name] for name in KERNELS), sum(told[name] for name in STEPS)
    rows = [
        Row("the run, CPU / its kernels, CPU", steps / kernels, 2, better="lower"),
        *(Row(f"shortlist {name}, CPU s", told[name], better="lower") for name in STEPS),
        *(Row(f"{name}: kernel, CPU s", told[name], better="lower") for name in KERNELS),
        Row("people with lists", told["people"]),
        Row("candidates", told["scored"]),
        Row("peak memory, MB", run.peak_mb, better="lower"),
    ]
    finish("nightly", rows)


def _make(home: Path) -> None:
    """The lake: events, a catalogue, and everybody's own id."""
    (home / "shortlist.toml").write_text(SETTINGS)
    event_log.write(home, EVENTS, contents=CONTENTS)
    lake, rng = event_log.lake_in(home), np.random.default_rng(7)
    names = [f"content-{number}" for number in range(CONTENTS // 24 * 24)]
    rows = [
        {
            "content_id": name,
            "category": event_log.CATEGORIES[number % 24],
            "author": f"author {rng.integers(300)}",
            "tags": [f"tag {tag}" for tag in rng.integers(0, 500, 3)],
            "published_at": NIGHT - timedelta(days=float(rng.exponential(60)) + 0.1),
            "status": "published",
            "source": "catalogue",
            "day": UNDATED,
        }
        for number, name in enumerate(names)
    ]
    lake.replace_source("content", pa.Table.from_pylist(rows, schema=schemas.LAKE["content"].schema), "catalogue")
    people = pa.compute.unique(lake.read("events", columns=["person_id"])["person_id"]).to_pylist()
    known = [
        {"id": one, "id_type": "visitor", "native_id": f"v{one}", "source": event_log.SOURCE, "day": event_log.FIRST}
        for one in people
    ]
    lake.replace_source(
        "native_ids", pa.Table.from_pylist(known, schema=schemas.LAKE["native_ids"].schema), event_log.SOURCE
    )


def learn(home: str) -> Mapping[str, float]:
    """The model that the night asks: its cost is no matter here."""
    train.run(NIGHT, configuration.load(Path(home) / "shortlist.toml"))
    return {}


def night(home: str) -> Mapping[str, float]:
    """CPU seconds of every step, and of every kernel inside of them."""
    config = configuration.load(Path(home) / "shortlist.toml")
    told: dict[str, float] = dict.fromkeys([*STEPS, *KERNELS], 0.0)
    with _watched(told):
        for name, step in STEPS.items():
            start = time.process_time()
            report = step(NIGHT, config)
            told[name] = time.process_time() - start
            if name == "rank":
                told["people"], told["scored"] = float(report.people), float(report.candidates)
    return told


@contextmanager
def _watched(told: dict[str, float]) -> Iterator[None]:
    """Count the CPU seconds of kernels, each call once, also where one calls another."""
    inside = [False]

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            if inside[0]:
                return function(*arguments, **named)
            inside[0], start = True, time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                told[name] += time.process_time() - start
                inside[0] = False

        return timed

    kept = [(where, what, vars(where)[what]) for places in KERNELS.values() for where, what in places]
    for name, places in KERNELS.items():
        for where, what in places:
            found = vars(where)[what]
            if isinstance(found, cached_property):
                replaced: Any = cached_property(watched(name, found.func))
                replaced.__set_name__(where, what)
            else:
                replaced = watched(name, found)
            setattr(where, what, replaced)
    try:
        yield
    finally:
        for where, what, found in kept:
            setattr(where, what, found)


if __name__ == "__main__":
    measure.main({"learn": learn, "night": night}, main)
