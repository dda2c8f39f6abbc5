"""Snowplow: enriched events, as the pipeline writes them (TSV without a header) or from a warehouse's `atomic.events`.

What becomes of it (names of ours in brackets): a `page_view` is a [view], a `link_click` a [click], a
`transaction_item` a [purchase] worth price x quantity. Structured events by their action, self-describing ones by
their name: `like`, `save`, `share`, `comment`, `follow` keep their names; `[sources.values.event]` adds to this.
Everything else is counted in the notes and left out.

* An event is about the page's path. A click is about the page that it leads to, if that is on the same site; a
  purchase about its SKU. With `options.content_id`, a field of an entity (`contexts_com_acme_article_1.id`) or one of
  `se_label`, `se_property`, `page_title`, everything but a purchase is about that instead.
* Of rows with the same `event_id` the first counts, by collector and device time, as in Snowplow's own models. Those
  with the same fingerprint are duplicates; `event_ids_used_twice` counts the others.
* A page view is an id of the `web_page` context in a session. Its engaged time is Snowplow's (dbt-snowplow-web,
  `snowplow_web_pv_engaged_time.sql`): heartbeat x (different heartbeats with a page ping - 1) + minimum visit. Pings
  in a session without the page view that they continue (it began before, or in the day before's file) are a view of
  their own. A view without pings has no dwell.
* `options.heartbeat_seconds` and `options.min_visit_seconds` are the tracker's, 10 and 5 unless set.
* A customer is known by `user_id`, a visitor by `domain_userid`, else `network_userid`; what has neither is nobody's
  and counts as popularity. Both on one event, of whatever kind, are a link; so is a transaction's order.
* `consent_preferences`: `allow_all` consents, `deny_all`, `withdrawn` and `expired` do not; `allow_selected` does if
  one of `options.consent_scopes` is among its scopes ("personalization, personalisation, marketing" unless set).
* Addresses, fingerprints and user agents are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from pipeline.errors import ShortlistError
from pipeline.sources import lines, outcomes, pages, snowplow_events, sql
from pipeline.sources.decode import open_text
from pipeline.sources.export import (
    FILE_ROW,
    ROW_NUMBER,
    Bounds,
    Known,
    Parsed,
    Settings,
    refusals,
    require_columns,
    require_rows,
)
from pipeline.sources.load import load_parts
from pipeline.sources.snowplow_columns import COLUMNS, Columns, FileColumns, NamedColumns, is_read
from pipeline.sources.snowplow_events import Options

TABLES = ("events", "popularity", "links", "signals")

_NAMED = (".csv", ".jsonl", ".ndjson", ".json", ".parquet")
_WIDTH = "starts_with(reason, 'has ')"
_REQUIRED = ("event_id", "event", "collector_tstamp")


def known(source: Settings) -> Known:
    """Snowplow names its columns itself; more of its events may count as one of ours."""
    own = ("content_id", "heartbeat_seconds", "min_visit_seconds", "consent_scopes")
    return Known(values=["event", "channel"], options=["allow_empty", "delimiter", pages.OPTION, *own])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """An export as `events`, `popularity`, `links` and `signals`."""
    options = Options.of(source)
    with sql.connection() as con:
        con.execute(snowplow_events.empty())
        if _has_names(path, source):
            yield from _load_named(con, path, source, options)
        else:
            _load_lines(con, path, source, options)
        for statement in snowplow_events.judged(options):
            con.execute(statement)
        yield from outcomes.parsed(con, path, snowplow_events.OTHERS, snowplow_events.duplicates(con))


def _has_names(path: Path, source: Settings) -> bool:
    """Whether this is a warehouse's table: its name tells, or a header."""
    if any(ending.lower() in _NAMED for ending in path.suffixes):
        return True
    with open_text(path, source) as text:
        return "event_id" in text.readline().lower().split("\t")


def _load_lines(con: duckdb.DuckDBPyConnection, path: Path, source: Settings, options: Options) -> None:
    for part in lines.parts(path, source):
        con.register("raw", part)
        _insert(con, f"SELECT row_number, string_split({lines.LINE}, chr(9)) AS cells FROM raw", FileColumns(), options)
    require_rows(path, source, outcomes.count(con, "rows"))
    _require_width(con, path, source)


def _require_width(con: duckdb.DuckDBPyConnection, path: Path, source: Settings) -> None:
    """Raise ShortlistError when no row has the columns of an enriched event."""
    first, others = con.sql(
        f"SELECT min(reason), count(*) FILTER (NOT coalesce({_WIDTH}, false)) FROM rows"
    ).fetchall()[0]
    if first is not None and others == 0:
        raise ShortlistError(
            f"{source.name}: {path}: a row {first}, and none has. Export what Snowplow's enrichment writes "
            f"({len(COLUMNS)} columns), or a warehouse's table with its header."
        )


def _load_named(con: duckdb.DuckDBPyConnection, path: Path, source: Settings, options: Options) -> Iterator[Parsed]:
    for rows, broken in load_parts(path, source, lambda found: _chosen(path, source, found)):
        columns = NamedColumns.of(rows.schema)
        con.register("raw", rows.rename_columns(_numbered(rows.column_names)))
        _insert(con, "SELECT * FROM raw", columns, options)
        yield Parsed({}, refusals("events", path.name, broken.table()))


def _chosen(path: Path, source: Settings, found: Sequence[str]) -> list[str]:
    require_columns(path, source, [name.lower() for name in found], {name: name for name in _REQUIRED})
    return [name for name in found if is_read(name)]


def _numbered(names: Sequence[str]) -> list[str]:
    """DuckDB does not tell `Id` from `ID`."""
    return [ROW_NUMBER if name == FILE_ROW else f"c{place}" for place, name in enumerate(names)]


def _insert(con: duckdb.DuckDBPyConnection, part: str, columns: Columns, options: Options) -> None:
    rows = snowplow_events.rows(columns, options)
    con.execute(f"INSERT INTO rows BY NAME WITH part AS MATERIALIZED ({part}) {rows}")
