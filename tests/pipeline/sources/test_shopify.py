"""Shopify's orders: lines, money that came and went, and an order that appears on two days."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.sources import delimited, read_export, shopify
from pipeline.sources.export import PART
from pipeline.sources.shopify import REFUND_LINE

HEADER = (
    *("Name", "Email", "Financial Status", "Paid at", "Fulfillment Status", "Currency", "Created at"),
    *("Lineitem quantity", "Lineitem name", "Lineitem price", "Lineitem sku", "Cancelled at", "Refunded Amount", "Id"),
    "Lineitem discount",
)
PAID = "2026-06-30 10:00:00 +0200"
YESTERDAY = "2026-06-29 10:00:00 +0200"
EARLIER = "2026-06-25 10:00:00 +0200"


def line(**cells: Any) -> dict[str, Any]:
    """A line item's own cells."""
    return {"Name": "#1001", "Lineitem quantity": 1, "Lineitem price": "10.00", "Lineitem sku": "c1", **cells}


def order(**cells: Any) -> dict[str, Any]:
    """The first row of a paid order; arguments replace cells, with `_` for a space."""
    named = {name.replace("_", " "): value for name, value in cells.items()}
    first = {
        "Email": "ann@example.com",
        "Financial Status": "paid",
        "Paid at": PAID,
        "Created at": PAID,
        "Currency": "EUR",
    }
    return line(**first, **{"Refunded Amount": "0.00", "Lineitem discount": "0.00"}) | named


@pytest.fixture
def parse(tmp_path: Path, setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes rows as the export of 30 June 2026 and reads it."""

    def to_parsed(*rows: dict[str, Any], path: str = "orders_{date:%Y%m%d}.csv", **settings: Any) -> Any:
        text = io.StringIO()
        writer = csv.DictWriter(text, HEADER, restval="")
        writer.writeheader()
        writer.writerows(rows)
        template = str(tmp_path / path)
        file = Path(template.format(date=datetime(2026, 6, 30, tzinfo=UTC)))
        file.write_text(text.getvalue(), newline="")
        return read_export(file, setting(name="shop", format="shopify", path=template, **settings))

    return to_parsed


def rows(parsed: Any, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the transactions, row by row."""
    return list(zip(*(parsed.tables["transactions"][c].to_pylist() for c in columns), strict=True))


def test_an_orders_cells_hold_for_all_its_lines(parse: Callable[..., Any]) -> None:
    """Continuation rows take customer, time and currency from the first; lines of mixed orders stay apart."""
    parsed = parse(
        order(Email=" Ann@Example.com", Lineitem_quantity=2, Lineitem_discount="1.50"),
        order(Name="#1002", Email="bob@example.com", Currency="USD", Lineitem_sku="c2"),
        line(**{"Lineitem sku": "c3", "Lineitem price": "4.25"}),
    )
    columns = ("order_id", "line_no", "email", "content_id", "quantity", "amount", "currency", "status", "row_number")
    assert rows(parsed, *columns) == [
        ("#1001", 1, "ann@example.com", "c1", 2.0, 18.5, "EUR", "paid", 1),
        ("#1002", 1, "bob@example.com", "c2", 1.0, 10.0, "USD", "paid", 2),
        ("#1001", 2, "ann@example.com", "c3", 1.0, 4.25, "EUR", "paid", 3),
    ]
    assert set(rows(parsed, "ts")) == {(datetime(2026, 6, 30, 8, tzinfo=UTC),)}


def test_an_apostrophe_before_an_id_is_no_part_of_it(parse: Callable[..., Any]) -> None:
    """Ids that a spreadsheet protected are the same ids."""
    assert rows(parse(order(Name="'#1001", Lineitem_sku="'007")), "order_id", "content_id") == [("#1001", "007")]


def test_a_refund_is_one_more_line(parse: Callable[..., Any]) -> None:
    """Paid and refunded on one day: the lines stay, and one line takes the money back at the end of the day."""
    parsed = parse(order(Financial_Status="partially_refunded", Refunded_Amount="7.50"), line(**{"Lineitem sku": "c2"}))
    assert rows(parsed, "line_no", "content_id", "quantity", "amount", "status") == [
        (1, "c1", 1.0, 10.0, "partially_refunded"),
        (REFUND_LINE, "c1", None, -7.5, "refunded"),
        (2, "c2", 1.0, 10.0, "partially_refunded"),
    ]
    assert rows(parsed, "ts")[1] == (datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC),)


