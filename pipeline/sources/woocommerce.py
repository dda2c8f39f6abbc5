"""WooCommerce's orders as the REST API gives them (`/wc/v3/orders`): one JSON list, or one order a line.

What counts, where it can be by the rules of `shopify`:

* A line item is worth its `total`: after discounts, without tax. `order_id` is the order's number as the shopper sees
  it (`options.order = "id"`: its id), `content_id` the SKU, where there is none the product's id
  (`options.content = "product_id"`: always that).
* Money that never arrived is no revenue: the lines of an order without `date_paid_gmt`, or that is pending, failed, a
  draft or in the trash, or that was cancelled with nothing refunded, are kept with amount 0.
* Every element of `refunds` is one more line, numbered after its own id: the same in every file that tells of it. It
  has the content of the first line. WooCommerce refunds tax and shipping too, which no line was worth, so refunds
  take back at most what the lines brought: an order that was refunded whole sums to 0.
* An order is in the file of every day that changed it. One paid (or, unpaid, created) before its file's day was
  counted on its own day, so here it yields refunds and nothing else.
* A refund within an order has no time of its own: it gets the last microsecond of its file's day, or, in a file without
  a day, the time at which its order was last changed, so that no night knows of it too early. Where the exporter puts
  in what `/orders/<id>/refunds` says, its `date_created_gmt` counts, and refunds of earlier days are left out.

WooCommerce numbers customers from 1, as other systems do: where the CRM's ids are others, `options.customer_prefix`
keeps them apart (`shop-` makes `shop-17`). Guests have no id. E-mail addresses join orders to contacts in any case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import ConfigurationError
from pipeline.sources.documents import (
    Document,
    Row,
    Rows,
    UnreadableError,
    documents,
    instant,
    mapping,
    number,
    text,
    whole_number,
)
from pipeline.sources.export import Bounds, Known, Parsed, Settings

TABLES = ("transactions",)

_NEVER_PAID = ("pending", "failed", "checkout-draft", "auto-draft", "trash")
_CHOICES = {"order": ("number", "id"), "content": ("sku", "product_id")}

_REFUND_LINES = 1_000_000
"""Refunds are numbered from here, beyond an order's lines."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Day(NamedTuple):
    start: datetime
    end: datetime


class _Line(NamedTuple):
    content_id: str | None
    quantity: float | None
    total: Decimal


class _Refund(NamedTuple):
    line_no: int
    created_at: datetime | None
    total: Decimal


class _Order(NamedTuple):
    cells: Row
    """What all its rows have in common."""
    status: str
    paid_at: datetime | None
    created_at: datetime | None
    modified_at: datetime | None
    lines: Sequence[_Line]
    refunds: Sequence[_Refund]

    @property
    def ts(self) -> datetime | None:
        return self.created_at if self.paid_at is None else self.paid_at

    @property
    def is_paid(self) -> bool:
        cancelled = self.status == "cancelled" and not self.refunds
        return self.paid_at is not None and self.status not in _NEVER_PAID and not cancelled


def known(source: Settings) -> Known:
    """WooCommerce names its fields itself; plugins add statuses, which `values` can translate."""
    return Known(values=["status"], options=["allow_empty", "customer_prefix", *_CHOICES])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """Order lines and refunds as `transactions`, in parts; an order that cannot be read is refused whole."""
    for option, choices in _CHOICES.items():
        if source.options.get(option, choices[0]) not in choices:
            raise ConfigurationError(
                f'{source.name}: options.{option} must be "{choices[0]}" or "{choices[1]}", found '
                f"{source.options[option]!r}."
            )
    rows = Rows(path.name, TABLES)
    day = None if bounds is None else _Day(*(_EPOCH + timedelta(microseconds=edge) for edge in bounds))
    for row, raw in documents(path, source, lambda found: found, rows.broken):
        try:
            order = _order(raw, source)
        except UnreadableError as error:
            rows.refuse("transactions", row, str(error))
            continue
        for transaction in _transactions(order, day, rows.notes):
            rows.add("transactions", row, **order.cells, **transaction)
        if rows.full:
            yield rows.take()
    yield rows.take()


