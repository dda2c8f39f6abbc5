"""A night measured from the last one on: what became known since, what left a window since, and whom to fold anew.

Of whom something arrived so late that the last night's state is past it, goes on from the state of an earlier night;
only who changed hands, or was late for all of them, is read from the first row on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.history import DAY
from features.kernel import State, resumed
from features.measures import Count, Days, Share, Total
from features.rows import micros
from features.spec import Spec
from pipeline import by_person, checkpoints, identify, query, shards
from pipeline.checkpoints import Checkpoint, Draft, Span
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.orders import LINE
from pipeline.persons import Log
from pipeline.shard_reader import Part
from pipeline.shards import home_of

Ints = NDArray[np.int64]
OnSlice = Callable[[int, int], None]


def measured(
    lake: Lake, as_of: datetime, spec: Spec, config: Config, folder: Path, on_slice: OnSlice | None = None
) -> pa.Table:
    """What `persons.measured` says of one night, to the last bit; and a checkpoint is left for the next.

    It goes on from the newest checkpoint that still holds; where there is none, all of the log is read. The answer lies
    in files below `folder`, which must stay as long as it is used.
    """
    log = Log.of(lake, [as_of], config)
    draft = Draft(folder / "checkpoint", log.slices)
    night = _Night(lake, log, as_of, spec, config, draft, folder)
    bases = _bases(lake, log, as_of, spec)
    base = next(bases, None)
    found = night.whole(on_slice) if base is None else night.since(base, bases, on_slice)
    draft.finish(lake, as_of, spec, night.spans, night.contents, night.persons)
    return found


def _bases(lake: Lake, log: Log, as_of: datetime, spec: Spec) -> Iterator[Checkpoint]:
    """Checkpoints to go on from, newest first. None from before the first order came: then web purchases counted."""
    for base in checkpoints.holding(lake, as_of, spec, [*log.events, *log.transactions], log.slices):
        if not micros(base.night) <= log.timeline.orders.since < micros(as_of):
            yield base


@dataclass
class _Night:
    """One night's passes over the log; each leaves the states of its people in the draft."""

    lake: Lake
    log: Log
    as_of: datetime
    spec: Spec
    config: Config
    draft: Draft
    folder: Path
    contents: set[str] = field(default_factory=set)
    """That were met, now or by the checkpoints."""
    spans: Mapping[Part, Span | None] = field(init=False)
    """Of all files, as soon as somebody asks which of them to read."""
    _passes: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.spans = dict.fromkeys([*self.log.events, *self.log.transactions])

    def whole(self, on_slice: OnSlice | None) -> pa.Table:
        """Everybody, from the first row on."""
        return self._pass(self.log, None, _nothing, on_slice)[0]

    def since(self, base: Checkpoint, earlier: Iterator[Checkpoint], on_slice: OnSlice | None) -> pa.Table:
        """Everybody from a checkpoint on, those who were late for it from an earlier one, the rest anew."""
        self.contents |= base.contents  # and with them those of the earlier ones
        known = base.spans
        self.spans = {part: known.get(part.name) or Span.of(part) for part in self.spans}
        changed = self._changed(base)
        lately = self._lately(base, pa.array(_ids(self.log, changed)))
        found, late = self._pass(lately, base.night, partial(base.state, without=changed), on_slice)
        tables = [found]
        while late and (one := _reaching(earlier, min(late.values()))):
            some = np.setdiff1d(_reached(late, micros(one.night)), self._changed(one))
            if not len(some):
                continue
            theirs = self._of(some, self._lately(one), found)
            table, again = self._pass(theirs, one.night, partial(_state_of, one, some, home_of(some, theirs.slices)))
            tables.append(table)
            served = set(some.tolist())
            late = {person: first for person, first in late.items() if person not in served} | again
        anew = np.union1d(changed, np.array([*late], np.int64))
        if len(anew):
            theirs = self._of(anew, self.log, found)
            if theirs.slices == 1:
                theirs = replace(theirs, find=partial(by_person.rows, self.lake, self.folder))
            tables.append(self._pass(theirs, None, _nothing)[0])
        return pa.concat_tables(tables)

    def _pass(
        self, log: Log, begun: datetime | None, state: Callable[[int], State | None], on_slice: OnSlice | None = None
    ) -> tuple[pa.Table, dict[int, int]]:
        """The features of a log's people, from their states at `begun` on, if there are any.

        And of who is late for that, the instant of the oldest row that became known since.
        """
        log, late = replace(log, contents=set()), dict[int, int]()
        folder = self.folder / f"pass-{next(self._passes)}"
        strays = folder / "strays"
        strays.mkdir(parents=True)
        log.set_aside(strays)

        def work(wanted: range) -> Iterator[tuple[int, pa.Table]]:
            for at, rows in log.people(wanted, strays):
                table, after, anew = resumed(rows, [self.as_of], self.spec, state(at))
                self.draft.keep(after)
                if begun and len(anew):
                    late.update(_first_since(rows, anew, micros(begun)))
                yield at, table

        found = shards.run(work, log.slices, folder, self.config.engine.workers, on_slice)
        self.contents |= log.contents
        return found, late

    # ---------------------------------------------------------------- which rows

    def _lately(self, base: Checkpoint, others: pa.Array | None = None) -> Log:
        """The rows that the kernel asks for of people who are in the checkpoint, but for these ids."""
        begun, edges = micros(base.night), _edges(micros(base.night), micros(self.as_of), self.spec)

        def wanted(rows: pa.Table) -> pa.Table:
            ts, available = (rows[name].cast(pa.int64()).to_numpy() for name in ("ts", "available_at"))
            chosen = np.maximum(ts, available) >= begun
            for first, last in edges:
                chosen |= (ts >= first) & (ts < last)
            found = rows.filter(pa.array(chosen))
            return found.filter(pc.invert(pc.is_in(found["person_id"], value_set=others))) if others else found

        events, transactions = (
            [part for part in parts if _has_any(self.spans[part], begun, edges)]
            for parts in (self.log.events, self.log.transactions)
        )
        return replace(self.log, events=events, transactions=transactions, wanted=wanted)

    def _of(self, people: Ints, log: Log, everybody: pa.Table) -> Log:
        """A log's rows of some people; all slices at once where they are fewer than those of a slice."""
        few = len(people) * log.slices < everybody.num_rows
        return replace(log, ids=pa.array(_ids(log, people)), slices=1 if few else log.slices)

    # ---------------------------------------------------------------- who changed

    def _changed(self, base: Checkpoint) -> Ints:
        """People of whom the checkpoint holds rows that are not theirs any more, or lacks old ones that now are.

        Whose ids it knows nothing of, as those of a browser that was new since, brings nobody an old row.
        """
        before, now = base.persons, self.persons
        ids = pc.unique(pa.chunked_array([*before["id"].chunks, *now["id"].chunks], pa.int64()))
        old, new = (np.asarray(identify.whose(persons, ids)) for persons in (before, now))
        moved = (old != new) & np.isin(old, base.people)
        bought = identify.whose(now, _replaced_since(self.log, micros(base.night), micros(self.as_of)))
        return np.unique(np.concatenate([old[moved], new[moved], np.asarray(bought)]).astype(np.int64))

    @cached_property
    def persons(self) -> pa.Table:
        """Who is who on the night (`identify.People.persons`)."""
        return identify.people(self.lake.read("identities"), self.as_of, self.config.identity).persons


