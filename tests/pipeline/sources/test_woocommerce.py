"""WooCommerce's orders: lines, refunds that are told again and again, and money that never came."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import read_export

DAY = datetime(2026, 6, 30, tzinfo=UTC)
BOUNDS = (DAY, DAY + timedelta(days=1))
NEXT = (BOUNDS[1], BOUNDS[1] + timedelta(days=1))
LAST_MICROSECOND = BOUNDS[1] - timedelta(microseconds=1)


def item(**fields: Any) -> dict[str, Any]:
    """A line item as the API writes it."""
    return {
        "id": 315,
        "name": "Happy Ninja",
        "product_id": 93,
        "variation_id": 0,
        "quantity": 1,
        "subtotal": "12.00",
        "total": "10.00",
        "total_tax": "2.00",
        "sku": "ninja",
        "price": 10,
    } | fields


def order(**fields: Any) -> dict[str, Any]:
    """An order of 30 June 2026 with one line, as the API writes it."""
    return {
        "id": 727,
        "number": "1001",
        "status": "completed",
        "currency": "EUR",
        "date_created": "2026-06-30T10:00:00",
        "date_created_gmt": "2026-06-30T08:00:00",
        "date_modified_gmt": "2026-06-30T09:30:00",
        "date_paid_gmt": "2026-06-30T08:05:00",
        "total": "17.00",
        "total_tax": "2.00",
        "customer_id": 26,
        "customer_ip_address": "192.0.2.1",
        "customer_user_agent": "Mozilla/5.0",
        "billing": {"first_name": "Ann", "last_name": "Lee", "email": " Ann@Example.com", "phone": "+1 5"},
        "line_items": [item()],
        "shipping_lines": [{"total": "5.00"}],
        "refunds": [],
    } | fields


def refund(number: Any, total: str, **fields: Any) -> dict[str, Any]:
    """A refund as it stands in its order."""
    return {"id": number, "reason": "", "total": f"-{total}"} | fields


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads orders as one JSON list."""

    def to_parsed(*orders: Any, day: Any = BOUNDS, **given: Any) -> Any:
        path = write("orders.json", json.dumps(list(orders)))
        return read_export(path, setting(name="shop", format="woocommerce", **given), day)

    return to_parsed


