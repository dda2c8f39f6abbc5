"""What people did on any system, as one log in one order: events and orders together, under the people's own names."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations import schemas
from features.order import ordered
from pipeline import orders
from pipeline.identify import People
from pipeline.lake import WORD


def _log(text: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            ("person_id", pa.int64()),
            ("ts", schemas.TIMESTAMP),
            ("content_id", text),
            ("event", text),
            ("dwell_seconds", pa.float64()),
            ("value", pa.float64()),
            ("position", pa.int32()),
            ("device", text),
            ("country", text),
            ("channel", text),
        ]
    )


LOG = _log(WORD)
"""What people did. Orders appear as `purchase` (and `refund`, with a negative value)."""

OUTCOME = _log(pa.string()).append(pa.field("propensity", pa.float64()))
"""The same after a night, and with what chance impressions were shown: only who learns from them asks."""

POPULARITY = pa.schema(
    [("content_id", pa.string()), ("event", pa.string()), ("ts", schemas.TIMESTAMP), ("count", pa.float64())]
)
"""What nobody in particular did, by the hour or day that begins at `ts`."""

_ORDER = (
    "person_id",
    "ts",
    "event",
    "content_id",
    "position",
    "value",
    "dwell_seconds",
    "device",
    "country",
    "channel",
)
_CANONICAL = [(name, "ascending") for name in _ORDER]


def of(
    events: pa.Table, transactions: pa.Table, people: People, *, has_orders: bool, schema: pa.Schema = LOG
) -> pa.Table:
    """Events and orders in one log, in no order. Where there are orders they are the truth about purchases.

    Words are those that stand in the log, sorted: which else stand in the lake, and in which order, leaves no trace.
    """
    if has_orders:
        events = _without_purchases(events)
    rows = pa.concat_tables([events.select(schema.names).cast(schema), _purchases(transactions, schema)])
    persons = people.resolve(rows["person_id"].combine_chunks())
    rows = rows.set_column(0, LOG.field("person_id"), persons)
    for at, field in enumerate(schema):
        if pa.types.is_dictionary(field.type):
            rows = rows.set_column(at, field, _used(rows[field.name]))
    return rows


def persons(events: pa.Table, transactions: pa.Table, people: People, *, has_orders: bool) -> pa.Array:
    """Who is in such a log, sorted."""
    some = events.select(["person_id", "event"])  # who reads nothing else copies nothing else
    some = _without_purchases(some) if has_orders else some
    ids = [column for rows in (some, orders.as_events(transactions)) for column in rows["person_id"].chunks]
    return pc.unique(people.resolve(pc.unique(pa.chunked_array(ids, pa.int64())))).sort()


def _used(text: pa.ChunkedArray) -> pa.Array:
    """The same text by the sorted list of the words that stand in it."""
    whole = text.unify_dictionaries().combine_chunks()
    words = pc.drop_null(pc.unique(whole).cast(pa.string())).sort()
    place = pc.index_in(whole.dictionary, value_set=words)
    return pa.DictionaryArray.from_arrays(place.take(whole.indices), words)


def counts(popularity: pa.Table, *, has_orders: bool) -> pa.Table:
    """What nobody in particular did, as POPULARITY; without its purchases where there are orders."""
    return (_without_purchases(popularity) if has_orders else popularity).select(POPULARITY.names).cast(POPULARITY)


def _without_purchases(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.not_equal(rows["event"], "purchase"))


def _purchases(transactions: pa.Table, schema: pa.Schema) -> pa.Table:
    sold = orders.as_events(transactions)
    known = {name: sold[name] for name in schema.names if name in sold.column_names}
    return pa.table({f.name: known.get(f.name, pa.nulls(sold.num_rows, f.type)) for f in schema}).cast(schema)


def last_known(rows: pa.Table, column: str) -> pa.Table:
    """Each person's last known text, as `person_id` and `column`; `rows` are in the order of time."""
    known = rows.select(["person_id", column]).filter(pc.is_valid(rows[column]))
    known = known.set_column(1, column, known[column].cast(pa.string()))
    return (
        known.group_by("person_id", use_threads=False).aggregate([(column, "last")]).rename_columns(known.column_names)
    )


def in_order(rows: pa.Table) -> pa.Table:
    """Rows of a log in canonical order: by person, time, and what else tells them apart."""
    person, ts = (np.asarray(rows[name].cast(pa.int64()).combine_chunks()) for name in _ORDER[:2])
    plain = pa.schema([OUTCOME.field(name) for name in rows.column_names])

    def by_everything(some: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(pc.sort_indices(rows.take(some).cast(plain), _CANONICAL)).astype(np.int64)

    return rows.take(ordered(person, ts, by_everything))


def content_of(log: pa.Table, popularity: pa.Table) -> pa.Table:
    """A catalogue of what people did, for companies that export none: first seen is published; no more is known."""
    columns = ["content_id", "ts"]
    plain = pa.schema([OUTCOME.field(name) for name in columns])
    first = (
        pa.concat_tables([log.select(columns).cast(plain), popularity.select(columns).cast(plain)])
        .group_by("content_id")
        .aggregate([("ts", "min")])
        .sort_by("content_id")
    )
    schema = schemas.NATIVE["content"].schema
    known = {
        "content_id": first["content_id"],
        "published_at": first["ts_min"],
        "status": pa.array(["published"] * first.num_rows, pa.string()),
    }
    return pa.table([known.get(f.name, pa.nulls(first.num_rows, f.type)) for f in schema], schema=schema)
