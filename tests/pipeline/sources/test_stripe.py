"""Stripe's movements of money: three forms that say the same, minor units, and numbers that never change."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import read_export
from tests.examples import examples
from tests.pipeline.sources.stripe_money import (
    PAID_AT,
    REFUNDED_AT,
    balance,
    charge,
    movement,
    payments,
    refund,
    report,
)

DAY = datetime(2026, 6, 30, tzinfo=UTC)
BOUNDS = (DAY, DAY + timedelta(days=1))
NEXT = (BOUNDS[1], BOUNDS[1] + timedelta(days=1))


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads a CSV (text) or the API's objects (one a line)."""

    def to_parsed(*exported: Any, day: Any = BOUNDS, **given: Any) -> Any:
        is_csv = isinstance(exported[0], str)
        text = exported[0] if is_csv else "\n".join(map(json.dumps, exported))
        path = write("payments.csv" if is_csv else "payments.jsonl", text)
        return read_export(path, setting(name="money", format="stripe", **given), day)

    return to_parsed


def rows(parsed: Any, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the transactions, row by row."""
    return list(zip(*(parsed.tables["transactions"][c].to_pylist() for c in columns), strict=True))


def test_one_payment_is_the_same_in_every_form(parse: Callable[..., Any]) -> None:
    """Report, Dashboard, balance transaction and charge differ in the number of the line alone."""
    forms = [parse(report({})), parse(payments({})), parse(balance()), parse(charge())]
    found = [parsed.tables["transactions"].to_pylist()[0] for parsed in forms]
    assert [row | {"line_no": 0} for row in found] == 4 * [
        {
            "order_id": "pi_1",
            "line_no": 0,
            "ts": PAID_AT,
            "available_at": None,
            "customer_id": "cus_1",
            "email": "ann@example.com",
            "content_id": "c1",
            "quantity": None,
            "amount": 12.34,
            "currency": "EUR",
            "status": "paid",
            "row_number": 1,
        }
    ]
    assert [row["line_no"] for row in found] == [found[0]["line_no"], found[1]["line_no"]] * 2
    assert [parsed.notes for parsed in forms] == [{}] * 4


PLACES = {"EUR": 2, "usd": 2, "jpy": 0, "KRW": 0, "kwd": 3, "BHD": 3, "isk": 2, "ugx": 2}


@settings(max_examples=examples(8))
@given(data=st.data(), minor=st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=30))
def test_minor_and_major_units_are_the_same_money(
    data: st.DataObject, minor: list[int], tmp_path_factory: pytest.TempPathFactory, setting: Callable[..., Any]
) -> None:
    """To the last bit, in currencies of no, two and three places, and in the two that Stripe counts otherwise."""
    currencies = [data.draw(st.sampled_from(sorted(PLACES))) for _ in minor]
    objects, cells = [], []
    for number, (amount, currency) in enumerate(zip(minor, currencies, strict=True)):
        major = f"{Decimal(amount).scaleb(-PLACES[currency]):f}"
        objects.append(balance(id=f"txn_{number}", amount=amount, currency=currency))
        cells.append({"balance_transaction_id": f"txn_{number}", "gross": major, "currency": currency})
    folder, source = tmp_path_factory.mktemp("stripe"), setting(name="money", format="stripe")
    (folder / "api.jsonl").write_text("\n".join(map(json.dumps, objects)))
    (folder / "report.csv").write_text(report(*cells))
    api, csv_ = (read_export(folder / name, source).tables["transactions"] for name in ("api.jsonl", "report.csv"))
    assert api.num_rows == len(minor)
    assert api.equals(csv_)


@pytest.mark.parametrize(
    ("currency", "amount"), [("eur", 12.34), ("jpy", 1234.0), ("kwd", 1.234), ("isk", 12.34), ("ugx", 12.34)]
)
def test_what_1234_minor_units_are(currency: str, amount: float, parse: Callable[..., Any]) -> None:
    """A yen has no parts, a dinar a thousand fils; krona and shilling are counted in hundredths they do not have."""
    assert rows(parse(charge(currency=currency)), "amount") == rows(parse(balance(currency=currency)), "amount")
    assert rows(parse(charge(currency=currency)), "amount", "currency") == [(amount, currency.upper())]


def test_every_movement_has_its_sign_and_its_line(parse: Callable[..., Any]) -> None:
    """Refunds, disputes and what undoes them, each under its own number in one order; the rest is left out."""
    categories = {
        "refund": "-3.00",
        "refund_failure": "3.00",
        "dispute": "-9.34",
        "dispute_reversal": "9.34",
        "partial_capture_reversal": "-1.00",
        "charge_failure": "-2.00",
        "payout": "-100.00",
        "fee": "-0.50",
        "transfer": "-7.00",
        "something_new": "1.00",
    }
    later = [movement(i, category, gross) for i, (category, gross) in enumerate(categories.items(), start=2)]
    parsed = parse(report({}, *later))
    assert rows(parsed, "amount", "status") == [
        (12.34, "paid"),
        (-3.0, "refunded"),
        (3.0, "refund_failed"),
        (-9.34, "disputed"),
        (9.34, "dispute_won"),
        (-1.0, "not_captured"),
        (-2.0, "failed"),
    ]
    assert set(rows(parsed, "order_id")) == {("pi_1",)}
    assert len(set(rows(parsed, "line_no"))) == 7
    assert parsed.notes == {"not_payments": 4}
    assert rows(parsed, "ts")[1] == (REFUNDED_AT,)


def test_what_the_order_and_the_customer_are_called(parse: Callable[..., Any]) -> None:
    """The company's own ids before Stripe's, and of Stripe's the widest that is there."""
    own = {"payment_metadata[order_id]": "A-17", "payment_metadata[customer_id]": "7"}
    without = {"payment_intent_id": "", "customer_id": ""}
    given = [own, {}, without, {**without, "charge_id": ""}, {**without, "charge_id": "", "source_id": ""}]
    parsed = parse(report(*({"balance_transaction_id": f"txn_{i}", **row} for i, row in enumerate(given))))
    assert rows(parsed, "order_id", "customer_id") == [
        ("A-17", "7"),
        ("pi_1", "cus_1"),
        ("ch_1", None),
        ("ch_1", None),
        ("txn_4", None),
    ]


def test_two_charges_of_one_order_do_not_hide_each_other(parse: Callable[..., Any]) -> None:
    """A deposit and the rest, paid on different days under the company's one order id."""
    order = {"payment_metadata[order_id]": "A-17"}
    deposit = parse(report(order))
    rest = parse(report(order | {"balance_transaction_id": "txn_2", "created_utc": "2026-07-01 08:00:00"}), day=NEXT)
    assert rows(deposit, "order_id") == rows(rest, "order_id")
    assert rows(deposit, "line_no") != rows(rest, "line_no")


@pytest.mark.parametrize("form", ["report", "balance"])
def test_other_metadata_can_be_meant(form: str, parse: Callable[..., Any]) -> None:
    """The configuration names the same key for a report and for the API."""
    columns = {"content_id": "payment_metadata[plan]"}
    source = charge(metadata={"sku": "c1", "plan": "gold"})
    parsed = parse(report({}), columns=columns) if form == "report" else parse(balance(source=source), columns=columns)
    assert rows(parsed, "content_id") == [("gold",)]


def test_the_api_cannot_be_mapped_otherwise(parse: Callable[..., Any]) -> None:
    """A mapping that would be ignored is an error."""
    with pytest.raises(ConfigurationError, match="but not amount = 'total'"):
        parse(balance(), columns={"amount": "total"})
    with pytest.raises(ShortlistError, match="no column 'plan', which holds `content_id`"):
        parse(report({}), columns={"content_id": "plan"})


def test_an_expanded_refund_belongs_to_its_charge(parse: Callable[..., Any]) -> None:
    """Who paid is on the charge; where only ids are, nobody's name is, and the row is refused."""
    source = {"id": "re_1", "object": "refund", "charge": charge(), "payment_intent": "pi_1", "metadata": {"sku": "x"}}
    expanded = balance(id="txn_2", amount=-500, reporting_category="refund", source=source)
    bare = balance(id="txn_3", amount=-500, reporting_category="refund", source="re_1")
    parsed = parse(balance(), expanded, bare)
    columns = ("order_id", "customer_id", "email", "content_id", "amount", "status")
    assert rows(parsed, *columns)[1] == ("pi_1", "cus_1", "ann@example.com", "c1", -5.0, "refunded")
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [
        {"row_number": 3, "reason": "customer_id or email is missing"}
    ]


@pytest.mark.parametrize(
    "failed",
    [
        {"Status": "Failed"},
        {"Status": "Pending"},
        {"Status": "Requires payment method"},
        {"Captured": "false"},
        {"Status": "Refunded", "Captured": "false", "Amount Refunded": "12.34"},
    ],
)
def test_payments_that_brought_nothing_are_left_out(failed: dict[str, str], parse: Callable[..., Any]) -> None:
    """Failed, not captured, or an authorization that was given back: no sale and no refund."""
    parsed = parse(payments({"id": "ch_0"}, failed))
    assert rows(parsed, "row_number", "amount") == [(1, 12.34)]
    assert parsed.notes == {"payments_without_revenue": 1}


@pytest.mark.parametrize(
    "failed", [{"status": "failed"}, {"status": "pending"}, {"captured": False, "amount_refunded": 1234}]
)
def test_charges_that_brought_nothing_are_left_out(failed: dict[str, Any], parse: Callable[..., Any]) -> None:
    """The same in the API's words."""
    parsed = parse(charge(id="ch_0"), charge(**failed))
    assert rows(parsed, "row_number", "amount") == [(1, 12.34)]
    assert parsed.notes == {"payments_without_revenue": 1}


def test_a_status_that_nobody_knows_is_refused(parse: Callable[..., Any]) -> None:
    """Whether money came is not guessed; the configuration can say."""
    parsed = parse(payments({"Status": "Bezahlt"}))
    assert parsed.rejected["reason"].to_pylist() == [
        "status is none that we know; translate it to Paid or Failed under [sources.values]"
    ]
    translated = parse(payments({"Status": "Bezahlt"}), values={"status": {"Bezahlt": "Paid"}})
    assert rows(translated, "amount") == [(12.34,)]


def test_a_sum_of_refunds_is_one_line(parse: Callable[..., Any]) -> None:
    """At its time where there is one, else at the end of the file's day, in the Dashboard's export as in the API's."""
    timed = parse(payments({"Amount Refunded": "5.00", "Refunded date (UTC)": "2026-06-30 19:30:00"}))
    untimed = parse(payments({"Amount Refunded": "5.00"}))
    from_api = parse(charge(amount_refunded=500))
    end = BOUNDS[1] - timedelta(microseconds=1)
    assert rows(timed, "amount", "status", "ts") == [(12.34, "paid", PAID_AT), (-5.0, "refunded", REFUNDED_AT)]
    assert rows(untimed, "amount", "ts") == rows(from_api, "amount", "ts") == [(12.34, PAID_AT), (-5.0, end)]
    assert rows(untimed, "line_no") == rows(from_api, "line_no") == rows(timed, "line_no")
    whole = parse(
        payments({"Amount Refunded": "5.00"}, {"id": "ch_2", "Created date (UTC)": "2026-07-03 10:00"}), day=None
    )
    assert rows(whole, "ts")[1] == (datetime(2026, 7, 3, 10, tzinfo=UTC),)


def test_a_payment_that_is_refused_takes_its_refunds_along(parse: Callable[..., Any]) -> None:
    """No order that is only a refund because its sale could not be read."""
    parsed = parse(payments({"Created date (UTC)": "yesterday", "Amount Refunded": "5.00"}))
    assert rows(parsed, "amount") == []
    assert parsed.rejected["reason"].to_pylist() == ["ts is not a time in the form iso8601"]


def test_listed_refunds_have_their_own_times_and_lines(parse: Callable[..., Any]) -> None:
    """Those that failed took nothing back; a list that is cut off is refused with its charge."""
    listed = {"data": [refund(2, 100), refund(3, 200), refund(4, 400, status="failed")], "has_more": False}
    parsed = parse(charge(amount_refunded=300, refunds=listed))
    assert rows(parsed, "amount", "ts") == [(12.34, PAID_AT), (-1.0, REFUNDED_AT), (-2.0, REFUNDED_AT)]
    cut_off = parse(charge(amount_refunded=300, refunds={"data": [refund(2, 100)], "has_more": True}))
    assert rows(cut_off, "amount") == []
    assert cut_off.rejected["reason"].to_pylist() == [
        "refunds are listed only in part (has_more); export all of them, or none"
    ]


@pytest.mark.parametrize("form", ["dashboard", "api"])
def test_a_payment_of_an_earlier_day_is_only_its_refund(form: str, parse: Callable[..., Any]) -> None:
    """The sale was counted on its day, and so was what came back before today."""

    def of(day: Any) -> Any:
        if form == "dashboard":
            back = {"Amount Refunded": "5.00", "Refunded date (UTC)": "2026-06-30 19:30:00"}
            return parse(payments(back, {"id": "ch_2", "Amount Refunded": "1.00"}), day=day)
        return parse(charge(refunds={"data": [refund(2, 500)]}), charge(id="ch_2", amount_refunded=100), day=day)

    today, again = of(BOUNDS), of(NEXT)
    assert rows(today, "amount") == [(12.34,), (-5.0,), (12.34,), (-1.0,)]
    assert rows(again, "amount") == [(-1.0,)]
    assert rows(again, "order_id", "line_no") == rows(today, "order_id", "line_no")[3:]
    assert again.notes == {"payments_of_earlier_days": 2, "refunds_of_earlier_days": 1}


@settings(max_examples=examples(8))
@given(refunds=st.lists(st.integers(1, 500), max_size=6), days=st.data())
def test_an_order_sums_to_what_was_paid_less_what_went_back(
    refunds: list[int],
    days: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    setting: Callable[..., Any],
) -> None:
    """However its movements are spread over files, and whichever of them are exported twice."""
    path, source = tmp_path_factory.mktemp("stripe") / "report.csv", setting(name="money", format="stripe")
    moves = [{}, *(movement(i, "refund", f"-{Decimal(c) / 100}") for i, c in enumerate(refunds, start=2))]
    twice = days.draw(st.lists(st.sampled_from(moves), max_size=4))
    split = days.draw(st.integers(0, len(moves)))
    kept: dict[tuple[str, int], float] = {}
    for file in (moves[:split] + twice, twice + moves[split:]):
        if file:
            path.write_text(report(*file))
            kept |= {
                (o, n): amount for o, n, amount in rows(read_export(path, source), "order_id", "line_no", "amount")
            }
    assert round(100 * sum(kept.values())) == 1234 - sum(refunds)


def test_nobodys_name_comes_along(parse: Callable[..., Any]) -> None:
    """Descriptions, names, cards and phones stay in the file, whichever form it has."""
    for parsed in (parse(report({})), parse(payments({})), parse(balance()), parse(charge())):
        text = str(parsed.tables["transactions"].drop_columns(["email"]).to_pylist())
        assert "Ann" not in text
        assert "+1 5" not in text


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"gross": "12,34"}, "amount is not a number"),
        ({"gross": ""}, "amount is missing"),
        ({"created_utc": "30.06.2026"}, "ts is not a time in the form iso8601"),
        ({"created_utc": ""}, "ts is missing"),
        ({"created_utc": "2026-06-28 23:59:59"}, "ts is before the export's day"),
        ({"balance_transaction_id": ""}, "its id is missing"),
        ({"reporting_category": ""}, "reporting_category is missing"),
        ({"customer_id": "", "customer_email": ""}, "customer_id or email is missing"),
    ],
)
def test_broken_rows_are_refused_one_by_one(cells: dict[str, str], reason: str, parse: Callable[..., Any]) -> None:
    """With a reason that holds no value of the row."""
    parsed = parse(report(cells, {"balance_transaction_id": "txn_2"}))
    assert rows(parsed, "row_number") == [(2,)]
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [{"row_number": 1, "reason": reason}]


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (balance(amount=None), "amount is missing"),
        (balance(currency=None), "amount is not a number, or of no currency"),
        (balance(created="today"), "ts is not a time in the form unix_seconds"),
        (balance(object="payout"), "object is neither balance_transaction nor charge"),
        ([], "is not a JSON object"),
        (balance(source=7, id=[]), "customer_id or email is missing"),
    ],
)
def test_broken_objects_are_refused_one_by_one(thing: Any, reason: str, parse: Callable[..., Any]) -> None:
    """The same for the API's objects."""
    parsed = parse(balance(id="txn_2"), thing)
    assert rows(parsed, "row_number") == [(1,)]
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [{"row_number": 2, "reason": reason}]


