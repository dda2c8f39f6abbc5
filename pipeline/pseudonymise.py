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
from pipeline.config import Config
from pipeline.lake import UNDATED
from pipeline.pseudonyms import Pseudonyms, Purpose
from pipeline.sections import Source
from pipeline.shards import shard_of


def lake_rows(
    parsed: sources.Parsed, source: Source, day: date | None, config: Config, ids: Pseudonyms
) -> dict[str, pa.Table]:
    """What a part of an export of `source` becomes, by table; `day` is None for a file that is read whole.

    A native table may end up in several: contacts become customers, links between ids, and objections.
    """
    books = _Books(source, day, config)
    found: dict[str, list[pa.Table]] = {"quarantine": [books.stamp(parsed.rejected, None)]}
    for name, native in parsed.tables.items():
        rows = _with_ids(native, books, ids)
        found.setdefault("native_ids", []).append(_native_ids(native, rows, books))
        found.setdefault("identities", []).append(_links(name, rows, books))
        for table, lake in _BECOMES[name](rows, books).items():
            found.setdefault(table, []).append(lake)
    return {
        name: pa.concat_tables(
            [part.select(schemas.LAKE[name].names).cast(schemas.LAKE[name].schema) for part in parts]
        )
        for name, parts in found.items()
    }


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
            day = pa.repeat(pa.scalar(self.day or UNDATED, pa.date32()), n)
        return rows.append_column("source", pa.repeat(self.source.name, n)).append_column("day", day)

    def available(self, rows: pa.Table) -> pa.ChunkedArray:
        """When each row could first be known: as the export says, else when it happened plus the source's delay."""
        delay = pa.scalar(timedelta(minutes=self.source.delay_minutes), pa.duration("us"))
        happened = pc.add(rows["ts"], delay)
        return pc.coalesce(rows["available_at"], happened) if "available_at" in rows.column_names else happened

    def known_at(self) -> datetime:
        """What a dated snapshot says was known by the end of its day; an undated one was always known."""
        ends = bounds(self.day, self.config)
        if ends is None:
            return datetime.combine(UNDATED, time(), self.config.project.zone)
        return ends[1] - timedelta(microseconds=1)

    def counted_at(self, ts: pa.ChunkedArray) -> pa.ChunkedArray:
        """When counts that begin at `ts` are known: when their export's day is over, in any case a day later."""
        ends = bounds(self.day, self.config)
        if ends is None:
            return pc.add(ts, pa.scalar(timedelta(days=1) - timedelta(microseconds=1), pa.duration("us")))
        return pa.chunked_array([pa.repeat(pa.scalar(ends[1] - timedelta(microseconds=1), schemas.TIMESTAMP), len(ts))])


