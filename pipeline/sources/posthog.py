"""PostHog: batch exports of the events model and of the persons model, as Parquet or JSON Lines.

`calls` says what becomes of an event: a `$pageview` is a [view] of its `$current_url`, a `$screen` a view of what it
names as content, other events are told by their names; `[sources.values.event]` can map any, `$autocapture` too.

* PostHog has one `distinct_id` for visitors and customers. It is a customer's when `$is_identified` says so or, where
  that is missing (servers, old libraries), when there is a `$user_id`, or when it is neither the `$device_id`, nor a
  UUID, nor that of an event without a person profile. Are your customers' ids UUIDs? `options.uuid_ids = "customer"`.
* `$identify` links its `$anon_distinct_id` to the customer, `$create_alias` and `$merge_dangerously` the two ids that
  they name, an e-mail address in the person's properties whom it is seen with.
* A view's seconds are the `$prev_pageview_duration` of the event in the same file (the next `$pageview`, or the
  `$pageleave`) whose `$prev_pageview_id` is the view's `$pageview_id`: time between the two, engaged or not. What is
  longer than a day is not believed.
* `$opt_out` objects; `$opt_in` allows being tracked, which is no consent to personalization. Traits are looked for in
  the person's properties and `$set`.
* `options.model = "persons"` reads the persons model: ids of one person are linked, which later merges need, because
  events keep the person of their day. PostHog does not say when ids were merged: with a `{date}` in the path it is that
  day (known at its end), otherwise when the person was created.
* An event can be known from `_inserted_at` or `created_at` on. `$ip` is not read; of a user agent the device is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from expectations.schemas import REJECTED, TIMESTAMP
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import calls, documents, sql
from pipeline.sources.calls import Call, Reader
from pipeline.sources.delimited import Choose
from pipeline.sources.documents import Document, Rows, first_text, text
from pipeline.sources.export import PART, ROW_NUMBER, Bounds, Known, Parsed, Settings, native, require_columns
from pipeline.sources.load import strings

TABLES = calls.TABLES

_MODELS = ("events", "persons")
_INSERTED = ("_inserted_at", "inserted_at", "created_at")
_EVENT_COLUMNS = ("uuid", "event", "distinct_id", "properties", "person_properties", "timestamp", *_INSERTED)
_PERSON_COLUMNS = ("distinct_id", "person_id", "properties", "created_at", "is_deleted")
_KINDS = {
    "$pageview": "page",
    "$screen": "screen",
    "$identify": "identify",
    "$create_alias": "alias",
    "$merge_dangerously": "alias",
    "$groupidentify": "group",
    "$opt_out": "opt_out",
    "$pageleave": "pageleave",
}
_MADE_UP = re.compile(r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\$?(posthog_)?cookieless.*")
_LONGEST = 86_400
_IDS = pa.schema(
    [
        (ROW_NUMBER, pa.int64()),
        ("id", pa.string()),
        ("person", pa.string()),
        ("made_up", pa.bool_()),
        ("ts", TIMESTAMP),
        ("available_at", TIMESTAMP),
    ]
)


def known(source: Settings) -> Known:
    """As for other calls, and the model that the file holds."""
    return calls.known("model", "uuid_ids")


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """A file of the model that the source names, in parts."""
    model = source.options.get("model", _MODELS[0])
    if model not in _MODELS:
        raise ConfigurationError(f"{source.name}: options.model must be one of {', '.join(_MODELS)}, found {model!r}.")
    if source.options.get("uuid_ids", "visitor") not in {"visitor", "customer"}:
        raise ConfigurationError(f'{source.name}: options.uuid_ids must be "visitor" or "customer".')
    if path.suffix == ".br" and not documents.is_table(path):
        raise ShortlistError(
            f"{source.name}: {path} is packed with brotli, which cannot be read here; choose gzip (or Parquet) for the "
            "batch export, or unpack the file."
        )
    with sql.connection() as con:
        yield from _persons(path, source, bounds, con) if model == "persons" else _events(path, source, con)


def _events(path: Path, source: Settings, con: duckdb.DuckDBPyConnection) -> Iterator[Parsed]:
    """What is no event comes part by part; events come after the whole file is read, with their views' seconds."""
    rows = Rows(path.name, TABLES)
    reader, views = Reader(source, rows), _Views(con)
    columns = _chosen(path, source, ("uuid", "event", "distinct_id", "properties", "timestamp"), _EVENT_COLUMNS)
    for number, event in documents.documents(path, source, columns, rows.broken):
        properties = documents.mapping(event.get("properties"))
        if not views.note(event, properties):
            rows.notes["durations_not_believed"] += 1
        call = _call(number, event, properties, source)
        if call.kind != "pageleave":
            reader.take(call)
        if rows.full or views.full:
            yield views.without_events(rows.take())
    yield views.without_events(rows.take())
    yield from views.events()