def _transactions(order: _Order, day: _Day | None, notes: Counter[str]) -> Iterator[Row]:
    """The rows of an order that are new in this file."""
    if day is not None and order.ts is not None and order.ts < day.start:
        notes["orders_of_earlier_days"] += 1
    else:
        yield from _sales(order, notes)
    if order.is_paid:
        yield from _refunds(order, day, notes)


def _sales(order: _Order, notes: Counter[str]) -> Iterator[Row]:
    notes["orders_without_lines"] += not order.lines
    notes["orders_without_revenue"] += not order.is_paid
    for line_no, line in enumerate(order.lines, start=1):
        yield {
            "line_no": line_no,
            "ts": order.ts,
            "content_id": line.content_id,
            "quantity": line.quantity,
            "amount": float(line.total) if order.is_paid else 0.0,
            "status": order.status,
        }


def _refunds(order: _Order, day: _Day | None, notes: Counter[str]) -> Iterator[Row]:
    """In the order of their ids, which is that of time: what an early one takes back does not depend on later ones."""
    known_at = order.modified_at if day is None else day.end - timedelta(microseconds=1)
    left = max(sum((line.total for line in order.lines), Decimal(0)), Decimal(0))
    for refund in sorted(order.refunds, key=lambda refund: refund.line_no):
        taken = min(refund.total, left)
        left -= taken
        if day is not None and refund.created_at is not None and refund.created_at < day.start:
            notes["refunds_of_earlier_days"] += 1
            continue
        yield {
            "line_no": refund.line_no,
            "ts": known_at if refund.created_at is None else refund.created_at,
            "content_id": order.lines[0].content_id if order.lines else None,
            "amount": float(0 - taken),
            "status": "refunded",
        }


def _order(raw: Document, source: Settings) -> _Order:
    status = text(raw.get("status")) or ""
    return _Order(
        cells={
            "order_id": text(raw.get(source.options.get("order", "number"))) or text(raw.get("id")),
            "customer_id": _customer(raw, source),
            "email": (text(mapping(raw.get("billing")).get("email")) or "").lower() or None,
            "currency": text(raw.get("currency")),
        },
        status=source.values.get("status", {}).get(status, status).lower(),
        paid_at=instant(raw, "date_paid_gmt"),
        created_at=instant(raw, "date_created_gmt"),
        modified_at=instant(raw, "date_modified_gmt"),
        lines=[_line(line, source) for line in _objects(raw, "line_items")],
        refunds=[_refund(refund) for refund in _objects(raw, "refunds")],
    )


def _customer(raw: Document, source: Settings) -> str | None:
    """0 is a guest."""
    customer = text(raw.get("customer_id"))
    return None if customer in (None, "0") else f"{source.options.get('customer_prefix', '')}{customer}"


def _line(raw: Document, source: Settings) -> _Line:
    product = text(raw.get("product_id"))
    product = None if product == "0" else product  # deleted since
    content = product if source.options.get("content") == "product_id" else text(raw.get("sku")) or product
    return _Line(content, number(raw, "quantity"), _money(raw, "total"))


def _refund(raw: Document) -> _Refund:
    """Within an order a refund has a negative `total`; by itself a positive `amount`."""
    number_of_refund = whole_number(raw, "id")
    if number_of_refund is None or not 0 < number_of_refund < (1 << 31) - _REFUND_LINES:
        raise UnreadableError("a refund's id is not a whole number of 31 bits")
    total = _money(raw, "total" if "total" in raw else "amount")
    return _Refund(_REFUND_LINES + number_of_refund, instant(raw, "date_created_gmt"), abs(total))


def _objects(raw: Document, name: str) -> Sequence[Document]:
    values: Any = raw.get(name)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise UnreadableError(f"{name} is not a list of objects")
    return values


def _money(raw: Document, name: str) -> Decimal:
    """Exact, so that what is left of an order after its refunds is nothing where it should be."""
    found = number(raw, name)
    if found is None:
        raise UnreadableError(f"{name} is missing")
    return Decimal(str(found))
