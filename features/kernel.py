"""The person kernel: all requested nights of a person in one pass over what the person did.

What a person's features on a night are made of is a fold over the rows that were known by then, in the order of their
time. So a later night goes on where an earlier one stopped: rows that became known meanwhile are folded in, rows that
grew older than a window are taken out of it. Whoever turns out to have a row that is older than one already folded (it
arrived late), or that was somebody else's after all, is folded anew for that night. Either way the same additions are
made in the same order as if the night had been the only one asked for: the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from expectations.schemas import TIMESTAMP
from features.passes import Before, Out, Scratch, people_by_nights
from features.rows import Rows, encoded, micros
from features.spec import Spec
from features.state import LAST, NEVER, Layout
from features.zone import zone

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CELLS = 8_000_000
"""Values that are worked out at a time, 64 MB: what is needed beside the rows does not grow with them."""


@dataclass(frozen=True)
class State:
    """What is kept of people at a night, to go on from there: one row a person, sorted by `people`.

    `night` in microseconds: rows known before it are folded in. Of whom none was known there is none.
    """

    night: int
    people: Ints
    ints: Ints
    floats: Floats


def kernel(shard: pa.Table, nights: Sequence[datetime], spec: Spec) -> pa.Table:
    """Every person's features on every night, as of what was known strictly before it.

    Args:
        shard: The columns of `features.rows.SHARD`; rows in any order, quickest where they are by person and ts.
        nights: Instants (time zone aware), in any order.
        spec: What to compute.

    Returns:
        `person_id`, `night` and a float64 column a feature, sorted by person and night. A person has a row for the
        nights before which anything was known of them that happened in the last `spec.history_days`.

    Raises:
        ValueError: The shard lacks a column, or the spec names what there is not.
    """
    rows, wanted = encoded(shard, spec.codes), _instants(nights)
    people = max(1, _CELLS // max(len(wanted) * len(spec.names), 1))
    return pa.concat_tables([_run(some, wanted, spec)[0] for some in _pieces(rows, people)])


def advanced(
    shard: pa.Table, nights: Sequence[datetime], spec: Spec, state: State | None = None
) -> tuple[pa.Table, State]:
    """The features of the nights, and the state at the last of them.

    With `state`, which must be of the same spec and not later than the first night, people go on from there. Of someone
    who is in it, the shard has to hold only the rows that became known or changed hands since, and for each window of w
    days those from w days before the state's night to the end of the day (UTC) w days before the last night; of
    everybody else, all.

    Raises:
        ValueError: As `kernel`; or a row became known since that is older than another that the state holds (or that a
            night before counted), or one that counted turned out to be somebody else's.
    """
    table, after, anew = resumed(shard, nights, spec, state)
    if len(anew):
        raise ValueError(
            f"person {anew[0]} has a row that became known after the state's night, {after.night} us, but is older "
            "than what the state holds, or one that changed hands: the person has to be folded anew, without it"
        )
    return table, after


def resumed(
    shard: pa.Table, nights: Sequence[datetime], spec: Spec, state: State | None = None
) -> tuple[pa.Table, State, Ints]:
    """As `advanced`; but the people whose state does not go with their rows are left out, and named (sorted)."""
    rows, wanted = encoded(shard, spec.codes), _instants(nights)
    if state is not None:
        if len(wanted) and wanted[0] < state.night:
            raise ValueError(f"the state is of {state.night} us, later than the first night, {wanted[0]} us")
        rows = _with_people(rows, state.people)
    return _run(rows, wanted, spec, state)


def _instants(nights: Sequence[datetime]) -> Ints:
    return np.unique(np.array([micros(night) for night in nights], np.int64))


def _pieces(rows: Rows, people: int) -> Iterator[Rows]:
    """So many people at a time."""
    for start in range(0, max(len(rows.people), 1), people):
        some = rows.people[start : start + people]
        yield rows._replace(people=some, starts=rows.starts[start : start + len(some) + 1])


def _columns(matrix: Floats, count: int) -> list[pa.Array]:
    """The first `count` values of each row of a matrix, where they lie: to make Arrow look at each takes its time."""
    whole = pa.Array.from_buffers(pa.float64(), matrix.size, [None, pa.py_buffer(matrix)])
    return [whole.slice(at * matrix.shape[1], count) for at in range(len(matrix))]


def _with_people(rows: Rows, others: Ints) -> Rows:
    """The same rows, with people who have none."""
    new = np.setdiff1d(rows.people, others, assume_unique=True)
    people = np.union1d(others, new) if len(new) else others
    counts = np.zeros(len(people), np.int64)
    counts[np.searchsorted(people, rows.people)] = np.diff(rows.starts)
    return rows._replace(people=people, starts=np.r_[0, np.cumsum(counts)])


def _before(people: Ints, layout: Layout, state: State | None) -> Before:
    """What the state says of people, who are those of the state, or more."""
    at = np.full(len(people), -1)
    if state is None:
        return Before(NEVER, at, _kept(np.empty((0, layout.ints), np.int64)), _kept(np.empty((0, layout.floats))))
    at[np.searchsorted(people, state.people)] = np.arange(len(state.people))
    return Before(state.night, at, _kept(state.ints), _kept(state.floats))


def _kept(values: NDArray[Any]) -> NDArray[Any]:
    """Not to be written to, whosever they are: numba compiles for arrays that may be and for those that may not."""
    seen = values.view()
    seen.flags.writeable = False
    return seen


def _run(rows: Rows, nights: Ints, spec: Spec, state: State | None = None) -> tuple[pa.Table, State, Ints]:
    program, place = spec.program, zone(spec.timezone)
    layout = Layout.of(program)
    people = len(rows.people)
    ints, floats = np.empty((people, layout.ints), np.int64), np.empty((people, layout.floats))
    size = people * len(nights)
    out = Out(
        np.empty((program.columns, size)),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.zeros(people, np.bool_),
    )
    before = _before(rows.people, layout, state)
    scratch = Scratch.of(rows, program, layout)
    count = 0
    if len(nights):
        count = people_by_nights(rows, nights, program, layout, place, before, ints, floats, out, scratch)
    keys = [pa.array(out.person[:count]), pa.array(out.night[:count]).cast(TIMESTAMP)]
    table = pa.Table.from_arrays([*keys, *_columns(out.columns, count)], ["person_id", "night", *spec.names])
    if not len(nights):
        return table, state or State(NEVER, rows.people[:0], ints[:0], floats[:0]), rows.people[:0]
    kept, anew = ~out.anew & (ints[:, LAST] != NEVER), rows.people[out.anew]
    if len(anew):
        table = table.filter(pa.array(~np.isin(out.person[:count], anew)))
    if kept.all():
        return table, State(int(nights[-1]), rows.people, ints, floats), anew
    return table, State(int(nights[-1]), rows.people[kept], ints[kept], floats[kept]), anew
