"""GA4's three file forms say the same; what cannot be read is refused by its row number."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.errors import ShortlistError
from pipeline.sources import ga4, ga4_dwell, ga4_files, ga4_rows, read_export
from tests.pipeline.sources.ga4_hits import SITE, hit, write_parquet

HITS = (
    hit(
        "page_view", 0, content_id="a", page_location=f"{SITE}/a", page_title='A "quoted",\ntitle', session_engaged="1"
    ),
    hit("user_engagement", 5, page_location=f"{SITE}/a", engagement_time_msec=4_500, session_engaged=1),
    hit("view_item_list", 6, items=[{"item_id": "a", "index": 0}, {"item_id": "b", "index": 1}]),
    hit("purchase", 7, items=[{"item_id": "a", "price": 2.5, "quantity": 2}], transaction_id="T-1"),
    hit("page_view", 8, content_id="a", visitor=None) | {"geo": None},
    hit("page_view", 9, content_id="b", visitor="8.9") | {"user_id": "crm-1", "device": None},
    hit("page_view", 9, content_id="b", visitor="8.9") | {"user_id": "crm-1", "device": None},
)


def as_bigquery(value: Any) -> Any:
    """Whole numbers as text, everywhere: what BigQuery's JSON has."""
    if isinstance(value, dict):
        return {key: as_bigquery(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [as_bigquery(inner) for inner in value]
    return str(value) if isinstance(value, int) else value


def json_lines(*hits: Any) -> str:
    """An export with `--destination_format NEWLINE_DELIMITED_JSON`."""
    return "".join(json.dumps(as_bigquery(one)) + "\n" for one in hits)


def csv_text(*hits: Any) -> str:
    """A CSV with JSON in the nested columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*HITS[0], "user_id"])
    writer.writeheader()
    for one in hits:
        cells = as_bigquery(one)
        writer.writerow({k: json.dumps(v, indent=1) if isinstance(v, dict | list) else v for k, v in cells.items()})
    return text.getvalue()


FORMS = {".jsonl": json_lines, ".json": json_lines, ".csv": csv_text}


@pytest.fixture
def read(setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads a file as a GA4 export."""
    return lambda path, **settings: read_export(path, setting(format="ga4", path=str(path), **settings))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_text_says_what_parquet_says(form: str, packed: bool, tmp_path: Path, read: Callable[..., Any]) -> None:
    """Every table, note and count is the same, ids of events included."""
    text = FORMS[form](*HITS).encode()
    path = tmp_path / f"day{form}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(text) if packed else text)
    found, wanted = read(path), read(write_parquet(tmp_path / "day.parquet", *HITS))
    assert {name: table.to_pylist() for name, table in found.tables.items()} == {
        name: table.to_pylist() for name, table in wanted.tables.items()
    }
    assert (found.notes, found.duplicates) == (wanted.notes, wanted.duplicates)
    assert found.tables["events"]["dwell_seconds"].to_pylist() == [4.5, None, None, None, None]
    assert found.tables["events"]["position"].to_pylist() == [None, 1, 2, None, None]


def test_broken_lines_are_refused_by_number(tmp_path: Path, read: Callable[..., Any]) -> None:
    """One bad line costs itself, whether it is no JSON, no object, or has another type where records should be."""
    good = json_lines(HITS[0])
    path = tmp_path / "day.jsonl"
    odd = json.dumps(as_bigquery(HITS[0]) | {"event_params": "none"})
    timeless = json.dumps(as_bigquery(HITS[0]) | {"event_timestamp": "yesterday"})
    path.write_text(f"{{broken\n{good}[1]\n{odd}\n{timeless}\n")
    parsed = read(path)
    assert parsed.tables["events"]["row_number"].to_pylist() == [2]
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [
        {"row_number": 1, "reason": "is not an event of GA4 as a JSON object"},
        {"row_number": 3, "reason": "is not an event of GA4 as a JSON object"},
        {"row_number": 4, "reason": "event_params or items is not a list of records"},
        {"row_number": 5, "reason": "event_name or event_timestamp is missing"},
    ]


def test_broken_cells_are_refused_by_number(tmp_path: Path, read: Callable[..., Any]) -> None:
    """A nested cell that is no JSON, and a record with a field too many."""
    path = tmp_path / "day.csv"
    text = csv_text(HITS[0], HITS[2]).replace('"[\n {\n  ""item_id""', '"[{{', 1)
    path.write_text(text + "20260630,1\n", newline="")
    parsed = read(path)
    assert parsed.tables["events"]["row_number"].to_pylist() == [1]
    refused = {row["row_number"]: row["reason"] for row in parsed.rejected.to_pylist()}
    assert refused[2] == "items is not JSON as GA4 has it"
    assert sorted(refused) == [2, 3]


def test_a_file_without_any_event_says_so(tmp_path: Path, read: Callable[..., Any]) -> None:
    """Other JSON is refused line by line; a CSV of something else as a whole."""
    path = tmp_path / "day.jsonl"
    path.write_text('{"a": 1}\n')
    assert read(path).rejected.num_rows == 1
    other = tmp_path / "day.csv"
    other.write_text("date,page\n20260630,/a\n")
    with pytest.raises(ShortlistError, match="has no column 'event_date'"):
        read(other)


def test_a_cut_off_file_is_named(tmp_path: Path, read: Callable[..., Any]) -> None:
    """Half a Parquet file has no footer; damage within it is found when it is read."""
    path = write_parquet(tmp_path / "day.parquet", *HITS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ShortlistError, match=r"day\.parquet is no whole Parquet file .*export it again"):
        read(path)


def test_parts_are_the_file_in_order(tmp_path: Path, setting: Callable[..., Any], monkeypatch: Any) -> None:
    """However small the parts and the visitors' groups, the rows are the same, and no part is larger than said."""
    path = write_parquet(tmp_path / "day.parquet", *HITS)
    source = setting(format="ga4", path=str(path))
    whole = [part.tables["events"] for part in ga4.read(path, source)]
    monkeypatch.setattr(ga4_files, "PART", 2)
    monkeypatch.setattr(ga4_rows, "PART", 1)
    monkeypatch.setattr(ga4_dwell, "_AT_ONCE", 2)
    parts = [part.tables["events"] for part in ga4.read(path, source)]
    assert max(map(len, parts)) == 1
    assert pa.concat_tables(parts).equals(pa.concat_tables(whole))
    assert pa.concat_tables(parts)["row_number"].to_pylist() == [1, 3, 3, 4, 6]
