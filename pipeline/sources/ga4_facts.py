"""What GA4's parameters say, as numbers: one array a fact, one place a row of the export.

Texts are not kept: who and where are hashes that live as long as the file is read, content and event names are codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources import pages, sql
from pipeline.sources.export import ROW_NUMBER, Settings
from pipeline.sources.ga4_files import Export, fields

Array = np.ndarray[Any, Any]

NONE = np.iinfo(np.int64).min
"""Of a session: none."""

NO_TIME = np.iinfo(np.int32).min
"""Of engaged milliseconds: not said."""

_BATCH = 1 << 17
_VALUE_KINDS = ("string_value", "int_value", "float_value", "double_value")
GPC = "gpc"


class Codes:
    """Texts as numbers from 0, in the order in which they are met; -1 is no text."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def of(self, texts: pa.Array) -> Array:
        """The texts' codes."""
        encoded = texts.dictionary_encode()
        known = [self._codes.setdefault(text, len(self._codes)) for text in encoded.dictionary.to_pylist()]
        places = encoded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        codes: Array = np.array([*known, -1], np.int32)[places]
        return codes

    def code(self, text: str) -> int:
        """The code of a text; one that nothing has if the text was never met."""
        return self._codes.get(text, -2)

    @property
    def texts(self) -> list[str]:
        """The texts by code."""
        return list(self._codes)


@dataclass
class Facts:
    """The export's rows (by row number - 1) as numbers."""

    names: Codes
    contents: pa.Array
    """In order, so that the lowest code is the first text."""
    name: Array
    """Code of the event's name; -1: no such row."""
    ts: Array
    nobody: Array
    """Whether there is no consent to tell whose it is."""
    session: Array
    key: Array
    """Hash of all that tells events apart."""
    content: Array
    """Code of what the event is about."""
    orders: Mapping[int, str] = field(default_factory=dict)
    zero_based: bool = False
    """Whether the site numbers its lists from 0."""
    personal: int = 0
    """Page views whose address holds an e-mail address."""
    gpc: bool = False
    """Whether any visitor said Global Privacy Control."""

    def is_view(self, rows: Array) -> Array:
        """Which of the rows are page views."""
        return np.equal(self.name[rows], self.names.code("page_view"))


@dataclass
class Traces:
    """What only tells whose the engaged seconds are; by row, as in `Facts`."""

    visitor: Array
    """Hash; 0 without consent."""
    page: Array
    """Hash of the address without its fragment."""
    named: Array
    """Code of the parameter `content_id`."""
    engaged_ms: Array


def read(
    export: Export, source: Settings, purchases: Sequence[str], con: duckdb.DuckDBPyConnection
) -> tuple[Facts, Traces]:
    """Read parameters and items; `purchases` are the names of events that may have an order."""
    names, contents = Codes(), Codes()
    firsts, lowest = _first_items(export, contents)
    columns = _empty(export.rows)
    orders: dict[int, str] = {}
    personal, gpc = 0, False
    for batch in con.sql(_query(export, source, purchases)).to_arrow_reader(_BATCH):
        at = batch[ROW_NUMBER].to_numpy() - 1
        for plain in ("ts", "visitor", "session", "page", "key", "engaged_ms"):
            columns[plain][at] = batch[plain].to_numpy()
        columns["name"][at] = names.of(batch["name"])
        columns["named"][at] = named = contents.of(batch["named"])
        columns["content"][at] = _first_of(named, firsts[at], contents.of(batch["from_page"]))
        ordered = batch.filter(batch["order_id"].is_valid())
        orders.update(zip((ordered[ROW_NUMBER].to_numpy() - 1).tolist(), ordered["order_id"].to_pylist(), strict=True))
        personal += batch["personal"].true_count
        gpc = gpc or batch[GPC].true_count > 0
    texts, rank = _in_order(contents)
    columns["named"], columns["content"] = rank[columns["named"]], rank[columns["content"]]
    columns["nobody"] = columns["visitor"] == 0
    traces = Traces(**{name: columns.pop(name) for name in ("visitor", "page", "named", "engaged_ms")})
    return Facts(names, texts, **columns, orders=orders, zero_based=lowest == 0, personal=personal, gpc=gpc), traces


def _empty(rows: int) -> dict[str, Array]:
    types = {"ts": np.int64, "visitor": np.uint64, "session": np.int64, "page": np.uint64, "key": np.uint64}
    codes = {name: np.full(rows, -1, np.int32) for name in ("name", "named", "content")}
    return (
        {name: np.zeros(rows, type_) for name, type_ in types.items()}
        | codes
        | {"engaged_ms": np.full(rows, NO_TIME, np.int32)}
    )


def _first_of(*codes: Array) -> Array:
    """The first that is there."""
    first, *others = codes
    for other in others:
        first = np.where(first >= 0, first, other)
    return first


def _in_order(codes: Codes) -> tuple[pa.Array, Array]:
    """The texts in order, and the new code of each old one (the last, -1, stays)."""
    texts = pa.array(codes.texts, pa.string())
    order = pc.sort_indices(texts)
    rank = np.full(len(texts) + 1, -1, np.int32)
    rank[order.to_numpy()] = np.arange(len(texts))
    return texts.take(order), rank


def _first_items(export: Export, contents: Codes) -> tuple[Array, int | None]:
    """Each event's first item, and the lowest place in any list."""
    firsts = np.full(export.rows, -1, np.int32)
    lowest: list[int] = []
    if not export.has("items", "item_id"):
        return firsts, None
    for batch in export.items():
        some = batch.filter(pc.greater(pc.list_value_length(batch["items"]), 0))
        records = some["items"].flatten()
        at = some["items"].value_lengths().to_numpy().cumsum() - some["items"].value_lengths().to_numpy()
        named = clean(records.field("item_id")).take(pa.array(at))
        firsts[some[ROW_NUMBER].to_numpy() - 1] = contents.of(named)
        if export.has("items", "index"):
            lowest += [place for place in [pc.min(records.field("index")).as_py()] if place is not None]
    return firsts, min(lowest, default=None)


