"""Stripe's payments in three forms, told apart by the file: a report, the Dashboard's export, and the API's objects.

* `balance_change_from_activity.itemized.3` (CSV, major units) is the best: every charge, refund and dispute has its own
  row and time. Ask for the columns `charge_id`, `payment_intent_id`, `customer_id`, `customer_email` and
  `payment_metadata[…]`, which are not there by default. Amounts are in the currency that Stripe settles in.
* The Dashboard's Payments export (CSV, major units, the currency that was paid): what came back is a sum on its
  payment, and disputes are not in it.
* The API (`.json`, `.jsonl`, minor units): balance transactions, with `expand[]=data.source` and, for refunds,
  `expand[]=data.source.charge` (without these nobody's name is on them), or charges, refunds expanded or not. Not both
  in one file: they tell of the same money.

What counts:

* Charges bring money; refunds, disputes and reversed captures take it back; won disputes and failed refunds return it,
  all with the sign that Stripe gives them, tax and shipping included. Payouts, fees and transfers are left out, as are
  payments that failed or were not captured.
* `order_id` is the payment's metadata `order_id`, else the payment intent, the charge, or whatever else was the source;
  `content_id` its metadata `content_id`, `sku` or `product_id`; `customer_id` its metadata `customer_id`, else Stripe's
  own (`cus_…`). [sources.columns] can name others, such as `content_id = "payment_metadata[plan]"`.
* `line_no` is a hash of Stripe's id of the movement: an order can have several charges and refunds, in the files of
  different days, and none of them may take another's number or change its own when it is exported again.
* A payment (not a report's row) is exported again when it changes. One made before its file's day was counted then:
  here it yields its refunds and nothing else. A refund that is only a sum has one line for all of it, and where it has
  no time either, the last microsecond of its file's day, or the latest time in a file without a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import convert, sql, stripe_api
from pipeline.sources.convert import Cell, Origin
from pipeline.sources.delimited import Part
from pipeline.sources.export import (
    FILE_ROW,
    Bounds,
    Known,
    Parsed,
    Settings,
    counted,
    listed,
    require_columns,
)
from pipeline.sources.load import delimited_parts
from pipeline.sources.spooled import spooled
from pipeline.sources.stripe_api import METADATA, MOVEMENT, REFUND_OF, UNPAID

TABLES = ("transactions",)

_REPORT: Mapping[str, tuple[str, ...]] = {
    "movement_id": ("balance_transaction_id",),
    "ts": ("created_utc",),
    "currency": ("currency",),
    "amount": ("gross",),
    "category": ("reporting_category",),
    "source_id": ("source_id",),
    "charge_id": ("charge_id",),
    "payment_intent_id": ("payment_intent_id",),
    "stripe_customer_id": ("customer_id",),
    "email": ("customer_email",),
    **{ours: tuple(f"payment_metadata[{key}]" for key in keys) for ours, keys in METADATA.items()},
}
_PAYMENTS: Mapping[str, tuple[str, ...]] = {
    "movement_id": ("id",),
    "ts": ("Created date (UTC)", "Created (UTC)"),
    "currency": ("Currency",),
    "amount": ("Amount",),
    "refunded": ("Amount Refunded",),
    "status": ("Status",),
    "captured": ("Captured",),
    "refunded_at": ("Refunded date (UTC)",),
    "payment_intent_id": ("PaymentIntent ID",),
    "stripe_customer_id": ("Customer ID",),
    "email": ("Customer Email",),
    **{ours: tuple(f"{key} (metadata)" for key in keys) for ours, keys in METADATA.items()},
}
_REPORT_NEEDS = ("movement_id", "ts", "currency", "amount", "category")
_PAYMENT_NEEDS = ("movement_id", "ts", "currency", "amount", "refunded", "status")
_WHO = ("customer_id", "stripe_customer_id", "email")

_STATUS = {
    "charge": "paid",
    "refund": "refunded",
    "partial_capture_reversal": "not_captured",
    "charge_failure": "failed",
    "refund_failure": "refund_failed",
    "dispute": "disputed",
    "dispute_reversal": "dispute_won",
}
"""The reporting categories that are about payments -> the row's status."""

_UNKNOWN = "unknown"
"""The category of payments whose status we do not know."""

_PAID_WORDS = r"paid|succeeded|(partial(ly)? )?refund(ed)?( pending| failed)?|disputed?( .*)?|early fraud warning"
_UNPAID_WORDS = r"failed|pending|processing|cancell?ed|uncaptured|blocked|incomplete|expired|requires .*"
_NO_STATUS = "status is none that we know; translate it to Paid or Failed under [sources.values]"

