"""What became of each row of a log: `judged`, a table in DuckDB that may be larger than memory, to native parts.

`judged` has `row_number`, `reason` (why the row is refused), `outcome` (null: an event; empty: used otherwise; else the
note under which it is counted and left out), and those columns of `events` that there are. What is noted as
`without_consent` would be an event if it were somebody's: it counts as `popularity`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from expectations import schemas
from pipeline.sources.export import PART, ROW_NUMBER, Parsed, native, refusals

NOBODY = "without_consent"

_EVENTS = "SELECT * FROM judged WHERE reason IS NULL AND outcome IS NULL ORDER BY row_number"
_REFUSED = "SELECT row_number, reason FROM judged WHERE reason IS NOT NULL ORDER BY row_number"


def parsed(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    others: Mapping[str, str] | None = None,
    duplicates: Mapping[str, int] | None = None,
) -> Iterator[Parsed]:
    """What `judged` holds, and `others` (native table -> SQL for its rows), in parts of at most `PART` rows."""
    tables = {"events": _EVENTS, "popularity": _popularity(con), **(others or {})}
    nothing = pa.table({ROW_NUMBER: pa.array([], pa.int64())})
    none = schemas.REJECTED.empty_table()
    yield Parsed({name: native(name, nothing) for name in tables}, none, _notes(con), duplicates or {})
    for name, query in tables.items():
        for rows in _parts(con, query):
            yield Parsed({name: native(name, rows)}, none)
    for rows in _parts(con, _REFUSED):
        yield Parsed({}, refusals("events", path.name, rows))


def count(con: duckdb.DuckDBPyConnection, rows: str) -> int:
    """How many there are: `rows` is what follows FROM."""
    (found,) = con.sql(f"SELECT count(*) FROM {rows}").fetchall()[0]
    return int(found)


def _parts(con: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.Table]:
    for batch in con.sql(query).to_arrow_reader(PART):
        yield pa.table(batch)


def _notes(con: duckdb.DuckDBPyConnection) -> Mapping[str, int]:
    rows = con.sql("SELECT outcome, count(*) FROM judged WHERE reason IS NULL AND outcome <> '' GROUP BY 1 ORDER BY 1")
    return dict(rows.fetchall())


def _popularity(con: duckdb.DuckDBPyConnection) -> str:
    columns = con.table("judged").columns
    available = "max(available_at)" if "available_at" in columns else "CAST(NULL AS TIMESTAMPTZ)"
    dwell = "sum(dwell_seconds)" if "dwell_seconds" in columns else "CAST(NULL AS DOUBLE)"
    return f"""
        SELECT min(row_number) AS row_number, content_id, event, date_trunc('hour', ts) AS ts,
               {available} AS available_at, count(*) AS count, {dwell} AS dwell_seconds
        FROM judged WHERE reason IS NULL AND outcome = '{NOBODY}'
        GROUP BY content_id, event, date_trunc('hour', ts) ORDER BY 1
    """
