"""What is read back of exports, as systems that take them over read them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from expectations import schemas
from pipeline import changes, snapshot
from pipeline.config import Config
from pipeline.export_tables import TABLES
from tests.pipeline.nights import GOALS, publish
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


def configured(house: House, *also: str) -> Config:
    """The configuration with exports in these formats."""
    return house.configure(f"[publish]\nalso = {json.dumps(also)}\n")


@pytest.fixture
def two_nights(tmp_path: Path) -> House:
    """A company in which two nights were published, the second with another list for everybody."""
    house = House(tmp_path / "house")
    house.folder.mkdir()
    configured(house, *ALSO)
    publish(house.lake.rankings, night=0)
    publish(house.lake.rankings, night=1, variant=1)
    return house


def nothing_else(house: House, *forms: str) -> bool:
    """Whether there is one export in each of these formats (or all), no leftovers, and no file that no table needs."""
    root, forms = house.lake.exports, forms or ALSO
    for form in set(forms) - {"delta"}:
        name = (root / form / "CURRENT").read_text(encoding="utf-8").strip()
        assert sorted(path.name for path in (root / form).iterdir()) == sorted([name, "CURRENT", "current"])
        assert (root / form / "current").readlink() == Path(name)
    for place in [root / "delta"] if "delta" in forms else []:
        assert sorted(path.name for path in place.iterdir()) == sorted([*TABLES, "export.json"])
        for table in TABLES:
            needed = {Path(uri).name for uri in DeltaTable(place / table).file_uris()}
            assert {path.name for path in (place / table).glob("*.parquet")} == needed
    return sorted(path.name for path in root.iterdir()) == [".lock", *sorted(forms)]


def served(house: House, table: str) -> Rows:
    """The rows that an export must have, without any code of exports."""
    if table != "changes":
        rows: Rows = snapshot.read(house.lake.rankings, table).to_pylist()
        return rows
    out = house.folder / "expected.parquet"
    changes.run(configured(house, *ALSO), out)
    rows = pq.read_table(out).to_pylist()
    out.unlink()
    return rows


def is_whole(house: House, form: str) -> bool:
    """Whether an export has all rows of what serves, in all tables, and says so."""
    return says(house, form)["snapshot"] == snapshot.resolve(house.lake.rankings).name and all(
        in_order(exported(house, form, table)) == in_order(served(house, table)) for table in TABLES
    )
