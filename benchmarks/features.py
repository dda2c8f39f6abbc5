"""What a night's person features cost: ours against pandas, DuckDB's SQL, a mere scan; memory, growth, two cores.

The same files of a lake, 90 days in 24 categories, and the same columns (`features.spec`, all that the kernel
computes) for all; before anything is measured, all three must agree on a small log. Each contender is a process of
its own, imports included; CPU seconds are user and system time. "Handed out": as Arrow, a shard at a time; otherwise a
night is written as Parquet, ours a shard at a time. `QUICK=1` takes a tenth of the rows.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import event_log, features_agreement, features_contenders, measure
from benchmarks.features_ours import NIGHT
from benchmarks.table import QUICK, Row, finish

Name = TypeVar("Name", int, str)

EVENTS = 1_000_000 if QUICK else 10_000_000
LITTLE, LARGE = EVENTS // 10, EVENTS * 5
AGREED = 60_000
ASKED = EVENTS // 10
NIGHTS = 60
YEAR = 365
NAMES = {"ours": "ours", "pandas": "pandas", "duckdb": "DuckDB", "scan": "scanning"}


def main() -> None:
    """Agree, measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        little = _made(Path(folder), AGREED)
        features_agreement.agree(little)
        features_agreement.agree_on_impressions(little, _ask(little, AGREED // 10))
        homes = {events: str(_made(Path(folder), events)) for events in (LITTLE, EVENTS, LARGE)}
        rows = [*_night(homes[EVENTS]), *_nights(homes[EVENTS]), *_going_on(homes[EVENTS])]
        rows += [*_year(Path(folder)), *_impressions(homes[EVENTS]), *_growth(homes), *_cores(homes[EVENTS])]
    finish("features", rows)


def _made(folder: Path, events: int) -> Path:
    home = folder / f"{events}"
    home.mkdir()
    event_log.write(home, events)
    return home


def _measured(job: str, *arguments: str) -> measure.Cost:
    return measure.measured("features_ours", job, *arguments)


def _other(job: str, *arguments: str) -> measure.Cost:
    return measure.measured("features_contenders", job, *arguments)


def _night(home: str) -> list[Row]:
    about = (home, str(Path(home) / event_log.CATALOGUE), NIGHT.isoformat())
    jobs = {
        "ours": partial(_measured, "hand_out", home, "1", "w"),
        "pandas": partial(_other, "pandas", *about),
        "duckdb": partial(_other, "duckdb", *about, ",".join(event_log.CATEGORIES)),
        "scan": partial(_other, "scan", home),
    }
    starts = {
        "ours": partial(_measured, "empty"),
        **{name: partial(_other, "start", name) for name in ("pandas", "duckdb")},
    }
    cost, start = _least(jobs), _least(starts)
    ours, pandas, duckdb, scan = (cost[name] for name in jobs)
    if not ours.told["columns"] == pandas.told["columns"] == duckdb.told["columns"]:
        raise SystemExit("they have not the same columns")
    net = {name: cost[name].cpu - start[name].cpu for name in starts}
    return [
        Row("one night: pandas' CPU / ours", pandas.cpu / ours.cpu, 8, 12),
        Row("one night: DuckDB's CPU / ours", duckdb.cpu / ours.cpu, 5, 8),
        Row("one night: our CPU / scanning the columns", ours.cpu / scan.cpu, 6, 4, "lower"),
        Row("one night, starts of processes excluded: pandas' CPU / ours", net["pandas"] / net["ours"], 8, 12),
        Row("one night, starts of processes excluded: DuckDB's CPU / ours", net["duckdb"] / net["ours"], 5, 8),
        Row(f"{EVENTS / 1e6:g} M events, {ours.told['columns']:g} columns: ours, CPU s", ours.cpu, better="lower"),
        *(Row(f"{NAMES[name]}, CPU s", cost[name].cpu, better="lower") for name in ("pandas", "duckdb", "scan")),
        *(Row(f"{NAMES[name]}: start of the process, CPU s", start[name].cpu, better="lower") for name in starts),
        *(Row(f"{NAMES[name]}, peak memory, MB", cost[name].peak_mb, better="lower") for name in starts),
    ]


def _least(jobs: Mapping[Name, Callable[[], measure.Cost]]) -> dict[Name, measure.Cost]:
    """The least disturbed of three runs of each, in turns."""
    runs = [{name: job() for name, job in jobs.items()} for _ in range(3)]
    return {name: min((run[name] for run in runs), key=lambda cost: cost.cpu) for name in jobs}


def _nights(home: str) -> list[Row]:
    asked = {"one": ("1", ""), "many": (f"{NIGHTS}", ""), "written": (f"{NIGHTS}", "w")}
    cost = _least({name: partial(_measured, "hand_out", home, *how) for name, how in asked.items()})
    one, many, written = (cost[name] for name in asked)
    return [
        Row(f"{NIGHTS} nights handed out: CPU / one night handed out", many.cpu / one.cpu, 4, 2.5, "lower"),
        Row("one night handed out, CPU s", one.cpu, better="lower"),
        Row(f"{NIGHTS} nights handed out, CPU s", many.cpu, better="lower"),
        Row(f"{NIGHTS} nights handed out and written as Parquet, CPU s", written.cpu, better="lower"),
        Row(f"{NIGHTS} nights handed out, peak memory, MB", many.peak_mb, better="lower"),
    ]


def _impressions(home: str) -> list[Row]:
    asked = str(_ask(Path(home), ASKED))
    jobs = {
        "ours": partial(_measured, "as_of", home, asked),
        "pandas": partial(_other, "as_of", home, str(Path(home) / event_log.CATALOGUE), asked),
    }
    cost = _least(jobs)
    return [
        Row(
            f"{ASKED / 1e6:g} M impressions as of their time: pandas' CPU / ours",
            cost["pandas"].cpu / cost["ours"].cpu,
            5,
            8,
        ),
        Row("the impressions, ours, CPU s", cost["ours"].cpu, better="lower"),
        Row("the impressions, three merge_asof, CPU s", cost["pandas"].cpu, better="lower"),
    ]


def _going_on(home: str) -> list[Row]:
    """The kernel alone, and the step of a night: the least of three runs of each part."""
    runs = [{**_measured("go_on", home).told, **_measured("step", home).told} for _ in range(3)]
    told = {what: min(run[what] for run in runs) for what in runs[0]}
    return [
        Row(
            "night from yesterday's state: CPU of a full pass / its (imports excluded)",
            told["full"] / told["on"],
            10,
            20,
        ),
        Row("full pass, imports excluded, CPU s", told["full"], better="lower"),
        Row("night from yesterday's state, imports excluded, CPU s", told["on"], better="lower"),
        Row(
            "the nightly step, with late rows and its files: CPU of a first night / of a later one",
            told["first"] / told["later"],
            10,
            20,
        ),
        Row("the step, first night: all rows, imports excluded, CPU s", told["first"], better="lower"),
        Row("the step, a later night: from its checkpoints, imports excluded, CPU s", told["later"], better="lower"),
        Row("the step, a night with log-ins from browsers that have a past, CPU s", told["logged_in"], better="lower"),
    ]


def _year(folder: Path) -> list[Row]:
    """The step on a log of the same people that is four times as old: the least of two runs."""
    home = folder / "year"
    event_log.write(home, EVENTS * YEAR // event_log.DAYS, days=YEAR)
    runs = [_measured("step", str(home)).told for _ in range(2)]
    shutil.rmtree(home)
    told = {what: min(run[what] for run in runs) for what in runs[0]}
    return [
        Row(
            f"the step, a log of {YEAR} days: CPU of a first night / of a later one",
            told["first"] / told["later"],
            10,
            20,
        ),
        Row(f"the step, {YEAR} days, first night, CPU s", told["first"], better="lower"),
        Row(f"the step, {YEAR} days, a later night, CPU s", told["later"], better="lower"),
        Row(f"the step, {YEAR} days, a night with log-ins, CPU s", told["logged_in"], better="lower"),
    ]


def _growth(homes: Mapping[int, str]) -> list[Row]:
    """CPU a million events, without what a process costs before it sees any."""
    costs = _least({events: partial(_measured, "hand_out", home, "1", "w") for events, home in homes.items()})
    each = {events: cost.told["cpu"] / (events / 1e6) for events, cost in costs.items()}
    little, usual, large = (f"{events / 1e6:g} M" for events in (LITTLE, EVENTS, LARGE))
    return [
        Row(f"CPU a million events: {large} / {usual}", each[LARGE] / each[EVENTS], 1.15, better="lower"),
        Row(f"CPU a million events: {usual} / {little}", each[EVENTS] / each[LITTLE], 1.15, better="lower"),
        Row(f"peak memory at {large} events, MB", costs[LARGE].peak_mb, 1000, better="lower"),
    ]


def _cores(home: str) -> list[Row]:
    """The least disturbed of three runs of each, in turns."""
    seconds = [[_measured("write", home, workers).told["seconds"] for workers in "12"] for _ in range(3)]
    one, two = (min(taken) for taken in zip(*seconds, strict=True))
    return [Row("two workers: wall time of one / of two, start of the process excluded", one / two, 1.8)]


def _ask(home: Path, many: int) -> Path:
    """A file of some of the impressions, day after day: who, when, and what was shown."""
    days = []
    for path in features_contenders.files(home):
        shown = pq.read_table(path, columns=["person_id", "ts", "content_id", "event"], partitioning=None)
        shown = shown.filter(pc.equal(shown["event"], "impression"))
        each = many // event_log.DAYS
        days.append(shown.take(np.arange(each) * shown.num_rows // each))
    asked = pa.concat_tables(days).rename_columns({"ts": "as_of"}).drop_columns(["event"])
    pq.write_table(asked, home / "impressions.parquet")
    return home / "impressions.parquet"


if __name__ == "__main__":
    measure.main({}, main)
