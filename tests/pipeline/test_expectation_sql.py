"""Counting in DuckDB is counting as Great Expectations does: its own way, on pandas, is the oracle."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import great_expectations as gx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.registry import get_expectation_impl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import disclose, validate
from pipeline.expectation_sql import COUNTED, OF_ROWS
from pipeline.suites import Expectation
from pipeline.tally import Rows, opened
from tests.examples import examples

SCHEMA = pa.schema(
    {
        "text": pa.string(),
        "other": pa.string(),
        "number": pa.float64(),
        "limit": pa.float64(),
        "whole": pa.int64(),
        "flag": pa.bool_(),
        "ts": pa.timestamp("us", tz="UTC"),
        "until": pa.timestamp("us", tz="UTC"),
        "tags": pa.list_(pa.string()),
    }
)
START = datetime(2026, 6, 30, tzinfo=UTC)
TEXTS = (
    "",
    "view",
    "View",
    "custom:gefällt",
    "a\n",
    "\n",
    " ",
    "x" * 9,
    "ß",
    "👩‍👩‍👧",
    "e\u0301",
    "1",
    "nan",
    "'",
    "None",
)
NUMBERS = (0.0, -0.0, 1.0, -1.5, 86_400.0, 0.1, 0.30000000000000004, math.nan)
REGEXES = ("^(?:view|custom:.+)$", "view", "^$", r"^.+$", r"\d", r"^\w+$", "(?i)VIEW", "^[A-Z]", "a.", "^(?!v)", "é")

texts = st.none() | st.sampled_from(TEXTS)
numbers = st.none() | st.sampled_from(NUMBERS)
instants = st.none() | st.integers(0, 3).map(lambda hours: START + timedelta(hours=hours))
ROWS: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "other": texts,
    "number": numbers,
    "limit": numbers,
    "whole": st.none() | st.integers(-2, 3),
    "flag": st.none() | st.booleans(),
    "ts": instants,
    "until": instants,
    "tags": st.none() | st.lists(st.just("t"), max_size=1),
}
tables = st.lists(st.fixed_dictionaries(ROWS), max_size=6).map(lambda rows: pa.Table.from_pylist(rows, schema=SCHEMA))

Classic = Callable[[Sequence[Expectation], pa.Table], dict[str, Any]]


@pytest.fixture(scope="module")
def classic() -> Classic:
    """Great Expectations' own results on pandas, by the expectation's type."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batches = context.data_sources.add_pandas("p").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("w")

    def run(lines: Sequence[Expectation], rows: pa.Table) -> dict[str, Any]:
        suite = gx.ExpectationSuite(name="all", expectations=[*lines])
        results = batches.get_batch({"dataframe": rows.to_pandas()}).validate(suite, result_format="BASIC").results
        return {one.expectation_config.type: one for one in results}

    return run


def judged(line: Expectation, rows: Rows) -> tuple[Any, Mapping[str, Any]]:
    """Our result for one line, and the metrics that it was judged by."""
    (found,) = all_judged([line], rows)
    return found


def all_judged(lines: Sequence[Expectation], rows: Rows) -> list[tuple[Any, Mapping[str, Any]]]:
    """Our results, each with its metrics."""
    understood = [validate._understood("all", json.dumps(line)) for line in lines]
    with opened(rows) as tally:
        found = tally.metrics([wanted for _, wanted in understood])
    together = [(expectation, metrics) for (expectation, _), metrics in zip(understood, found, strict=True)]
    return [(validate._by_metrics(one, metrics), metrics) for one, metrics in together if isinstance(metrics, Mapping)]


@st.composite
def ranges(draw: st.DrawFn, values: st.SearchStrategy[float]) -> dict[str, Any]:
    """A range with one end or two, each open or closed."""
    low, high = sorted([draw(values), draw(values)])
    ends = draw(st.sampled_from([{"min_value": low}, {"max_value": high}, {"min_value": low, "max_value": high}]))
    return {**ends, "strict_min": draw(st.booleans()), "strict_max": draw(st.booleans())}


