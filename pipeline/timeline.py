"""Whose a row was, and from when until when it counted: what lets one pass over a person serve many nights.

On each night people are who they were known to be (decision 0002), and orders are as their newest export said. So a row
may be one person's until a night and another's from then on, and a line of an order is replaced when its refund is
known. Here that becomes two instants of each row, `known_at` and `known_until`, which the person kernel understands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations.schemas import TIMESTAMP
from features.rows import FOREVER, SHARD, micros
from pipeline import identify, orders
from pipeline.config import Config
from pipeline.orders import LINE, Orders

Ints = NDArray[np.int64]

_ALWAYS = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Timeline:
    """What a set of nights needs to know to say whose a row is.

    `first` and `last` are the nights' in microseconds. `ids` (sorted) are all that on some night are not a person of
    their own; those of `ids[i]` are `person`, `since` and `until` from `starts[i]` to `starts[i + 1]`.
    """

    first: int
    last: int
    ids: Ints
    starts: Ints
    person: Ints
    since: Ints
    until: Ints
    orders: Orders

    @classmethod
    def of(cls, nights: Sequence[datetime], identities: pa.Table, orders: Orders, config: Config) -> Timeline:
        """From the vault's links."""
        instants = sorted({micros(night): night for night in nights}.items())
        first, last = (instants[0][0], instants[-1][0]) if instants else (FOREVER, FOREVER)
        known = [identify.people(identities, night, config.identity).persons for _, night in instants]
        ids = np.unique(np.concatenate([np.zeros(0, np.int64), *(_ints(persons["id"]) for persons in known)]))
        whose = np.array([_persons(ids, persons) for persons in known], np.int64).reshape(len(instants), len(ids))
        moved = (whose != ids).any(axis=0) if instants else np.zeros(0, bool)
        return cls(first, last, ids[moved], *_intervals(whose[:, moved], [instant for instant, _ in instants]), orders)

    def rows(self, events: pa.Table, transactions: pa.Table) -> pa.Table:
        """Rows of the lake's `events` and `transactions` as a kernel asks for them (`features.rows.SHARD`), unsorted.

        Only those that count on any of the nights, so far as their ends say.
        """
        rows = self._events(events)
        if transactions.num_rows:  # to join nothing, too, is to merge all words of the two
            rows = pa.concat_tables([rows, _purchases(transactions, self.orders.replaced)])
        return self._ended(self._as_they_were(rows))

    def _ended(self, rows: pa.Table) -> pa.Table:
        """Without rows that ended before the first night; what ends with the last or later does not end at all."""
        if rows["known_until"].null_count == rows.num_rows:
            return rows
        until = _ints(rows["known_until"], FOREVER)
        mask = until >= self.last
        bounded = rows.set_column(
            rows.schema.get_field_index("known_until"), "known_until", pa.array(until, mask=mask).cast(TIMESTAMP)
        )
        return bounded.filter(pa.array(until >= self.first))

    def _events(self, events: pa.Table) -> pa.Table:
        if self.orders.since == FOREVER:
            return _shaped(events, known_at=events["available_at"])
        bounded = pc.if_else(pc.equal(events["event"], "purchase"), self.orders.since, None)
        return _shaped(events, known_at=events["available_at"], known_until=bounded.cast(pa.int64()).cast(TIMESTAMP))

    def _as_they_were(self, rows: pa.Table) -> pa.Table:
        """Rows of ids that were somebody else's on some night, once for each person whose they were."""
        own = _ints(rows["person_id"])
        place = np.minimum(np.searchsorted(self.ids, own), max(len(self.ids) - 1, 0))
        moved = self.ids[place] == own if len(self.ids) else np.zeros(len(own), bool)
        if not moved.any():
            return rows
        counts = np.diff(self.starts)[place[moved]]
        row = np.repeat(np.flatnonzero(moved), counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        interval = self.starts[place[row]] + np.arange(len(row)) - first
        copies = rows.unify_dictionaries().combine_chunks().take(row)
        known = np.maximum(_ints(copies["known_at"]), self.since[interval])
        until = np.minimum(_ints(copies["known_until"], FOREVER), self.until[interval])
        then = _shaped(
            copies.set_column(0, "person_id", pa.array(self.person[interval])),
            known_at=pa.array(known).cast(TIMESTAMP),
            known_until=pa.array(until, mask=until == FOREVER).cast(TIMESTAMP),
        )
        return pa.concat_tables([rows.filter(pa.array(~moved)), then])


def _persons(ids: Ints, persons: pa.Table) -> Ints:
    """Whose each id is."""
    known, whose = _ints(persons["id"]), _ints(persons["person_id"])
    place = np.minimum(np.searchsorted(known, ids), max(len(known) - 1, 0))
    return np.where(known[place] == ids, whose[place], ids) if len(known) else ids


def _intervals(whose: Ints, instants: Sequence[int]) -> tuple[Ints, Ints, Ints, Ints]:
    """`starts`, `person`, `since` and `until` of each id (a column), from whose it is on each night (a row)."""
    nights, ids = whose.shape
    changes = np.ones((nights, ids), bool)
    changes[1:] = whose[1:] != whose[:-1]
    column, night = np.nonzero(changes.T)
    starts = np.append(np.searchsorted(column, np.arange(ids)), len(column))
    last = np.full(len(column), nights - 1)
    last[:-1] = np.where(column[1:] == column[:-1], night[1:] - 1, nights - 1)
    before, after = np.array([_ALWAYS, *instants]), np.array([*instants, FOREVER])
    until = np.where(last == nights - 1, FOREVER, after[last])
    return starts.astype(np.int64), whose[night, column], before[night], until


def _purchases(transactions: pa.Table, replaced: pa.Table) -> pa.Table:
    """Orders as events, until their newest export replaces them."""
    sold = orders.as_events(transactions)
    until = _until(sold, replaced) if replaced.num_rows else pa.nulls(sold.num_rows, TIMESTAMP)
    return _shaped(sold, known_at=sold["available_at"], known_until=until)


def _until(lines: pa.Table, replaced: pa.Table) -> pa.ChunkedArray:
    """When each line was replaced, in the order of the lines."""
    keys = pa.table([lines[name].cast(replaced.schema.field(name).type) for name in LINE], names=[*LINE])
    numbered = keys.append_column("row", pa.array(np.arange(lines.num_rows)))
    return numbered.join(replaced, [*LINE], join_type="left outer").sort_by("row")["until"]


def _shaped(rows: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The columns of a shard, of which some are given; what is nowhere is missing. Text is dictionary-encoded."""
    return pa.table({field.name: _column(rows, field, columns) for field in SHARD})


def _column(rows: pa.Table, field: pa.Field, given: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Array:
    if field.name in given:
        column = given[field.name]
    elif field.name in rows.column_names:
        column = rows[field.name]
    elif pa.types.is_string(field.type):
        return pa.DictionaryArray.from_arrays(pa.nulls(rows.num_rows, pa.int32()), pa.array([], field.type))
    else:
        return pa.nulls(rows.num_rows, field.type)
    if not pa.types.is_string(field.type):
        return column if column.type == field.type else column.cast(field.type)
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _ints(column: pa.ChunkedArray, missing: int | None = None) -> Ints:
    whole = column.cast(pa.int64())
    filled = whole if missing is None else pc.fill_null(whole, missing)
    return np.asarray(filled.to_numpy()).astype(np.int64, copy=False)