def test_a_refunded_order_of_an_earlier_day_is_only_its_refund(parse: Callable[..., Any]) -> None:
    """The purchase was counted on its day: here nothing but the refund, with the number it would have had there."""
    again = order(Financial_Status="refunded", Paid_at=EARLIER, Created_at=EARLIER, Refunded_Amount="20.00")
    parsed = parse(again, line(**{"Lineitem sku": "c2"}))
    assert rows(parsed, "order_id", "line_no", "amount", "status", "email") == [
        ("#1001", REFUND_LINE, -20.0, "refunded", "ann@example.com")
    ]
    assert rows(parsed, "ts") == [(datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC),)]
    assert parsed.notes == {"orders_of_earlier_days": 1}


def test_an_order_that_only_appears_again_counts_nothing(parse: Callable[..., Any]) -> None:
    """Shipping an order of yesterday does not sell it again."""
    parsed = parse(order(Paid_at=YESTERDAY, Created_at=YESTERDAY))
    assert rows(parsed, "order_id") == []
    assert parsed.notes == {"orders_of_earlier_days": 1}


def test_the_day_given_is_the_day_that_counts(
    tmp_path: Path, parse: Callable[..., Any], setting: Callable[..., Any]
) -> None:
    """In a project east of Greenwich an order after local midnight is of the file's day, though not in UTC."""
    parse(order(Paid_at="2026-06-30 00:30:00 +0900"))
    path = tmp_path / "orders_20260630.csv"
    source = setting(name="shop", format="shopify", path=str(tmp_path / "orders_{date:%Y%m%d}.csv"))
    assert rows(read_export(path, source), "order_id") == []
    tokyo = (datetime(2026, 6, 29, 15, tzinfo=UTC), datetime(2026, 6, 30, 15, tzinfo=UTC))
    assert rows(read_export(path, source, tokyo), "order_id") == [("#1001",)]


@pytest.mark.parametrize("status", ["pending", "authorized", "voided", "expired"])
def test_money_that_never_came_is_no_revenue(status: str, parse: Callable[..., Any]) -> None:
    """The line is kept with its status and amount 0."""
    parsed = parse(order(Financial_Status=status, Paid_at=""))
    assert rows(parsed, "status", "amount", "quantity") == [(status, 0.0, 1.0)]
    assert parsed.notes == {"orders_without_revenue": 1}


@pytest.mark.parametrize(
    ("refunded", "expected"), [("0.00", [("cancelled", 0.0)]), ("10.00", [("refunded", 10.0), ("refunded", -10.0)])]
)
def test_a_cancelled_order_sums_to_nothing(refunded: str, expected: Any, parse: Callable[..., Any]) -> None:
    """Whether or not the money has gone back yet, and the later refund is not subtracted once more."""
    status = "refunded" if refunded != "0.00" else "paid"
    cancelled = order(Financial_Status=status, Cancelled_at="2026-06-30 12:00:00 +0200", Refunded_Amount=refunded)
    assert rows(parse(cancelled), "status", "amount") == expected
    late = {"Paid at": EARLIER, "Created at": EARLIER, "Cancelled at": "2026-06-25 12:00:00 +0200"}
    assert rows(parse(cancelled | late | {"Refunded Amount": "10.00"}), "amount") == []