def clean(texts: pa.Array) -> pa.Array:
    """GA4 writes `(not set)` where there is nothing."""
    texts = texts.cast(pa.string())
    return pc.if_else(pc.is_in(texts, pa.array(["", "(not set)"])), None, texts)


def clean_sql(text: str) -> str:
    """`clean` in SQL."""
    return f"nullif(nullif(CAST({text} AS VARCHAR), ''), '(not set)')"


def visitor(export: Export) -> str:
    """SQL: the person's browser, null without consent."""
    known = clean_sql("user_pseudo_id")
    if not export.has("privacy_info", "analytics_storage"):
        return known
    return f"CASE WHEN lower(privacy_info.analytics_storage) IS DISTINCT FROM 'no' THEN {known} END"


def _query(export: Export, source: Settings, purchases: Sequence[str]) -> str:
    kinds = fields(export.schema.field("event_params").type.value_type.field("value").type)
    page = "CASE WHEN contains(page_location, '#') THEN split_part(page_location, '#', 1) ELSE page_location END"
    viewed = f"CASE WHEN name = 'page_view' THEN {page} END"
    from_url = pages.OPTION in source.options
    key = "event_date, stream, visitor_id, session, name, ts, parameters"
    return f"""
        WITH keyed AS (
            SELECT *, list_transform(event_params, lambda p: p.key) AS keys FROM {export.relation}
            WHERE event_name IS NOT NULL AND TRY_CAST(event_timestamp AS BIGINT) IS NOT NULL
        ), looked_up AS (
            SELECT {ROW_NUMBER}, CAST(event_date AS VARCHAR) AS event_date, event_name AS name,
                   CAST(event_timestamp AS BIGINT) AS ts, {visitor(export)} AS visitor_id,
                   {"CAST(stream_id AS VARCHAR)" if export.has("stream_id") else "''"} AS stream,
                   {_whole("ga_session_id", kinds, "BIGINT")} AS session,
                   {_text("page_location", kinds)} AS page_location,
                   {clean_sql(_text("content_id", kinds))} AS named,
                   {_whole("engagement_time_msec", kinds, "INTEGER")} AS engaged_ms,
                   {_order(export, kinds, purchases)} AS order_id,
                   coalesce({said_gpc(export, source, "keys")}, false) AS {GPC},
                   list_sum(list_transform(event_params, lambda p: hash(p))) AS parameters
            FROM keyed
        )
        SELECT {ROW_NUMBER}, name, ts, CASE WHEN visitor_id IS NULL THEN 0 ELSE hash(visitor_id) END AS visitor,
               CASE WHEN visitor_id IS NULL THEN {NONE} ELSE coalesce(session, {NONE}) END AS session,
               hash({page}) AS page, hash({key}) AS key, named, coalesce(engaged_ms, {NO_TIME}) AS engaged_ms,
               {pages.content_of(viewed, source) if from_url else "CAST(NULL AS VARCHAR)"} AS from_page,
               {pages.personal_of(viewed) if from_url else "false"} AS personal, order_id, {GPC}
        FROM looked_up
    """


def _any_kind(value: str, kinds: Sequence[str]) -> str:
    present = [f"CAST({value}.{kind} AS VARCHAR)" for kind in _VALUE_KINDS if kind in kinds]
    return f"coalesce({', '.join([*present, 'NULL'])})"


def _value(key: str, params: str = "event_params", keys: str = "keys") -> str:
    return f"{params}[list_position({keys}, {sql.text(key)})].value"


def _text(key: str, kinds: Sequence[str]) -> str:
    """A parameter as text: GA4 writes the same one now as a string, now as a number."""
    return _any_kind(_value(key), kinds)


def _whole(key: str, kinds: Sequence[str], type_: str) -> str:
    """A parameter as a whole number: an integer, or text or a fraction that says one."""
    said = f"TRY_CAST(TRY_CAST({_text(key, kinds)} AS DOUBLE) AS {type_})"
    return f"coalesce(TRY_CAST({_value(key)}.int_value AS {type_}), {said})" if "int_value" in kinds else said


def _order(export: Export, kinds: Sequence[str], purchases: Sequence[str]) -> str:
    given = clean_sql("ecommerce.transaction_id") if export.has("ecommerce", "transaction_id") else "NULL"
    names = ", ".join(map(sql.text, purchases))
    found = f"coalesce({given}, {clean_sql(_text('transaction_id', kinds))})"
    return f"CASE WHEN event_name IN ({names}) THEN {found} END"


def said_gpc(export: Export, source: Settings, keys: str) -> str:
    """SQL: whether an event says Global Privacy Control, as a parameter or a property of its user."""
    name = source.options.get("gpc_param", GPC)
    said = [_is_yes(export, "event_params", name, keys)]
    if export.has("user_properties", "key"):
        said.append(_is_yes(export, "user_properties", name, "list_transform(user_properties, lambda p: p.key)"))
    return " OR ".join(f"coalesce({one}, false)" for one in said)


def _is_yes(export: Export, column: str, name: str, keys: str) -> str:
    kinds = fields(export.schema.field(column).type.value_type.field("value").type)
    yes = f"lower({_any_kind(_value(name, column, keys), kinds)}) IN ('1', '1.0', 'true', 'yes')"
    return f"CASE WHEN list_contains({keys}, {sql.text(name)}) THEN {yes} END"