_WHOLE = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD JOD KWD OMR TND"
_MINOR = {**dict.fromkeys(_WHOLE.split(), "1"), **dict.fromkeys(_THOUSANDTHS.split(), "1000")}
"""Minor units in a unit where they are not 100 (docs.stripe.com/currencies). ISK and UGX have none, but the API counts
them in hundredths all the same."""


def known(source: Settings) -> Known:
    """Any column may be called otherwise; statuses of the Dashboard can be translated."""
    columns = list({**_REPORT, **_PAYMENTS})
    return Known(columns, values=["status"], options=["allow_empty", "decimal", "delimiter"])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """Movements of money as `transactions`; `notes` count what is no payment, brought nothing or was counted before."""
    is_api = any(ending in (".json", ".jsonl", ".ndjson") for ending in path.suffixes)
    parts = stripe_api.parts(path, source) if is_api else _of_csv(path, source)
    with spooled(parts, lambda raw: _cells(raw, source, is_api=is_api)) as whole:
        whole.con.execute(_judged(bounds))
        yield from whole.parsed("transactions", path, _counting(bounds), counted(**whole.counts(_NOTES)))


def _of_csv(path: Path, source: Settings) -> Iterator[Part]:
    for raw, broken in delimited_parts(path, source, lambda found: _needed(path, source, found)):
        mapping = _mapping(path, source, raw.column_names)
        texts = {ours: convert.text_of(convert.origin(raw, theirs)) for ours, theirs in mapping.items()}
        texts["row"] = convert.origin(raw, FILE_ROW).value
        rows = _of_payments(texts, source) if "status" in mapping else [_select(texts, "true")]
        with sql.connection(raw=convert.by_position(raw)) as con:
            yield con.sql(" UNION ALL ".join(rows)).to_arrow_table(), broken


def _select(texts: Mapping[str, str], where: str) -> str:
    """The rows of a CSV as movements, from SQL texts by our names."""
    cells = ", ".join(f"CAST({texts.get(ours, 'NULL')} AS VARCHAR) AS {ours}" for ours in MOVEMENT)
    return f"SELECT {cells}, {texts['row']} AS {sql.name(FILE_ROW)} FROM raw WHERE {where}"


def _of_payments(texts: Mapping[str, str], source: Settings) -> Sequence[str]:
    """Each payment of the Dashboard's export, and what came back of it."""
    category, refunded = _category(texts, source), f"trim({texts['refunded']})"
    back = {
        "movement_id": f"{sql.text(REFUND_OF)} || {texts['movement_id']}",
        "ts": texts.get("refunded_at", "NULL"),
        "amount": f"'-' || {refunded}",
        "category": "'refund'",
    }
    payment = {**texts, "category": category, "reappears": "true"}
    some = f"{category} = 'charge' AND NOT regexp_full_match({refunded}, '[0.,]*')"
    return [_select(payment, "true"), _select({**payment, **back}, some)]


def _category(texts: Mapping[str, str], source: Settings) -> str:
    status = f"lower(trim({sql.mapped(texts['status'], source.values.get('status', {}))}))"
    captured = convert.yes_no(texts["captured"]).value if "captured" in texts else "true"
    return f"""
        CASE WHEN NOT coalesce({captured}, true) OR regexp_full_match({status}, '{_UNPAID_WORDS}') THEN '{UNPAID}'
             WHEN regexp_full_match({status}, '{_PAID_WORDS}') THEN 'charge' ELSE '{_UNKNOWN}' END
    """


def _needed(path: Path, source: Settings, found: Sequence[str]) -> list[str]:
    """Their columns to read; ShortlistError when one is missing, or none says who paid."""
    mapping = _mapping(path, source, found)
    names, needed = (_PAYMENTS, _PAYMENT_NEEDS) if "status" in mapping else (_REPORT, _REPORT_NEEDS)
    require_columns(path, source, found, {**{ours: names[ours][0] for ours in needed}, **mapping})
    if not {*_WHO} & {*mapping}:
        raise ShortlistError(
            f"{source.name}: {path} does not say who paid: expected {' or '.join(names[ours][0] for ours in _WHO)}; it "
            f"has: {listed(found)}. Export it again with one of these columns."
        )
    return list(dict.fromkeys(mapping.values()))


def _mapping(path: Path, source: Settings, found: Sequence[str]) -> dict[str, str]:
    """Ours -> theirs, for what the file has (a report has categories, payments have a status) and the configuration."""
    for names, mark in ((_REPORT, "category"), (_PAYMENTS, "status")):
        known = {ours: next((name for name in theirs if name in found), None) for ours, theirs in names.items()}
        mapping = {**{ours: theirs for ours, theirs in known.items() if theirs is not None}, **source.columns}
        if mark in mapping:
            return mapping
    raise ShortlistError(
        f"{source.name}: {path} is neither an itemized balance report (no column reporting_category) nor the "
        f"Dashboard's Payments export (no column Status); it has: {listed(found)}. Export one of these."
    )


