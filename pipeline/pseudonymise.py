"""Native rows in, lake rows out: pseudonyms in place of ids, links for the vault, and the bookkeeping of one load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from pipeline import identify, sources
from pipeline.config import Config, Source
from pipeline.lake import UNDATED
from pipeline.pseudonyms import Pseudonyms
from pipeline.shards import shard_of


@dataclass(frozen=True)
class LakeRows:
    """One unit's rows as the lake holds them."""

    tables: Mapping[str, pa.Table]

    @classmethod
    def of(cls, parsed: sources.Parsed, source: Source, day: date | None, config: Config, ids: Pseudonyms) -> LakeRows:
        """What one export of `source` becomes; `day` is None for a file that is read whole."""
        books = _Books(source, day, config)
        tables: dict[str, pa.Table] = {}
        links, native_ids = [], []
        for name, native in parsed.tables.items():
            rows = _PSEUDONYMISE[name](native, books, ids)
            tables[name] = rows.select(schemas.LAKE[name].names).cast(schemas.LAKE[name].schema)
            native_ids.append(_native_ids(native, rows))
            links.append(_links(name, native, rows, books, ids))
        tables["native_ids"] = _unique(pa.concat_tables(native_ids), "native_ids")
        tables["identities"] = _unique(pa.concat_tables(links), "identities")
        tables["quarantine"] = books.stamp(parsed.rejected, None).select(schemas.LAKE["quarantine"].names)
        return cls(tables)


def bounds(day: date | None, config: Config) -> tuple[datetime, datetime] | None:
    """The instants between which the export's day lies."""
    if day is None:
        return None
    zone = config.project.zone
    return datetime.combine(day, time(), zone), datetime.combine(day + timedelta(days=1), time(), zone)


@dataclass(frozen=True)
class _Books:
    """The bookkeeping columns of one unit."""

    source: Source
    day: date | None
    config: Config

    def stamp(self, rows: pa.Table, ts: pa.ChunkedArray | None) -> pa.Table:
        """`rows` with `source` and `day`; a whole file's rows belong to the day on which they happened."""
        n = rows.num_rows
        if self.day is None and ts is not None:
            local = pc.local_timestamp(ts.cast(pa.timestamp("us", tz=self.config.project.timezone)))
            day = local.cast(pa.date32())
        else:
            day = pa.array([self.day or UNDATED] * n, pa.date32())
        return rows.append_column("source", pa.array([self.source.name] * n, pa.string())).append_column("day", day)

    def available(self, rows: pa.Table) -> pa.ChunkedArray:
        """When each row could first be known: as the export says, else when it happened plus the source's delay."""
        delay = pa.scalar(timedelta(minutes=self.source.delay_minutes), pa.duration("us"))
        return pc.coalesce(rows["available_at"], pc.add(rows["ts"], delay))

    def snapshot_known_at(self) -> datetime:
        """What a dated snapshot says was known by the end of its day; an undated one was always known."""
        ends = bounds(self.day, self.config)
        if ends is None:
            return datetime.combine(UNDATED, time(), self.config.project.zone)
        return ends[1] - timedelta(microseconds=1)


def _events(native: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    rows = _with(
        native,
        available_at=books.available(native),
        visitor_id=ids.column(native["visitor_id"], "visitor"),
        customer_id=ids.column(native["customer_id"], "customer"),
        session_id=ids.column(native["session_id"], "session"),
    )
    return books.stamp(_with_person(rows, "customer_id", "visitor_id"), rows["ts"])


def _content(native: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    return books.stamp(native, None)


def _customers(native: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    return books.stamp(_with(native, customer_id=ids.column(native["customer_id"], "customer")), None)


def _transactions(native: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    rows = _with(
        native,
        available_at=books.available(native),
        order_id=ids.column(native["order_id"], "order"),
        customer_id=ids.column(native["customer_id"], "customer"),
        email_id=ids.column(native["email"], "email"),
    )
    return books.stamp(_with_person(rows, "customer_id", "email_id"), rows["ts"])


_PSEUDONYMISE: Mapping[str, Callable[[pa.Table, _Books, Pseudonyms], pa.Table]] = {
    "events": _events,
    "content": _content,
    "customers": _customers,
    "transactions": _transactions,
}


def _with(rows: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    for name, values in columns.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, name, values) if at >= 0 else rows.append_column(name, values)
    return rows


def _with_person(rows: pa.Table, first: str, second: str) -> pa.Table:
    person = pc.coalesce(rows[first], rows[second])
    shard = shard_of(np.asarray(person.combine_chunks()))
    return _with(rows, person_id=person, shard=pa.array(shard, pa.int16()))


def _native_ids(native: pa.Table, rows: pa.Table) -> pa.Table:
    """The way back from pseudonyms, for publication; e-mails have none."""
    parts = [schemas.LAKE["native_ids"].schema.empty_table()]
    for kind in ("visitor", "customer"):
        name = f"{kind}_id"
        if name in native.column_names:
            ids_of_kind = pa.table(
                {"id": rows[name], "native_id": native[name], "day": rows["day"], "source": rows["source"]}
            )
            ids_of_kind = ids_of_kind.filter(pc.is_valid(ids_of_kind["id"]))
            kinds = pa.array([kind] * ids_of_kind.num_rows, pa.string())
            parts.append(
                ids_of_kind.append_column("id_type", kinds).select(parts[0].column_names).cast(parts[0].schema)
            )
    return pa.concat_tables(parts)


def _links(name: str, native: pa.Table, rows: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    if name == "events":
        links = identify.links_of_events(rows)
    elif name == "customers":
        emails = ids.column(native["email"], "email")
        customers = rows["customer_id"].combine_chunks()
        links = identify.links_of_customers(customers, emails, books.snapshot_known_at())
    else:
        return schemas.LAKE["identities"].schema.empty_table()
    stamped = books.stamp(links, links["available_at"] if name == "events" else None)
    return stamped.select(schemas.LAKE["identities"].names).cast(schemas.LAKE["identities"].schema)


def _unique(rows: pa.Table, table: str) -> pa.Table:
    """One row a (day and) id: what the vault needs of a file in which every event repeats its visitor."""
    key = ["id", "id_type", "native_id", "source", "day"] if table == "native_ids" else list(rows.column_names)
    return rows.group_by(key).aggregate([]).select(rows.column_names).cast(rows.schema)