def _chosen(path: Path, source: Settings, needed: Sequence[str], read_: Sequence[str]) -> Choose:
    def choose(found: Sequence[str]) -> Sequence[str]:
        require_columns(path, source, found, {name: name for name in needed})
        return [name for name in read_ if name in found]

    return choose


def _call(number: int, event: Document, properties: Document, source: Settings) -> Call:
    name = text(event.get("event"))
    visitor, customer = _ids(event, properties, source)
    fields: dict[str, Any] = {}
    calls.spread(fields, "", properties)
    calls.spread(fields, "context_traits_", documents.mapping(properties.get("$set")))
    calls.spread(fields, "context_traits_", documents.mapping(event.get("person_properties")))
    fields.update(_context(properties))
    fields.update(id=event.get("uuid"), event=name, timestamp=event.get("timestamp"), original_timestamp=None)
    fields.update(received_at=next((event[name] for name in _INSERTED if event.get(name)), None))
    fields.update(anonymous_id=visitor, user_id=customer, previous_id=None, event_text=None)
    return Call(number, _KINDS.get(name or "", "track"), fields)


def _context(properties: Document) -> Mapping[str, Any]:
    given = {
        "url": first_text(properties, ("$current_url", "url")),
        "path": first_text(properties, ("$pathname", "path")),
        "context_user_agent": properties.get("$raw_user_agent"),
        "context_device_type": properties.get("$device_type"),
        "context_os_name": properties.get("$os"),
        "context_library_name": _library(text(properties.get("$lib"))),
        "context_location_country_code": properties.get("$geoip_country_code"),
    }
    return {**given, "channel": None}


def _library(name: str | None) -> str | None:
    """`web` is a browser's, `posthog-ios` an app's; a server's is called after its language."""
    return "javascript" if name in {"web", "js"} else name


def _ids(event: Document, properties: Document, source: Settings) -> tuple[str | None, str | None]:
    """Visitor and customer."""
    name, distinct = event.get("event"), text(event.get("distinct_id"))
    if name == "$identify":
        return text(properties.get("$anon_distinct_id")), distinct
    if _KINDS.get(str(name)) == "alias":
        alias = text(properties.get("alias"))
        swapped = _is_made_up(distinct, source) and not _is_made_up(alias, source)
        return (distinct, alias) if swapped else (alias, distinct)
    return (None, distinct) if _is_customer(distinct, properties, source) else (distinct, None)


def _is_customer(distinct: str | None, properties: Document, source: Settings) -> bool:
    said = documents.yes_no(properties.get("$is_identified"))
    if said is not None:
        return said
    if text(properties.get("$user_id")) is not None:
        return True
    profiled = documents.yes_no(properties.get("$process_person_profile"))
    return (
        profiled is not False and distinct != text(properties.get("$device_id")) and not _is_made_up(distinct, source)
    )


def _is_made_up(distinct: str | None, source: Settings) -> bool:
    """Whether PostHog's library made the id, as far as its looks tell."""
    return source.options.get("uuid_ids") != "customer" and _MADE_UP.fullmatch(distinct or "") is not None


