"""Google Analytics 4: the nested BigQuery export (`events_YYYYMMDD`) as Parquet, JSON Lines or CSV.

What becomes of it (names of ours in brackets): an element of a `view_item_list` is an [impression], `select_content`
and `select_item` are a [click], a `page_view` about content is a [view], an element of a `purchase` is a [purchase]
worth price x quantity; `like`, `save`, `share`, `comment`, `follow` keep their names. `[sources.values.event]` adds to
this. Everything else is counted in the notes and left out.

* An event is about the parameter `content_id`, else its first item, else (a page view, with
  `options.content_from_url`) its page: see `pages`.
* GA4 has no event id. Events are the same when date, stream, person, session, name, time and the parameters, in
  whatever order, are (the key of Velir/dbt-ga4, `base_ga4__events.sql`); `event_id` is the time and a hash of that key,
  with the place in the list if any.
* `engagement_time_msec`, on whatever event it comes, counts for the last `page_view` before it of the same content in
  the same session, found by `page_location` where the event does not name the content. A view without any has no dwell.
* Without `user_pseudo_id`, or with `privacy_info.analytics_storage` = No, an event belongs to nobody: it is counted in
  `popularity` by content, event and hour, and in no other table.
* `links` says which visitor and user ids were seen together on any event; `signals` says which visitors sent Global
  Privacy Control, as a parameter or user property `gpc` (another name: `options.gpc_param`).

The file is read in two passes, and its rows come in its own order. Between the passes there are about 60 bytes a row in
memory: hashes, codes and times, no text but content ids and order ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from expectations.schemas import REJECTED
from pipeline.sources import ga4_dwell, ga4_facts, pages
from pipeline.sources.export import ROW_NUMBER, Bounds, Known, Parsed, Settings, native, refusals
from pipeline.sources.ga4_facts import Array, Facts
from pipeline.sources.ga4_files import Export, database, opened
from pipeline.sources.ga4_rows import Rows

TABLES = ("events", "popularity", "links", "signals")

_EVENTS: Mapping[str, str] = {
    "view_item_list": "impression",
    "select_content": "click",
    "select_item": "click",
    "page_view": "view",
    "purchase": "purchase",
    **{name: name for name in ("like", "save", "share", "comment", "follow")},
}
_LEADING = ("click", "impression", "purchase")
"""These name the content that they lead to, not the one whose page they happened on."""


def known(source: Settings) -> Known:
    """GA4 names its columns itself; more of its events may count as one of ours."""
    return Known(values=["event"], options=["allow_empty", "gpc_param", pages.OPTION, "delimiter"])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """A day's export: its `events` in parts, then what is told of the whole."""
    events = {**_EVENTS, **source.values.get("event", {})}
    purchases = [name for name, ours in events.items() if ours == "purchase"]
    with opened(path, source) as export:
        with database(export) as con:
            facts, traces = ga4_facts.read(export, source, purchases, con)
        verdict = ga4_dwell.judged(facts, traces, _names_own_place(facts, events))
        del traces
        rows = Rows(export, facts, verdict, events)
        for part in rows.parts():
            yield Parsed({"events": part}, REJECTED.empty_table())
        with database(export) as con:
            yield _rest(path, source, export, rows, con, gpc=facts.gpc)


def _rest(
    path: Path, source: Settings, export: Export, rows: Rows, con: duckdb.DuckDBPyConnection, *, gpc: bool
) -> Parsed:
    """What is told of the whole, when all parts are read; `gpc`: whether any visitor said so."""
    tables = {
        "events": _empty("events"),
        "popularity": rows.popularity(),
        "links": _links(export, con),
        "signals": _signals(export, source, con) if gpc else _empty("signals"),
    }
    rejected = refusals("events", path.name, export.broken.table(), _unnamed(export, con))
    return Parsed(tables, rejected, rows.notes(), {"events": rows.repeated()})


def _names_own_place(facts: Facts, events: Mapping[str, str]) -> Array:
    leading = [code for code, name in enumerate(facts.names.texts) if events.get(name) in _LEADING]
    return ~np.isin(facts.name, leading)


def _empty(table: str) -> pa.Table:
    return native(table, pa.table({ROW_NUMBER: pa.array([], pa.int64())}))


def _links(export: Export, con: duckdb.DuckDBPyConnection) -> pa.Table:
    """Each visitor and user id that were seen together, from the first time on."""
    if not export.has("user_id"):
        return _empty("links")
    customer = ga4_facts.clean_sql("user_id")
    query = f"""
        SELECT {ga4_facts.visitor(export)} AS visitor_id, {customer} AS customer_id,
               make_timestamptz(min(TRY_CAST(event_timestamp AS BIGINT))) AS ts, min({ROW_NUMBER}) AS {ROW_NUMBER}
        FROM {export.relation}
        WHERE visitor_id IS NOT NULL AND customer_id IS NOT NULL
        GROUP BY ALL ORDER BY {ROW_NUMBER}
    """
    return native("links", con.sql(query).to_arrow_table())


def _signals(export: Export, source: Settings, con: duckdb.DuckDBPyConnection) -> pa.Table:
    """Each visitor whose browser said Global Privacy Control, from the first time on."""
    keys = "list_transform(event_params, lambda p: p.key)"
    query = f"""
        SELECT {ga4_facts.visitor(export)} AS visitor_id, false AS personalization, 'gpc' AS reason,
               make_timestamptz(min(TRY_CAST(event_timestamp AS BIGINT))) AS ts, min({ROW_NUMBER}) AS {ROW_NUMBER}
        FROM {export.relation}
        WHERE visitor_id IS NOT NULL AND ({ga4_facts.said_gpc(export, source, keys)})
        GROUP BY ALL ORDER BY {ROW_NUMBER}
    """
    return native("signals", con.sql(query).to_arrow_table())


def _unnamed(export: Export, con: duckdb.DuckDBPyConnection) -> pa.Table:
    """Rows that say neither what happened nor when."""
    return con.sql(f"""
        SELECT {ROW_NUMBER}, 'event_name or event_timestamp is missing' AS reason FROM {export.relation}
        WHERE event_name IS NULL OR TRY_CAST(event_timestamp AS BIGINT) IS NULL
    """).to_arrow_table()