def of(column: str | st.SearchStrategy[str], **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The arguments of an expectation about one column."""
    return st.fixed_dictionaries({"column": st.just(column) if isinstance(column, str) else column, **arguments})


def within(column: str | st.SearchStrategy[str], values: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, Any]]:
    """A column and a range."""
    return st.builds(lambda one, other: {**one, **other}, of(column), ranges(values))


def pairs(*columns: tuple[str, str], **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Two columns, and which rows are left out."""
    ignored = st.sampled_from(["both_values_are_missing", "either_value_is_missing", "neither"])
    rest = st.fixed_dictionaries({"ignore_row_if": ignored, **arguments})
    return st.builds(lambda two, more: {"column_A": two[0], "column_B": two[1], **more}, st.sampled_from(columns), rest)


numeric = st.sampled_from(["number", "limit", "whole"])
column = st.sampled_from(SCHEMA.names)
scalar = st.sampled_from([name for name in SCHEMA.names if name != "tags"])
limits = st.sampled_from([-1.5, 0.0, 0.1, 0.3, 1.0, 2.0, 86_400.0])
regexes = st.sampled_from(REGEXES)
some_regexes = st.lists(regexes, min_size=1, max_size=3)
sets = st.one_of(
    of("text", value_set=st.lists(st.sampled_from(TEXTS), max_size=3)),
    of(numeric, value_set=st.lists(st.sampled_from([0, 1, 0.1, -1.5]), max_size=3)),
    of("flag", value_set=st.lists(st.booleans(), max_size=2)),
)
wholes = st.integers(0, 9)
compared = (("number", "limit"), ("limit", "number"), ("ts", "until"), ("whole", "number"))
alike = (*compared[:3], ("text", "other"), ("flag", "flag"))
compound = st.fixed_dictionaries(
    {
        "column_list": st.lists(scalar, min_size=2, max_size=3, unique=True),
        "ignore_row_if": st.sampled_from(["all_values_are_missing", "any_value_is_missing", "never"]),
    }
)

BY_ROWS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "expect_column_values_to_not_be_null": of(column),
    "expect_column_values_to_be_null": of(column),
    "expect_column_values_to_be_between": within(numeric, limits),
    "expect_column_values_to_be_in_set": sets,
    "expect_column_values_to_not_be_in_set": sets,
    "expect_column_values_to_match_regex": of("text", regex=regexes),
    "expect_column_values_to_not_match_regex": of("text", regex=regexes),
    "expect_column_values_to_match_regex_list": of(
        "text", regex_list=some_regexes, match_on=st.sampled_from(["any", "all"])
    ),
    "expect_column_values_to_not_match_regex_list": of("text", regex_list=some_regexes),
    "expect_column_value_lengths_to_be_between": within("text", wholes),
    "expect_column_value_lengths_to_equal": of("text", value=wholes),
    "expect_column_pair_values_a_to_be_greater_than_b": pairs(*compared, or_equal=st.booleans()),
    "expect_column_pair_values_to_be_equal": pairs(*alike),
}
BY_TABLE: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "expect_column_values_to_be_unique": of(scalar),
    "expect_compound_columns_to_be_unique": compound,
    "expect_column_max_to_be_between": within(numeric, limits),
    "expect_column_mean_to_be_between": within(numeric, limits),
    "expect_column_median_to_be_between": within(numeric, limits),
    "expect_column_min_to_be_between": within(numeric, limits),
    "expect_column_proportion_of_non_null_values_to_be_between": within(column, st.sampled_from([0, 0.5, 1])),
    "expect_column_proportion_of_unique_values_to_be_between": within(scalar, st.sampled_from([0, 0.5, 1])),
    "expect_column_stdev_to_be_between": within(numeric, st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    "expect_column_sum_to_be_between": within(numeric, limits),
    "expect_column_to_exist": of(st.sampled_from(["text", "more"])),
    "expect_column_unique_value_count_to_be_between": within(scalar, wholes),
    "expect_table_column_count_to_be_between": ranges(wholes).map(lambda r: {k: r[k] for k in r if "value" in k}),
    "expect_table_column_count_to_equal": st.fixed_dictionaries({"value": wholes}),
    "expect_table_columns_to_match_ordered_list": st.fixed_dictionaries(
        {"column_list": st.sampled_from([SCHEMA.names, SCHEMA.names[::-1]])}
    ),
    "expect_table_columns_to_match_set": st.fixed_dictionaries(
        {"column_set": st.lists(column, min_size=1, unique=True), "exact_match": st.booleans()}
    ),
    "expect_table_row_count_to_be_between": ranges(wholes).map(lambda r: {k: r[k] for k in r if "value" in k}),
    "expect_table_row_count_to_equal": st.fixed_dictionaries({"value": wholes}),
}
ARGUMENTS = BY_ROWS | BY_TABLE
MOSTLY = (*BY_ROWS, "expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
COUNTS = ("element_count", "unexpected_count", "unexpected_percent", "missing_count", "missing_percent")


def same(ours: object, theirs: object) -> bool:
    """Whether two observed values are the same figure, however it was summed up."""
    if isinstance(ours, int | float) and not isinstance(theirs, str | list | None):
        return float(ours) == pytest.approx(float(theirs), rel=1e-9, abs=1e-9)  # type: ignore[arg-type]
    return ours == theirs


@settings(max_examples=examples(15))
@given(rows=tables, arguments=st.fixed_dictionaries(ARGUMENTS), mostly=st.sampled_from([0.0, 0.5, 2 / 3, 1.0]))
def test_verdicts_and_counts_are_those_of_great_expectations(
    rows: pa.Table, arguments: dict[str, dict[str, Any]], mostly: float, classic: Classic
) -> None:
    """For every expectation that DuckDB counts: same verdict, same counts, same observed value as on pandas."""
    lines = [
        {"type": kind, "kwargs": {**given_, **({"mostly": mostly} if kind in MOSTLY else {})}}
        for kind, given_ in arguments.items()
    ]
    theirs = classic(lines, rows)
    ours = all_judged(lines, rows)
    assert len(ours) == len(theirs) == len(lines)
    assert [line for line, one in zip(lines, ours, strict=True) if not agree(*one, theirs[line["type"]])] == []


def agree(ours: Any, metrics: Mapping[str, Any], theirs: Any) -> bool:
    """Whether two results are one; where a value is hidden, it is the metric that is compared."""
    hidden = ours.result.get("observed_value") == disclose.HIDDEN
    observed = next(iter(metrics.values())) if hidden else ours.result.get("observed_value")
    return (
        bool(ours.success) == bool(theirs.success)
        and [ours.result.get(count) for count in COUNTS] == [theirs.result.get(count) for count in COUNTS]
        and same(observed, theirs.result.get("observed_value"))
    )


def test_every_counted_expectation_has_an_oracle() -> None:
    """None is counted that is not compared, and those of rows are told apart by the condition that GX gives them."""
    assert set(ARGUMENTS) == COUNTED
    assert {kind: get_expectation_impl(kind).map_metric for kind in BY_ROWS} == OF_ROWS


def test_instants_are_compared_as_instants() -> None:
    """A limit of an instant is one point in time, whatever zone it is written in."""
    rows = pa.Table.from_pylist([{"ts": START}, {"ts": START + timedelta(hours=2)}, {}], schema=SCHEMA)
    for limit in ("2026-06-30T01:00:00+00:00", "2026-06-30T03:00:00+02:00"):
        line = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "ts", "min_value": limit}}
        assert judged(line, rows)[0].result["unexpected_count"] == 1