def test_a_file_of_many_days_keeps_every_order(parse: Callable[..., Any]) -> None:
    """Without a day in the name purchases and refunds all count; a refund is known when the file was made."""
    parsed = parse(
        order(Paid_at=EARLIER, Created_at=EARLIER, Refunded_Amount="4.00"), order(Name="#1002"), path="orders.csv"
    )
    assert rows(parsed, "order_id", "amount") == [("#1001", 10.0), ("#1001", -4.0), ("#1002", 10.0)]
    assert rows(parsed, "ts")[1] == (datetime(2026, 6, 30, 8, tzinfo=UTC),)


def test_a_broken_line_keeps_the_others_numbers(parse: Callable[..., Any]) -> None:
    """A price that is no number costs its line; the next line is still the third."""
    parsed = parse(order(), line(**{"Lineitem price": "ten"}), line(**{"Lineitem sku": "c3"}))
    assert rows(parsed, "line_no", "row_number") == [(1, 1), (3, 3)]
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [
        {"row_number": 2, "reason": "Lineitem price is not a number"}
    ]


def test_an_order_whose_first_row_is_broken_is_refused_whole(parse: Callable[..., Any]) -> None:
    """No half orders: without the order's cells its other lines have no time, and are told."""
    parsed = parse(order(Paid_at="yesterday"), line())
    assert rows(parsed, "order_id") == []
    assert parsed.rejected["reason"].to_pylist() == ["Paid at is not a time in the form iso8601", "ts is missing"]


def test_a_translated_export_is_mapped(parse: Callable[..., Any]) -> None:
    """Words of another language become ours through the configuration."""
    parsed = parse(order(Financial_Status="ausstehend"), values={"status": {"ausstehend": "pending"}})
    assert rows(parsed, "status", "amount") == [("pending", 0.0)]


def test_refunds_of_several_days_are_one_line(parse: Callable[..., Any]) -> None:
    """Each day's file tells all that was refunded so far, under one key however many rows the order has in it."""
    first = order(Financial_Status="partially_refunded", Refunded_Amount="4.00", Paid_at=EARLIER, Created_at=EARLIER)
    second = first | {"Refunded Amount": "9.00"}
    day_one = rows(parse(first, line(), line()), "order_id", "line_no", "amount")
    day_two = rows(parse(second), "order_id", "line_no", "amount")
    assert day_one == [("#1001", REFUND_LINE, -4.0)]
    assert day_two == [("#1001", REFUND_LINE, -9.0)]


def test_an_orders_rows_may_lie_parts_apart(
    parse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: Callable[..., Any]
) -> None:
    """Read in parts of two rows, an order goes on where it left off, and no part that comes out is longer."""
    others = [order(Name=f"#{n}", Lineitem_price="1.00") for n in range(2000, 2006)]
    export = [order(Refunded_Amount="1.00"), *others, line(**{"Lineitem sku": "c9"})]
    whole = parse(*export)
    monkeypatch.setattr(delimited, "PART", 2)
    in_parts = parse(*export)
    assert in_parts.tables["transactions"].equals(whole.tables["transactions"])
    assert rows(whole, "line_no", "content_id", "email", "row_number")[-1] == (2, "c9", "ann@example.com", 8)


def test_what_comes_out_is_in_parts(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """More lines than a part are told in parts of no more than `PART` rows, in the order of the file."""
    path = tmp_path / "orders.csv"
    count = PART + 5
    first = f"#0,a@example.com,paid,{PAID},,EUR,{PAID},1,x,1.00,c,,0.00,1,0.00\n"
    path.write_text(",".join(HEADER) + "\n" + first + "#0,,,,,,,1,x,1.00,c,,,,\n" * (count - 1))
    parts = [part.tables["transactions"] for part in shopify.read(path, setting(format="shopify", path=str(path)))]
    assert max(map(len, parts)) <= PART
    assert [n for part in parts for n in part["line_no"].to_pylist()] == list(range(1, count + 1))
