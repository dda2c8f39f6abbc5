"""What a night's person features cost: ours against pandas, DuckDB's SQL, a mere scan; memory, growth, two cores.

The same files of a lake, 90 days in 24 categories, and the same columns (`features.spec`, all that the kernel
computes) for all; before anything is measured, all three must agree on a small log. Each contender is a process of
its own, imports included; CPU seconds are user and system time. "Handed out": as Arrow, a shard at a time; otherwise a
night is written as Parquet, ours a shard at a time. `QUICK=1` takes a tenth of the rows.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import event_log, features_contenders, measure
from benchmarks.table import QUICK, Row, finish

Name = TypeVar("Name", int, str)

EVENTS = 1_000_000 if QUICK else 10_000_000
LITTLE, LARGE = EVENTS // 10, EVENTS * 5
AGREED = 60_000
ASKED = EVENTS // 10
NIGHTS = 60
_GROUP = 10_000
"""Rows of a row group: smaller ones take twice the time to write, and more room."""
NAMES = {"ours": "ours", "pandas": "pandas", "duckdb": "DuckDB", "scan": "scanning"}
CONNECTIONS = ("events_so_far", "events_so_far_7d", "dwell_so_far_seconds", "event_days_ago", "affinity_category_7d")
_CONNECT = ("person_id", "ts", "available_at", "event", "content_id", "dwell_seconds")
"""What connections are made of."""
NIGHT = datetime.combine(event_log.FIRST, datetime.min.time(), UTC) + timedelta(days=event_log.DAYS)


def main() -> None:
    """Agree, measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        little = _made(Path(folder), AGREED)
        agree(little)
        agree_on_impressions(little)
        homes = {events: str(_made(Path(folder), events)) for events in (LITTLE, EVENTS, LARGE)}
        rows = [*_night(homes[EVENTS]), *_nights(homes[EVENTS]), *_going_on(homes[EVENTS])]
        rows += [*_impressions(homes[EVENTS]), *_growth(homes), *_cores(homes[EVENTS])]
    finish("features", rows)


def _made(folder: Path, events: int) -> Path:
    home = folder / f"{events}"
    home.mkdir()
    event_log.write(home, events)
    return home


def _measured(job: str, *arguments: str) -> measure.Cost:
    return measure.measured("features", job, *arguments)


def _other(job: str, *arguments: str) -> measure.Cost:
    return measure.measured("features_contenders", job, *arguments)


# ---------------------------------------------------------------- the table


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
    """The run with the best full pass and the best that goes on."""
    runs = [_measured("go_on", home).told for _ in range(3)]
    told = {what: min(run[what] for run in runs) for what in ("full", "on")}
    return [
        Row(
            "night from yesterday's state: CPU of a full pass / its (imports excluded)",
            told["full"] / told["on"],
            10,
            20,
        ),
        Row("full pass, imports excluded, CPU s", told["full"], better="lower"),
        Row("night from yesterday's state, imports excluded, CPU s", told["on"], better="lower"),
    ]


def _growth(homes: Mapping[int, str]) -> list[Row]:
    """CPU a million events, without what a process costs before it sees any."""
    start = _least({"": partial(_measured, "empty")})[""].cpu
    costs = _least({events: partial(_measured, "hand_out", home, "1", "w") for events, home in homes.items()})
    each = {events: (cost.cpu - start) / (events / 1e6) for events, cost in costs.items()}
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


# ---------------------------------------------------------------- ours


def _spec(home: Path) -> Any:
    from features.history import GoalRule
    from features.spec import Spec

    catalogue = pq.read_table(home / event_log.CATALOGUE)
    goals = {
        "click": GoalRule(("click",)),
        "read": GoalRule(("like", "save", "share", "comment"), 30.0),
        "purchase": GoalRule(("purchase",)),
    }
    contents, categories = (catalogue[name].to_pylist() for name in ("content_id", "category"))
    return Spec(goals, dict(zip(contents, categories, strict=True)), event_log.CATEGORIES)


def _log(home: Path, nights: Sequence[datetime]) -> Any:
    from pipeline import persons
    from pipeline.config import Config
    from pipeline.shards import SHARDS

    log = persons.Log.of(event_log.lake_in(home), nights, Config(file=home / "shortlist.toml"))
    return replace(log, slices=SHARDS)


def _midnights(nights: int) -> list[datetime]:
    return [NIGHT - timedelta(days=back) for back in range(nights)]


