"""What models read of people and contents on one night, pair by pair: the pair kernel's answers as columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from expectations.schemas import TIMESTAMP
from features.order import pieces, starts
from features.pair_kernel import pair_kernel, pair_table
from features.pair_measures import Groups
from features.pair_response import response_totals, responses
from features.pair_spec import MODELLED, RESPONSE, PairSpec
from features.rows import SHARD

Ints = NDArray[np.int64]

_ROWS = 500_000
"""Rows of the log that a kernel is given at a time, at most; or one person's."""


@dataclass(frozen=True)
class PairsOfNight:
    """What connects people and contents as of a night.

    `log` is what was known of people before `as_of` (time zone aware): the columns of `features.rows.SHARD` that there
    are, sorted by person. `content` is the catalogue as of the night.
    """

    log: pa.Table
    content: pa.Table
    as_of: datetime

    def features(self, people: Ints, contents: pa.Array) -> NDArray[np.float32]:
        """Of the pairs (`people[i]`, `contents[i]`), ids in any order: (pairs, features of `MODELLED`).

        Raises:
            ValueError: The log is not sorted by person.
        """
        totals = self._totals  # first: it looks at all rows, and people are looked up in their order
        asked = pa.table(
            {
                "person_id": pa.array(people),
                "as_of": pa.repeat(pa.scalar(self.as_of, TIMESTAMP), len(people)),
                "content_id": contents,
            }
        )
        found = pair_kernel(self._of(np.unique(people)), asked, self._spec)
        columns = [
            responses(found, totals) if f.measure == RESPONSE else found[f.name].combine_chunks() for f in MODELLED
        ]
        return np.column_stack([np.asarray(column, np.float32) for column in columns])

    def tastes(self) -> Iterator[pa.Table]:
        """Everybody's affinities, long form (see `features.pair_kernel.pair_table`), some people at a time.

        A table of all would be several times the log: a person has a row for every tag that they ever came by.
        """
        return (pair_table(piece, self.as_of, self._spec) for piece in self._pieces())

    @cached_property
    def _spec(self) -> PairSpec:
        return PairSpec(Groups.of(self.content), features=MODELLED)

    @cached_property
    def _shard(self) -> pa.Table:
        """What the log says of all that a kernel reads, its text encoded once for all who ask."""
        columns = {field.name: _column(self.log, field) for field in SHARD if field.name in self.log.column_names}
        return pa.table(columns).unify_dictionaries().combine_chunks()

    @cached_property
    def _persons(self) -> Ints:
        """Whose each row of the shard is."""
        persons: Ints = np.asarray(self._shard["person_id"].combine_chunks())
        if len(wrong := np.flatnonzero(persons[1:] < persons[:-1])):
            raise ValueError(f"the log is not sorted by person_id: row {wrong[0] + 1} comes before row {wrong[0]}")
        return persons

    @cached_property
    def _totals(self) -> pa.Table:
        return pa.concat_tables(response_totals(piece, [self.as_of], self._spec) for piece in self._pieces())

    def _pieces(self) -> Iterator[pa.Table]:
        """The shard, some people at a time: what a kernel makes of each row of a piece stays in tens of MB."""
        begins = starts(self._persons)
        cuts = pieces(np.diff(begins), _ROWS) if len(begins) > 1 else [(0, 0)]  # of nobody there is a table as well
        for first, last in cuts:
            yield _whole(self._shard.slice(begins[first], begins[last] - begins[first]))

    def _of(self, people: Ints) -> pa.Table:
        """The rows of these people (sorted). Who asks block by block has them side by side: then nothing is copied."""
        first, last = np.searchsorted(self._persons, people[[0, -1]] + [0, 1]) if len(people) else (0, 0)
        rows, persons = self._shard.slice(first, last - first), self._persons[first:last]
        theirs = people[np.searchsorted(people, persons)] == persons if len(people) else np.zeros(0, np.bool_)
        return _whole(rows if theirs.all() else rows.filter(pa.array(theirs)))


def _whole(rows: pa.Table) -> pa.Table:
    """With the columns that no log has, missing: all was known as it happened, and for ever."""
    columns = rows.column_names
    return pa.table({f.name: rows[f.name] if f.name in columns else pa.nulls(rows.num_rows, f.type) for f in SHARD})


def _column(log: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    column = log[field.name]
    if pa.types.is_dictionary(column.type):
        return column
    return column.cast(field.type).dictionary_encode() if pa.types.is_string(field.type) else column.cast(field.type)
