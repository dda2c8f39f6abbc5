"""The pair kernel: what connects people with contents, each as of its own instant, in one pass over what people did.

For a person the requests are answered in the order of their instants: what became known from one to the next is folded
in, what grew too old is taken out of the windows. Only what somebody asks about is kept. When a row arrives that is
older than one already folded, the fold goes on from how it stood before the first row that was still to come; when one
turns out to be somebody else's after all, it starts anew. Either way the same additions are made in the same order as
for a request alone: the same bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from expectations.schemas import TIMESTAMP
from features.group import by_person_and_time
from features.order import pieces
from features.pair_measures import KINDS, SCOPES
from features.pair_passes import BLOCK, pairs_by_requests, tastes_of_people
from features.pair_program import Contents, Program, Vocabulary
from features.pair_spec import PairSpec
from features.pair_state import ANCHORS, NOBODY, Asked, Layout, Scratch
from features.rows import Rows, encoded, micros

Ints = NDArray[np.int64]

REQUESTS = pa.schema([("person_id", pa.int64()), ("as_of", TIMESTAMP), ("content_id", pa.string())])
"""What is asked: of whom, when, and about which content, which may be dictionary-encoded."""

_GROUPS_AT_ONCE = 1_000_000
"""Groups of people in one piece of the table of tastes, at most: what is put together at a time stays in tens of MB."""


def pair_kernel(shard: pa.Table, requests: pa.Table, spec: PairSpec) -> pa.Table:
    """What connects the person with the content of each request, as of what was known strictly before its instant.

    Args:
        shard: The columns of `features.rows.SHARD`, rows in any order, quickest where they are by person and ts.
        requests: The columns of `REQUESTS`, in any order; people and contents that the shard does not know are welcome.
        spec: What to compute.

    Returns:
        The columns of `REQUESTS` and a float64 column a feature, in the order of the requests.

    Raises:
        ValueError: The shard or the requests lack a column or a value.
    """
    return _answered(shard, requests, spec.vocabulary, spec.program, spec.names)


def pair_table(shard: pa.Table, night: datetime, spec: PairSpec) -> pa.Table:
    """Each person's tastes as of a night (an instant), long form: the groups in which they did something.

    Returns:
        `person_id`, `kind` (one of `KINDS`), `name` and a float64 column `affinity_<half-life>` for each of the spec's,
        sorted by person, kind and name.

    Raises:
        ValueError: The shard lacks a column.
    """
    words, program = spec.vocabulary, spec.tastes
    rows = encoded(shard, words.codes)
    person, group, shares = _tastes(rows, micros(night), words, program)
    order = np.lexsort((group, person))
    kinds, names = (pa.array([of[i] for of in words.groups], pa.string()) for i in (0, 1))
    return pa.table(
        {
            "person_id": pa.array(rows.people[person[order]]),
            "kind": kinds.take(pa.array(group[order])),
            "name": names.take(pa.array(group[order])),
            **{f"affinity_{h}": pa.array(shares[order, at]) for at, h in enumerate(spec.half_lives)},
        }
    )


def _answered(
    shard: pa.Table, requests: pa.Table, words: Vocabulary, program: Program, names: tuple[str, ...]
) -> pa.Table:
    """The requests with a column a feature."""
    content = _filled(requests, "content_id")
    content = content if pa.types.is_dictionary(content.type) else content.dictionary_encode()
    content = content.unify_dictionaries().combine_chunks()
    contents = content.dictionary.cast(pa.string())
    words = words.with_contents(contents)
    rows = encoded(shard, words.codes)
    at = words.codes.contents(contents)[np.asarray(content.indices)]
    asked = _asked(rows, _ints(_filled(requests, "person_id")), _ints(_filled(requests, "as_of")), at)
    out = np.empty((program.columns, requests.num_rows))
    layout = _layout(program)
    scratch = _scratch(rows, words.arrays, program, layout, int(np.diff(asked.begin).max(initial=0)))
    pairs_by_requests(rows, asked, program, layout, words.arrays, out, scratch)
    found = {name: pa.array(column) for name, column in zip(names, out, strict=True)}
    return pa.table({**{name: requests[name] for name in REQUESTS.names}, **found})


def _filled(requests: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in requests.column_names:
        raise ValueError(f"the requests have no {name}; they have {', '.join(requests.column_names)}")
    if missing := requests[name].null_count:
        raise ValueError(f"{missing} requests have no {name}")
    return requests[name]


def _ints(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.cast(pa.int64()).combine_chunks())


def _asked(rows: Rows, person: Ints, as_of: Ints, content: NDArray[np.int32]) -> Asked:
    """The requests in order. Who has no rows has them from 0 to 0."""
    people, begin, order = by_person_and_time(person, as_of)
    at = np.searchsorted(rows.people, people)
    there = np.isin(people, rows.people, assume_unique=True)
    at[~there] = 0
    first, last = (np.where(there, rows.starts[at + i], 0) if len(rows.people) else np.zeros_like(at) for i in (0, 1))
    return Asked(begin, first, last, as_of[order], content[order], order)


def _layout(program: Program) -> Layout:
    counts, sinces = len(program.counts.to), len(program.sinces.to)
    after, halves = counts + sinces, len(program.half_lives)
    return Layout(sinces=counts, unanswered=after, stamp=after + 1, ints=after + 2, session=halves, floats=halves + 1)


def _scratch(rows: Rows, contents: Contents, program: Program, layout: Layout, asked: int) -> Scratch:
    """Room for the person with the most rows, and for the groups of `asked` contents."""
    longest = int(np.diff(rows.starts).max(initial=0))
    owners = contents.groups + len(contents.category)
    slots = 1 + min(owners, asked * (1 + int(np.diff(contents.link_from).max(initial=0))))
    halves = len(program.half_lives)
    return Scratch(
        **_state("", slots, program, layout),
        **_state("kept_", slots, program, layout),
        slot_of=np.full(owners, NOBODY, np.int32),
        owner=np.empty(slots, np.int32),
        order=np.empty(longest, np.int64),
        slots=np.empty((longest, len(SCOPES)), np.int32),
        hits=np.empty(longest, np.int64),
        forward=np.empty(halves),
        reads=np.empty(halves),
        sums=np.empty(len(program.affinities.to)),
        found=np.empty(len(KINDS), np.int64),
        row=np.empty(program.columns),
        block=np.empty((BLOCK, program.columns)),
        to=np.empty(BLOCK, np.int64),
    )


def _state(prefix: str, slots: int, program: Program, layout: Layout) -> dict[str, NDArray[Any]]:
    """What a person's state is kept in."""
    return {
        f"{prefix}here": np.empty(ANCHORS + len(program.half_lives), np.int64),
        f"{prefix}ints": np.empty((slots, layout.ints), np.int64),
        f"{prefix}floats": np.empty((slots, layout.floats)),
        f"{prefix}tail": np.empty(len(program.windows), np.int64),
    }


def _tastes(rows: Rows, night: int, words: Vocabulary, program: Program) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Whose (by place), which group, and the affinities by half-life: (groups of people, half-lives)."""
    contents, layout = words.arrays, _layout(program)
    links = int(np.diff(contents.link_from).max(initial=0)) + 1
    most = np.minimum(np.diff(rows.starts) * links, contents.groups)
    scratch = _scratch(rows, contents, program, layout, contents.groups)
    parts = []
    for start, stop in pieces(most, _GROUPS_AT_ONCE):
        size = int(most[start:stop].sum()) + 1  # a group that was not touched is written, too, before it is passed over
        person, group = np.empty(size, np.int64), np.empty(size, np.int64)
        shares = np.empty((size, len(program.half_lives)))
        count = tastes_of_people(rows, start, stop, night, program, layout, contents, person, group, shares, scratch)
        parts.append((person[:count].copy(), group[:count].copy(), shares[:count].copy()))
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, len(program.half_lives))))
    person, group, shares = (np.concatenate(of) for of in zip(nothing, *parts, strict=True))
    return person, group, shares
