"""People's rows out of the lake's tables, a (source, day) or a night at a time; every other row stays as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from pipeline import by_person, checkpoints, looks, query, staging, suppress
from pipeline.config import Config
from pipeline.day_files import ORDER, DataFile, DayFiles
from pipeline.lake import PURGED, UNDATED, Lake

PERSONAL: Mapping[str, tuple[str, ...]] = {
    "events": ("person_id", "visitor_id", "customer_id"),
    "transactions": ("person_id", "order_id"),
    "customers": ("customer_id",),
    "native_ids": ("id",),
}
"""Tables with rows about people, and the columns that say about whom."""

LINKS: Mapping[str, tuple[str, ...]] = {"identities": ("id", "other_id")}
"""What leads from one id to another: kept of people who object, so that the objection reaches all of their browsers."""

NIGHTLY = ("person_features", "person_affinities")
"""Tables of a night with rows about people, by `person_id`."""

_BATCH = 262_144


def delete_people(lake: Lake, people: pa.Array) -> dict[str, int]:
    """Delete every row that has one of these ids; how many rows that were, by table (only those that lost any).

    Each day's file is replaced in one commit, so whoever is interrupted does it again and loses nothing. Older versions
    of a table hold the rows until `lake_history.vacuum` removes them.
    """
    checkpoints.remove_those_with(lake, people)
    by_person.remove_those_with(lake, people)
    looks.remove_those_with(lake, people)
    deleted = _from_tables(lake, PERSONAL, people)
    deleted |= {table: _from_nights(lake, table, people) for table in NIGHTLY}
    if any(deleted[table] for table in ("events", "transactions")):
        checkpoints.remove_all(lake)  # theirs may be in there under another id
    return {table: rows for table, rows in deleted.items() if rows}


def forget_people(lake: Lake, people: pa.Array) -> dict[str, int]:
    """As `delete_people`, and their links, too; and all that earlier nights kept to go on from, or saw of anybody."""
    checkpoints.remove_all(lake)
    looks.remove_all(lake)
    links = _from_tables(lake, LINKS, people)
    return {**delete_people(lake, people), **{table: rows for table, rows in links.items() if rows}}


def purge(lake: Lake, as_of: datetime, config: Config) -> dict[str, int]:
    """Delete the rows of everybody who is suppressed; returns how many a table. Twice is once.

    A load leaves out whom it knows to object. What it could not know (the CRM of the day came later, a cookie's owner
    logged in later) leaves the lake here, before the night goes on.
    """
    suppressed = suppress.known_now(lake, as_of, config)
    done = lake.read("loads", columns=["sha256"], source=PURGED, days=[UNDATED])["sha256"].to_pylist()
    if not len(suppressed) or done == [_proof(lake, suppressed)]:
        return {}
    deleted = delete_people(lake, suppressed)
    row = {"files": "", "sha256": _proof(lake, suppressed), "rows": 0, "source": PURGED, "day": UNDATED}
    lake.replace_day("loads", pa.Table.from_pylist([row], schema=schemas.LAKE["loads"].schema), PURGED, UNDATED)
    return deleted


def _proof(lake: Lake, people: pa.Array) -> str:
    """Of these people, and of these versions: somebody whose consent came and went may have come in between."""
    versions = {table: lake.version(table) for table in PERSONAL}
    return hashlib.sha256(json.dumps([versions, people.to_pylist()]).encode()).hexdigest()


def _from_tables(lake: Lake, tables: Mapping[str, tuple[str, ...]], people: pa.Array) -> dict[str, int]:
    """In one database for all of them: to open one takes longer than most days do."""
    with query.connection(people=pa.table({"id": people})) as con:
        return {table: _from_days(lake, table, columns, con) for table, columns in tables.items()}


def _from_days(lake: Lake, table: str, columns: tuple[str, ...], con: duckdb.DuckDBPyConnection) -> int:
    if not (files := lake.files(table)):
        return 0
    return sum(_from_day(lake, table, columns, con, *place) for place in _days_with(files, columns, con))


def _days_with(files: list[str], columns: tuple[str, ...], con: duckdb.DuckDBPyConnection) -> list[tuple[str, date]]:
    """The (source, day) pairs that hold any of the `people` whom `con` knows."""
    select = f"SELECT DISTINCT source, day FROM {_files(files)} WHERE {_theirs(columns)} ORDER BY ALL"
    return [(source, day) for source, day in con.execute(select).fetchall()]


def _from_day(
    lake: Lake, table: str, columns: tuple[str, ...], con: duckdb.DuckDBPyConnection, source: str, day: date
) -> int:
    """A load of that day at the same moment comes before it or after it, and is not undone."""
    with staging.opened(lake) as staged, lake.changing(table) as adopt:
        if not (files := lake.files(table, source, day)):
            return 0
        before, remaining = _without(files, columns, con, DayFiles(staged.folder, table, source))
        adopt(remaining, source, day)
    return before - sum(file.rows for file in remaining)


def _without(
    files: list[str], columns: tuple[str, ...], con: duckdb.DuckDBPyConnection, written: DayFiles
) -> tuple[int, Sequence[DataFile]]:
    """How many rows `files` have, and those that are not about the people, in the table's order."""
    names, order = (", ".join(found) for found in (schemas.LAKE[written.table].names, ORDER[written.table]))
    kept = f"SELECT {names} FROM {_files(files)} WHERE NOT coalesce({_theirs(columns)}, false) ORDER BY {order}"
    (rows,) = con.execute(f"SELECT count(*) FROM {_files(files)}").fetchall()[0]
    for batch in con.sql(kept).to_arrow_reader(_BATCH):
        written.add(pa.Table.from_batches([batch]))
    return int(rows), written.close()


def _files(files: list[str]) -> str:
    return query.parquet(files, ", hive_partitioning = true, hive_types = {'source': VARCHAR, 'day': DATE}")


def _theirs(columns: tuple[str, ...]) -> str:
    return "(" + " OR ".join(f"coalesce({column} IN (SELECT id FROM people), false)" for column in columns) + ")"


def _from_nights(lake: Lake, table: str, people: pa.Array) -> int:
    return sum(_from_night(lake, table, people, night) for night in lake.nights(table))


def _from_night(lake: Lake, table: str, people: pa.Array, night: datetime) -> int:
    rows = lake.read_night(table, night)
    theirs = pc.is_in(rows["person_id"], value_set=people)
    gone = int(pc.sum(theirs).as_py() or 0)
    if gone:
        lake.replace_night(table, rows.filter(pc.invert(theirs)), night)
    return gone
