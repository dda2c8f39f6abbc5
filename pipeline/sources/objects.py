"""Rows that Python reads one by one, for formats that nest: to native tables, in parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from expectations.schemas import NATIVE
from pipeline.sources.delimited import Broken
from pipeline.sources.export import PART, ROW_NUMBER, Parsed, counted, native, refusals
from pipeline.sources.load import strings

Row = Mapping[str, Any]
"""Our column (and `row_number`) -> value; a time is a datetime with a zone, or microseconds UTC."""


class UnreadableError(Exception):
    """A field that cannot be what it should be; the message names the field and no value."""


def parts(
    path: Path, tables: Sequence[str], rows: Iterator[tuple[str, Row]], broken: Broken, notes: Counter[str]
) -> Iterator[Parsed]:
    """`rows` (table and row) as parts of the file; what `rows` adds to `broken` and `notes` goes with the part.

    Refused rows are rows of the first table. A file without rows is one empty part.
    """
    while True:
        part = list(islice(rows, PART))
        of_table = {name: [row for to, row in part if to == name] for name in tables}
        yield Parsed(
            {name: table(name, listed) for name, listed in of_table.items()},
            refusals(tables[0], path.name, broken.table()),
            counted(**notes),
        )
        if len(part) < PART:
            return
        broken.rows.clear()
        broken.reasons.clear()
        notes.clear()


def table(name: str, rows: Sequence[Row]) -> pa.Table:
    """Rows as the native table `name`; columns that a row lacks are null."""
    columns = {field.name: _column([row.get(field.name) for row in rows], field.type) for field in NATIVE[name].schema}
    return native(name, pa.table({**columns, ROW_NUMBER: pa.array([row[ROW_NUMBER] for row in rows], pa.int64())}))


def _column(values: list[Any], type_: pa.DataType) -> pa.Array:
    return strings(values) if pa.types.is_string(type_) else pa.array(values, type_)
