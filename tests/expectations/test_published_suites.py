"""The declared suites of the published tables, run by Great Expectations itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
import pytest
from great_expectations.data_context.types.base import ProgressBarsConfig

from tests.pipeline.nights import FORMS, ranked

FOLDER = Path(__file__).parents[2] / "expectations" / "suites"
SUITES = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in FORMS}
BAD: dict[str, tuple[int, Any]] = {
    "expect_column_values_to_not_be_null": (0, None),
    "expect_column_value_lengths_to_be_between": (1, ""),
    "expect_column_values_to_be_in_set": (2, "?"),
    "expect_column_values_to_be_between": (3, 0),
}
"""For each kind of expectation a row and what spoils it there."""

Validate = Callable[[str, pd.DataFrame], list[bool]]


@pytest.fixture(scope="module")
def validate() -> Validate:
    """A table's rows -> whether each expectation of its suite holds, in order, for lists of up to 4."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("published").add_dataframe_asset("rows")
    batches = asset.add_batch_definition_whole_dataframe("whole")

    def run(name: str, rows: pd.DataFrame) -> list[bool]:
        suite = gx.ExpectationSuite(**SUITES[name])
        results = batches.get_batch({"dataframe": rows}).validate(suite, expectation_parameters={"k": 4}).results
        assert not any(one.exception_info["raised_exception"] for one in results)
        held = {}
        for one in results:
            assert one.expectation_config is not None
            held[one.expectation_config.type, one.expectation_config.kwargs["column"]] = bool(one.success)
        return [held[one["type"], one["kwargs"]["column"]] for one in SUITES[name]["expectations"]]

    return run


@pytest.mark.parametrize("name", FORMS)
def test_no_expectation_is_dropped(name: str) -> None:
    """Great Expectations understands every line of the file; it drops misspelt ones without a word."""
    assert SUITES[name]["name"] == name
    assert len(gx.ExpectationSuite(**SUITES[name]).expectations) == len(SUITES[name]["expectations"]) > 10


@pytest.mark.parametrize("name", FORMS)
def test_required_columns_are_declared(name: str) -> None:
    """Every column that the schema requires is expected to be there in every row."""
    declared = {
        one["kwargs"]["column"]
        for one in SUITES[name]["expectations"]
        if one["type"] == "expect_column_values_to_not_be_null"
    }
    assert declared == {column.name for column in FORMS[name].columns if column.required}


@pytest.mark.parametrize("name", FORMS)
def test_good_rows_pass(name: str, validate: Validate) -> None:
    """Tables as they are published meet the whole suite."""
    assert all(validate(name, getattr(ranked(), name).to_pandas()))


@pytest.mark.parametrize("name", FORMS)
def test_each_expectation_can_fail(name: str, validate: Validate) -> None:
    """One bad cell for each expectation, and each of them fails: none is there for show."""
    rows = getattr(ranked(), name).to_pandas().astype(object)
    for one in SUITES[name]["expectations"]:
        row, value = BAD[one["type"]]
        rows.loc[row, one["kwargs"]["column"]] = value
    assert not any(validate(name, rows))


def test_ranks_end_at_k(validate: Validate) -> None:
    """The longest list is a parameter of the run, not a number in the file."""
    held = validate("people", ranked(k=5).people.to_pandas())
    failed = [one["kwargs"]["column"] for one, ok in zip(SUITES["people"]["expectations"], held, strict=True) if not ok]
    assert failed == ["rank"]
