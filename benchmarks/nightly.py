"""A whole night without a training, step by step, beside the sum of its kernels: what a night costs besides thinking.

10 M events of 100,000 people in 90 days, 5,000 contents, 200 candidates, lists of 20: caps on categories and authors,
lists spread over subjects, three reasons a row, three goals. The champion was trained four nights ago and has served
since; last night left its checkpoint, its lists, and what its check saw of past nights. That is made beforehand and not
measured.

Then one night as the DAG runs it, each step in a process of its own, imports included: features, grade (of last
night's lists), drift (three nights against three, and how the champion did), rank, publish. What is left out is the
day's export, which has its own benchmark (`ingest`), and alerts. CPU seconds are user and system time of a step and
all that it starts.

The kernels are the functions that do the arithmetic, wherever a step calls them, on the arrays of the very same night:
their CPU seconds are taken in a process that has run a little night before, so that nothing is compiled or imported
while the watch runs. `QUICK=1` takes a fiftieth of the people, where what does not depend on their number weighs most.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import event_log, measure
from benchmarks.event_log import CATEGORIES, DAYS, FIRST, SOURCE, Company
from benchmarks.table import QUICK, Row, finish
from expectations import schemas
from pipeline import config as configuration
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms

LITTLE = 200_000
"""Events of the company in which the champion learns: its trees are as many, and as deep, whoever is ranked by them."""
EVENTS = LITTLE if QUICK else 10_000_000
CONTENTS, NEW = 4_752, 248
NIGHT = datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(days=DAYS)
TRAINED = NIGHT - timedelta(days=4)
STEPS = ("build_features", "grade", "check_drift", "rank", "publish")
TO_LISTS = ("build_features", "rank", "publish")

SETTINGS: Mapping[str, Any] = {
    "project": {"name": "nightly", "development_key": True},
    "goals": {
        "click": {"events": ["click"], "weight": 0.2},
        "read": {"events": ["like", "save", "share", "comment"], "min_dwell_seconds": 30, "weight": 0.5},
        "purchase": {"events": ["purchase"]},
    },
    "ranking": {"k": 20, "candidates": 200, "max_per_category": 5, "max_per_author": 2, "diversity": 0.3},
    "training": {"nights": 10, "warm_up_days": 30, "trials": 1, "challengers": []},
    "retrain": {"when": "never"},
    "engine": {"workers": 1},
}


def main() -> None:
    """Make the world, run the night, time its kernels, print, write."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    with tempfile.TemporaryDirectory() as folder:
        little, home, night = (Path(folder) / name for name in ("little", "company", "night"))
        trees = measure.measured("nightly", "learn", str(little)).told["trees"]
        if QUICK:
            shutil.copytree(little, home, symlinks=True)
        else:
            measure.measured("nightly", "grow_up", str(little), str(home))
        shutil.copytree(home, night, symlinks=True)
        steps = {step: measure.measured("nightly", "step", str(night), step) for step in STEPS}
        start = measure.measured("nightly", "start").cpu
        kernels = measure.measured("nightly", "kernels", str(home), str(little)).told
    finish("nightly", [*_rows(steps, kernels, start), Row("trees of the champion, all goals", trees)])


def _rows(steps: Mapping[str, measure.Cost], kernels: Mapping[str, float], start: float) -> list[Row]:
    def of(some: tuple[str, ...]) -> dict[str, float]:
        names = [name for step in some for name in kernels if name.startswith(f"{step}: ")]
        return {name: kernels[name] for name in names}

    def ratio(some: tuple[str, ...]) -> float:
        return sum(steps[step].cpu for step in some) / sum(of(some).values())

    people = EVENTS // 100
    return [
        Row(f"{people:,} people: CPU of the night / of its kernels", ratio(STEPS), 2, better="lower"),
        Row("without grade and drift: CPU / of its kernels", ratio(TO_LISTS), better="lower"),
        Row("the night, CPU s", sum(steps[step].cpu for step in STEPS), better="lower"),
        Row("its kernels, CPU s", sum(kernels.values()), better="lower"),
        *(Row(f"{step}: CPU s", steps[step].cpu, better="lower") for step in STEPS),
        *(Row(f"{step}: CPU of the step / of its kernels", ratio((step,)), better="lower") for step in STEPS),
        *(Row(f"kernel, {name}, CPU s", kernels[name], better="lower") for name in kernels),
        *(Row(f"{step}: peak, MB", steps[step].peak_mb, 1000, better="lower") for step in ("rank", "publish")),
        *(Row(f"{step}: peak, MB", steps[step].peak_mb, better="lower") for step in STEPS[:3]),
        Row("start of a process that ranks, CPU s", start, better="lower"),
    ]


