"""What Great Expectations' expectations need to know of the rows, counted by DuckDB: a metric is a scalar of SQL.

Metrics have the names and the meaning that Great Expectations gives them on pandas: NaN is a missing value, missing
values are looked at only by expectations about missing values, text is measured in code points, and regular expressions
are Python's. Which metric an expectation needs, and what it makes of it, is said by Great Expectations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pipeline.errors import ShortlistError
from pipeline.sources import sql

Kwargs = Mapping[str, Any]

_COUNT = ".unexpected_count"
_KEPT = ".filtered_row_count"

OF_ROWS = {
    "expect_column_values_to_not_be_null": "column_values.nonnull",
    "expect_column_values_to_be_null": "column_values.null",
    "expect_column_values_to_be_between": "column_values.between",
    "expect_column_values_to_be_in_set": "column_values.in_set",
    "expect_column_values_to_not_be_in_set": "column_values.not_in_set",
    "expect_column_values_to_match_regex": "column_values.match_regex",
    "expect_column_values_to_not_match_regex": "column_values.not_match_regex",
    "expect_column_values_to_match_regex_list": "column_values.match_regex_list",
    "expect_column_values_to_not_match_regex_list": "column_values.not_match_regex_list",
    "expect_column_value_lengths_to_be_between": "column_values.value_length.between",
    "expect_column_value_lengths_to_equal": "column_values.value_length.equals",
    "expect_column_pair_values_a_to_be_greater_than_b": "column_pair_values.a_greater_than_b",
    "expect_column_pair_values_to_be_equal": "column_pair_values.equal",
}
"""Expectations that look at rows one by one, each with its condition (Great Expectations' `map_metric`)."""

COUNTED = frozenset(OF_ROWS) | {
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
    "expect_column_max_to_be_between",
    "expect_column_mean_to_be_between",
    "expect_column_median_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_sum_to_be_between",
    "expect_column_to_exist",
    "expect_column_unique_value_count_to_be_between",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
    "expect_table_row_count_to_be_between",
    "expect_table_row_count_to_equal",
}
"""Every expectation that DuckDB can count for, however many rows there are."""


SEARCH = "python_search"
"""The function of SQL (regular expression, text) that searches as Python does; who runs the SQL provides it."""


class UnsupportedError(Exception):
    """DuckDB cannot count this as Great Expectations would."""


class ImpossibleError(ShortlistError):
    """Nobody can count this: the column is not there, or the arguments contradict each other."""


class Metric(NamedTuple):
    """A metric as Great Expectations names it, with its arguments (domain and value kwargs)."""

    name: str
    kwargs: Kwargs


@dataclass(frozen=True)
class Columns:
    """The rows' columns with their DuckDB types, and what they are in SQL."""

    types: Mapping[str, str]

    def kind(self, column: str) -> str:
        """number, text, boolean or instant; anything else has its type's own name."""
        if column not in self.types:
            raise ImpossibleError(f'there is no column "{column}"; columns: {", ".join(self.types)}')
        return _KINDS.get(self.types[column], self.types[column])

    def value(self, column: str) -> str:
        """The column's value; NaN is missing."""
        self.kind(column)
        quoted = sql.name(column)
        return f"nullif({quoted}, 'NaN'::DOUBLE)" if self.types[column] in _FLOATS else quoted

    def expect(self, column: str, *kinds: str) -> str:
        """The column's value, which must be of one of these kinds."""
        if (kind := self.kind(column)) not in kinds:
            raise UnsupportedError(f"column {column} is {kind}, not {' or '.join(kinds)}")
        return self.value(column)


_FLOATS = ("FLOAT", "DOUBLE")
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_KINDS = {
    **dict.fromkeys((*_FLOATS, *_WHOLE), "number"),
    "VARCHAR": "text",
    "BOOLEAN": "boolean",
    "TIMESTAMP WITH TIME ZONE": "instant",
}
_SCALARS = ("number", "text", "boolean", "instant", "DATE")


def scalar(metric: Metric, columns: Columns) -> str:
    """The metric as a scalar of SQL over the relation `judged`.

    Raises:
        UnsupportedError: DuckDB cannot count it as Great Expectations would.
        ImpossibleError: There is no such column, or the metric's arguments contradict each other.
    """
    if metric.kwargs.get("row_condition"):
        raise UnsupportedError("it has a row_condition")
    name, kwargs = metric
    if name == "table.row_count":
        return "count(*)"
    if name in _AGGREGATES:
        return _AGGREGATES[name](kwargs["column"], columns)
    if name.endswith(_KEPT):
        return f"count(*) FILTER ({_domain(kwargs, columns)})"
    condition = name.removesuffix(_COUNT)
    if condition in _UNIQUE and condition != name:
        return _repeated(kwargs, columns)
    if condition in _HOLDS and condition != name:
        return count_broken(condition, kwargs, columns)
    raise UnsupportedError(f"there is no SQL for {name}")


# ---------------------------------------------------------------- conditions of a row


def count_broken(condition: str, kwargs: Kwargs, columns: Columns) -> str:
    """A scalar of SQL: how many rows are `broken`. Python's regular expressions look at each value once."""
    wrong = broken(condition, kwargs, columns)
    if condition not in _SEARCHED:
        return f"count(*) FILTER ({wrong})"
    values = f"(SELECT {sql.name(kwargs['column'])}, count(*) AS rows FROM judged GROUP BY 1)"
    return f"(SELECT coalesce(sum(rows) FILTER ({wrong}), 0) FROM {values})"


def broken(condition: str, kwargs: Kwargs, columns: Columns) -> str:
    """Whether a row that the expectation looks at does not fulfil the condition; unknown is not fulfilled."""
    domain = "true" if condition in _OF_MISSING else _domain(kwargs, columns)
    return f"({domain}) AND ({_HOLDS[condition](kwargs, columns)}) IS NOT TRUE"


def _domain(kwargs: Kwargs, columns: Columns) -> str:
    """The rows that an expectation looks at: by default those that have a value."""
    if "column" in kwargs:
        return f"{columns.value(kwargs['column'])} IS NOT NULL"
    names = kwargs.get("column_list") or (kwargs["column_A"], kwargs["column_B"])
    given = [f"{columns.value(name)} IS NOT NULL" for name in names]
    match kwargs.get("ignore_row_if", "both_values_are_missing"):
        case "both_values_are_missing" | "all_values_are_missing":
            return " OR ".join(given)
        case "either_value_is_missing" | "any_value_is_missing":
            return " AND ".join(given)
        case "neither" | "never":
            return "true"
        case other:
            raise UnsupportedError(f"ignore_row_if is {other}")


def _between(value: str, kwargs: Kwargs, literal: Callable[[Any], str]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is None and high is None:
        raise ImpossibleError("min_value and max_value cannot both be None")
    if low is not None and high is not None and low > high:
        raise ImpossibleError("min_value cannot be greater than max_value")
    sides = []
    if low is not None:
        sides.append(f"{value} {'>' if kwargs.get('strict_min') else '>='} {literal(low)}")
    if high is not None:
        sides.append(f"{value} {'<' if kwargs.get('strict_max') else '<='} {literal(high)}")
    return " AND ".join(sides)


def _values_between(kwargs: Kwargs, columns: Columns) -> str:
    value = columns.expect(kwargs["column"], "number", "instant")
    return _between(value, kwargs, _number if columns.kind(kwargs["column"]) == "number" else _instant)


def _lengths_between(kwargs: Kwargs, columns: Columns) -> str:
    return _between(f"length({columns.expect(kwargs['column'], 'text')})", kwargs, _number)


def _length_equals(kwargs: Kwargs, columns: Columns) -> str:
    return f"length({columns.expect(kwargs['column'], 'text')}) = {_number(kwargs['value'])}"


def _in_set(kwargs: Kwargs, columns: Columns) -> str:
    value = columns.expect(kwargs["column"], "number", "text", "boolean")
    if (wanted := kwargs.get("value_set")) is None:
        return "true"
    literal = {"number": _number, "text": _text, "boolean": _boolean}[columns.kind(kwargs["column"])]
    return f"{value} IN ({', '.join(literal(one) for one in wanted)})" if wanted else "false"


def _matches(kwargs: Kwargs, columns: Columns) -> str:
    return _match(kwargs["regex"], columns.expect(kwargs["column"], "text"))


def _matches_list(kwargs: Kwargs, columns: Columns) -> str:
    value = columns.expect(kwargs["column"], "text")
    joined = {"any": " OR ", "all": " AND "}[kwargs.get("match_on") or "any"]
    return joined.join(_match(regex, value) for regex in kwargs["regex_list"])


def _match(regex: str, value: str) -> str:
    try:
        re.compile(regex)
    except re.error as error:
        raise ImpossibleError(f"{regex!r} is no regular expression: {error}") from error
    return f"{SEARCH}({sql.text(regex)}, {value})"


def _compared(operator: str, *kinds: str) -> Callable[[Kwargs, Columns], str]:
    def condition(kwargs: Kwargs, columns: Columns) -> str:
        one, other = kwargs["column_A"], kwargs["column_B"]
        if columns.kind(one) != columns.kind(other):
            raise UnsupportedError(f"columns {one} and {other} are of different types")
        by = f"{operator}=" if kwargs.get("or_equal") and operator == ">" else operator
        return f"{columns.expect(one, *kinds)} {by} {columns.expect(other, *kinds)}"

    return condition


def _not(condition: Callable[[Kwargs, Columns], str]) -> Callable[[Kwargs, Columns], str]:
    return lambda kwargs, columns: f"NOT ({condition(kwargs, columns)})"


_SEARCHED = (
    *("column_values.match_regex", "column_values.not_match_regex"),
    *("column_values.match_regex_list", "column_values.not_match_regex_list"),
)
_OF_MISSING = ("column_values.nonnull", "column_values.null")
_HOLDS: Mapping[str, Callable[[Kwargs, Columns], str]] = {
    "column_values.nonnull": lambda kwargs, columns: f"{columns.value(kwargs['column'])} IS NOT NULL",
    "column_values.null": lambda kwargs, columns: f"{columns.value(kwargs['column'])} IS NULL",
    "column_values.between": _values_between,
    "column_values.in_set": _in_set,
    "column_values.not_in_set": lambda kwargs, columns: (
        _not(_in_set)(kwargs, columns) if kwargs.get("value_set") is not None else "true"
    ),
    "column_values.match_regex": _matches,
    "column_values.not_match_regex": _not(_matches),
    "column_values.match_regex_list": _matches_list,
    "column_values.not_match_regex_list": _not(_matches_list),
    "column_values.value_length.between": _lengths_between,
    "column_values.value_length.equals": _length_equals,
    "column_pair_values.a_greater_than_b": _compared(">", "number", "instant"),
    "column_pair_values.equal": _compared("=", *_SCALARS),
}


# ---------------------------------------------------------------- groups and aggregates

_UNIQUE = ("column_values.unique", "compound_columns.unique")


def _repeated(kwargs: Kwargs, columns: Columns) -> str:
    """Rows whose key is not theirs alone. Only rows whose hash is not are compared: grouping long texts is slower."""
    names = kwargs.get("column_list") or [kwargs["column"]]
    keys = ", ".join(columns.expect(name, *_SCALARS) for name in names)
    domain = _domain(kwargs, columns)
    suspects = f"(SELECT hash({keys}) FROM judged WHERE {domain} GROUP BY 1 HAVING count(*) > 1)"
    groups = _groups(names, f"({domain}) AND hash({keys}) IN {suspects}", columns)
    return f"(SELECT coalesce(sum(n) FILTER (n > 1), 0) FROM {groups})"


def _groups(names: Sequence[str], domain: str, columns: Columns) -> str:
    keys = ", ".join(columns.expect(name, *_SCALARS) for name in names)
    return f"(SELECT count(*) AS n FROM judged WHERE {domain} GROUP BY {keys})"


def _distinct(column: str, columns: Columns) -> str:
    return f"(SELECT count(*) FROM {_groups([column], _domain({'column': column}, columns), columns)})"


def _aggregate(function: str) -> Callable[[str, Columns], str]:
    return lambda column, columns: f"{function}({columns.expect(column, 'number')})"


_AGGREGATES: Mapping[str, Callable[[str, Columns], str]] = {
    "column.max": _aggregate("max"),
    "column.min": _aggregate("min"),
    "column.mean": _aggregate("avg"),
    "column.median": _aggregate("median"),
    "column.standard_deviation": _aggregate("stddev_samp"),
    "column.sum": lambda column, columns: f"coalesce(sum({columns.expect(column, 'number')}), 0)",
    "column.distinct_values.count": _distinct,
    "column.unique_proportion": lambda column, columns: (
        f"coalesce({_distinct(column, columns)} / nullif(count({columns.value(column)}), 0), 0)"
    ),
    "column.non_null_proportion": lambda column, columns: (
        f"coalesce(count({columns.value(column)}) / nullif(count(*), 0), 0)"
    ),
}


# ---------------------------------------------------------------- literals


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnsupportedError(f"{value!r} is not a number")
    return str(value) if isinstance(value, int) else f"{value!r}::DOUBLE"


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise UnsupportedError(f"{value!r} is not text")
    return sql.text(value)


def _boolean(value: Any) -> str:
    if not isinstance(value, bool):
        raise UnsupportedError(f"{value!r} is neither true nor false")
    return str(value)


def _instant(value: Any) -> str:
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise UnsupportedError(f"{value!r} is not an ISO 8601 instant") from error
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise UnsupportedError(f"{value!r} is not an instant with a time zone")
    return f"TIMESTAMPTZ '{when.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
