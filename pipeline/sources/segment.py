"""Segment: calls as its S3 destination stores them (JSON Lines), or tables of its warehouse (CSV or Parquet).

`calls` says what becomes of a call. Which table of the warehouse a file is, `options.warehouse_table` says: "tracks",
"pages", "screens", "identifies", "users", "aliases", or an event's own, such as "order_completed"; without it, a file
with an `event` is taken for tracks, with a `previous_id` for aliases, with a `url` or `path` for pages. `tracks` has no
properties: take the events' own tables where content is named in one. A column exists only after its first value that
is not null, so that none but `id` is needed.

* `event_id` is `messageId` (the warehouse's `id`); things in a list have their place appended.
* An event happened at `timestamp`, which Segment corrects for clocks that are wrong (else `originalTimestamp`, else
  `receivedAt`), and can be known from `receivedAt` on.
* Bots that name themselves are left out. Names, IPs and addresses are not read; of a user agent the device is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import calls, documents
from pipeline.sources.calls import Call, Reader, snake
from pipeline.sources.documents import Document, Rows
from pipeline.sources.export import Bounds, Known, Parsed, Settings, listed

TABLES = calls.TABLES

_TABLE = "warehouse_table"
_KINDS = {
    "tracks": "track",
    "pages": "page",
    "screens": "screen",
    "identifies": "identify",
    "users": "user",
    "aliases": "alias",
    "groups": "group",
    "accounts": "group",
}
_CALLS = ("track", "page", "screen", "identify", "alias", "group")
_TOP = {
    "id": "messageId",
    "anonymous_id": "anonymousId",
    "user_id": "userId",
    "previous_id": "previousId",
    "event": "event",
    "event_text": "event",
    "channel": "channel",
    "timestamp": "timestamp",
    "original_timestamp": "originalTimestamp",
    "received_at": "receivedAt",
}
_CONTEXT = (
    *("page", "device", "os", "library", "location", "traits", "consent", "consentManagement", "userAgentData"),
    *("userAgent", "sessionId", "gpc", "globalPrivacyControl"),
)


def known(source: Settings) -> Known:
    """What a call is about can be named, and more tracked events may count as one of ours."""
    return calls.known(_TABLE, "delimiter")


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """The calls of a file, in parts."""
    rows = Rows(path.name, TABLES)
    reader = Reader(source, rows)
    for call in _calls(path, source, rows):
        reader.take(call)
        if rows.full:
            yield rows.take()
    yield rows.take()


def _calls(path: Path, source: Settings, rows: Rows) -> Iterator[Call]:
    table = source.options.get(_TABLE)

    def choose(found: Sequence[str]) -> Sequence[str]:
        nonlocal table
        table = table or _table_of(path, source, found)
        if "id" not in map(snake, found):
            raise ShortlistError(
                f"{source.name}: {path} has no column `id`, which every table of the warehouse has; it has: "
                f"{listed(found)}. Export the table as it is."
            )
        return [name for name in found if calls.is_wanted(snake(name), source)]

    for number, document in documents.documents(path, source, choose, rows.broken):
        if table is not None:
            yield _of_row(number, table, document)
        elif document.get("type") in _CALLS:
            yield _of_call(number, document)
        else:
            rows.refuse("events", number, f"type is none of {', '.join(_CALLS)}")


def _table_of(path: Path, source: Settings, found: Sequence[str]) -> str:
    columns = {snake(name) for name in found}
    signs = (("tracks", {"event"}), ("aliases", {"previous_id"}), ("pages", {"url", "path"}))
    table = next((table for table, telling in signs if telling & columns), None)
    if table is None:
        raise ConfigurationError(
            f"{source.name}: {path} does not tell which table of the warehouse it is; set options.{_TABLE} to "
            f"{', '.join(_KINDS)} or the name of an event's own table."
        )
    return table


def _of_row(number: int, table: str, row: Document) -> Call:
    """A row of a warehouse's table; an event's own table is called what the event is."""
    fields = {snake(name): value for name, value in row.items()}
    if table not in _KINDS and fields.get("event") in (None, ""):
        fields["event"] = table
    return Call(number, _KINDS.get(table, "track"), fields)


def _of_call(number: int, call: Document) -> Call:
    fields: dict[str, Any] = {}
    calls.spread(fields, "", documents.mapping(call.get("properties")))
    if call["type"] == "identify":
        calls.spread(fields, "", documents.mapping(call.get("traits")))
    context = documents.mapping(call.get("context"))
    calls.spread(fields, "context_", {name: context[name] for name in _CONTEXT if name in context})
    fields.update({name: call.get(theirs) for name, theirs in _TOP.items()})
    return Call(number, call["type"], fields)
