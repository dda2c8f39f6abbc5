"""A night measured from the last one on: what became known since, what left a window since, and whom to fold anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.history import DAY
from features.kernel import State, resumed
from features.measures import Count, Days, Share, Total
from features.rows import micros
from features.spec import Spec
from pipeline import checkpoints, identify, query, shards
from pipeline.checkpoints import Checkpoint, Draft
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.orders import LINE
from pipeline.persons import Log
from pipeline.shard_reader import Part

Ints = NDArray[np.int64]
OnSlice = Callable[[int, int], None]

_NOBODY = np.zeros(0, np.int64)


def measured(
    lake: Lake, as_of: datetime, spec: Spec, config: Config, folder: Path, on_slice: OnSlice | None = None
) -> pa.Table:
    """What `persons.measured` says of one night, to the last bit; and a checkpoint is left for the next.

    It goes on from the newest checkpoint that still holds; where there is none, all of the log is read. The answer lies
    in files below `folder`, which must stay as long as it is used.
    """
    log = Log.of(lake, [as_of], config)
    base = _base(lake, log, as_of, spec)
    draft = Draft(folder / "checkpoint")
    night = _Night(as_of, spec, draft, config.engine.workers)
    if base is None:
        found, contents = night.whole(log, folder / "whole", on_slice), log.contents
    else:
        found, contents = night.since(base, log, _changed(log, base, as_of, lake, config), folder, on_slice)
    draft.finish(lake, as_of, spec, [*log.events, *log.transactions], contents, log.slices)
    return found


def _base(lake: Lake, log: Log, as_of: datetime, spec: Spec) -> Checkpoint | None:
    """The checkpoint to go on from. None where the first order came since: web purchases do not count any more."""
    base = checkpoints.newest(lake, as_of, spec, [*log.events, *log.transactions], log.slices)
    if base is None or micros(base.night) <= log.timeline.orders.since < micros(as_of):
        return None
    return base


class _Night:
    """One night's passes over the slices; each leaves the states of its people in the draft."""

    def __init__(self, as_of: datetime, spec: Spec, draft: Draft, workers: int | None) -> None:
        self._as_of, self._spec, self._draft, self._workers = as_of, spec, draft, workers
        self._late: list[Ints] = []

    def whole(self, log: Log, folder: Path, on_slice: OnSlice | None = None) -> pa.Table:
        """Everybody in the log, from the first row on."""
        return self._run(log, folder, lambda _: None, on_slice)

    def since(
        self, base: Checkpoint, log: Log, changed: Ints, folder: Path, on_slice: OnSlice | None
    ) -> tuple[pa.Table, set[str]]:
        """Everybody from the checkpoint on, but for the `changed` and the late, who are folded anew.

        Returns also the contents that were met, now or by the checkpoint.
        """
        lately = _lately(log, base, self._spec, self._as_of, changed)
        found = self._run(lately, folder / "since", partial(base.state, without=changed), on_slice)
        anew = np.unique(np.concatenate([changed, *self._late]))
        if not len(anew):
            return found, lately.contents | base.contents
        theirs = _of(log, anew)
        again = self._run(theirs, folder / "anew", lambda _: None)
        return pa.concat_tables([found, again]), lately.contents | theirs.contents | base.contents

    def _run(
        self, log: Log, folder: Path, state: Callable[[int], State | None], on_slice: OnSlice | None = None
    ) -> pa.Table:
        strays = folder / "strays"
        strays.mkdir(parents=True)
        log.set_aside(strays)

        def work(wanted: range) -> Iterator[tuple[int, pa.Table]]:
            for at, rows in log.people(wanted, strays):
                table, after, late = resumed(rows, [self._as_of], self._spec, state(at))
                self._draft.keep(at, after)
                self._late.append(late)
                yield at, table

        return shards.run(work, log.slices, folder, self._workers, on_slice)


# ---------------------------------------------------------------- which rows


