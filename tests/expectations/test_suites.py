"""The suites of the lake's tables: understood to the last line, true of good rows, and each line can fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
import pytest
from great_expectations.data_context.types.base import ProgressBarsConfig

from expectations import schemas

FOLDER = Path(__file__).parents[2] / "expectations" / "suites"
TABLES = tuple(name for name in schemas.LAKE if (FOLDER / f"{name}.json").exists())
SUITES: dict[str, dict[str, Any]] = {
    name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in TABLES
}
LIMITS = {"min_rows": 3, "max_rows": 5}
LINES = [(name, number) for name in TABLES for number in range(len(SUITES[name]["expectations"]))]

Holds = Callable[[dict[str, Any], pd.DataFrame], bool]


@pytest.fixture(scope="module")
def holds() -> Holds:
    """Whether one expectation, as it stands in the file, holds for some rows."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("lake").add_dataframe_asset("rows")
    batches = asset.add_batch_definition_whole_dataframe("whole")

    def run(expectation: dict[str, Any], rows: pd.DataFrame) -> bool:
        suite = gx.ExpectationSuite(name="one", expectations=[expectation])
        (result,) = batches.get_batch({"dataframe": rows}).validate(suite, expectation_parameters=LIMITS).results
        assert not (result.exception_info or {}).get("raised_exception")
        return bool(result.success)

    return run


def good(name: str) -> pd.DataFrame:
    """Four rows as the lake holds them."""
    when = datetime(2026, 6, 30, 12, tzinfo=UTC)
    known: dict[str, Any] = {
        "ts": when, "available_at": when, "day": date(2026, 6, 30), "source": "web", "shard": 1, "event": "view",
        "status": "published", "quality": 0.5, "dwell_seconds": 3.0, "position": 1, "propensity": 0.5, "amount": 9.5,
        "quantity": 1.0, "currency": "EUR", "tags": None, "country": "DE", "count": 1.0, "category": "news",
        "published_at": when, "expires_at": when + timedelta(days=1),
    }  # fmt: skip
    numbered = {"event_id", "content_id", "title"}
    rows = [
        {c: known.get(c, f"{c} {i}" if c in numbered else i + 1) for c in schemas.LAKE[name].names} for i in range(4)
    ]
    return pd.DataFrame(rows).astype(object)


def spoiled(expectation: dict[str, Any], rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows in each way that this expectation is there to refuse."""
    given = expectation["kwargs"]
    column = given.get("column")
    match expectation["type"]:
        case "expect_table_columns_to_match_set" | "expect_table_row_count_to_be_between":
            yield from misshapen(given, rows)
        case "expect_column_values_to_not_be_null":
            yield changed(rows, column, None, count=1 if "mostly" not in given else 3)
        case "expect_column_values_to_be_unique":
            yield changed(rows, column, rows[column].iloc[3], count=1)
        case "expect_compound_columns_to_be_unique":
            yield pd.concat([rows, rows.head(1)])
        case "expect_column_values_to_be_between":
            yield from (
                changed(rows, column, given[at] + by) for at, by in (("min_value", -1), ("max_value", 1)) if at in given
            )
        case "expect_column_value_lengths_to_be_between":
            yield from (
                changed(rows, column, "x" * length) for length in (given["min_value"] - 1, given["max_value"] + 1)
            )
        case "expect_column_values_to_match_regex":
            yield from (changed(rows, column, text) for text in ("VIEW", "views", "custom:", "12", "123", ""))
        case "expect_column_pair_values_a_to_be_greater_than_b":
            yield changed(rows, given["column_A"], rows[given["column_B"]].iloc[0])
        case "expect_column_unique_value_count_to_be_between":
            many = pd.concat([rows] * 60, ignore_index=True)
            yield many.assign(**{column: [f"custom:{i}" for i in range(len(many))]})


def misshapen(given: dict[str, Any], rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows without a column that is given, or too few or too many of them."""
    yield from (rows.drop(columns=[name]) for name in given.get("column_set", ()))
    if "column_set" not in given:
        yield rows.head(LIMITS["min_rows"] - 1)
        yield pd.concat([rows, rows]).head(LIMITS["max_rows"] + 1)


def changed(rows: pd.DataFrame, column: str, value: object, count: int = 1) -> pd.DataFrame:
    """The rows with `value` in the first `count` cells of a column."""
    return rows.assign(**{column: [value] * count + rows[column].tolist()[count:]})


@pytest.mark.parametrize("name", TABLES)
def test_no_line_is_dropped(name: str) -> None:
    """Great Expectations understands every line; a misspelt one it would leave out without a word."""
    assert SUITES[name]["name"] == name
    understood = gx.ExpectationSuite(**SUITES[name]).expectations
    assert len(understood) == len(SUITES[name]["expectations"]) >= 4


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_those_of_the_lake(name: str) -> None:
    """Every column that a suite speaks of exists, and every one that the native table requires is looked at."""
    kwargs = [line["kwargs"] for line in SUITES[name]["expectations"]]
    named = {k[key] for k in kwargs for key in ("column", "column_A", "column_B") if key in k}
    named |= {c for k in kwargs for c in k.get("column_list", ())}
    assert {c for k in kwargs for c in k.get("column_set", ())} | named <= set(schemas.LAKE[name].names)
    assert {c.name for c in schemas.NATIVE[name].columns if c.required} <= named


def test_events_are_those_of_the_vocabulary(holds: Holds) -> None:
    """The suite lets in exactly our events and custom ones, in any script, as the row contract does."""
    (line,) = (
        e for e in SUITES["events"]["expectations"] if "regex" in e["kwargs"] and e["kwargs"]["column"] == "event"
    )
    ours = [*schemas.EVENTS, "custom:trial_started", "custom:gefällt"]
    assert holds(line, pd.DataFrame({"event": ours}))
    assert not any(holds(line, pd.DataFrame({"event": [event.upper()]})) for event in schemas.EVENTS)


def test_every_native_table_of_the_lake_is_judged() -> None:
    """What a source hands over is judged where it lands; links and signals become identities and suppressions."""
    assert {*schemas.NATIVE} - {*TABLES} == {"links", "signals"}
    assert {*TABLES} <= {*schemas.NATIVE}


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_refused_by_what_they_are_in_both_forms(name: str) -> None:
    """`split` sees native rows and `check` lake ones: a column that refuses rows is the same in both."""
    for line in SUITES[name]["expectations"]:
        if (line.get("meta") or {}).get("severity") == "reject the row":
            columns = {value for key, value in line["kwargs"].items() if key in ("column", "column_A", "column_B")}
            assert columns
            assert [
                c for c in columns if schemas.NATIVE[name].column(c).type != schemas.LAKE[name].column(c).type
            ] == []


@pytest.mark.parametrize(("name", "number"), LINES)
def test_each_line_holds_for_good_rows_and_can_fail(name: str, number: int, holds: Holds) -> None:
    """Good rows meet the expectation, and every way of breaking it is noticed: none is there for show."""
    line = SUITES[name]["expectations"][number]
    assert holds(line, good(name))
    ways = list(spoiled(line, good(name)))
    assert ways
    assert not any(holds(line, rows) for rows in ways)


@pytest.mark.parametrize("name", TABLES)
def test_a_day_without_rows_breaks_only_the_row_count(name: str, holds: Holds) -> None:
    """Where days without rows are allowed, no other expectation may stumble over an empty table."""
    empty = good(name).head(0)
    broken = [line["type"] for line in SUITES[name]["expectations"] if not holds(line, empty)]
    assert broken == ["expect_table_row_count_to_be_between"]
