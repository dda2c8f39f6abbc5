"""A payment of 12.34 EUR as each of Stripe's exports tells it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

PAID_AT = datetime(2026, 6, 30, 8, 5, tzinfo=UTC)
REFUNDED_AT = datetime(2026, 6, 30, 19, 30, tzinfo=UTC)


def report(*rows: Mapping[str, Any]) -> str:
    """An itemized balance report of these movements, each a charge of 12.34 EUR unless it says otherwise."""
    charge = {
        "balance_transaction_id": "txn_1",
        "created_utc": "2026-06-30 08:05:00",
        "created": "2026-06-30 10:05:00",
        "currency": "eur",
        "gross": "12.34",
        "fee": "0.61",
        "net": "11.73",
        "reporting_category": "charge",
        "source_id": "ch_1",
        "description": "Ann Lee, Main St 1",
        "customer_id": "cus_1",
        "customer_email": "Ann@Example.com ",
        "customer_name": "Ann Lee",
        "charge_id": "ch_1",
        "payment_intent_id": "pi_1",
        "payment_metadata[order_id]": "",
        "payment_metadata[customer_id]": "",
        "payment_metadata[sku]": "c1",
        "payment_metadata[plan]": "gold",
    }
    return _csv([charge | row for row in rows])


def movement(number: int, category: str, gross: str, **cells: str) -> dict[str, str]:
    """A later movement of the same payment."""
    own = {"balance_transaction_id": f"txn_{number}", "reporting_category": category, "gross": gross}
    return {**own, "source_id": f"re_{number}", "created_utc": "2026-06-30 19:30:00", **cells}


def payments(*rows: Mapping[str, Any]) -> str:
    """The Dashboard's export of these payments, each of 12.34 EUR unless it says otherwise."""
    payment = {
        "id": "ch_1",
        "Created date (UTC)": "2026-06-30 08:05:00",
        "Amount": "12.34",
        "Amount Refunded": "0.00",
        "Currency": "eur",
        "Captured": "true",
        "Description": "Ann Lee",
        "PaymentIntent ID": "pi_1",
        "Refunded date (UTC)": "",
        "Status": "Paid",
        "Card Name": "Ann Lee",
        "Customer ID": "cus_1",
        "Customer Email": "ann@example.com",
        "sku (metadata)": "c1",
    }
    return _csv([payment | row for row in rows])


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def charge(**fields: Any) -> dict[str, Any]:
    """A charge of 12.34 EUR as the API writes it."""
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": 1234,
        "amount_captured": 1234,
        "amount_refunded": 0,
        "balance_transaction": "txn_1",
        "billing_details": {"email": "ann@example.com", "name": "Ann Lee", "phone": "+1 5"},
        "captured": True,
        "created": int(PAID_AT.timestamp()),
        "currency": "eur",
        "customer": "cus_1",
        "metadata": {"sku": "c1"},
        "paid": True,
        "payment_intent": "pi_1",
        "receipt_email": None,
        "status": "succeeded",
    } | fields


def balance(**fields: Any) -> dict[str, Any]:
    """The balance transaction of that charge, expanded."""
    return {
        "id": "txn_1",
        "object": "balance_transaction",
        "amount": 1234,
        "created": int(PAID_AT.timestamp()),
        "currency": "eur",
        "fee": 61,
        "net": 1173,
        "reporting_category": "charge",
        "source": charge(),
        "type": "charge",
    } | fields


def refund(number: int, amount: int, **fields: Any) -> dict[str, Any]:
    """A refund as it stands in its charge."""
    made = int(REFUNDED_AT.timestamp())
    return {"id": f"re_{number}", "object": "refund", "amount": amount, "created": made, "status": "succeeded"} | fields
