"""Shopify's orders as CSV: one row a line item, the order's own cells only on its first row.

What counts:

* A line is worth price x quantity - discount. `order_id` is the order's name (`#1001`), `content_id` the SKU.
* Money that never arrived is no revenue: the lines of an order without `Paid at`, or that is pending, authorized,
  voided or expired, or that was cancelled with nothing refunded, are kept with amount 0 (and status `cancelled`).
* `Refunded Amount` makes one more line, numbered after the order's own, with the negative amount, status `refunded`
  and the content of the first line: Shopify does not say which lines went back.
* An order appears again in the file of the day it is refunded. An order paid (or, unpaid, created) before its file's
  day was counted on its own day, so here it yields its refund line and nothing else. Not even that, when it was
  cancelled on the day it was paid: then its lines never counted, or were refunded on that day.
* A refund has no time of its own: it gets the last microsecond of its file's day, or, in a file without a day, the
  latest time that the file mentions, so that no night knows of it too early. The amount is the order's total refund so
  far; a second partial refund has the same (`order_id`, `line_no`) as the first and replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.sources import convert, sql, templates
from pipeline.sources.convert import Cell
from pipeline.sources.export import (
    FILE_ROW,
    Bounds,
    Known,
    Parsed,
    Settings,
    counted,
    native,
    refusals,
    require_columns,
)
from pipeline.sources.load import delimited_rows

TABLES = ("transactions",)

_LABELS: Mapping[str, str] = {
    "order_id": "Name",
    "email": "Email",
    "status": "Financial Status",
    "paid_at": "Paid at",
    "created_at": "Created at",
    "cancelled_at": "Cancelled at",
    "currency": "Currency",
    "refunded": "Refunded Amount",
    "content_id": "Lineitem sku",
    "quantity": "Lineitem quantity",
    "price": "Lineitem price",
    "discount": "Lineitem discount",
}
_TIMES = ("paid_at", "created_at", "cancelled_at")
_NUMBERS = ("refunded", "quantity", "price", "discount")
_ORDER_CELLS = ("email", "status", *_TIMES, "currency", "refunded")


def known(source: Settings) -> Known:
    """Any column may be called otherwise, and the status have other words, in a translated export."""
    return Known(list(_LABELS), values=["status", "currency", "content_id"], options=["allow_empty", "delimiter"])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Parsed:
    """Order lines and refunds as `transactions`; `bounds`, or else the day in the file's name, tell what is new."""
    labels = {**_LABELS, **source.columns}
    raw, broken = delimited_rows(path, source, lambda found: _needed(path, source, found, labels))
    lines, refused = convert.select(raw, _cells(raw, labels, source))
    transactions, notes = _transactions(lines, bounds or _day_of_name(path, source))
    rejected = refusals("transactions", path.name, broken.table(), refused)
    return Parsed({"transactions": native("transactions", transactions)}, rejected, notes)