def _write(home: str, workers: str = "1") -> Mapping[str, float]:
    """One night as Parquet, by the runner with its workers, each of which writes a file."""
    from pipeline import persons

    _empty()
    begun = time.perf_counter()
    spec, count = _spec(Path(home)), int(workers)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(count) as pool:
        found = persons.measured(_log(Path(home), [NIGHT]), [NIGHT], spec, Path(folder), count)
        cuts = [found.num_rows * at // count for at in range(count + 1)]
        parts = [found.slice(start, end - start) for start, end in pairwise(cuts)]
        list(pool.map(_write_part, parts, [Path(folder) / f"{at}.parquet" for at in range(count)]))
    return {"seconds": time.perf_counter() - begun, "columns": len(spec.names)}


def _write_part(found: pa.Table, path: Path) -> None:
    with _parquet(path, found.schema) as file:
        file.write_table(found)


def _parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Numbers that hardly repeat: a dictionary of them would only be thrown away."""
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False)


def _hand_out(home: str, nights: str, how: str) -> Mapping[str, float]:
    """Some nights in one pass, dropped as they come or written."""
    spec, wanted = _spec(Path(home)), _midnights(int(nights))
    with tempfile.TemporaryDirectory() as folder:
        writer, rows = None, 0
        for found in _together(_shards(_log(Path(home), wanted), wanted, spec), _GROUP if how else 0):
            rows += found.num_rows
            if how:
                writer = writer or _parquet(Path(folder) / "nights.parquet", found.schema)
                writer.write_table(found)
        if writer:
            writer.close()
    return {"rows": rows, "columns": len(spec.names)}


def _together(tables: Iterable[pa.Table], least: int) -> Iterator[pa.Table]:
    """Tables put together until they have so many rows."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.num_rows for one in waiting) >= least:
            yield pa.concat_tables(waiting)
            waiting.clear()
    if waiting:
        yield pa.concat_tables(waiting)


def _shards(log: Any, nights: Sequence[datetime], spec: Any) -> Iterator[pa.Table]:
    from features.kernel import kernel
    from pipeline.shards import SHARDS

    for _, rows in log.people(range(SHARDS), Path("none")):
        yield kernel(rows, nights, spec)


def _go_on(home: str) -> Mapping[str, float]:
    """A night from all rows, and from the state of the night before and the files that a window or the day needs."""
    spec, before = _spec(Path(home)), NIGHT - timedelta(days=1)
    states: list[Any] = []
    _pass(_log(Path(home), [before]), before, before, spec, keep=states.append)
    log = _log(Path(home), [NIGHT])
    full = _pass(log, NIGHT, before, spec)
    on = _pass(_since(log, before, spec), NIGHT, before, spec, states)
    if on.bytes != full.bytes:
        raise SystemExit("going on from a state gives other features than a full pass")
    return {"full": full.cpu, "on": on.cpu}


class _Pass(NamedTuple):
    """The bytes of what `features.kernel.advanced` says of each shard, as a digest, and what reading and that took."""

    bytes: str
    cpu: float


def _pass(
    log: Any,
    night: datetime,
    before: datetime,
    spec: Any,
    states: Iterable[Any] = repeat(None),
    keep: Callable[[Any], None] = lambda _: None,
) -> _Pass:
    from features.kernel import advanced
    from pipeline.shards import SHARDS

    digest, taken, began = hashlib.sha256(), 0.0, time.process_time()
    for (_, rows), state in zip(log.people(range(SHARDS), Path("none")), states, strict=False):
        taken += time.process_time() - began
        settled = _in_time(rows, before)
        began = time.process_time()
        answer, after = advanced(settled, [night], spec, state)
        taken += time.process_time() - began
        for column in answer.combine_chunks().columns:
            digest.update(column.to_numpy().view(np.int64).data)
        keep(after)
        del answer, after  # as a night does, once they are written: memory that is touched anew is dear
        began = time.process_time()
    return _Pass(digest.hexdigest(), taken)


def _in_time(rows: pa.Table, before: datetime) -> pa.Table:
    """Without the few people of whom something arrived late after `before`: they are folded anew, whatever the way."""
    since = pa.scalar(before, rows.schema.field("ts").type)
    late = pc.and_(pc.less(rows["ts"], since), pc.greater_equal(rows["known_at"], since))
    people = pc.unique(rows["person_id"].filter(late))
    return rows.filter(pc.invert(pc.is_in(rows["person_id"], value_set=people)))


def _since(log: Any, before: datetime, spec: Any) -> Any:
    """The files of the days that `features.kernel.advanced` asks for: the new one, and those that leave a window.

    Of each window the day before as well, which tells whether the first row that leaves began a session.
    """
    windows = {measure.days for measure in spec.measures if hasattr(measure, "days")}
    days = {before.date(), *(before.date() - timedelta(days=window + back) for window in windows for back in (0, 1))}
    return replace(log, events=[part for part in log.events if part.day in days])


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


def _as_of(home: str, impressions: str) -> Mapping[str, float]:
    """The impressions, shard after shard, handed out."""
    return {"rows": sum(found.num_rows for found in _connected(Path(home), Path(impressions)))}


def _connected(home: Path, impressions: Path) -> Iterator[pa.Table]:
    from features.pair_kernel import pair_kernel
    from features.pair_measures import Groups
    from features.pair_spec import PAIRS, PairSpec
    from pipeline.shards import SHARDS, shard_of

    groups = Groups.of(pq.read_table(home / event_log.CATALOGUE))
    spec = PairSpec(groups, features=tuple(f for f in PAIRS if f.name in CONNECTIONS))
    asked = pq.read_table(impressions, read_dictionary=["content_id"])
    shard = shard_of(asked["person_id"].to_numpy())
    order = np.argsort(shard, kind="stable")
    asked = asked.take(order)
    starts = np.searchsorted(shard[order], np.arange(SHARDS + 1))
    log = replace(
        _log(home, [NIGHT]), columns=("person_id", "ts", "available_at", "event", "content_id", "dwell_seconds")
    )
    for at, rows in log.people(range(SHARDS), Path("none")):
        yield pair_kernel(rows, asked.slice(starts[at], starts[at + 1] - starts[at]), spec)


def _empty() -> Mapping[str, float]:
    """All that a process does before it sees rows."""
    from features.kernel import kernel
    from features.rows import SHARD
    from features.spec import Spec
    from pipeline import config, persons

    return {
        "rows": kernel(SHARD.empty_table(), [NIGHT], Spec({})).num_rows,
        "imported": len((config.__name__, persons.__name__)),
    }


# ---------------------------------------------------------------- the others


def agree(home: Path) -> None:
    """Everybody's values of a small log are the same, to a millionth.

    Raises:
        SystemExit: They are not.
    """
    from benchmarks import features_in_duckdb, features_in_pandas

    spec, catalogue, files = _spec(home), home / event_log.CATALOGUE, features_contenders.files(home)
    ours = pa.concat_tables(_shards(_log(home, [NIGHT]), [NIGHT], spec)).sort_by("person_id")
    night = home / "night.parquet"
    features_in_duckdb.write(files, catalogue, NIGHT, event_log.CATEGORIES, night)
    pandas = pa.Table.from_pandas(features_in_pandas.features(files, catalogue, NIGHT), preserve_index=False)
    for who, theirs in (("DuckDB", pq.read_table(night).sort_by("person_id")), ("pandas", pandas)):
        if not ours["person_id"].equals(theirs["person_id"]):
            raise SystemExit(f"{who} and the kernel find different people")
        if wrong := [name for name in spec.names if not _same(ours[name], theirs[name])]:
            raise SystemExit(f"{who} and the kernel disagree on {', '.join(wrong)}")


def agree_on_impressions(home: Path) -> None:
    """The same of the impressions, but for people of whom a row arrived late: pandas looks at when things happened.

    Raises:
        SystemExit: They do not.
    """
    from benchmarks import impressions_in_pandas

    impressions, files = _ask(home, AGREED // 10), features_contenders.files(home)
    pandas = impressions_in_pandas.as_of(files, home / event_log.CATALOGUE, impressions)
    asked = pq.read_table(impressions)
    theirs = asked.select(["person_id", "as_of", "content_id"])
    for name in CONNECTIONS:
        theirs = theirs.append_column(name, pa.array(pandas[name].to_numpy()))
    log = pa.concat_tables([pq.read_table(path, partitioning=None) for path in files])
    late = pc.unique(log.filter(pc.greater(log["available_at"], log["ts"]))["person_id"])
    keys = [(name, "ascending") for name in ("person_id", "as_of")]
    ours, theirs = (
        table.filter(pc.invert(pc.is_in(table["person_id"], value_set=late))).sort_by(keys)
        for table in (pa.concat_tables(_connected(home, impressions), promote_options="permissive"), theirs)
    )
    if wrong := [name for name in CONNECTIONS if not _same(ours[name], theirs[name])]:
        raise SystemExit(f"pandas and the pair kernel disagree on {', '.join(wrong)}")


def _same(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> bool:
    a, b = (np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan)) for column in (ours, theirs))
    return len(a) == len(b) and np.allclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True)


JOBS: Mapping[str, measure.Job] = {
    "write": _write,
    "hand_out": _hand_out,
    "go_on": _go_on,
    "as_of": _as_of,
    "empty": _empty,
}

if __name__ == "__main__":
    measure.main(JOBS, main)
