"""What is kept of everybody at a night, so that the next night reads a few days of the log and not all of it.

A checkpoint is the person kernel's state of everybody, in slices of the shards, and what it was made from. It may be
used as long as all that is still so: the files that held rows known by its night, and the categories of the contents in
them. People of whom something else changed (an order was replaced, a browser turned out to be a customer's) are folded
anew; those of whom something arrived late go on from an earlier checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.kernel import State
from features.rows import micros
from features.spec import Spec
from pipeline import disk, scratch
from pipeline.lake import NIGHT, Lake
from pipeline.shard_reader import Part
from pipeline.shards import home_of

Ints = NDArray[np.int64]

KEPT = 5
"""Nights: vendors rewrite their last days, and a checkpoint from before those is still good."""

_LAYOUT = 5
"""Raise it when the kernel keeps its state in another way, or a checkpoint its states."""
_MANIFEST = "checkpoint.json"
_PERSONS = "persons.arrow"
_PERSON = 0
"""The column of a file of states that says whose they are."""
_EARLY = timedelta(days=1)
"""How much before its export's day a row may lie."""


class Span(NamedTuple):
    """From when until when the rows of a file are, and when the last of them could be known, in microseconds."""

    first: int
    last: int
    known: int

    @classmethod
    def of(cls, part: Part) -> Span | None:
        """As the file's footer tells; None where it does not tell."""
        with pq.ParquetFile(part.path) as file:
            groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
            place = {name: file.schema_arrow.get_field_index(name) for name in ("ts", "available_at")}
        told = [{name: group.column(at).statistics for name, at in place.items()} for group in groups]
        if not told or any(found is None or not found.has_min_max for one in told for found in one.values()):
            return None
        first, last = min(one["ts"].min for one in told), max(one["ts"].max for one in told)
        return cls(micros(first), micros(last), micros(max(one["available_at"].max for one in told)))


@dataclass(frozen=True)
class Checkpoint:
    """A folder with the states of each slice, in one file or more, `persons.arrow` and `checkpoint.json`."""

    folder: Path

    @cached_property
    def facts(self) -> Mapping[str, object]:
        """What it was made from."""
        found: Mapping[str, object] = json.loads((self.folder / _MANIFEST).read_text(encoding="utf-8"))
        return found

    @property
    def night(self) -> datetime:
        """Rows known before it are in it."""
        return datetime.fromisoformat(str(self.facts["night"]))

    @property
    def contents(self) -> set[str]:
        """Ids of the contents that it met."""
        categories = self.facts["categories"]
        return set(categories) if isinstance(categories, dict) else set()

    @property
    def people(self) -> pa.ChunkedArray:
        """Of whom it has a state: everybody of whom a row was known by its night."""
        files = self.folder.glob("*-*.arrow")
        return pa.chunked_array([_read(file, _PERSON)["person_id"].combine_chunks() for file in files], pa.int64())

    @property
    def persons(self) -> pa.Table:
        """Whose other ids' rows are in whose states: `id`, `person_id`, as it was known when they were made."""
        return _read(self.folder / _PERSONS)

    def has_any(self, people: pa.Array) -> bool:
        """Whether one of these people is in it, or may be: one of before `persons.arrow` does not tell."""
        if not (self.folder / _PERSONS).exists():
            return True
        return any(pc.any(pc.is_in(ids, value_set=people)).as_py() for ids in (self.people, self.persons["id"]))

    @property
    def spans(self) -> Mapping[str, Span]:
        """Of the files that it was made from, by their names, so far as they were looked at."""
        files = self.facts["files"]
        return {name: Span(*span) for name, span in files.items() if span} if isinstance(files, dict) else {}

    def state(self, at: int, without: Ints) -> State | None:
        """That of a slice's people but for some; None where it has nobody."""
        return self._state(at, lambda people: ~np.isin(people, without))

    def state_of(self, people: Ints) -> State | None:
        """That of some people, whichever slices they are in; None where it knows nobody of them."""
        homes = np.unique(home_of(people, int(str(self.facts["slices"]))))
        return _joined(self._state(at, lambda found: np.isin(found, people)) for at in homes.tolist())

    def _state(self, at: int, wanted: Callable[[Ints], NDArray[np.bool_]]) -> State | None:
        files = sorted(self.folder.glob(f"{at}-*.arrow"))
        states = [_state(_read(file), micros(self.night)) for file in files]
        return _joined(_some(state, wanted(state.people)) for state in states)


def _read(file: Path, *columns: int) -> pa.Table:
    """A file's columns, or some of them: the others stay packed."""
    options = pa.ipc.IpcReadOptions(included_fields=[*columns])
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source, options=options).read_all()


def _write(rows: pa.Table, file: Path) -> None:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(file, rows.schema, options=options) as out:
        out.write_table(rows)


def _state(rows: pa.Table, night: int) -> State:
    people = rows["person_id"].to_numpy()
    return State(night, people, _matrix(rows["ints"], len(people)), _matrix(rows["floats"], len(people)))


def _some(state: State, kept: NDArray[np.bool_]) -> State:
    if kept.all():
        return state
    return State(state.night, state.people[kept], state.ints[kept], state.floats[kept])


def _joined(states: Iterable[State | None]) -> State | None:
    """One state of the people of all, who are others in each."""
    there = [state for state in states if state and len(state.people)]
    if len(there) < 2:
        return there[0] if there else None
    people = np.concatenate([state.people for state in there])
    order = np.argsort(people)
    ints, floats = (
        np.concatenate(matrices) for matrices in zip(*((one.ints, one.floats) for one in there), strict=True)
    )
    return State(there[0].night, people[order], ints[order], floats[order])