# ---------------------------------------------------------------- what was before


def learn(home: str) -> Mapping[str, float]:
    """The little company until the night, in which a champion learns."""
    from pipeline import train
    from pipeline.bundles import load_bundle
    from pipeline.records import Tracker

    config = _founded(Path(home), LITTLE)
    report = train.run(TRAINED, config)
    if not report.promoted or report.version is None:
        raise SystemExit(f"the training made no champion: {report.reason}")
    _last_night(config)
    tracker = Tracker(Lake.of(config).tracking, config.project.name)
    models = load_bundle(tracker, report.version).serving.values()
    return {"trees": sum(model.booster.num_boosted_rounds() for model in models)}


def grow_up(little: str, home: str) -> Mapping[str, float]:
    """The company of the night, of which most people came after the champion had learned."""
    config = _founded(Path(home), EVENTS)
    tracking = Lake.of(config).tracking.relative_to(home)
    shutil.copytree(Path(little) / tracking, Path(home) / tracking)
    _last_night(config)
    return {}


def _founded(home: Path, events: int) -> Config:
    home.mkdir(parents=True)
    config = _config(home)
    _write_lake(home, config, events)
    return config


def _last_night(config: Config) -> None:
    """What the night before left: its checkpoint, its lists, what its check saw."""
    for step in (*TO_LISTS, "check_drift"):
        _run(step, config, NIGHT - timedelta(days=1))


def _config(home: Path) -> Config:
    return configuration.parse(SETTINGS, home / "shortlist.toml")


