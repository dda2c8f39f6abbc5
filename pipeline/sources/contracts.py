"""The row contract: what every row of a native table must fulfil before it may enter the lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from expectations.schemas import NATIVE, Column, Table
from pipeline.sources.export import ROW_NUMBER, Bounds, Day, micros, refusals

_DAY_US = 86_400_000_000
_FIRST = pa.scalar(datetime(2000, 1, 1, tzinfo=UTC), schemas.TIMESTAMP)
_LAST = pa.scalar(datetime(2100, 1, 1, tzinfo=UTC), schemas.TIMESTAMP)

_Check = tuple[pa.ChunkedArray, str]
"""Where a row breaks the contract, and why it is refused."""


def check(
    table_name: str, native_table: pa.Table, day_bounds: Day | None = None, *, source_file: str = ""
) -> tuple[pa.Table, pa.Table]:
    """`split`, and of rows with the same key only the first: the others are in neither table."""
    kept, rejected = split(table_name, native_table, day_bounds, source_file=source_file)
    return _first_of_each_key(NATIVE[table_name], kept), rejected


def split(
    table_name: str, native_table: pa.Table, day_bounds: Day | None = None, *, source_file: str = ""
) -> tuple[pa.Table, pa.Table]:
    """Split a native table (with `row_number`) into the rows kept and the rows refused (`schemas.REJECTED`).

    A row has one reason, the first that applies. `day_bounds` are the export's day; `ts` may lie up to one day before
    or after it.
    """
    checks = [
        (pc.fill_null(broken, False), reason)
        for broken, reason in _checks(NATIVE[table_name], native_table, micros(day_bounds))
        if pc.any(broken).as_py()
    ]
    if not checks:
        return native_table, schemas.REJECTED.empty_table()
    reasons = pc.case_when(pc.make_struct(*[broken for broken, _ in checks]), *[reason for _, reason in checks])
    refused = pc.is_valid(reasons)
    rejected = pa.table({ROW_NUMBER: native_table[ROW_NUMBER], "reason": reasons}).filter(refused)
    return native_table.filter(pc.invert(refused)), refusals(table_name, source_file, rejected)


def _checks(table: Table, rows: pa.Table, bounds: Bounds | None) -> Iterator[_Check]:
    for column in table.columns:
        if column.required:
            yield _is_missing(rows[column.name]), f"{column.name} is missing"
    if table.any_of:
        yield _none_of(table, rows), f"{' or '.join(table.any_of)} is missing"
    for column in table.columns:
        yield from _value_checks(column, rows[column.name])
    if "event" in table.names:
        yield _unknown_event(rows["event"]), f"event is not one of ours, nor {schemas.CUSTOM_PREFIX}<name>"
    if "ts" in table.names:
        yield from _time_checks(rows["ts"], bounds)


def _is_missing(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(values.type):
        return pc.fill_null(pc.or_(pc.equal(pc.binary_length(values), 0), pc.utf8_is_space(values)), True)
    return pc.is_null(values)


def _none_of(table: Table, rows: pa.Table) -> pa.ChunkedArray:
    missing = _is_missing(rows[table.any_of[0]])
    for name in table.any_of[1:]:
        missing = pc.and_(missing, _is_missing(rows[name]))
    return missing


def _value_checks(column: Column, values: pa.ChunkedArray) -> Iterator[_Check]:
    if pa.types.is_floating(column.type):
        yield pc.invert(pc.is_finite(values)), f"{column.name} is not a finite number"
    if column.minimum is not None:
        yield pc.less(values, column.minimum), f"{column.name} is below {column.minimum:g}"
    if column.maximum is not None:
        yield pc.greater(values, column.maximum), f"{column.name} is above {column.maximum:g}"


def _unknown_event(events: pa.ChunkedArray) -> pa.ChunkedArray:
    encoded = events.combine_chunks().dictionary_encode()
    ours = pc.is_in(encoded.dictionary, pa.array(schemas.EVENTS))
    custom = pc.match_substring_regex(encoded.dictionary, f"^{schemas.CUSTOM_PREFIX}.")
    return pa.chunked_array([pc.invert(pc.or_(ours, custom)).take(encoded.indices)])


def _time_checks(ts: pa.ChunkedArray, bounds: Bounds | None) -> Iterator[_Check]:
    outside = pc.or_(pc.less(ts, _FIRST), pc.greater_equal(ts, _LAST))
    yield outside, "ts is outside the years 2000 to 2099"
    if bounds is not None:
        start, end = (
            pa.scalar(us, pa.int64()).cast(schemas.TIMESTAMP) for us in (bounds[0] - _DAY_US, bounds[1] + _DAY_US)
        )
        yield pc.less(ts, start), "ts is before the export's day"
        yield pc.greater_equal(ts, end), "ts is after the export's day"


def _first_of_each_key(table: Table, rows: pa.Table) -> pa.Table:
    if not table.key:
        return rows
    order = pa.array(np.arange(rows.num_rows))
    keyed = rows.select(list(table.key)).append_column("place", order)
    first = keyed.group_by(list(table.key)).aggregate([("place", "min")])["place_min"]
    return rows if len(first) == rows.num_rows else rows.take(first.take(pc.sort_indices(first)))
