"""Google Analytics 4: the nested BigQuery export (`events_YYYYMMDD`) as Parquet.

What becomes of it (names of ours in brackets): an element of a `view_item_list` is an [impression], `select_content`
and `select_item` are a [click], a `page_view` about content is a [view], an element of a `purchase` is a [purchase]
worth price x quantity; `like`, `save`, `share`, `comment`, `follow` keep their names. `[sources.values.event]` adds to
this. Everything else is counted in the notes and left out.

* An event is about the parameter `content_id`, else its first item, else (a page view, with
  `options.content_from_url = "true"`) the last part of the page's path.
* GA4 has no event id. Events are the same when date, stream, person, session, name, time and the sorted parameters are
  (the key of Velir/dbt-ga4, `base_ga4__events.sql`); `event_id` is the MD5 of that, with the place in the list if any.
* `engagement_time_msec`, on whatever event it comes, counts for the last `page_view` before it of the same content in
  the same session, found by `page_location` where the event does not name the content. A view without any has no dwell.
* Without `user_pseudo_id` (consent denied) an event belongs to nobody and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.errors import ShortlistError
from pipeline.sources import countries, sql
from pipeline.sources.export import (
    FILE_ROW,
    ROW_NUMBER,
    Bounds,
    Known,
    Parsed,
    Settings,
    counted,
    native,
    refusals,
    require_columns,
    require_rows,
)
from pipeline.sources.load import parquet

TABLES = ("events",)

_REQUIRED = ("event_date", "event_timestamp", "event_name", "event_params", "user_pseudo_id")
_OPTIONAL = ("user_id", "stream_id", "platform", "device", "geo", "items")
_EVENTS: Mapping[str, str] = {
    "view_item_list": "impression",
    "select_content": "click",
    "select_item": "click",
    "page_view": "view",
    "purchase": "purchase",
    **{name: name for name in ("like", "save", "share", "comment", "follow")},
}
_VALUE_KINDS = ("string_value", "int_value", "float_value", "double_value")
# The last part of a path, without query: https://www.example.com/guides/pricing/?a=b -> pricing
_LAST_PART = r"^[a-zA-Z]+://[^/?#]+/(?:[^?#]*/)?([^/?#]+)/?(?:[?#].*)?$"


def known(source: Settings) -> Known:
    """GA4 names its columns itself; more of its events may count as one of ours."""
    return Known(values=["event"], options=["allow_empty", "content_from_url"])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Parsed:
    """A day's export as `events`."""
    export, broken = parquet(path, source, lambda found: _needed(path, source, found))
    require_rows(path, source, export.num_rows)
    _require_nested(path, source, export.schema)
    with sql.connection(export=export.rename_columns([_ours(name) for name in export.column_names])) as con:
        con.execute(_flat(export.schema))
        con.execute(_once(source))
        con.execute(_dwell())
        table = con.sql(_events(source)).to_arrow_table()
        notes = _notes(con)
        repeated = _count(con, "flat WHERE visitor_id IS NOT NULL") - _count(con, "once")
    rejected = refusals("events", path.name, broken.table())
    return Parsed({"events": native("events", table)}, rejected, notes, {"events": repeated})


def _ours(name: str) -> str:
    return ROW_NUMBER if name == FILE_ROW else name


def _needed(path: Path, source: Settings, found: Sequence[str]) -> list[str]:
    require_columns(path, source, found, {name: name for name in _REQUIRED})
    return [*_REQUIRED, *(name for name in _OPTIONAL if name in found)]


def _require_nested(path: Path, source: Settings, schema: pa.Schema) -> None:
    """Raise ShortlistError unless parameters and items are nested, as BigQuery exports them to Parquet."""
    for name in ("event_params", "items"):
        if name in schema.names and not _fields(schema.field(name).type):
            raise ShortlistError(
                f"{source.name}: {path} has `{name}` as {schema.field(name).type}; expected a list of records. "
                "Export the table from BigQuery as Parquet, which keeps nested columns."
            )


def _fields(type_: pa.DataType) -> tuple[str, ...]:
    """Field names of a list of records, or of a record."""
    inner = type_.value_type if pa.types.is_list(type_) or pa.types.is_large_list(type_) else type_
    return tuple(field.name for field in inner) if pa.types.is_struct(inner) else ()


