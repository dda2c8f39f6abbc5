"""Whose list changed between two snapshots, with the whole new list: for systems that keep lists by person.

A list has changed when it holds other contents, or the same in another order: what somebody sees is then another list.
Scores, probabilities, reasons and model versions alone change nearly everywhere every night, and are no change here.
Whoever came is `new`; whoever is `gone` has one row without rank and content, so that their list can be cleared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from expectations import schemas
from pipeline import diff, disk, manifest, parts, query, snapshot, snapshot_names, text_rows
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.lake import Lake
from pipeline.report import Report

Form = Literal[text_rows.Form, "parquet"]

_FORMS: Mapping[str, Form] = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
_PERSON = "person_id, id_type"
_ORDER = ("person_id", "id_type", "rank")
_CHANGE = """CASE how WHEN 'came' THEN 'new' WHEN 'gone' THEN 'gone' WHEN 'contents' THEN 'changed'
              WHEN 'order' THEN 'changed' END"""


@dataclass(frozen=True)
class ChangesReport(Report):
    """From the snapshot `old` (null: from nothing) to `new`: what was written to `out`; `people` by kind of change."""

    old: str | None
    new: str
    out: str
    people: Mapping[str, int]
    rows: int


def run(config: Config, out: Path, old: str | None = None, new: str | None = None) -> ChangesReport:
    """Write what changed to `out`, whose name says how: .csv, .jsonl or .parquet. A file that is there is replaced.

    Snapshots are named as for `diff.run`; without `old` it is the latest of an earlier night, if there is one.

    Raises:
        ConfigurationError: There is no such snapshot, or the file's name does not say how it is to be written.
        ShortlistError: A snapshot cannot be read, or the file cannot be written: it is as it was.
    """
    form = _FORMS.get(out.suffix)
    if form is None:
        raise ConfigurationError(
            f"--out {out}: the name must end in .csv, .jsonl or .parquet, found {out.suffix or 'no ending'!r}"
        )
    root = Lake.of(config).rankings
    now = snapshot_names.meant(root, new) if new is not None else snapshot.resolve(root).name
    after = snapshot_names.path_of(root, now)
    if old is not None:
        before: Path | None = snapshot_names.path_of(root, snapshot_names.meant(root, old))
    else:
        before = snapshot_names.earlier(root, snapshot_names.night(now))
    with diff.compared(before, after) as con:
        rows = _replace(out, lambda file: write(con, after, form, file))
        return ChangesReport(before.name if before else None, now, str(out), counted(con), rows)


def schema_of(new: Path) -> pa.Schema:
    """The columns of `changes` to this snapshot."""
    names = [column["name"] for column in manifest.load(new)["schema"]["people"]]
    return schemas.changes(tuple(name.removeprefix("p_") for name in names if name.startswith("p_"))).schema


def write(con: duckdb.DuckDBPyConnection, new: Path, form: Form, file: IO[bytes]) -> int:
    """Write the changes to the snapshot `new`, sorted, in a database of `diff.compared`; returns how many rows."""
    rows, schema = _rows(new), schema_of(new)
    if form == "parquet":
        return _write_parquet(con, rows, schema, file)
    return text_rows.write(con, rows, schema, form, file, _ORDER)


def counted(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many people there are of each kind of change, in a database of `diff.compared`."""
    found = dict(con.execute(f"SELECT {_CHANGE} AS change, count(*) FROM compared GROUP BY ALL").fetchall())
    return {change: found.get(change, 0) for change in schemas.CHANGES}


def _rows(new: Path) -> str:
    as_of = query.text(manifest.load(new)["as_of"])
    return f"""
        SELECT new.*, {_CHANGE} AS change
        FROM new JOIN compared USING ({_PERSON}) WHERE how IN ('came', 'contents', 'order')
        UNION ALL BY NAME
        SELECT {_PERSON}, 'gone' AS change, TIMESTAMPTZ {as_of} AS as_of FROM compared WHERE how = 'gone'"""


def _write_parquet(con: duckdb.DuckDBPyConnection, rows: str, schema: pa.Schema, file: IO[bytes]) -> int:
    columns, order = (", ".join(map(query.name, names)) for names in (schema.names, _ORDER))
    found = con.sql(f"SELECT {columns} FROM ({rows}) ORDER BY {order}").to_arrow_reader(parts.ROWS_PER_GROUP)
    written = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in parts.cut(found, schema, parts.ROWS_PER_GROUP):
            writer.write_table(group)
            written += group.num_rows
    return written


def _replace(out: Path, fill: Callable[[IO[bytes]], int]) -> int:
    aside = out.with_name(f".{out.name}.new")
    rows: list[int] = []
    try:
        disk.make_folder(out.parent)
        disk.remove(aside)
        disk.write(aside, lambda file: rows.append(fill(file)))
        disk.replace(aside, out)
        disk.sync_folder(out.parent)
    except OSError as error:
        raise ShortlistError(
            f"--out {out}: cannot be written: {error}. {disk.remedy(error)}, then run the same command again."
        ) from error
    finally:
        disk.remove(aside)
    return rows[0]


def draw(report: ChangesReport, out: Console) -> None:
    """From what to what, how many people of each kind, and where the file is."""
    out.print(f"{report.old or 'nothing'}\n  to {report.new}", style="bold", markup=False, soft_wrap=True)
    counts = ", ".join(f"{count:,} {change}" for change, count in report.people.items())
    out.print(f"people: {counts}", markup=False)
    out.print(f"{report.out}: {report.rows:,} rows", markup=False, soft_wrap=True)