def rows(parsed: Any, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the transactions, row by row."""
    return list(zip(*(parsed.tables["transactions"][c].to_pylist() for c in columns), strict=True))


def test_a_line_item_is_a_row(parse: Callable[..., Any]) -> None:
    """Every column; the amount is what the line cost after discounts and without tax."""
    parsed = parse(order(line_items=[item(quantity=2), item(id=316, sku="", product_id=94, total="4.25")]))
    assert parsed.tables["transactions"].to_pylist()[0] == {
        "order_id": "1001",
        "line_no": 1,
        "ts": datetime(2026, 6, 30, 8, 5, tzinfo=UTC),
        "available_at": None,
        "customer_id": "26",
        "email": "ann@example.com",
        "content_id": "ninja",
        "quantity": 2.0,
        "amount": 10.0,
        "currency": "EUR",
        "status": "completed",
        "row_number": 1,
    }
    assert rows(parsed, "line_no", "content_id", "amount") == [(1, "ninja", 10.0), (2, "94", 4.25)]
    assert parsed.notes == {}


def test_a_list_and_lines_are_alike(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Both ways to write a day's orders are read, and row numbers count orders."""
    source = setting(name="shop", format="woocommerce")
    orders = [order(), order(number="1002", line_items=[item(), item(sku="b")])]
    lines = read_export(write("orders.jsonl", "\n".join(map(json.dumps, orders))), source, BOUNDS)
    whole = read_export(write("orders.json", json.dumps(orders, indent=2)), source, BOUNDS)
    assert lines.tables["transactions"].equals(whole.tables["transactions"])
    assert rows(lines, "order_id", "line_no", "row_number") == [("1001", 1, 1), ("1002", 1, 2), ("1002", 2, 2)]


def test_ids_are_chosen_by_the_configuration(parse: Callable[..., Any]) -> None:
    """The order's id in place of its number, the product in place of the SKU, customers kept apart from the CRM's."""
    options = {"order": "id", "content": "product_id", "customer_prefix": "shop-"}
    parsed = parse(order(), order(id=728, line_items=[item(product_id=0)]), options=options)
    assert rows(parsed, "order_id", "content_id", "customer_id") == [("727", "93", "shop-26"), ("728", None, "shop-26")]
    with pytest.raises(ConfigurationError, match=r"options\.content must be .* found 'name'"):
        parse(order(), options={"content": "name"})


def test_a_guest_is_known_by_the_address_alone(parse: Callable[..., Any]) -> None:
    """Customer 0 is nobody, with or without a prefix; a guest without an address is refused."""
    guest = order(customer_id=0)
    parsed = parse(guest, order(customer_id=0, number="1002", billing=[]), options={"customer_prefix": "shop-"})
    assert rows(parsed, "customer_id", "email") == [(None, "ann@example.com")]
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [
        {"row_number": 2, "reason": "customer_id or email is missing"}
    ]


@pytest.mark.parametrize("status", ["pending", "failed", "cancelled", "checkout-draft", "trash", "on-hold"])
def test_money_that_never_came_is_no_revenue(status: str, parse: Callable[..., Any]) -> None:
    """The line is kept with its status and amount 0; a bank transfer is on hold until it is paid."""
    paid = None if status == "on-hold" else "2026-06-30T08:05:00"
    parsed = parse(order(status=status, date_paid_gmt=paid))
    assert rows(parsed, "status", "amount", "quantity") == [(status, 0.0, 1.0)]
    assert parsed.notes == {"orders_without_revenue": 1}


def test_a_plugins_status_can_be_translated(parse: Callable[..., Any]) -> None:
    """A status that WooCommerce does not know counts when it was paid, unless the configuration knows better."""
    assert rows(parse(order(status="shipped")), "status", "amount") == [("shipped", 10.0)]
    translated = parse(order(status="awaiting"), values={"status": {"awaiting": "pending"}})
    assert rows(translated, "status", "amount") == [("pending", 0.0)]


def test_a_refund_is_one_more_line(parse: Callable[..., Any]) -> None:
    """At the end of the file's day, about the order's first content, numbered by its own id."""
    parsed = parse(order(line_items=[item(), item(sku="b")], refunds=[refund(729, "7.50")]))
    assert rows(parsed, "line_no", "content_id", "quantity", "amount", "status") == [
        (1, "ninja", 1.0, 10.0, "completed"),
        (2, "b", 1.0, 10.0, "completed"),
        (1_000_729, "ninja", None, -7.5, "refunded"),
    ]
    assert rows(parsed, "ts")[2] == (LAST_MICROSECOND,)


def test_an_order_that_was_refunded_whole_is_worth_nothing(parse: Callable[..., Any]) -> None:
    """Tax and shipping come back to the shopper too, but were never counted."""
    parsed = parse(order(status="refunded", refunds=[refund(730, "7.00"), refund(729, "10.00")]))
    assert rows(parsed, "line_no", "amount") == [(1, 10.0), (1_000_729, -10.0), (1_000_730, 0.0)]


def test_a_refunded_order_of_an_earlier_day_is_only_its_refund(parse: Callable[..., Any]) -> None:
    """The purchase was counted on its day; here nothing but the refund, with the number that it has everywhere."""
    first = parse(order(refunds=[refund(729, "3.00")]))
    again = parse(order(refunds=[refund(731, "4.00"), refund(729, "3.00")]), day=NEXT)
    key = ("order_id", "line_no", "amount")
    assert rows(first, *key)[1:] == [("1001", 1_000_729, -3.0)]
    assert rows(again, *key) == [("1001", 1_000_729, -3.0), ("1001", 1_000_731, -4.0)]
    assert again.notes == {"orders_of_earlier_days": 1}


def test_a_refund_with_its_own_time_counts_on_its_day(parse: Callable[..., Any]) -> None:
    """What `/orders/<id>/refunds` says, put in by the exporter: yesterday's refund is not told again."""
    told = [
        {"id": 729, "amount": "3.00", "date_created_gmt": "2026-06-30T20:00:00"},
        {"id": 731, "amount": "4.00", "date_created_gmt": "2026-07-01T07:00:00"},
    ]
    parsed = parse(order(refunds=told), day=NEXT)
    assert rows(parsed, "line_no", "amount", "ts") == [(1_000_731, -4.0, datetime(2026, 7, 1, 7, tzinfo=UTC))]
    assert parsed.notes == {"orders_of_earlier_days": 1, "refunds_of_earlier_days": 1}


def test_an_order_that_is_paid_later_counts_when_it_is_paid(parse: Callable[..., Any]) -> None:
    """Created today and unpaid: amount 0; paid tomorrow: the same line with its worth."""
    today = parse(order(status="pending", date_paid_gmt=None))
    tomorrow = parse(order(date_paid_gmt="2026-07-01T09:00:00"), day=NEXT)
    assert rows(today, "order_id", "line_no", "amount") == [("1001", 1, 0.0)]
    assert rows(tomorrow, "order_id", "line_no", "amount") == [("1001", 1, 10.0)]


def test_an_order_that_only_changed_counts_nothing(parse: Callable[..., Any]) -> None:
    """Shipping an order of yesterday does not sell it again, nor does cancelling it without a refund."""
    parsed = parse(order(), order(number="1002", status="cancelled"), day=NEXT)
    assert rows(parsed, "order_id") == []
    assert parsed.notes == {"orders_of_earlier_days": 2}


def test_a_file_of_many_days_keeps_every_order(parse: Callable[..., Any]) -> None:
    """A refund is known when its order was last changed."""
    parsed = parse(order(refunds=[refund(729, "3.00")]), day=None)
    assert rows(parsed, "amount", "ts")[1] == (-3.0, datetime(2026, 6, 30, 9, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"line_items": None}, "line_items is not a list of objects"),
        ({"line_items": [item(total="ten")]}, "total is not a number"),
        ({"line_items": [item(total="NaN")]}, "total is not a number"),
        ({"line_items": [item(), item(quantity="many")]}, "quantity is not a number"),
        ({"refunds": [{"id": 3}]}, "amount is missing"),
        ({"refunds": [refund(0, "1.00")]}, "a refund's id is not a whole number of 31 bits"),
        ({"refunds": [refund("1e999999", "1.00")]}, "id is not a number"),
        ({"date_paid_gmt": "yesterday"}, "date_paid_gmt is not a time in the form iso8601"),
        ({"date_paid_gmt": None, "date_created_gmt": None}, "ts is missing"),
        ({"number": None, "id": None}, "order_id is missing"),
        ({"line_items": [item(total="1e400")]}, "total is not a number"),
    ],
)
def test_a_broken_order_is_refused_whole(broken: dict[str, Any], reason: str, parse: Callable[..., Any]) -> None:
    """No half orders; the others are read."""
    parsed = parse(order() | broken, "no object", order(number="1002"))
    assert rows(parsed, "order_id", "row_number") == [("1002", 3)]
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [
        {"row_number": 1, "reason": reason},
        {"row_number": 2, "reason": "is not a JSON object"},
    ]


