"""CSV and JSON Lines that any reader reads back to the very values."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from expectations.schemas import TIMESTAMP
from pipeline import query, text_rows
from tests.pipeline import weird

SCHEMA = pa.schema([("id", pa.string()), ("rank", pa.int32()), ("score", pa.float64()), ("as_of", TIMESTAMP)])
instants = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
rows_ = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.none() | weird.texts,
            "rank": st.none() | st.integers(-(2**31), 2**31 - 1),
            "score": st.none() | weird.numbers,
            "as_of": st.none() | instants.map(lambda instant: instant.replace(microsecond=0)),
        }
    ),
    max_size=8,
)
Rows = list[dict[str, Any]]


def text(rows: Rows, form: text_rows.Form) -> bytes:
    """The rows, written."""
    file = io.BytesIO()
    with query.connection(rows=pa.Table.from_pylist(rows, schema=SCHEMA)) as con:
        assert text_rows.write(con, "FROM rows", SCHEMA, form, file) == len(rows)
    return file.getvalue()


def instant(said: str | None) -> datetime | None:
    """What an instant says, which must be written with a Z."""
    assert not said or said.endswith("Z")
    return datetime.fromisoformat(said) if said else None


@given(rows=rows_)
def test_json_lines_are_read_back(rows: Rows) -> None:
    """A line an object, with every column; numbers to the last bit, and nulls as nulls."""
    written = text(rows, "jsonl")
    assert written.count(b"\n") == len(rows)
    found = [json.loads(line) for line in written.split(b"\n")[:-1]]
    assert [list(row) for row in found] == [SCHEMA.names] * len(rows)
    assert [{**row, "as_of": instant(row["as_of"])} for row in found] == rows


@given(rows=rows_)
def test_csv_is_read_back(rows: Rows) -> None:
    """Python's reader gives the values; that a null is no empty text is seen by who looks at quotes."""
    said = text(rows, "csv").decode("utf-8")
    header, *cells = list(csv.reader(io.StringIO(said, newline="")))
    assert header == SCHEMA.names
    found = [
        {
            "id": name,
            "rank": int(rank) if rank else None,
            "score": float(score) if score else None,
            "as_of": instant(as_of),
        }
        for name, rank, score, as_of in cells
    ]
    assert found == [{**row, "id": row["id"] or ""} for row in rows]


def test_what_a_line_is() -> None:
    """To the byte: RFC 4180's quotes and line ends, no BOM, and a formula left as it is."""
    as_of = datetime(2026, 11, 1, tzinfo=UTC)
    rows = [
        {"id": 'say "=1+1"', "rank": -1, "score": 0.1, "as_of": as_of},
        {"id": "", "rank": None, "score": None, "as_of": None},
        {"id": None, "rank": 3, "score": 1e-7, "as_of": as_of},
    ]
    assert text(rows, "csv").split(b"\r\n") == [
        b"id,rank,score,as_of",
        b'"say ""=1+1""",-1,0.1,2026-11-01T00:00:00Z',
        b'"",,,',
        b",3,1e-07,2026-11-01T00:00:00Z",
        b"",
    ]
    assert text(rows, "jsonl").split(b"\n") == [
        b'{"id":"say \\"=1+1\\"","rank":-1,"score":0.1,"as_of":"2026-11-01T00:00:00Z"}',
        b'{"id":"","rank":null,"score":null,"as_of":null}',
        b'{"id":null,"rank":3,"score":1e-7,"as_of":"2026-11-01T00:00:00Z"}',
        b"",
    ]


def test_many_batches_are_in_order() -> None:
    """However many threads read them."""
    rows = [{"id": f"p{number}", "rank": number, "score": 0.5, "as_of": None} for number in range(200_000)]
    lines = text(rows, "csv").split(b"\r\n")[1:-1]
    assert lines == [f'"p{number}",{number},0.5,'.encode() for number in range(200_000)]