def _write_lake(home: Path, config: Config, events: int) -> None:
    """The log, whose people are visitors of a web site; and each day's catalogue, as ingest writes them."""
    names = pa.array([f"visitor-{n}" for n in range(events // 100)])
    lake = Lake.of(config)
    lake.root.mkdir()
    people = np.asarray(Pseudonyms.of(config).column(names, "visitor"))
    event_log.write(home, events, company=Company(people, CONTENTS))
    lake.replace_source("native_ids", _native_ids(lake, people, names), SOURCE)
    lake.replace_source("content", _catalogues(), "catalogue")


def _native_ids(lake: Lake, people: Any, names: pa.Array) -> pa.Table:
    """Who was seen on which day."""
    seen = lake.read("events", columns=["person_id", "day"]).group_by(["person_id", "day"]).aggregate([])
    native = names.take(pc.index_in(seen["person_id"].combine_chunks(), value_set=pa.array(people)))
    rows = {"id": seen["person_id"], "native_id": native, "day": seen["day"]}
    return _filled("native_ids", {**rows, "id_type": "visitor", "source": SOURCE})


def _catalogues() -> pa.Table:
    """Every day's: contents as old as a year, and some that came out of late and nobody has seen."""
    rng, contents = np.random.default_rng(3), CONTENTS + NEW
    born = NIGHT - np.concatenate([rng.integers(91, 365, CONTENTS), rng.integers(1, 30, NEW)]) * timedelta(days=1)
    tags = [[f"tag {n}" for n in some] for some in rng.integers(0, 500, (contents, 4)).tolist()]
    facts = {
        "content_id": pa.array([f"content-{n}" for n in range(contents)]),
        "title": pa.array([f"All about content {n}" for n in range(contents)]),
        "category": pa.array([CATEGORIES[n % len(CATEGORIES)] for n in range(contents)]),
        "tags": pa.array(tags),
        "author": pa.array([f"author {n}" for n in rng.integers(0, 300, contents).tolist()]),
        "published_at": pa.array(born.tolist(), schemas.TIMESTAMP),
    }
    told = {"status": "published", "language": "en", "format": "standard", "source": "catalogue"}
    days = [FIRST + timedelta(days=n) for n in range(DAYS)]
    return pa.concat_tables(_filled("content", {**facts, **told, "day": pa.scalar(day, pa.date32())}) for day in days)


def _filled(table: str, columns: Mapping[str, Any]) -> pa.Table:
    """A table of the lake: what is one value is so in every row, and what is not said is missing."""
    schema, rows = schemas.LAKE[table].schema, max(len(c) for c in columns.values() if isinstance(c, _COLUMNS))

    def column(field: pa.Field) -> Any:
        found = columns.get(field.name)
        if isinstance(found, _COLUMNS):
            return found.cast(field.type)
        return pa.nulls(rows, field.type) if found is None else pa.repeat(found, rows).cast(field.type)

    return pa.table([column(field) for field in schema], schema=schema)


_COLUMNS = (pa.Array, pa.ChunkedArray)


# ---------------------------------------------------------------- the night


def step(home: str, name: str) -> Mapping[str, float]:
    """One step of the night, as its task runs it."""
    _run(name, _config(Path(home)))
    return {}


def _run(step: str, config: Config, night: datetime = NIGHT) -> None:
    from importlib import import_module

    import_module(f"pipeline.{step}").run(night, config)


def start() -> Mapping[str, float]:
    """What a process costs that imports all that ranking needs."""
    from pipeline import rank

    return {"imported": len(rank.__name__)}


def kernels(home: str, little: str) -> Mapping[str, float]:
    """CPU seconds of the night's kernels, by step and kernel; a little night before has loaded all code."""
    for step in STEPS:
        _run(step, _config(Path(little)))
    spent: dict[str, float] = defaultdict(float)
    for step in STEPS:
        with ExitStack() as watched:
            for name, owner, function in _kernels():
                watched.enter_context(_timed(owner, function, f"{step}: {name}", spent))
            _run(step, _config(Path(home)))
    return dict(spent)


def _kernels() -> Iterator[tuple[str, Any, str]]:
    """What each is called, and where it is called by which name."""
    import pyarrow.parquet as pq

    from features import pair_night
    from features.pairs import PairSpace
    from models import candidates, drift, rerank
    from models.classifier import GoalModel
    from models.contributions import Contributions
    from models.engagement import Linear, Ratio
    from models.reasons import Words
    from models.scorer import Scorer
    from pipeline import build_features, persons, since

    yield "people from the state", since, "resumed"
    yield "people of past nights", persons, "kernel"
    yield "features of contents", build_features, "content_features"
    yield "candidates, tastes", PairSpace, "of"
    yield "candidates, fit", candidates, "personal"
    yield "candidates, scores", Linear, "scores"
    yield "candidates, scores", Ratio, "scores"
    yield "candidates, choice", candidates, "choose"
    yield "pair features", pair_night, "pair_kernel"
    yield "pair features", pair_night, "response_totals"
    yield "pair features", pair_night, "pair_table"
    yield "scorer", Scorer, "score"
    yield "lists", rerank, "top"
    yield "reasons", Contributions, "by_theme"
    yield "reasons", Words, "reasons"
    yield "models on past nights", GoalModel, "predict"
    yield "drift test", drift, "check"
    yield "Parquet", pq.ParquetWriter, "write_table"


@contextmanager
def _timed(owner: Any, function: str, name: str, spent: dict[str, float]) -> Iterator[None]:
    """While it lasts, what all calls take is counted; of a kernel that calls another the time is the inner one's."""
    asked: Callable[..., Any] = getattr(owner, function)

    @wraps(asked)
    def timed(*arguments: Any, **named: Any) -> Any:
        inside, begun = sum(spent.values()), time.process_time()
        answer = asked(*arguments, **named)
        spent[name] += time.process_time() - begun - (sum(spent.values()) - inside)
        return answer

    with patch.object(owner, function, timed):
        yield


JOBS: Mapping[str, measure.Job] = {
    "learn": learn,
    "grow_up": grow_up,
    "step": step,
    "start": start,
    "kernels": kernels,
}

if __name__ == "__main__":
    measure.main(JOBS, main)