def _with_ids(native: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    """Pseudonyms in the place of native ids; an e-mail address becomes `email_id`."""
    purposes: Mapping[str, Purpose] = {
        "visitor_id": "visitor",
        "customer_id": "customer",
        "session_id": "session",
        "order_id": "order",
    }
    known = {
        name: ids.column(native[name], purpose) for name, purpose in purposes.items() if name in native.column_names
    }
    if "email" in native.column_names:
        known["email_id"] = ids.column(native["email"], "email")
    if "ts" in native.column_names:
        known["available_at"] = books.available(native)
    return _with(native, **known)


def _events(rows: pa.Table, books: _Books) -> Mapping[str, pa.Table]:
    return {"events": books.stamp(_with_person(rows, "customer_id", "visitor_id"), rows["ts"])}


def _transactions(rows: pa.Table, books: _Books) -> Mapping[str, pa.Table]:
    return {"transactions": books.stamp(_with_person(rows, "customer_id", "email_id"), rows["ts"])}


def _content(rows: pa.Table, books: _Books) -> Mapping[str, pa.Table]:
    return {"content": books.stamp(rows, None)}


def _popularity(rows: pa.Table, books: _Books) -> Mapping[str, pa.Table]:
    """Counts of a day are known when the day is over."""
    instants = (rows["available_at"], books.counted_at(rows["ts"]))
    known = pc.max_element_wise(*(instant.cast(pa.int64()) for instant in instants)).cast(schemas.TIMESTAMP)
    return {"popularity": books.stamp(_with(rows, available_at=known), rows["ts"])}


def _customers(rows: pa.Table, books: _Books) -> Mapping[str, pa.Table]:
    """Who objects is no customer of ours, only a pseudonym that must not be used."""
    refused = pc.fill_null(pc.invert(rows["consent_personalization"]), False)
    objects = pc.or_(refused, pc.is_valid(rows["opted_out_at"]))
    objectors = rows.filter(objects)
    since = pc.coalesce(objectors["opted_out_at"], pa.scalar(books.known_at(), schemas.TIMESTAMP))
    said = _said(objectors["customer_id"], "customer", since, "crm", personalization=False)
    return {
        "customers": books.stamp(rows.filter(pc.invert(objects)), None),
        "suppressions": books.stamp(said, None),
    }


def _signals(rows: pa.Table, books: _Books) -> Mapping[str, pa.Table]:
    """A wish counts for each id that it came with."""
    parts = [schemas.LAKE["suppressions"].schema.empty_table().drop_columns(["source", "day"])]
    for kind, column in (("visitor", "visitor_id"), ("customer", "customer_id"), ("email", "email_id")):
        told = rows.filter(pc.is_valid(rows[column]))
        parts.append(
            _said(told[column], kind, told["ts"], told["reason"], told["personalization"]).cast(parts[0].schema)
        )
    return {"suppressions": books.stamp(pa.concat_tables(parts), None)}


def _links_only(rows: pa.Table, books: _Books) -> Mapping[str, pa.Table]:
    return {}


def _said(
    ids: pa.Array, kind: str, since: pa.Array, reason: pa.Array | str, personalization: pa.Array | bool
) -> pa.Table:
    def column(value: pa.Array | str | bool) -> pa.Array:
        return pa.array([value] * len(ids)) if isinstance(value, str | bool) else value

    return pa.table(
        {
            "id": ids,
            "id_type": column(kind),
            "personalization": column(personalization),
            "reason": column(reason),
            "since": since,
        }
    )


_BECOMES: Mapping[str, Callable[[pa.Table, _Books], Mapping[str, pa.Table]]] = {
    "events": _events,
    "content": _content,
    "customers": _customers,
    "transactions": _transactions,
    "popularity": _popularity,
    "links": _links_only,
    "signals": _signals,
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


def _native_ids(native: pa.Table, rows: pa.Table, books: _Books) -> pa.Table:
    """The way back from pseudonyms, for publication; none from e-mails and from ids that only the format knows."""
    schema = schemas.LAKE["native_ids"].schema
    stamped = books.stamp(rows, rows["ts"] if "ts" in rows.column_names else None)
    parts = [schema.empty_table()]
    for kind in ("visitor", "customer"):
        name = f"{kind}_id"
        if name in native.column_names:
            nameless = sources.is_nameless(books.source, kind)
            way_back = pa.repeat("", native.num_rows) if nameless else native[name]
            pairs = pa.table({"id": rows[name], "native_id": way_back, "day": stamped["day"]})
            unique = pairs.filter(pc.is_valid(pairs["id"])).group_by(["id", "day"], use_threads=False)
            found = unique.aggregate([("native_id", "first")]).rename_columns({"native_id_first": "native_id"})
            told = {"id_type": kind, "source": books.source.name}
            found = _with(found, **{column: pa.repeat(text, found.num_rows) for column, text in told.items()})
            parts.append(found.select(schema.names).cast(schema))
    return pa.concat_tables(parts)


def _links(name: str, rows: pa.Table, books: _Books) -> pa.Table:
    """Which ids were seen together: in a row of events, orders or links when it became known, in a CRM with its day."""
    if not {"visitor_id", "customer_id", "email_id", "order_id"} & {*rows.column_names}:
        return schemas.LAKE["identities"].schema.empty_table()
    links = identify.links(rows, books.known_at() if name == "customers" else None)
    stamped = books.stamp(links, None if name == "customers" else links["available_at"])
    return stamped.select(schemas.LAKE["identities"].names).cast(schemas.LAKE["identities"].schema)