def test_files_are_counted_like_tables(tmp_path: Path) -> None:
    """Several Parquet files are one table, also for what is unique."""
    rows = pa.Table.from_pylist([{"text": text} for text in "abca"], schema=SCHEMA)
    files = [tmp_path / "a's.parquet", tmp_path / "b.parquet"]
    for number, file in enumerate(files):
        pq.write_table(rows.slice(2 * number, 2), file)
    line = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "text"}}
    results = [judged(line, each)[0].result for each in (rows, files)]
    assert results[0] == results[1]
    assert results[0]["unexpected_count"] == 2


@given(rows=tables, kind=st.sampled_from(sorted(BY_ROWS)), data=st.data())
def test_reasons_are_given_to_the_rows_that_are_counted(rows: pa.Table, kind: str, data: st.DataObject) -> None:
    """Row by row or all at once, the same condition: as many rows get the reason as are unexpected."""
    arguments = data.draw(BY_ROWS[kind])
    result, _ = judged({"type": kind, "kwargs": arguments}, rows)
    with opened(rows) as tally:
        reasons = tally.reasons([(kind, arguments, "it's so"), (kind, arguments, "never said")])
    assert len(reasons) == rows.num_rows
    assert reasons.to_pylist().count("it's so") == result.result["unexpected_count"]
    assert "never said" not in reasons.to_pylist()