def _matrix(column: pa.ChunkedArray, rows: int) -> NDArray[Any]:
    values: NDArray[Any] = column.combine_chunks().flatten().to_numpy()
    return values.reshape(rows, column.type.list_size)


class Draft:
    """A checkpoint in the making: nobody sees it before it is whole."""

    def __init__(self, folder: Path, slices: int) -> None:
        """In `folder`, which must not exist."""
        self._folder, self._slices = folder, slices
        self._files = count()
        folder.mkdir(parents=True)

    def keep(self, state: State) -> None:
        """States of people of whom none was kept before: those of each slice in a file of their own."""
        homes = home_of(state.people, self._slices)
        for home in np.unique(homes).tolist():
            _write(_rows(_some(state, homes == home)), self._folder / f"{home}-{next(self._files)}.arrow")

    def finish(
        self,
        lake: Lake,
        as_of: datetime,
        spec: Spec,
        spans: Mapping[Part, Span | None],
        contents: Iterable[str],
        persons: pa.Table,
    ) -> None:
        """Put it in its place, and remove the oldest ones.

        `spans`: each file's, so far as it is known; `persons`: who is who on the night.
        """
        theirs = pc.is_in(persons["person_id"], value_set=Checkpoint(self._folder).people)
        others = pc.not_equal(persons["id"], persons["person_id"])
        _write(persons.filter(pc.and_(theirs, others)), self._folder / _PERSONS)
        facts = {
            "night": as_of.isoformat(),
            "spec": digest(spec),
            "slices": self._slices,
            "files": {part.name: span for part, span in spans.items() if _may_know(part, as_of)},
            "categories": {content: spec.category_of.get(content) for content in sorted(contents)},
        }
        (self._folder / _MANIFEST).write_text(json.dumps(facts), encoding="utf-8")
        lake.checkpoints.mkdir(parents=True, exist_ok=True, mode=0o700)
        with scratch.alone(lake.checkpoints):
            place = lake.checkpoints / f"{as_of.strftime(NIGHT)}-{digest(spec)[:8]}"
            shutil.rmtree(place, ignore_errors=True)
            self._folder.rename(place)
            _remove_before(lake, sorted(lake.checkpoints.glob(f"*-{digest(spec)[:8]}"))[-KEPT:])


def _remove_before(lake: Lake, kept: Sequence[Path]) -> None:
    """Remove what is older than all of these, which are as many as are kept; of other measures, too."""
    if len(kept) == KEPT:
        for manifest in lake.checkpoints.glob(f"*/{_MANIFEST}"):
            if manifest.parent.name < kept[0].name:
                shutil.rmtree(manifest.parent, ignore_errors=True)


def _rows(state: State) -> pa.Table:
    columns = {"person_id": pa.array(state.people), "ints": _lists(state.ints), "floats": _lists(state.floats)}
    return pa.table(columns)


def _lists(matrix: NDArray[Any]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


def remove_those_with(lake: Lake, people: pa.Array) -> None:
    """Remove every checkpoint that holds one of these people."""
    for manifest in lake.checkpoints.glob(f"*/{_MANIFEST}"):
        if Checkpoint(manifest.parent).has_any(people):
            shutil.rmtree(manifest.parent)


def remove_all(lake: Lake) -> None:
    """Remove every checkpoint: the next night reads all of the log."""
    disk.remove(lake.checkpoints)


def holding(lake: Lake, as_of: datetime, spec: Spec, parts: Sequence[Part], slices: int) -> Iterator[Checkpoint]:
    """Checkpoints not later than the night that still go with the lake's files, `parts`, in `slices`; newest first."""
    found = [Checkpoint(manifest.parent) for manifest in lake.checkpoints.glob(f"*-{digest(spec)[:8]}/{_MANIFEST}")]
    first = cache(first_known)
    for one in sorted(found, key=lambda one: one.night, reverse=True):
        if one.night <= as_of and one.facts["slices"] == slices and _holds(one, spec, parts, first):
            yield one


def _holds(checkpoint: Checkpoint, spec: Spec, parts: Sequence[Part], first: Callable[[Part], int]) -> bool:
    """Whether it would be the same if it were made now, but for who is who. `first`: `first_known`."""
    night, facts = checkpoint.night, checkpoint.facts
    files, categories = facts["files"], facts["categories"]
    if not isinstance(files, dict) or not isinstance(categories, dict) or facts["spec"] != digest(spec):
        return False
    if any(spec.category_of.get(content) != category for content, category in categories.items()):
        return False
    there = {part.name: part for part in parts if _may_know(part, night)}
    added = [part for name, part in there.items() if name not in files]
    return set(files) <= set(there) and not any(first(part) < micros(night) for part in added)


def _may_know(part: Part, night: datetime) -> bool:
    """Whether the file may hold a row that was known before the night."""
    return datetime(part.day.year, part.day.month, part.day.day, tzinfo=UTC) - _EARLY < night


def first_known(part: Part) -> int:
    """When the first of a file's rows could be known, in microseconds."""
    rows = pq.read_table(part.path, columns=["ts", "available_at"], partitioning=None)
    ts, available = (rows[name].cast(pa.int64()).to_numpy() for name in ("ts", "available_at"))
    return int(np.maximum(ts, available).min(initial=np.iinfo(np.int64).max))


def digest(spec: Spec) -> str:
    """Of everything that a state depends on but rows and categories."""
    said = [_LAYOUT, list(spec.measures), dict(spec.goals), spec.categories, spec.channels, spec.timezone]
    return hashlib.sha256(repr([*said, spec.history_days]).encode()).hexdigest()