def test_an_order_without_lines_is_told(parse: Callable[..., Any]) -> None:
    """A donation that is only a fee sells no content."""
    assert parse(order(line_items=[])).notes == {"orders_without_lines": 1}


def test_a_file_without_orders_is_refused_unless_that_is_normal(parse: Callable[..., Any]) -> None:
    """An empty list is what a failed export looks like."""
    with pytest.raises(ShortlistError, match="has no rows"):
        parse()
    assert rows(parse(options={"allow_empty": "true"}), "order_id") == []


cents = st.integers(0, 10_000_000)


@given(prices=st.lists(cents, min_size=1, max_size=5), refunded=st.lists(cents, max_size=4), data=st.data())
def test_an_orders_rows_sum_to_what_was_kept(
    prices: list[int],
    refunded: list[int],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    setting: Callable[..., Any],
) -> None:
    """Paid less refunded and never below nothing, in one file or told day by day, in whatever order refunds stand."""
    told = [refund(900 + i, str(Decimal(c) / 100)) for i, c in enumerate(refunded)]
    lines = [item(total=str(Decimal(c) / 100)) for c in prices]
    path, source = tmp_path_factory.mktemp("shop") / "orders.json", setting(name="shop", format="woocommerce")
    kept: dict[tuple[str, int], float] = {}
    for days in range(len(told) + 1):
        shuffled = data.draw(st.permutations(told[:days]))
        path.write_text(json.dumps([order(line_items=lines, refunds=shuffled)]))
        day = tuple(edge + timedelta(days=days) for edge in BOUNDS)
        parsed = read_export(path, source, day)
        new = {(o, n): amount for o, n, amount in rows(parsed, "order_id", "line_no", "amount")}
        assert {key: new[key] for key in new.keys() & kept.keys()} == {
            key: kept[key] for key in new.keys() & kept.keys()
        }
        kept |= new
    assert round(sum(kept.values()) * 100) == max(sum(prices) - sum(refunded), 0)
    assert len(kept) == len(prices) + len(refunded)