def _needed(path: Path, source: Settings, found: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    require_columns(path, source, found, labels)
    return list(dict.fromkeys(labels.values()))


def _day_of_name(path: Path, source: Settings) -> Bounds | None:
    """The UTC day in the file's name."""
    day = templates.day_of(source, str(path))
    if day is None:
        return None
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    first = int(start.timestamp()) * 1_000_000
    return first, first + int(timedelta(days=1).total_seconds()) * 1_000_000


def _cells(raw: pa.Table, labels: Mapping[str, str], source: Settings) -> Mapping[str, Cell]:
    origins = {ours: convert.origin(raw, theirs) for ours, theirs in labels.items()}
    # Spreadsheets protect ids with a leading apostrophe.
    texts = {ours: f"ltrim({convert.mapped_text(ours, origin, source)}, '''')" for ours, origin in origins.items()}
    row = convert.origin(raw, FILE_ROW).value
    return {
        **{ours: Cell(text) for ours, text in texts.items() if ours not in (*_TIMES, *_NUMBERS)},
        **{ours: convert.instant(labels[ours], origins[ours], convert.ISO) for ours in _TIMES},
        **{ours: convert.number(labels[ours], texts[ours]) for ours in _NUMBERS},
        "email": Cell(f"lower(trim({texts['email']}))"),
        # Numbered before any row is refused: a line keeps its number whatever becomes of the others.
        "line_no": Cell(f"row_number() OVER (PARTITION BY {texts['order_id']} ORDER BY {row})"),
        "lines": Cell(f"count(*) OVER (PARTITION BY {texts['order_id']})"),
    }


def _transactions(lines: pa.Table, bounds: Bounds | None) -> tuple[pa.Table, Mapping[str, int]]:
    start, end = bounds or (None, None)
    with sql.connection(lines=lines) as con:
        con.execute(_filled())
        con.execute(_judged(start))
        table = con.sql(_sales_and_refunds(end)).to_arrow_table()
        return table, _notes(con)


def _filled() -> str:
    """Every row gets its order's cells."""
    cells = ", ".join(f"first_value({c} IGNORE NULLS) OVER whole_order AS {c}" for c in _ORDER_CELLS)
    return f"""
        CREATE TEMP TABLE filled AS
        SELECT row_number, order_id, line_no, lines, content_id, quantity,
               price * quantity - coalesce(discount, 0) AS line_total, {cells}
        FROM lines
        WINDOW whole_order AS (PARTITION BY order_id ORDER BY row_number
                               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    """


def _judged(start: int | None) -> str:
    """Of which day the order is, whether money arrived, and what came back."""
    first = "NULL::BIGINT" if start is None else str(start)
    return f"""
        CREATE TEMP TABLE judged AS
        SELECT * EXCLUDE (refunded), coalesce(refunded, 0) AS refunded,
               coalesce(paid_at, created_at) AS ts,
               coalesce(epoch_us(coalesce(paid_at, created_at)) < {first}, false) AS earlier,
               paid_at IS NOT NULL
                   AND lower(coalesce(status, 'paid')) NOT IN ('pending', 'authorized', 'voided', 'expired') AS paid,
               cancelled_at IS NOT NULL AND coalesce(refunded, 0) = 0 AS cancelled,
               coalesce(floor((epoch_us(cancelled_at) - {first}) / 86400000000)
                        = floor((epoch_us(paid_at) - {first}) / 86400000000), false) AS cancelled_at_once
        FROM filled
    """


def _sales_and_refunds(end: int | None) -> str:
    latest = "(SELECT max(greatest(paid_at, created_at, cancelled_at)) FROM judged)"
    refund_time = latest if end is None else f"make_timestamptz({end - 1})"
    return f"""
        SELECT row_number, order_id, line_no, ts, email, content_id, quantity,
               CASE WHEN paid AND NOT cancelled THEN line_total WHEN line_total IS NOT NULL THEN 0 END AS amount,
               currency, CASE WHEN cancelled THEN 'cancelled' ELSE lower(status) END AS status
        FROM judged WHERE NOT earlier
        UNION ALL
        SELECT row_number, order_id, lines + 1, {refund_time}, email, content_id, NULL, -refunded, currency, 'refunded'
        FROM judged WHERE refunded > 0 AND paid AND NOT (earlier AND cancelled_at_once)
        QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY row_number) = 1
        ORDER BY row_number, line_no
    """


def _notes(con: duckdb.DuckDBPyConnection) -> Mapping[str, int]:
    counts = con.sql("""
        SELECT count(DISTINCT order_id) FILTER (earlier) AS orders_of_earlier_days,
               count(DISTINCT order_id) FILTER (NOT earlier AND (NOT paid OR cancelled)) AS orders_without_revenue
        FROM judged
    """)
    return counted(**dict(zip(counts.columns, counts.fetchall()[0], strict=True)))