def _cells(raw: pa.Table, source: Settings, *, is_api: bool) -> Mapping[str, Cell]:
    texts = {ours: f"nullif(trim({convert.origin(raw, ours).value}), '')" for ours in MOVEMENT}
    ids = ("order_id", "payment_intent_id", "charge_id", "source_id", "movement_id")
    form = "unix_seconds" if is_api else source.timestamp or convert.ISO
    known_status = f"{texts['category']} IS DISTINCT FROM '{_UNKNOWN}'"
    return {
        "order_id": Cell(f"coalesce({', '.join(texts[name] for name in ids)})"),
        "line_no": _line_no(texts["movement_id"]),
        "ts": convert.instant("ts", Origin(texts["ts"], pa.string()), form),
        "customer_id": Cell(f"coalesce({texts['customer_id']}, {texts['stripe_customer_id']})"),
        "email": Cell(f"lower({texts['email']})"),
        "content_id": Cell(texts["content_id"]),
        "amount": _amount(texts, source, is_api=is_api),
        "currency": Cell(f"upper({texts['currency']})"),
        "category": Cell(texts["category"], f"{texts['category']} IS NULL", "reporting_category is missing"),
        "reappears": Cell(f"{texts['reappears']} IS NOT NULL", f"NOT ({known_status})", _NO_STATUS),
    }


def _line_no(movement: str) -> Cell:
    """A whole number of 31 bits, above 0."""
    number = f"CAST(1 + CAST('0x' || substr(md5({movement}), 1, 12) AS BIGINT) % 2147483647 AS INTEGER)"
    return Cell(number, f"{movement} IS NULL", "its id is missing")


def _amount(texts: Mapping[str, str], source: Settings, *, is_api: bool) -> Cell:
    """In units of the currency, whether the file has them or minor units."""
    decimal = source.options.get("decimal", ".")
    if decimal not in (".", ","):
        raise ConfigurationError(f'{source.name}: options.decimal must be "." or ",", found {decimal!r}.')
    if not is_api:
        text = texts["amount"] if decimal == "." else f"replace(replace({texts['amount']}, '.', ''), ',', '.')"
        return convert.number("amount", text)
    minor = convert.number("amount", texts["amount"])
    units = sql.lookup(f"upper({texts['currency']})", _MINOR)
    broken = f"{minor.broken} OR {texts['currency']} IS NULL"
    return Cell(
        f"{minor.value} / coalesce(CAST({units} AS DOUBLE), 100)", broken, "amount is not a number, or of no currency"
    )


def _judged(bounds: Bounds | None) -> str:
    """Every movement that can be read, and, where it does not count here, the note that says so.

    No half payments: where the payment itself is refused, so are its refunds.
    """
    first = "NULL::BIGINT" if bounds is None else str(bounds[0])
    return f"""
        CREATE TEMP TABLE judged AS
        SELECT *, CASE
            WHEN category = '{UNPAID}' THEN 'payments_without_revenue'
            WHEN category NOT IN {tuple(_STATUS)} THEN 'not_payments'
            WHEN reappears AND epoch_us(ts) < {first} THEN
                CASE category WHEN 'charge' THEN 'payments_of_earlier_days' ELSE 'refunds_of_earlier_days' END
        END AS left_out
        FROM spooled
        WHERE refusal IS NULL AND row_number NOT IN (SELECT row_number FROM spooled WHERE refusal IS NOT NULL)
    """


def _counting(bounds: Bounds | None) -> str:
    """The rows that count; a sum of refunds without a time has been known since the end of the file's day."""
    latest = "(SELECT max(ts) FROM judged)" if bounds is None else f"make_timestamptz({bounds[1] - 1})"
    return f"""
        SELECT * REPLACE (CASE WHEN reappears AND category = 'refund' THEN coalesce(ts, {latest}) ELSE ts END AS ts),
               {sql.lookup("category", _STATUS)} AS status
        FROM judged WHERE left_out IS NULL ORDER BY row_number, category
    """


_LEFT_OUT = ("not_payments", "payments_without_revenue", "payments_of_earlier_days", "refunds_of_earlier_days")
_NOTES = f"SELECT {', '.join(f'count(*) FILTER (left_out = {sql.text(n)}) AS {n}' for n in _LEFT_OUT)} FROM judged"
