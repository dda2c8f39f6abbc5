"""What is read back of exports, as systems that take them over read them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TextIO

import pyarrow as pa
from deltalake import DeltaTable

from expectations import schemas
from pipeline.export_tables import TABLES
from tests.pipeline.nights import GOALS
from tests.pipeline.small import House

ALSO = ("csv", "jsonl", "delta")
Rows = list[dict[str, Any]]
Content = dict[str, Rows] | None


def schema(house: House, table: str) -> pa.Schema:
    """As the vocabulary has it."""
    return (schemas.changes(GOALS) if table == "changes" else schemas.published(GOALS)[table]).schema


def exported(house: House, form: str, table: str) -> Rows:
    """The rows of one table as one export has them, with the types that they have in Parquet."""
    place = house.lake.exports / form
    if form == "delta":
        rows: Rows = DeltaTable(place / table).to_pyarrow_table().to_pylist()
        return rows
    folder = place / (place / "CURRENT").read_text(encoding="utf-8").strip()
    with (folder / f"{table}.{form}").open(encoding="utf-8", newline="") as file:
        found = list(_cells(file)) if form == "csv" else [json.loads(line) for line in file]
    return [{field.name: _typed(row[field.name], field) for field in schema(house, table)} for row in found]


def _cells(file: TextIO) -> Iterator[dict[str, Any]]:
    """Only quotes tell an empty text from a null, and Python's reader does not say; see `test_text_rows`."""
    for row in csv.DictReader(file):
        yield {name: cell or None for name, cell in row.items()}


def _typed(value: Any, field: pa.Field) -> Any:
    if value is None:
        return None if field.nullable else ""
    if pa.types.is_timestamp(field.type):
        return datetime.fromisoformat(value)
    return {"int32": int, "double": float, "string": str}[str(field.type)](value)


def in_order(rows: Rows) -> Rows:
    """Delta promises no order of rows."""
    return sorted(rows, key=repr)


def says(house: House, form: str) -> dict[str, Any]:
    """The export's record."""
    place = house.lake.exports / form
    folder = place if form == "delta" else place / (place / "CURRENT").read_text(encoding="utf-8").strip()
    found: dict[str, Any] = json.loads((folder / "export.json").read_bytes())
    return found


def files(house: House) -> dict[str, tuple[bytes, int]]:
    """Every exported file with its bytes and when it was written."""
    found = [path for path in house.lake.exports.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(house.lake.exports)): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def content(house: House, form: str) -> Content:
    """All tables of an export; None where there is none."""
    place = house.lake.exports / form
    there = place.is_dir() if form == "delta" else (place / "CURRENT").exists()
    return {table: in_order(exported(house, form, table)) for table in TABLES} if there else None