def _lately(log: Log, base: Checkpoint, spec: Spec, as_of: datetime, changed: Ints) -> Log:
    """The rows that the kernel asks for of people who are in the checkpoint."""
    begun, edges = micros(base.night), _edges(micros(base.night), micros(as_of), spec)
    others = pa.array(_ids(log, changed))

    def wanted(rows: pa.Table) -> pa.Table:
        ts, available = (rows[name].cast(pa.int64()).to_numpy() for name in ("ts", "available_at"))
        chosen = np.maximum(ts, available) >= begun
        for first, last in edges:
            chosen |= (ts >= first) & (ts < last)
        found = rows.filter(pa.array(chosen))
        return found.filter(pc.invert(pc.is_in(found["person_id"], value_set=others)))

    events, transactions = (
        [part for part in parts if _has_any(part, begun, edges)] for parts in (log.events, log.transactions)
    )
    return replace(log, events=events, transactions=transactions, wanted=wanted, contents=set())


def _edges(begun: int, night: int, spec: Spec) -> list[tuple[int, int]]:
    """From when until when a row left a window since.

    To the end of a day (UTC), because a day counts until its last row has left.
    """
    windows = {m.days * DAY for m in spec.measures if isinstance(m, Count | Total | Share | Days)}
    return [(begun - w, -(-(night - w) // DAY) * DAY) for w in sorted(windows)] if night > begun else []


def _has_any(part: Part, begun: int, edges: Sequence[tuple[int, int]]) -> bool:
    """Whether a file may have such rows, as its footer tells; where it does not tell, it may."""
    with pq.ParquetFile(part.path) as file:
        groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
        place = {name: file.schema_arrow.get_field_index(name) for name in ("ts", "available_at")}
    told = [{name: group.column(at).statistics for name, at in place.items()} for group in groups]
    if any(found is None or not found.has_min_max for one in told for found in one.values()):
        return True
    first = min((micros(one["ts"].min) for one in told), default=0)
    last = max((micros(one["ts"].max) for one in told), default=0)
    known = max((micros(one["available_at"].max) for one in told), default=0)
    return bool(told) and (max(last, known) >= begun or any(first < until and last >= since for since, until in edges))


def _of(log: Log, people: Ints) -> Log:
    """All rows of some people."""
    theirs = pa.array(_ids(log, people))
    return replace(log, wanted=lambda rows: rows.filter(pc.is_in(rows["person_id"], value_set=theirs)), contents=set())


def _ids(log: Log, people: Ints) -> Ints:
    """The people's own ids, and all others that are theirs on the night."""
    timeline = log.timeline
    found: Ints = np.union1d(people, timeline.ids[np.isin(timeline.person[timeline.starts[:-1]], people)])
    return found


# ---------------------------------------------------------------- who changed


def _changed(log: Log, base: Checkpoint, as_of: datetime, lake: Lake, config: Config) -> Ints:
    """People of whom the checkpoint holds rows that are not theirs any more, or lacks old ones that now are."""
    links = lake.read("identities")
    before, now = (identify.people(links, night, config.identity) for night in (base.night, as_of))
    ids = pc.unique(pa.chunked_array([*before.persons["id"].chunks, *now.persons["id"].chunks], pa.int64()))
    old, new = (np.asarray(people.resolve(ids)) for people in (before, now))
    moved = np.concatenate([old[old != new], new[old != new]])
    bought = now.resolve(_replaced_since(log, micros(base.night), micros(as_of)))
    return np.unique(np.concatenate([moved, np.asarray(bought)]).astype(np.int64))


def _replaced_since(log: Log, begun: int, night: int) -> pa.Array:
    """Whose lines of orders were replaced since."""
    replaced = log.timeline.orders.replaced
    until = replaced["until"].cast(pa.int64())
    lately = replaced.filter(pc.and_(pc.greater_equal(until, begun), pc.less(until, night)))
    if not lately.num_rows:
        return pa.array([], pa.int64())
    rows = query.parquet([part.path for part in log.transactions], ", hive_partitioning = true")
    same = " AND ".join(f"t.{name} = r.{name}" for name in LINE[:3])
    with query.connection(replaced=lately) as con:
        found = con.sql(f"SELECT DISTINCT person_id FROM {rows} t JOIN replaced r ON {same}").to_arrow_table()
    return found["person_id"].combine_chunks()
