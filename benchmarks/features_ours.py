"""What `benchmarks.features` measures of ours: a night as Parquet or handed out, from a state on, and as of instants.

Each is run in a process of its own, and nothing is imported before it is needed.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import event_log, measure

NIGHT = datetime.combine(event_log.FIRST, datetime.min.time(), UTC) + timedelta(days=event_log.DAYS)
CONNECTIONS = ("events_so_far", "events_so_far_7d", "dwell_so_far_seconds", "event_days_ago", "affinity_category_7d")
_CONNECT = ("person_id", "ts", "available_at", "event", "content_id", "dwell_seconds")
"""What connections are made of."""
_LOGS_IN = 100
"""How many of a day's people there are to one who logs in with a browser that was used before."""
_GROUP = 10_000
"""Rows of a row group: smaller ones take twice the time to write, and more room."""


def spec_of(home: Path) -> Any:
    """The features of a person, of a lake that `event_log` made."""
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


def log_of(home: Path, nights: Sequence[datetime]) -> Any:
    """Its log, a shard at a time."""
    from pipeline import persons
    from pipeline.config import Config
    from pipeline.shards import SHARDS

    log = persons.Log.of(event_log.lake_in(home), nights, Config(file=home / "shortlist.toml"))
    return replace(log, slices=SHARDS)


def midnights(nights: int) -> list[datetime]:
    """The last ones."""
    return [NIGHT - timedelta(days=back) for back in range(nights)]


def _write(home: str, workers: str = "1") -> Mapping[str, float]:
    """One night as Parquet, by the runner with its workers, each of which writes a file."""
    from pipeline import persons

    _empty()
    begun = time.perf_counter()
    spec, count = spec_of(Path(home)), int(workers)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(count) as pool:
        found = persons.measured(log_of(Path(home), [NIGHT]), [NIGHT], spec, Path(folder), count)
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
    """Some nights in one pass, dropped as they come or written; `cpu` is what that takes once all is imported."""
    _empty()
    begun = time.process_time()
    spec, wanted = spec_of(Path(home)), midnights(int(nights))
    with tempfile.TemporaryDirectory() as folder:
        writer, rows = None, 0
        for found in _together(measured(log_of(Path(home), wanted), wanted, spec), _GROUP if how else 0):
            rows += found.num_rows
            if how:
                writer = writer or _parquet(Path(folder) / "nights.parquet", found.schema)
                writer.write_table(found)
        if writer:
            writer.close()
    return {"rows": rows, "columns": len(spec.names), "cpu": time.process_time() - begun}


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


def measured(log: Any, nights: Sequence[datetime], spec: Any) -> Iterator[pa.Table]:
    """What the kernel says of each shard."""
    from features.kernel import kernel
    from pipeline.shards import SHARDS

    for _, rows in log.people(range(SHARDS), Path("none")):
        yield kernel(rows, nights, spec)


def _go_on(home: str) -> Mapping[str, float]:
    """A night from all rows, and from the state of the night before and the files that a window or the day needs."""
    spec, before = spec_of(Path(home)), NIGHT - timedelta(days=1)
    states: list[Any] = []
    _pass(log_of(Path(home), [before]), before, before, spec, keep=states.append)
    log = log_of(Path(home), [NIGHT])
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
        _add(digest, answer)
        keep(after)
        del answer, after  # as a night does, once they are written: memory that is touched anew is dear
        began = time.process_time()
    return _Pass(digest.hexdigest(), taken)


def _in_time(rows: pa.Table, before: datetime) -> pa.Table:
    """Without the few people of whom something arrived late after `before`: what they cost is in `_step`."""
    since = pa.scalar(before, rows.schema.field("ts").type)
    late = pc.and_(pc.less(rows["ts"], since), pc.greater_equal(rows["known_at"], since))
    people = pc.unique(rows["person_id"].filter(late))
    return rows.filter(pc.invert(pc.is_in(rows["person_id"], value_set=people)))


def _since(log: Any, before: datetime, spec: Any) -> Any:
    """The files of the days that `features.kernel.advanced` asks for: the new one, those before it that something may
    still arrive late for, and those that leave a window."""
    windows = {measure.days for measure in spec.measures if hasattr(measure, "days")}
    days = {before.date() - timedelta(days=back) for back in {*range(event_log.LATEST_DAYS + 1), *windows}}
    return replace(log, events=[part for part in log.events if part.day in days])


