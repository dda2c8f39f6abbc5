"""A batch of GA4's events with one row an element of a list, and what the elements say."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources.ga4_facts import Array, clean
from pipeline.sources.ga4_files import fields


@dataclass(frozen=True)
class Spread:
    """One row an event, or an element of its list."""

    at: Array
    """Row number of the export - 1."""
    n: Array
    """Place in the list from 1; 0 for an event without one."""
    about: pa.Array
    """The content."""
    _batch: pa.RecordBatch
    _parent: Array
    """Row of `_batch`."""
    _item: Array
    """Row of `_items`; -1 is none."""

    @classmethod
    def of(cls, batch: pa.RecordBatch, at: Array, listed: Array, content: pa.Array) -> Spread:
        """Events (`at`: their rows, `content`: what they are about) of which those `listed` are spread."""
        lengths = _lengths(batch)
        repeats = np.where(listed & (lengths > 0), lengths, 1)
        parent = np.repeat(np.arange(len(at)), repeats)
        place = np.arange(len(parent)) - (np.cumsum(repeats) - repeats)[parent]
        n = np.where((listed & (lengths > 0))[parent], place + 1, 0)
        item = np.where(lengths[parent] > 0, (np.cumsum(lengths) - lengths)[parent] + place, -1)
        spread = cls(at[parent], n, content.take(pa.array(parent)), batch, parent, item)
        named = clean(spread._said("item_id", pa.string()))
        return replace(spread, about=pc.if_else(pa.array(n == 0), spread.about, named))

    def filter(self, kept: Array) -> Spread:
        """Only these rows."""
        about = self.about.filter(pa.array(kept))
        return Spread(self.at[kept], self.n[kept], about, self._batch, self._parent[kept], self._item[kept])

    def column(self, name: str, field: str | None = None) -> pa.Array:
        """A column of the export, or a field in it; null where the export has none."""
        if name not in self._batch.schema.names:
            return pa.nulls(len(self.at), pa.string())
        values = self._batch[name]
        if field:
            values = pc.struct_field(values, field)
        return values.take(pa.array(self._parent)).cast(pa.string())

    def worth(self) -> pa.Array:
        """Price x quantity; without a quantity it is one piece."""
        quantity = pc.fill_null(self._said("quantity", pa.float64()), 1.0)
        return pc.multiply(self._said("price", pa.float64()), quantity)

    def position(self, *, zero_based: bool) -> pa.Array:
        """Place in the list from 1: as the site numbers it, else the order of the elements."""
        given = pc.add(self._said("index", pa.int64()), int(zero_based))
        return pc.coalesce(given, pa.array(self.n, mask=self.n == 0))

    def _said(self, name: str, type_: pa.DataType) -> pa.Array:
        """What the items say, as `type_`; an event that is not spread has its first item's."""
        if not _has(self._batch, name):
            return pa.nulls(len(self.at), type_)
        values = self._batch["items"].flatten().field(name)
        return values.take(pa.array(self._item, mask=self._item < 0)).cast(type_)


def _has(batch: pa.RecordBatch, name: str) -> bool:
    return "items" in batch.schema.names and name in fields(batch.schema.field("items").type)


def _lengths(batch: pa.RecordBatch) -> Array:
    """Number of items; a list whose items have no id is none."""
    if not _has(batch, "item_id"):
        return np.zeros(batch.num_rows, np.int64)
    return np.asarray(batch["items"].value_lengths().fill_null(0), np.int64)