def _flat(schema: pa.Schema) -> str:
    """One row an event of somebody, columns flat, parameters looked up, and the key that tells events apart."""
    kinds = _fields(_value_type(schema))
    columns = {
        "ts": "CAST(event_timestamp AS BIGINT)",
        "visitor_id": _clean("user_pseudo_id"),
        "customer_id": _clean("user_id") if "user_id" in schema.names else "NULL",
        "session": _whole(_parameter("ga_session_id", kinds)),
        "page": f"regexp_replace({_parameter('page_location', kinds)}, '#.*$', '')",
        "named_content": _clean(_parameter("content_id", kinds)),
        "engaged_ms": _whole(_parameter("engagement_time_msec", kinds)),
        "parameters": _sorted_parameters(kinds),
        "stream": "CAST(stream_id AS VARCHAR)" if "stream_id" in schema.names else "''",
        "items": _items(schema),
        "channel": "lower(platform)" if "platform" in schema.names else "'web'",
        "device": _inner(schema, "device", "category"),
        "country": f"lower({_inner(schema, 'geo', 'country')})",
    }
    listed = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
    return f"CREATE TEMP TABLE flat AS SELECT row_number, event_date, event_name AS name, {listed} FROM export"


def _value_type(schema: pa.Schema) -> pa.DataType:
    return schema.field("event_params").type.value_type.field("value").type


def _clean(text: str) -> str:
    """GA4 writes `(not set)` where there is nothing."""
    return f"nullif(nullif(CAST({text} AS VARCHAR), ''), '(not set)')"


def _whole(text: str) -> str:
    return f"CAST(try_cast({text} AS DOUBLE) AS BIGINT)"


def _parameter(key: str, kinds: Sequence[str]) -> str:
    """A parameter as text: GA4 writes the same one now as a string, now as a number."""
    found = f"list_filter(event_params, lambda p: p.key = '{key}')[1].value"
    return _any_kind(found, kinds)


def _any_kind(value: str, kinds: Sequence[str]) -> str:
    present = [f"CAST({value}.{kind} AS VARCHAR)" for kind in _VALUE_KINDS if kind in kinds]
    return f"coalesce({', '.join([*present, 'NULL'])})"


def _sorted_parameters(kinds: Sequence[str]) -> str:
    pairs = f"list_transform(event_params, lambda p: p.key || '=' || coalesce({_any_kind('p.value', kinds)}, ''))"
    return f"coalesce(array_to_string(list_sort({pairs}), chr(30)), '')"


def _items(schema: pa.Schema) -> str:
    fields = _fields(schema.field("items").type) if "items" in schema.names else ()
    types = {"index": "BIGINT", "price": "DOUBLE", "quantity": "DOUBLE"}
    parts = [f"'content_id': {_clean('i.item_id')}" if "item_id" in fields else "'content_id': NULL::VARCHAR"]
    parts += [
        f"'{name}': CAST({f'i.{sql.name(name)}' if name in fields else 'NULL'} AS {type_})"
        for name, type_ in types.items()
    ]
    record = f"{{{', '.join(parts)}}}"
    return f"coalesce(list_transform({'items' if fields else '[0][:0]'}, lambda i: {record}), [])"


def _inner(schema: pa.Schema, name: str, field: str) -> str:
    exists = name in schema.names and field in _fields(schema.field(name).type)
    return _clean(f"{name}.{field}") if exists else "CAST(NULL AS VARCHAR)"


def _once(source: Settings) -> str:
    """Events of somebody, each once, with our name (null: not one of ours) and the content that they are about."""
    key = " || chr(31) || ".join(
        f"coalesce(CAST({part} AS VARCHAR), '')"
        for part in ("event_date", "stream", "visitor_id", "session", "name", "ts", "parameters")
    )
    from_url = source.options.get("content_from_url") == "true"
    last_part = f"CASE WHEN name = 'page_view' THEN nullif(regexp_extract(page, '{_LAST_PART}', 1), '') END"
    return f"""
        CREATE TEMP TABLE once AS
        SELECT *, md5({key}) AS key,
               {sql.lookup("name", {**_EVENTS, **source.values.get("event", {})})} AS event,
               coalesce(named_content, items[1].content_id, {last_part if from_url else "NULL"}) AS content_id
        FROM flat
        WHERE visitor_id IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY key ORDER BY row_number) = 1
    """


