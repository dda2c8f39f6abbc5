"""What may be told and shown of a verdict of Great Expectations: counts and words, and nothing that stands in a row."""

from __future__ import annotations

from typing import Any

import duckdb

from pipeline.errors import ShortlistError

HIDDEN = "a value that is not shown, since it stands in a row"

_COUNTS = (
    "element_count",
    "missing_count",
    "missing_percent",
    "unexpected_count",
    "unexpected_percent",
    "unexpected_percent_total",
    "unexpected_percent_nonmissing",
)
_OBSERVED = (
    "expect_column_mean_to_be_between",
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_sum_to_be_between",
    "expect_column_unique_value_count_to_be_between",
)
"""Expectations about columns whose observed value is not one of a row's; of others only the verdict is shown."""


def without_values(result: Any) -> Any:
    """The result with verdict and counts, and without anything that may stand in a row."""
    kind, found = result.expectation_config.type, result.result
    shown = found if kind.startswith("expect_table_") else {key: found[key] for key in _COUNTS if key in found}
    if "observed_value" in found and shown is not found:
        shown["observed_value"] = found["observed_value"] if kind in _OBSERVED else HIDDEN
    result.result = shown
    return result


def in_words(result: Any) -> str:
    """What was expected and what was found; of a result `without_values`."""
    config, counted = result.expectation_config, result.result
    arguments = ", ".join(f"{key}={value}" for key, value in config.kwargs.items())
    counts = f"{counted.get('unexpected_count')} of {counted.get('element_count')} rows"
    found = raised(result) or counted.get("observed_value", counts)
    said = f"{config.type}({arguments}), found: {found}"
    notes = (config.meta or {}).get("notes")
    return f"{notes}: {said}" if notes else said


def raised(result: Any) -> str | None:
    """What kept the expectation from being judged."""
    return (result.exception_info or {}).get("exception_message")


def message(error: Exception) -> str:
    """What is wrong with a column or an argument can be told; what is wrong with a value would show the value."""
    return str(error) if isinstance(error, ShortlistError | duckdb.BinderException) else untold(type(error).__name__)


def untold(kind: str) -> str:
    """In place of the text of an error of this kind."""
    return f"{kind}, whose text is not shown, since it may hold values of rows"
