"""Rows refused one by one, by the lines of their suite that say so; what is kept can still be refused as a whole.

Parts are split in many processes: `pipeline.validate` judges what is kept, and only it waits for Great Expectations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import suites
from pipeline.errors import ShortlistError
from pipeline.expectation_sql import ImpossibleError, UnsupportedError
from pipeline.sources.export import ROW_NUMBER
from pipeline.tally import opened

REFUSED = pa.schema([(ROW_NUMBER, pa.int64()), ("reason", pa.string())])
"""Rows that `split` sets aside."""


def split(
    name: str,
    rows: pa.Table,
    parameters: Mapping[str, float] | None = None,
    added: Path | None = None,
    con: duckdb.DuckDBPyConnection | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Split a part of a native table (with `row_number`) into the rows kept and the rows refused (`REFUSED`).

    Refused are rows that break a `reject the row` expectation of the suite; the reason is the first such line's notes.

    Raises:
        ShortlistError: An expectation cannot be told row by row of these columns.
    """
    refusing = [line for line in suites.load(name, parameters, added) if suites.severity(line) == suites.REJECT_ROW]
    if not refusing:
        return rows, REFUSED.empty_table()
    try:
        with opened(rows, con) as tally:
            reasons = tally.reasons([(line["type"], line["kwargs"], suites.notes(line)) for line in refusing])
    except (UnsupportedError, ImpossibleError) as error:
        raise ShortlistError(f"suite {name!r}: rows cannot be refused one by one: {error}") from error
    if reasons.null_count == len(reasons):
        return rows, REFUSED.empty_table()
    refused = pc.is_valid(reasons)
    found = pa.table({ROW_NUMBER: rows[ROW_NUMBER], "reason": reasons}).filter(refused)
    return rows.filter(pc.invert(refused)), found.cast(REFUSED)