def test_a_decimal_comma_is_an_option(parse: Callable[..., Any]) -> None:
    """European accounts export one; points are then between thousands."""
    parsed = parse(payments({"Amount": "1.012,34", "Amount Refunded": "0,00"}), options={"decimal": ","})
    assert rows(parsed, "amount") == [(1012.34,)]
    with pytest.raises(ConfigurationError, match=r"options\.decimal must be"):
        parse(payments({}), options={"decimal": "comma"})


def test_files_of_another_kind_are_refused_whole(parse: Callable[..., Any], write: Callable[..., Path]) -> None:
    """What is wrong is said with what to export instead."""
    with pytest.raises(
        ShortlistError, match=r"neither an itemized balance report .* nor the Dashboard's Payments export"
    ):
        parse("id,Type,Source\ntxn_1,charge,ch_1\n")
    with pytest.raises(ShortlistError, match="does not say who paid: expected payment_metadata"):
        parse("balance_transaction_id,created_utc,currency,gross,reporting_category\ntxn_1,2026-06-30,eur,1,charge\n")
    with pytest.raises(ShortlistError, match="no column 'gross', which holds `amount`"):
        parse("balance_transaction_id,created_utc,currency,reporting_category,customer_id\nt,2026-06-30,eur,charge,c\n")
    with pytest.raises(ShortlistError, match="tell of the same money twice"):
        parse(balance(), charge())


def test_a_file_without_objects_is_refused_unless_that_is_normal(
    write: Callable[..., Path], setting: Callable[..., Any]
) -> None:
    """An empty list is what a failed export looks like."""
    path = write("payments.json", "[]")
    with pytest.raises(ShortlistError, match="has no rows"):
        read_export(path, setting(name="money", format="stripe"))
    parsed = read_export(path, setting(name="money", format="stripe", options={"allow_empty": "true"}))
    assert parsed.tables["transactions"].num_rows == 0