def _step(home: str) -> Mapping[str, float]:
    """What a night does about people, checkpoint and answer written: the first night, and the third after it.

    And one more, on which some log in with a browser that they, too, had used before.
    """
    from pipeline import checkpoints, persons, since
    from pipeline.config import Config

    _empty()
    lake, spec = event_log.lake_in(Path(home)), spec_of(Path(home))
    config = Config.model_validate({"file": Path(home) / "shortlist.toml", "engine": {"workers": 1}})
    checkpoints.remove_all(lake)
    with _logged_in(lake), tempfile.TemporaryDirectory() as folder:
        taken = []
        for night in reversed(midnights(5)):
            begun = time.process_time()
            found = since.measured(lake, night, spec, config, Path(folder) / f"{night.date()}")
            taken.append(time.process_time() - begun)
        log = persons.Log.of(lake, [NIGHT], config)
        if _digest(persons.measured(log, [NIGHT], spec, Path(folder) / "whole", 1)) != _digest(found):
            raise SystemExit("the nightly step gives other features than a pass over all rows")
    checkpoints.remove_all(lake)
    return {"first": taken[0], "later": taken[-2], "logged_in": taken[-1]}


@contextmanager
def _logged_in(lake: Any) -> Iterator[None]:
    """On the day before `NIGHT` it turns out that every `_LOGS_IN`th person of an early day is the next one, too."""
    from expectations import schemas

    day, schema = event_log.FIRST + timedelta(days=event_log.DAYS - 1), schemas.LAKE["identities"].schema
    people = lake.read("events", columns=["person_id"], days=[event_log.FIRST])["person_id"].unique().to_numpy()
    groups = people[: len(people) // _LOGS_IN * _LOGS_IN].reshape(-1, _LOGS_IN)
    told = {"id_type": "visitor", "other_type": "customer", "source": event_log.SOURCE, "day": day}
    told["available_at"] = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=12)
    columns = {name: pa.repeat(pa.scalar(value), len(groups)) for name, value in told.items()}
    columns |= {"id": pa.array(groups[:, 0]), "other_id": pa.array(groups[:, 1])}
    links = pa.table({name: columns[name] for name in schema.names}).cast(schema)
    lake.replace_day("identities", links, event_log.SOURCE, day)
    try:
        yield
    finally:
        lake.replace_day("identities", schema.empty_table(), event_log.SOURCE, day)


def _digest(found: pa.Table) -> str:
    """Of all features, person by person."""
    digest = hashlib.sha256()
    _add(digest, found.sort_by("person_id"))
    return digest.hexdigest()


def _add(digest: Any, found: pa.Table) -> None:
    for column in found.combine_chunks().columns:
        digest.update(column.to_numpy().view(np.int64).data)


def _as_of(home: str, impressions: str) -> Mapping[str, float]:
    """The impressions, shard after shard, handed out."""
    return {"rows": sum(found.num_rows for found in connected(Path(home), Path(impressions)))}


def connected(home: Path, impressions: Path) -> Iterator[pa.Table]:
    """The impressions with their features, a shard at a time, from what these are made of."""
    from expectations import schemas
    from features.pair_kernel import pair_kernel
    from features.pair_measures import Groups
    from features.pair_spec import PAIRS, PairSpec
    from pipeline.shard_reader import ShardReader
    from pipeline.shards import SHARDS, shard_of

    groups = Groups.of(pq.read_table(home / event_log.CATALOGUE))
    spec = PairSpec(groups, features=tuple(f for f in PAIRS if f.name in CONNECTIONS))
    asked = pq.read_table(impressions, read_dictionary=["content_id"])
    shard = shard_of(asked["person_id"].to_numpy())
    order = np.argsort(shard, kind="stable")
    asked = asked.take(order)
    starts = np.searchsorted(shard[order], np.arange(SHARDS + 1))
    log, no_orders = log_of(home, [NIGHT]), schemas.LAKE["transactions"].schema.empty_table()
    reader = ShardReader("events", _CONNECT, log.events, range(SHARDS))
    for at in range(SHARDS):
        rows = log.timeline.rows(reader.take(range(at, at + 1)), no_orders)
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


JOBS: Mapping[str, measure.Job] = {
    "write": _write,
    "hand_out": _hand_out,
    "go_on": _go_on,
    "step": _step,
    "as_of": _as_of,
    "empty": _empty,
}

if __name__ == "__main__":
    measure.main(JOBS)