class _Views:
    """The file's events, kept in the database until it is known how long each view was."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._seen: list[tuple[str, str]] = []
        self._left: list[tuple[str, float]] = []
        con.execute("CREATE TEMP TABLE seen (event_id VARCHAR, pageview VARCHAR)")
        con.execute("CREATE TEMP TABLE durations (pageview VARCHAR, seconds DOUBLE)")
        con.register("part", _none("events"))
        con.execute("CREATE TEMP TABLE events AS FROM part")

    def note(self, event: Document, properties: Document) -> bool:
        """Remember which view this is, and how long the one before was; false if that cannot be."""
        view, uuid = text(properties.get("$pageview_id")), text(event.get("uuid"))
        if event.get("event") == "$pageview" and view and uuid:
            self._seen.append((uuid, view))
        before = text(properties.get("$prev_pageview_id"))
        if before is None or properties.get("$prev_pageview_duration") is None:
            return True
        try:
            seconds = documents.number(properties, "$prev_pageview_duration")
        except documents.UnreadableError:
            return False
        if seconds is None or not 0 <= seconds <= _LONGEST:
            return False
        self._left.append((before, seconds))
        return True

    @property
    def full(self) -> bool:
        """Whether there is enough for a part."""
        return len(self._seen) + len(self._left) >= PART

    def without_events(self, parsed: Parsed) -> Parsed:
        """Keep the events of a part, and give the rest of it."""
        self._insert("events", parsed.tables["events"])
        self._insert("seen", pa.table([strings(c) for c in _columns(self._seen)], names=["event_id", "pageview"]))
        pageviews, seconds = _columns(self._left)
        self._insert("durations", pa.table([strings(pageviews), pa.array(seconds, pa.float64())], ["p", "s"]))
        self._seen, self._left = [], []
        tables = {**parsed.tables, "events": _none("events")}
        return Parsed(tables, parsed.rejected, parsed.notes, parsed.duplicates)

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._con.register("part", rows)
        self._con.execute(f"INSERT INTO {table} FROM part")

    def events(self) -> Iterator[Parsed]:
        """All events, in parts."""
        found = self._con.sql("""
            WITH viewed AS (
                SELECT event_id, max(seconds) AS seconds FROM seen JOIN durations USING (pageview) GROUP BY event_id
            )
            SELECT events.* REPLACE (
                coalesce(dwell_seconds, CASE WHEN event = 'view' THEN viewed.seconds END) AS dwell_seconds
            )
            FROM events LEFT JOIN viewed ON events.event_id = viewed.event_id
            ORDER BY row_number, position
        """)
        yield from _parts("events", found)


def _columns(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [first for first, _ in pairs], [second for _, second in pairs]


def _none(table: str) -> pa.Table:
    return native(table, pa.table({ROW_NUMBER: pa.array([], pa.int64())}))


def _parts(table: str, found: duckdb.DuckDBPyRelation) -> Iterator[Parsed]:
    for batch in found.to_arrow_reader(PART):
        yield Parsed({table: native(table, pa.table(batch))}, REJECTED.empty_table())


def _persons(path: Path, source: Settings, bounds: Bounds | None, con: duckdb.DuckDBPyConnection) -> Iterator[Parsed]:
    """What each person's properties say, part by part; then the links between the ids of one person."""
    rows = Rows(path.name, TABLES)
    reader, people = Reader(source, rows), _People(con, bounds, source)
    columns = _chosen(path, source, ("distinct_id", "person_id"), _PERSON_COLUMNS)
    for number, person in documents.documents(path, source, columns, rows.broken):
        if documents.yes_no(person.get("is_deleted")):
            rows.notes["deleted_persons"] += 1
        else:
            reader.take(people.note(number, person))
        if rows.full or people.full:
            people.keep()
            yield rows.take()
    people.keep()
    yield rows.take()
    yield from _parts("links", people.links())


class _People:
    """Which ids are whose, kept in the database until the whole file is read."""

    def __init__(self, con: duckdb.DuckDBPyConnection, bounds: Bounds | None, source: Settings) -> None:
        self._con = con
        self._source = source
        self._day = [datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us) for us in bounds or ()]
        self._ids: list[dict[str, Any]] = []
        con.register("part", pa.Table.from_pylist([], _IDS))
        con.execute("CREATE TEMP TABLE ids AS FROM part")

    def note(self, number: int, person: Document) -> Call:
        """Remember the id and whose it is, and give what else is known of the person."""
        distinct, whose = text(person.get("distinct_id")), text(person.get("person_id"))
        moments: Sequence[datetime | None] = self._day or [_created(person)] * 2
        made_up = _is_made_up(distinct, self._source)
        fields: dict[str, Any] = {"anonymous_id" if made_up else "id": distinct}
        calls.spread(fields, "context_traits_", documents.mapping(person.get("properties")))
        fields.update(timestamp=moments[0], received_at=moments[1])
        ids = {"id": distinct, "person": whose, "made_up": made_up, "row_number": number}
        self._ids.append({**ids, "ts": moments[0], "available_at": moments[1]})
        return Call(number, "user", fields)

    @property
    def full(self) -> bool:
        """Whether there is enough for a part."""
        return len(self._ids) >= PART

    def keep(self) -> None:
        """Put what is remembered into the database."""
        columns = {field.name: [row[field.name] for row in self._ids] for field in _IDS}
        self._con.register("part", pa.table({name: _arrow(name, values) for name, values in columns.items()}))
        self._con.execute("INSERT INTO ids FROM part")
        self._ids = []

    def links(self) -> duckdb.DuckDBPyRelation:
        """A visitor's id and a customer's, of the same person."""
        return self._con.sql("""
            SELECT visitor.row_number, visitor.ts, visitor.available_at, visitor.id AS visitor_id,
                   customer.id AS customer_id
            FROM ids AS visitor JOIN ids AS customer ON visitor.person = customer.person
            WHERE visitor.made_up AND NOT customer.made_up
            ORDER BY visitor.row_number, customer.row_number
        """)


def _created(person: Document) -> datetime | None:
    """None, which the contract refuses, for what is no time."""
    try:
        return documents.instant(person, "created_at")
    except documents.UnreadableError:
        return None


def _arrow(name: str, values: Sequence[Any]) -> pa.Array:
    type_ = _IDS.field(name).type
    return strings(values) if pa.types.is_string(type_) else pa.array(values, type_)
