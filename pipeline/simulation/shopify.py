"""The shop's orders as Shopify's CSV export writes them: one row a line item, one file a day.

A day's file holds the orders paid that day, then the orders refunded that day: a refunded order is written again
whole, with its first `Name`, `Id`, `Created at` and `Paid at`, `Financial Status` refunded and its total as
`Refunded Amount`. Refunds are always of the whole order, 2-7 days later; the file of the first day stays as it was.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from pipeline.simulation.draws import Stream, generator
from pipeline.simulation.facts import Day
from pipeline.simulation.hubspot import email
from pipeline.simulation.population import COUNTRIES
from pipeline.simulation.world import World

CURRENCY = "EUR"
FIRST_ORDER_NUMBER = 1001
_FIRST_ID = 5_820_000_000_001
_REFUNDED_SHARE = 0.06
_ADDRESS = ("Name", "Street", "Address1", "Address2", "Company", "City", "Zip", "Province", "Country", "Phone")
HEADER = (
    *("Name", "Email", "Financial Status", "Paid at", "Fulfillment Status", "Fulfilled at", "Accepts Marketing"),
    *("Currency", "Subtotal", "Shipping", "Taxes", "Total", "Discount Code", "Discount Amount", "Shipping Method"),
    *("Created at", "Lineitem quantity", "Lineitem name", "Lineitem price", "Lineitem compare at price"),
    *("Lineitem sku", "Lineitem requires shipping", "Lineitem taxable", "Lineitem fulfillment status"),
    *(f"Billing {a}" for a in _ADDRESS),
    *(f"Shipping {a}" for a in _ADDRESS),
    *("Notes", "Note Attributes", "Cancelled at", "Payment Method", "Payment Reference", "Refunded Amount", "Vendor"),
    *("Outstanding Balance", "Employee", "Location", "Device ID", "Id", "Tags", "Risk Level", "Source"),
    "Lineitem discount",
    *(f"Tax {n} {part}" for n in range(1, 6) for part in ("Name", "Value")),
    *("Phone", "Receipt Number", "Duties", "Billing Province Name", "Shipping Province Name", "Payment ID"),
    *("Payment Terms Name", "Next Payment Due At", "Payment References"),
)


@dataclass(frozen=True)
class Order:
    """A paid order: `number` counts from 0 over the whole period; `lines` are (content row, units)."""

    number: int
    person: int
    paid_us: int
    lines: tuple[tuple[int, int], ...]
    refunded_on: int | None


def orders_of(world: World, day: Day, first_number: int) -> list[Order]:
    """The day's orders by number, each with the day on which it will be refunded, if ever."""
    orders = day.orders
    rng = generator(world.seed, Stream.REFUNDS, day.day)
    refunded = (rng.random(len(orders)) < _REFUNDED_SHARE).tolist()
    wait = rng.integers(2, 8, size=len(orders)).tolist()
    lines: list[list[tuple[int, int]]] = [[] for _ in refunded]
    columns = (orders.line_order, orders.line_content, orders.line_quantity)
    for order, content, quantity in np.stack(columns, axis=1).tolist():
        lines[order].append((content, quantity))
    people = day.sessions.person[orders.session].tolist()
    return [
        Order(first_number + i, people[i], paid, tuple(lines[i]), day.day + wait[i] if refunded[i] else None)
        for i, paid in enumerate(orders.paid_us.tolist())
    ]


def orders_csv(world: World, paid: Iterable[Order], refunded: Iterable[Order]) -> bytes:
    """One day's file; order-level cells are on an order's first row only, `Name` on all of them. UTF-8."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER, restval="", lineterminator="\n")
    writer.writeheader()
    for orders, again in ((paid, False), (refunded, True)):
        for order in orders:
            writer.writerows(_rows(world, order, again))
    return text.getvalue().encode()


def _rows(world: World, order: Order, refunded: bool) -> list[dict[str, str]]:
    rows = [_line(world, content, quantity) for content, quantity in order.lines]
    name = {"Name": f"#{FIRST_ORDER_NUMBER + order.number}"}
    return [{**name, **_order(world, order, refunded), **rows[0]}, *({**name, **row} for row in rows[1:])]


def _order(world: World, order: Order, refunded: bool) -> dict[str, str]:
    cents = world.catalogue.price_cents
    total = _money(sum(int(cents[content]) * quantity for content, quantity in order.lines))
    paid = f"{datetime.fromtimestamp(order.paid_us // 1_000_000, tz=UTC):%Y-%m-%d %H:%M:%S %z}"
    return {
        "Email": email(world.people, order.person),
        "Financial Status": "refunded" if refunded else "paid",
        "Paid at": paid,
        "Fulfillment Status": "fulfilled",
        "Fulfilled at": paid,
        "Accepts Marketing": "yes" if order.person % 2 else "no",
        "Currency": CURRENCY,
        **dict.fromkeys(("Shipping", "Taxes", "Discount Amount", "Outstanding Balance"), "0.00"),
        **dict.fromkeys(("Subtotal", "Total"), total),
        "Created at": paid,
        "Billing Country": COUNTRIES[world.people.country[order.person]].name,
        "Payment Method": "Shopify Payments",
        "Refunded Amount": total if refunded else "0.00",
        "Id": str(_FIRST_ID + order.number),
        "Risk Level": "Low",
        "Source": "web",
    }


def _line(world: World, content: int, quantity: int) -> dict[str, str]:
    return {
        "Lineitem quantity": str(quantity),
        "Lineitem name": world.catalogue.titles[content],
        "Lineitem price": _money(int(world.catalogue.price_cents[content])),
        "Lineitem sku": world.catalogue.ids[content],
        "Lineitem requires shipping": "false",
        "Lineitem taxable": "false",
        "Lineitem fulfillment status": "fulfilled",
        "Vendor": "Example",
        "Lineitem discount": "0.00",
    }


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
