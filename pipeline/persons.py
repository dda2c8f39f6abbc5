"""Every person's features on any nights, from the lake's files: a slice of people at a time, all nights in one pass.

In memory is a slice for each worker, not the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.kernel import kernel
from features.rows import SHARD
from features.spec import Spec
from pipeline import shards
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.orders import LINE, Orders
from pipeline.shard_reader import Part, ShardReader
from pipeline.shards import SHARDS, home_of
from pipeline.timeline import Timeline

EVENTS = ("person_id", "ts", "available_at", "event", "content_id", "dwell_seconds", "value", "device", "channel")
TRANSACTIONS = ("person_id", "ts", "available_at", *LINE, "content_id", "amount")

SLACK = timedelta(days=2)
"""A row may lie a day outside its export's day, which is in the project's time zone; instants decide, not days."""

_SLICE = 200_000
"""Rows that are measured together, where there are so many: each slice costs some milliseconds whatever its size."""

Wanted = Callable[[pa.Table], pa.Table]
"""Which of the lake's rows are looked at."""

Find = Callable[[str, Sequence[str], Sequence[Part], pa.Array], pa.Table]
"""The rows that some people have in files of a table, of which these columns are asked for."""


@dataclass(frozen=True)
class Log:
    """The files that hold what people did, and whose it was on the nights asked for.

    The shards are taken in `slices`, as few as fit into memory one by one. `ids`: nobody else's rows are looked at, if
    they are given; and they are found by `find`, if that is given, which takes them as one slice. `contents` collects
    the ids of the contents that were met.
    """

    events: Sequence[Part]
    transactions: Sequence[Part]
    timeline: Timeline
    slices: int = SHARDS
    wanted: Wanted | None = None
    ids: pa.Array | None = None
    find: Find | None = None
    contents: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, lake: Lake, nights: Sequence[datetime], config: Config) -> Log:
        """Everything in the lake that could be known on the latest of the nights."""
        until = (max(nights) + SLACK).date()
        events, transactions = (
            [part for part in lake.parts(table) if part.day <= until] for table in ("events", "transactions")
        )
        orders = Orders.of([part.path for part in transactions])
        timeline = Timeline.of(nights, lake.read("identities"), orders, config)
        return cls(events, transactions, timeline, _slices(sum(part.rows for part in (*events, *transactions))))

    def people(self, wanted: range, strays: Path) -> Iterator[tuple[int, pa.Table]]:
        """The rows of each slice's people; `strays` is where `set_aside` put some of them."""
        for at, rows in self._own(wanted):
            theirs = self._at_home(at, rows, strays)
            del rows  # a generator that waits holds on to what it has: all would be there twice while it is worked on
            yield at, theirs

    def _at_home(self, at: int, rows: pa.Table, strays: Path) -> pa.Table:
        settled = rows.filter(pa.array(self._homes(rows) == at)) if len(self.timeline.ids) else rows
        return pa.concat_tables([settled, *_read(strays / f"{at}")])

    def set_aside(self, strays: Path) -> None:
        """Write rows whose person is at home in another slice than they are to a file for that slice."""
        if not len(self.timeline.ids) or self.slices == 1:
            return
        moved = self.timeline.ids if self.ids is None else np.intersect1d(self.timeline.ids, self.ids)
        with ExitStack() as files:
            writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
            for at, rows in replace(self, ids=pa.array(moved))._own(range(self.slices)):
                homes = self._homes(rows)
                for home in np.unique(homes[homes != at]).tolist():
                    if home not in writers:
                        writers[home] = files.enter_context(pa.ipc.new_stream(strays / f"{home}", SHARD))
                    writers[home].write_table(rows.filter(pa.array(homes == home)).cast(SHARD))

    def _own(self, wanted: range) -> Iterator[tuple[int, pa.Table]]:
        """What the files have of each slice."""
        if self.find:
            events = self.find("events", EVENTS, self.events, self.ids)
            transactions = self.find("transactions", TRANSACTIONS, self.transactions, self.ids)
            for rows in (events, transactions):
                self.contents.update(pc.unique(rows["content_id"]).drop_null().to_pylist())
            yield 0, self.timeline.rows(self._wanted(events), self._wanted(transactions))
            return
        each = SHARDS // self.slices
        whole = range(wanted.start * each, wanted.stop * each)
        events = ShardReader("events", EVENTS, self.events, whole, self.ids)
        transactions = ShardReader("transactions", TRANSACTIONS, self.transactions, whole, self.ids)
        for at in wanted:
            some = range(at * each, (at + 1) * each)
            yield at, self.timeline.rows(*(self._wanted(reader.take(some)) for reader in (events, transactions)))
        for reader in (events, transactions):
            self.contents.update(reader.words("content_id"))

    def _wanted(self, rows: pa.Table) -> pa.Table:
        return self.wanted(rows) if self.wanted else rows

    def _homes(self, rows: pa.Table) -> NDArray[np.int16]:
        """The slice of each row's person."""
        return home_of(rows["person_id"].to_numpy(), self.slices)


def measured(
    log: Log,
    nights: Sequence[datetime],
    spec: Spec,
    folder: Path,
    workers: int | None = None,
    on_slice: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """What `features.kernel.kernel` says of everybody, by slice, person and night.

    The answer lies in files below `folder`, which must stay as long as it is used. `on_slice` is told how many of how
    many slices are done.
    """
    strays = folder / "strays"
    strays.mkdir(parents=True)
    log.set_aside(strays)
    work = partial(_of_slices, log, strays, nights, spec)
    return shards.run(work, log.slices, folder, workers, on_slice)


def _of_slices(
    log: Log, strays: Path, nights: Sequence[datetime], spec: Spec, wanted: range
) -> Iterator[tuple[int, pa.Table]]:
    for at, rows in log.people(wanted, strays):
        yield at, kernel(rows, nights, spec)


def _slices(rows: int) -> int:
    """A power of two: as many as leave each some `_SLICE` rows, and one for each shard at the most."""
    slices = 1
    while slices < SHARDS and rows / slices > _SLICE:
        slices *= 2
    return slices


def _read(file: Path) -> Iterator[pa.Table]:
    """Rows that were set aside, if any were."""
    if file.exists():
        with pa.memory_map(str(file)) as source:
            rows = pa.ipc.open_stream(source).read_all()
        text = [name for name in SHARD.names if pa.types.is_string(SHARD.field(name).type)]
        for name in text:
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, name, rows[name].dictionary_encode())
        yield rows
