"""The row contract: who is refused, why, and that nobody gets lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.schemas import REJECTED
from pipeline.sources import contracts
from pipeline.sources.export import native

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
DAY = (datetime(2026, 6, 30, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
EVENT: dict[str, Any] = {"event_id": "e", "ts": NOON, "visitor_id": "v", "content_id": "c", "event": "view"}
LINE: dict[str, Any] = {"order_id": "o", "line_no": 1, "ts": NOON, "email": "a@example.com", "amount": 1.0}


def table_of(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a native table, numbered from 1; each its own event or order unless it says otherwise."""
    own = {"events": "event_id", "transactions": "order_id", "content": "content_id", "customers": "customer_id"}[name]
    numbered = [{own: str(i), **row, "row_number": i} for i, row in enumerate(rows, start=1)]
    names = dict.fromkeys(key for row in numbered for key in row)
    columns = {key: pa.array([row.get(key) for row in numbered]) for key in names}
    return native(name, pa.table(columns))


def reasons(name: str, row: dict[str, Any], bounds: Any = None) -> list[str]:
    """Why the row is refused; empty when it is kept."""
    kept, rejected = contracts.check(name, table_of(name, [row]), bounds, source_file="f.csv")
    assert kept.num_rows + rejected.num_rows == 1
    assert rejected.schema == REJECTED
    return [str(reason) for reason in rejected["reason"].to_pylist()]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"visitor_id": None, "customer_id": "k"}, None),
        ({"event": "custom:sign_up"}, None),
        ({"dwell_seconds": 0.0, "position": 1}, None),
        ({"ts": None}, "ts is missing"),
        ({"content_id": ""}, "content_id is missing"),
        ({"content_id": " \t"}, "content_id is missing"),
        ({"visitor_id": None}, "visitor_id or customer_id is missing"),
        ({"visitor_id": "", "customer_id": None}, "visitor_id or customer_id is missing"),
        ({"event": "custom:"}, "event is not one of ours, nor custom:<name>"),
        ({"event": "View"}, "event is not one of ours, nor custom:<name>"),
        ({"dwell_seconds": -0.5}, "dwell_seconds is below 0"),
        ({"position": 0}, "position is below 1"),
        ({"value": float("nan")}, "value is not a finite number"),
        ({"ts": datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)}, "ts is outside the years 2000 to 2099"),
        ({"ts": datetime(2100, 1, 1, tzinfo=UTC)}, "ts is outside the years 2000 to 2099"),
    ],
)
def test_an_event_is_kept_or_refused_for_its_reason(change: dict[str, Any], reason: str | None) -> None:
    """Each clause of the contract refuses what breaks it, in these words, and nothing else."""
    assert reasons("events", EVENT | change) == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (DAY[0] - timedelta(days=1), []),
        (DAY[0] - timedelta(days=1, microseconds=1), ["ts is before the export's day"]),
        (DAY[1] + timedelta(days=1, microseconds=-1), []),
        (DAY[1] + timedelta(days=1), ["ts is after the export's day"]),
    ],
)
def test_an_event_lies_within_a_day_of_its_export(ts: datetime, expected: list[str]) -> None:
    """One day of slack on either side, to the microsecond; bounds may be instants or microseconds."""
    micros = tuple(int(instant.timestamp()) * 1_000_000 for instant in DAY)
    assert reasons("events", EVENT | {"ts": ts}, DAY) == expected
    assert reasons("events", EVENT | {"ts": ts}, micros) == expected


def test_a_missing_amount_is_refused_and_a_refund_is_not() -> None:
    """Amounts may be negative; they may not be absent."""
    assert reasons("transactions", LINE | {"amount": -5.0}) == []
    assert reasons("transactions", LINE | {"amount": None}) == ["amount is missing"]
    assert reasons("transactions", LINE | {"email": None}) == ["customer_id or email is missing"]


def test_of_rows_with_one_key_the_first_good_one_is_kept() -> None:
    """A refused row does not shadow a later good one, and an order's lines are told apart by both parts of the key."""
    rows: list[dict[str, Any]] = [
        {"order_id": "a", "amount": None},
        {"order_id": "a"},
        {"order_id": "a"},
        {"order_id": "a", "line_no": 2},
    ]
    kept, rejected = contracts.check("transactions", table_of("transactions", [LINE | row for row in rows]))
    assert kept["row_number"].to_pylist() == [2, 4]
    assert rejected["row_number"].to_pylist() == [1]


def test_the_reason_tells_no_value() -> None:
    """What is written to the quarantine is the file, the row and the rule; never what stood there."""
    _, rejected = contracts.check(
        "events", table_of("events", [EVENT | {"event": "anna@example.com"}]), source_file="f"
    )
    assert rejected.to_pylist() == [
        {
            "table": "events",
            "source_file": "f",
            "row_number": 1,
            "reason": "event is not one of ours, nor custom:<name>",
        }
    ]


@pytest.mark.parametrize("name", ["events", "content", "customers", "transactions"])
def test_no_rows_are_no_trouble(name: str) -> None:
    """A table without rows passes as it is."""
    empty = native(name, pa.table({"row_number": pa.array([], pa.int64())}))
    kept, rejected = contracts.check(name, empty, DAY)
    assert (kept.num_rows, rejected.num_rows) == (0, 0)
    assert kept.schema == empty.schema


MAYBE_EVENT = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["a", "b", "c", "", None]),
        "ts": st.sampled_from([NOON, NOON + timedelta(days=9), None]),
        "visitor_id": st.sampled_from(["v", None]),
        "content_id": st.sampled_from(["c", None]),
        "event": st.sampled_from(["view", "custom:x", "nonsense", None]),
        "dwell_seconds": st.sampled_from([1.0, -1.0, float("nan"), None]),
    }
)


@settings(deadline=None)
@given(rows=st.lists(MAYBE_EVENT, min_size=1, max_size=12))
def test_every_row_is_kept_refused_or_repeated(rows: list[dict[str, Any]]) -> None:
    """No row is in two heaps; what is in neither has the key of a kept one; what is kept passes again unchanged."""
    table = table_of("events", rows)
    kept, rejected = contracts.check("events", table, DAY)
    kept_rows, refused_rows = set(kept["row_number"].to_pylist()), set(rejected["row_number"].to_pylist())
    assert not kept_rows & refused_rows
    left_out = [row for number, row in enumerate(rows, start=1) if number not in kept_rows | refused_rows]
    assert {row["event_id"] for row in left_out} <= set(kept["event_id"].to_pylist())
    assert contracts.check("events", kept, DAY)[0].equals(kept)