def _nothing(_: int) -> None:
    """The state of whoever is folded from the first row on."""


def _state_of(base: Checkpoint, people: Ints, homes: NDArray[np.int16], at: int) -> State | None:
    return base.state_of(people[homes == at])


def _reaching(earlier: Iterator[Checkpoint], first: int) -> Checkpoint | None:
    """The next checkpoint from before an instant; if there is none any more, the last: some are in time for that."""
    one = None
    for one in earlier:
        if micros(one.night) <= first:
            break
    return one


def _reached(late: Mapping[int, int], night: int) -> Ints:
    """Of whom nothing arrived late that is from before the night."""
    return np.array(sorted(person for person, first in late.items() if first >= night), np.int64)


def _first_since(rows: pa.Table, people: Ints, begun: int) -> dict[int, int]:
    """Of each of these people, the instant of the oldest of the rows that became known from `begun` on."""
    known = pc.max_element_wise(*(rows[name].cast(pa.int64()) for name in ("ts", "known_at")))
    lately = pc.and_(pc.greater_equal(known, begun), pc.is_in(rows["person_id"], value_set=pa.array(people)))
    first = rows.filter(lately).group_by("person_id").aggregate([("ts", "min")])
    return dict(zip(first["person_id"].to_pylist(), first["ts_min"].cast(pa.int64()).to_pylist(), strict=True))


def _edges(begun: int, night: int, spec: Spec) -> list[tuple[int, int]]:
    """From when until when a row left a window since.

    To the end of a day (UTC), because a day counts until its last row has left.
    """
    windows = {m.days * DAY for m in spec.measures if isinstance(m, Count | Total | Share | Days)}
    return [(begun - w, -(-(night - w) // DAY) * DAY) for w in sorted(windows)] if night > begun else []


def _has_any(span: Span | None, begun: int, edges: Sequence[tuple[int, int]]) -> bool:
    """Whether a file may have a row that became known since, or that is at one of the edges."""
    if span is None:
        return True
    return max(span.last, span.known) >= begun or any(span.first < until and span.last >= at for at, until in edges)


def _ids(log: Log, people: Ints) -> Ints:
    """The people's own ids, and all others that are theirs on the night."""
    timeline = log.timeline
    found: Ints = np.union1d(people, timeline.ids[np.isin(timeline.person[timeline.starts[:-1]], people)])
    return found


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
