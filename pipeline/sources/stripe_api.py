"""Stripe's API objects, balance transactions or charges, as movements of money."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources.delimited import Broken, Part
from pipeline.sources.export import FILE_ROW, Settings, require_rows
from pipeline.sources.load import json_objects, plain_text, strings

MOVEMENT = (
    *("movement_id", "ts", "currency", "amount", "category", "source_id", "charge_id", "payment_intent_id"),
    *("order_id", "customer_id", "stripe_customer_id", "email", "content_id", "reappears"),
)
"""What all of Stripe's exports are brought into, as text: one row a movement of money.

`reappears` is true of payments, which are exported again whenever they change, and null of balance transactions.
"""

METADATA: Mapping[str, Sequence[str]] = {
    "order_id": ("order_id",),
    "customer_id": ("customer_id",),
    "content_id": ("content_id", "sku", "product_id"),
}
"""Ours -> the keys of a payment's metadata, of which the first that is there counts."""

UNPAID = "unpaid"
"""The category of payments that brought nothing."""

REFUND_OF = "refund of "
"""Before the id of a payment: the id of the sum of its refunds."""

_Movement = dict[str, str | None]


def parts(path: Path, source: Settings) -> Iterator[Part]:
    """Objects of the API as movements; ShortlistError where both kinds are in one file."""
    keys, broken, kinds, count = _metadata_keys(source), Broken(), set[str](), 0
    for part in json_objects(path, source, broken):
        count += len(part)
        rows: list[tuple[int, _Movement]] = []
        for number, raw in part:
            kinds.add(kind := str(raw.get("object")))
            rows += [(number, movement) for movement in _movements(kind, number, raw, keys, broken)]
        if kinds >= {"balance_transaction", "charge"}:
            raise ShortlistError(
                f"{source.name}: {path} holds balance transactions and charges, which tell of the same money twice; "
                "export one of the two."
            )
        yield _table(rows), Broken(broken.rows, broken.reasons)
        count += len(broken.rows)
        broken.rows, broken.reasons = [], []
    if count == 0:
        yield _table([]), Broken()
    require_rows(path, source, count)


def _metadata_keys(source: Settings) -> Mapping[str, Sequence[str]]:
    """`METADATA`, with the keys that the configuration names."""
    mapped = {ours: re.fullmatch(r"payment_metadata\[(.+)\]", theirs) for ours, theirs in source.columns.items()}
    wrong = [ours for ours, key in mapped.items() if key is None or ours not in METADATA]
    if wrong:
        raise ConfigurationError(
            f"{source.name}: the API names its fields itself: [sources.columns] may give {', '.join(METADATA)} as "
            f'"payment_metadata[<key>]", but not {wrong[0]} = {source.columns[wrong[0]]!r}.'
        )
    return {**METADATA, **{ours: (key[1],) for ours, key in mapped.items() if key}}


def _table(rows: Sequence[tuple[int, _Movement]]) -> pa.Table:
    columns = {ours: strings(movement.get(ours) for _, movement in rows) for ours in MOVEMENT}
    return pa.table({**columns, FILE_ROW: pa.array([number for number, _ in rows], pa.int64())})


def _movements(
    kind: str, number: int, raw: Mapping[str, Any], keys: Mapping[str, Sequence[str]], broken: Broken
) -> Sequence[_Movement]:
    """An object of the API as movements of money; what cannot be read goes to `broken`."""
    if kind == "balance_transaction":
        return [_of_balance(raw, keys)]
    if kind != "charge":
        broken.add(number, "object is neither balance_transaction nor charge")
    elif _object(raw.get("refunds")).get("has_more"):
        broken.add(number, "refunds are listed only in part (has_more); export all of them, or none")
    else:
        return _of_charge(raw, keys)
    return []


def _of_balance(raw: Mapping[str, Any], keys: Mapping[str, Sequence[str]]) -> _Movement:
    """The source is an id, or, expanded, a charge, or a refund or dispute with its charge (an id, or expanded too)."""
    source = _object(raw.get("source"))
    charge = source if source.get("object") == "charge" else _object(source.get("charge"))
    return {
        **_payment(charge, keys),
        "movement_id": _text(raw.get("id")),
        "ts": _text(raw.get("created")),
        "currency": _text(raw.get("currency")),
        "amount": _text(raw.get("amount")),
        "category": _text(raw.get("reporting_category")),
        "source_id": _id(raw.get("source")),
        "charge_id": _id(charge) or _id(source.get("charge")),
        "payment_intent_id": _id(source.get("payment_intent")) or _id(charge.get("payment_intent")),
    }


def _of_charge(raw: Mapping[str, Any], keys: Mapping[str, Sequence[str]]) -> Sequence[_Movement]:
    """A charge and its refunds: each where they are listed, else their sum. An authorization that ends is no refund."""
    paid = raw.get("status") == "succeeded" and raw.get("captured") is not False
    common = {
        **_payment(raw, keys),
        "charge_id": _id(raw),
        "payment_intent_id": _id(raw.get("payment_intent")),
        "currency": _text(raw.get("currency")),
        "reappears": "true",
    }
    charge = {
        **common,
        "movement_id": _id(raw),
        "ts": _text(raw.get("created")),
        "amount": _text(raw.get("amount_captured", raw.get("amount"))),
        "category": "charge" if paid else UNPAID,
    }
    refunds = [{**common, "category": "refund", **refund} for refund in _refunds(raw)] if paid else []
    return [charge, *refunds]


def _refunds(charge: Mapping[str, Any]) -> Sequence[_Movement]:
    listed_ones = _object(charge.get("refunds")).get("data") or []
    if listed_ones:
        return [
            {"movement_id": _id(one), "ts": _text(one.get("created")), "amount": f"-{_text(one.get('amount'))}"}
            for one in map(_object, listed_ones)
            if one.get("status") not in ("failed", "canceled")
        ]
    if charge.get("amount_refunded") in (None, 0):
        return []
    return [{"movement_id": f"{REFUND_OF}{_id(charge)}", "amount": f"-{_text(charge['amount_refunded'])}"}]


def _payment(charge: Mapping[str, Any], keys: Mapping[str, Sequence[str]]) -> _Movement:
    """Who paid for what: the charge's metadata, or those of its intent where that is expanded."""
    intent, customer = _object(charge.get("payment_intent")), _object(charge.get("customer"))
    metadata = {**_object(intent.get("metadata")), **_object(charge.get("metadata"))}
    emails = (customer.get("email"), _object(charge.get("billing_details")).get("email"), charge.get("receipt_email"))
    return {
        **{
            ours: next((_text(metadata[key]) for key in names if key in metadata), None) for ours, names in keys.items()
        },
        "stripe_customer_id": _id(charge.get("customer")),
        "email": next((_text(email) for email in emails if email), None),
    }


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _id(value: Any) -> str | None:
    """Of an object, or of what stands for it."""
    return _text(value.get("id") if isinstance(value, dict) else value)


def _text(value: Any) -> str | None:
    return plain_text(value) or None