def _dwell() -> str:
    """Engaged seconds by the key of the page view that they count for.

    `turn` is the number of page views of the same content in the session up to an event, not counting itself. Clicks,
    lists and purchases name the content they lead to, not the one whose page the time was spent on.
    """
    return """
        CREATE TEMP TABLE dwell AS
        WITH located AS (
            SELECT *, CASE WHEN name = 'page_view' THEN content_id ELSE coalesce(
                CASE WHEN event IS NULL OR event NOT IN ('click', 'impression', 'purchase') THEN named_content END,
                min(content_id) FILTER (name = 'page_view') OVER (PARTITION BY visitor_id, session, page)) END AS place
            FROM once
        ), turned AS (
            SELECT *, count(*) FILTER (name = 'page_view') OVER (
                PARTITION BY visitor_id, session, place ORDER BY ts, name <> 'page_view', key ROWS UNBOUNDED PRECEDING
            ) - CAST(name = 'page_view' AS INTEGER) AS turn
            FROM located WHERE place IS NOT NULL
        ), engaged AS (
            SELECT visitor_id, session, place, turn, sum(engaged_ms) / 1000 AS dwell_seconds
            FROM turned WHERE engaged_ms IS NOT NULL AND turn > 0 GROUP BY ALL
        )
        SELECT views.key, engaged.dwell_seconds
        FROM turned AS views JOIN engaged
          ON views.visitor_id = engaged.visitor_id AND views.session IS NOT DISTINCT FROM engaged.session
         AND views.place = engaged.place AND views.turn + 1 = engaged.turn
        WHERE views.name = 'page_view'
    """


def _events(source: Settings) -> str:
    """One row an event, or one an element of its list (`n` from 1; 0 for an event without one)."""
    return f"""
        WITH spread AS (
            SELECT once.*, n, items[greatest(n, 1)] AS item
            FROM once, unnest(CASE WHEN event IN ('impression', 'purchase') AND len(items) > 0
                              THEN range(1, len(items) + 1) ELSE [0] END) AS places(n)
            WHERE event IS NOT NULL
        ), named AS (
            SELECT *, CASE WHEN n = 0 THEN key ELSE md5(key || chr(31) || n) END AS event_id,
                   CASE WHEN n = 0 THEN spread.content_id ELSE item.content_id END AS about
            FROM spread
        )
        SELECT row_number, event_id, ts, visitor_id, customer_id, visitor_id || '.' || session AS session_id,
               about AS content_id, event, dwell_seconds,
               CASE WHEN event = 'purchase' THEN item.price * coalesce(item.quantity, 1) END AS value,
               {_position()} AS position,
               CASE WHEN event = 'impression' THEN event_id END AS impression_id,
               channel, device, {sql.lookup("country", countries.BY_NAME)} AS country
        FROM named LEFT JOIN dwell USING (key)
        WHERE NOT (about IS NULL AND n = 0 AND event IN ('view', 'impression', 'purchase'))
        ORDER BY row_number, n
    """


def _position() -> str:
    """From 1: sites that number their lists from 0 are told by a 0 anywhere in the file."""
    zero_based = '(SELECT coalesce(min(i."index") = 0, false) FROM (SELECT unnest(items) AS i FROM once))'
    given = f'item."index" + CAST({zero_based} AS INTEGER)'
    return f"CASE WHEN event IN ('impression', 'click') THEN coalesce({given}, CASE WHEN n > 0 THEN n END) END"


def _notes(con: duckdb.DuckDBPyConnection) -> Mapping[str, int]:
    """What was left out, by event of the export."""
    return counted(
        without_consent=_count(con, "flat WHERE visitor_id IS NULL"),
        not_content_events=_count(con, "once WHERE event IS NULL AND name <> 'user_engagement'"),
        page_views_without_content=_count(con, "once WHERE event = 'view' AND content_id IS NULL"),
        lists_without_items=_count(con, f"once WHERE event = 'impression' AND {_BARE}"),
        purchases_without_items=_count(con, f"once WHERE event = 'purchase' AND {_BARE}"),
    )


_BARE = "len(items) = 0 AND content_id IS NULL"


def _count(con: duckdb.DuckDBPyConnection, rows: str) -> int:
    (count,) = con.sql(f"SELECT count(*) FROM {rows}").fetchall()[0]
    return int(count)
