"""Shopify's orders as CSV: one row a line item, the order's own cells only on its first row.

What counts:

* A line is worth price x quantity - discount. `order_id` is the order's name (`#1001`), `content_id` the SKU.
* Money that never arrived is no revenue: the lines of an order without `Paid at`, or that is pending, authorized,
  voided or expired, or that was cancelled with nothing refunded, are kept with amount 0 (and status `cancelled`).
* `Refunded Amount` makes one more line, always of the number `REFUND_LINE`, with the negative amount, status `refunded`
  and the content of the first line: Shopify does not say which lines went back.
* An order appears again in the file of the day it is refunded. An order paid (or, unpaid, created) before its file's
  day was counted on its own day, so here it yields its refund line and nothing else. Not even that, when it was
  cancelled on the day it was paid: then its lines never counted, or were refunded on that day.
* A refund has no time of its own: it gets the last microsecond of its file's day, or, in a file without a day, the
  latest time that the file mentions, so that no night knows of it too early.
* `Refunded Amount` is all that was refunded so far. The refund lines of an order that was refunded in part on several
  days therefore have the same (`order_id`, `line_no`), however many rows the order had in each file, and are no sum: of
  those that a night knows, the newest day's is the refund.
* Rows of one name are one order, wherever in the file they are: merge no two shops into a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from pipeline.sources import convert, templates
from pipeline.sources.convert import Cell
from pipeline.sources.export import (
    Bounds,
    Known,
    Parsed,
    Settings,
    counted,
    require_columns,
)
from pipeline.sources.load import delimited_parts
from pipeline.sources.spooled import spooled

TABLES = ("transactions",)

REFUND_LINE = 1_000_000
"""The `line_no` of an order's refund: beyond all of its lines, and the same in every file that tells of it."""

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


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """Order lines and refunds as `transactions`; `bounds`, or else the day in the file's name, tell what is new."""
    labels = {**_LABELS, **source.columns}
    parts = delimited_parts(path, source, lambda found: _needed(path, source, found, labels))
    start, end = bounds or _day_of_name(path, source) or (None, None)
    with spooled(parts, lambda raw: _cells(raw, labels, source)) as whole:
        whole.con.execute(_judged(start))
        yield from whole.parsed("transactions", path, _sales_and_refunds(end), counted(**whole.counts(_NOTES)))


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
    return {
        **{ours: Cell(text) for ours, text in texts.items() if ours not in (*_TIMES, *_NUMBERS)},
        **{ours: convert.instant(labels[ours], origins[ours], convert.ISO) for ours in _TIMES},
        **{ours: convert.number(labels[ours], texts[ours]) for ours in _NUMBERS},
        "email": Cell(f"lower(trim({texts['email']}))"),
    }


def _judged(start: int | None) -> str:
    """Every row with its order's cells: of which day the order is, whether money arrived, and what came back.

    Rows are numbered before any is refused (a line keeps its number whatever becomes of the others), wherever in the
    file the order's other rows are; a refused row gives no cells.
    """
    first = "NULL::BIGINT" if start is None else str(start)
    cells = ", ".join(
        f"first_value(CASE WHEN refusal IS NULL THEN {cell} END IGNORE NULLS) OVER whole_order AS {cell}"
        for cell in _ORDER_CELLS
    )
    return f"""
        CREATE TEMP TABLE judged AS
        WITH filled AS (
            SELECT row_number, order_id, content_id, quantity, refusal,
                   price * quantity - coalesce(discount, 0) AS line_total,
                   row_number() OVER (PARTITION BY order_id ORDER BY row_number) AS line_no, {cells}
            FROM spooled
            WINDOW whole_order AS (PARTITION BY order_id ORDER BY row_number
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        )
        SELECT * EXCLUDE (refunded, refusal), coalesce(refunded, 0) AS refunded,
               coalesce(paid_at, created_at) AS ts,
               coalesce(epoch_us(coalesce(paid_at, created_at)) < {first}, false) AS earlier,
               paid_at IS NOT NULL
                   AND lower(coalesce(status, 'paid')) NOT IN ('pending', 'authorized', 'voided', 'expired') AS paid,
               cancelled_at IS NOT NULL AND coalesce(refunded, 0) = 0 AS cancelled,
               coalesce(floor((epoch_us(cancelled_at) - {first}) / 86400000000)
                        = floor((epoch_us(paid_at) - {first}) / 86400000000), false) AS cancelled_at_once
        FROM filled WHERE refusal IS NULL
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
        SELECT row_number, order_id, {REFUND_LINE}, {refund_time}, email, content_id, NULL, -refunded, currency,
               'refunded'
        FROM judged WHERE refunded > 0 AND paid AND NOT (earlier AND cancelled_at_once)
        QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY row_number) = 1
        ORDER BY row_number, line_no
    """


_NOTES = """
    SELECT count(DISTINCT order_id) FILTER (earlier) AS orders_of_earlier_days,
           count(DISTINCT order_id) FILTER (NOT earlier AND (NOT paid OR cancelled)) AS orders_without_revenue
    FROM judged
"""
