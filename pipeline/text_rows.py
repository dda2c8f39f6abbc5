"""Rows as text: CSV as RFC 4180 has it, or JSON Lines; UTF-8, and the same rows always give the same bytes.

CSV has a header, lines that end in CRLF, and texts always in double quotes: an empty text ("") is not a null (nothing
between two commas). JSON Lines have an object a line with every column in it, nulls too. In both an instant is ISO 8601
in UTC with a Z, to the second, which is as fine as ours are, and a number is the shortest text that reads as the same.

A text that a spreadsheet would take for a formula (it begins with =, +, -, @, a tab or a carriage return) is written as
it is. What disarms it is an apostrophe put before it, and an id with an apostrophe is another id: whoever joins by it
would lose that person without a word. These files are for programs; a person imports them into a spreadsheet as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Literal

import duckdb
import pyarrow as pa

from pipeline import query

Form = Literal["csv", "jsonl"]

_BATCH = 65_536
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"


def write(
    con: duckdb.DuckDBPyConnection,
    rows: str,
    schema: pa.Schema,
    form: Form,
    file: IO[bytes],
    order: Sequence[str] = (),
) -> int:
    """Write what `rows` selects, sorted by `order` (else as it comes), a batch at a time; returns how many rows.

    Args:
        con: Its time zone is UTC.
        rows: SQL to select from: at least the columns of `schema`.
        schema: The columns, in order. Texts, numbers and instants.
        form: What a line is.
        file: Gets the bytes.
        order: Columns.
    """
    if form == "csv":
        file.write(_csv_line(schema.names))
    line = _csv(schema) if form == "csv" else _json(schema)
    by = f" ORDER BY {', '.join(map(query.name, order))}" if order else ""
    written = 0
    for batch in con.sql(f"SELECT {line} AS line FROM ({rows}){by}").to_arrow_reader(_BATCH):
        file.write("".join(batch.column(0).to_pylist()).encode())
        written += batch.num_rows
    return written


def _csv_line(cells: Sequence[str]) -> bytes:
    return (",".join(cells) + "\r\n").encode()


def _csv(schema: pa.Schema) -> str:
    return " || ',' || ".join(f"coalesce({_cell(field)}, '')" for field in schema) + " || chr(13) || chr(10)"


def _cell(field: pa.Field) -> str:
    column = query.name(field.name)
    if pa.types.is_string(field.type):
        return f"""'"' || replace({column}, '"', '""') || '"'"""
    return f"CAST({_plain(field)} AS VARCHAR)"


def _json(schema: pa.Schema) -> str:
    pairs = (f"{query.text(field.name)}, {_plain(field)}" for field in schema)
    return f"json_object({', '.join(pairs)}) || chr(10)"


def _plain(field: pa.Field) -> str:
    column = query.name(field.name)
    return f"strftime({column}, {query.text(_INSTANT)})" if pa.types.is_timestamp(field.type) else column
