"""Files of any kind: CSV, JSON Lines and Parquet, packed or not, whole or not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ShortlistError
from pipeline.sources import ga4_files, load, read_export
from pipeline.sources.delimited import Broken
from pipeline.sources.documents import documents
from pipeline.sources.export import FILE_ROW, PART

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
COLUMNS = {"ts": "when", "visitor_id": "who", "content_id": "what", "event": "did"}


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads a file of this content as a table."""

    def to_parsed(content: str | bytes, *, name: str = "log.csv", table: str = "events", **settings: Any) -> Any:
        return read_export(write(name, content), setting(name="log", table=table, **settings))

    return to_parsed


def rows(parsed: Any, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the only table, row by row."""
    (table,) = parsed.tables.values()
    return list(zip(*(table[c].to_pylist() for c in columns), strict=True))


def reasons(parsed: Any) -> list[tuple[int, str]]:
    """Refused rows: number and reason."""
    return list(zip(parsed.rejected["row_number"].to_pylist(), parsed.rejected["reason"].to_pylist(), strict=True))


EVENTS = [
    {"when": "2026-06-30T12:00:00Z", "who": "v1", "what": "c1", "did": "like"},
    {"when": "2026-06-30T12:00:01Z", "who": "v2", "what": "c\n2", "did": "save"},
]


def as_csv(events: list[dict[str, str]]) -> bytes:
    """The events as CSV."""
    return (
        "\n".join(["when,who,what,did", *(",".join(f'"{cell}"' for cell in e.values()) for e in events)]) + "\n"
    ).encode()


def as_json_lines(events: list[dict[str, str]]) -> bytes:
    """The events as JSON Lines."""
    return "".join(json.dumps(e) + "\n" for e in events).encode()


def as_parquet(events: list[dict[str, str]]) -> bytes:
    """The events as Parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(events), sink)
    return bytes(sink.getvalue())


def zstd(content: bytes) -> bytes:
    """Zstandard, as `zstd` writes it."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("pack", [("", bytes), (".gz", gzip.compress), (".zst", zstd)])
@pytest.mark.parametrize(
    "form",
    [("csv", as_csv), ("txt", as_csv), ("jsonl", as_json_lines), ("ndjson", as_json_lines), ("parquet", as_parquet)],
)
def test_one_table_in_every_kind_of_file(form: Any, pack: Any, parse: Callable[..., Any]) -> None:
    """CSV, JSON Lines and Parquet, packed or not, give the same rows, ids and numbers."""
    parsed = parse(pack[1](form[1](EVENTS)), name=f"log.2026.{form[0]}{pack[0]}", columns=COLUMNS)
    assert rows(parsed, "row_number", "visitor_id", "content_id", "event") == [
        (1, "v1", "c1", "like"),
        (2, "v2", "c\n2", "save"),
    ]
    assert rows(parsed, "event_id") == rows(parse(as_csv(EVENTS), columns=COLUMNS), "event_id")


def test_a_tsv_is_split_at_tabs(parse: Callable[..., Any]) -> None:
    """The name says it; a setting would overrule it."""
    parsed = parse(b"when\twho\twhat\tdid\n2026-06-30\tv,1\tc1\tlike\n", name="log.tsv", columns=COLUMNS)
    assert rows(parsed, "visitor_id") == [("v,1",)]


def test_broken_lines_of_json_are_refused_alone(parse: Callable[..., Any]) -> None:
    """Lines that are no object are counted and told; keys may come and go from line to line."""
    lines = [
        '{"ts": "2026-06-30", "visitor_id": 12345678901234567890, "content_id": 1, "event": "like"}',
        '{"ts": "2026-06-30", "visitor_id"',
        "",
        "[1]",
        '{"event": "save", "value": 2, "content_id": "x", "visitor_id": "v", "ts": "2026-06-30"}',
    ]
    parsed = parse("\n".join(lines), name="log.jsonl")
    assert reasons(parsed) == [(2, "is not a JSON object"), (3, "is not a JSON object")]
    assert rows(parsed, "row_number", "visitor_id", "content_id", "value") == [
        (1, "12345678901234567890", "1", None),
        (4, "v", "x", 2.0),
    ]


def test_a_json_array_is_no_json_lines(parse: Callable[..., Any]) -> None:
    """The message says what is expected instead of missing every column."""
    with pytest.raises(ShortlistError, match="expected JSON Lines: one object a line"):
        parse("[\n1\n]\n", name="log.json")


def test_a_json_list_of_objects_is_read(parse: Callable[..., Any]) -> None:
    """As APIs give it, and what is no object in it costs only itself."""
    parsed = parse(json.dumps([EVENTS[0], 1, EVENTS[1]], indent=1), name="log.json", columns=COLUMNS)
    assert rows(parsed, "row_number", "visitor_id") == [(1, "v1"), (3, "v2")]
    assert reasons(parsed) == [(2, "is not a JSON object")]


def test_parquet_keeps_its_types(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """Times with and without a zone, dates, decimals and lists come as they are; a whole number is no decimal id."""
    table = pa.table(
        {
            "content_id": pa.array([17.0, 18.5]),
            "published_at": pa.array([NOON.replace(tzinfo=None)] * 2, pa.timestamp("ns")),
            "expires_at": pa.array([date(2026, 7, 1), None]),
            "quality": pa.array([Decimal("0.50"), None]),
            "tags": pa.array([["a", "b"], None]),
            "status": pa.array(["published", "draft"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "c.parquet")
    parsed = read_export(tmp_path / "c.parquet", setting(table="content"))
    assert rows(parsed, "content_id", "published_at", "expires_at", "quality", "tags", "status") == [
        ("17", NOON, datetime(2026, 7, 1, tzinfo=UTC), 0.5, ["a", "b"], "published"),
        ("18.5", NOON, None, None, None, "draft"),
    ]


@pytest.mark.parametrize("keep", [4, 200, -1])
def test_a_cut_off_parquet_is_refused_whole(keep: int, parse: Callable[..., Any]) -> None:
    """However much of it arrived."""
    with pytest.raises(ShortlistError, match="no whole Parquet file"):
        parse(as_parquet(EVENTS)[:keep], name="log.parquet", columns=COLUMNS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", "", "is empty"),
        ("log.csv", "when,who,what,did\n", "has no rows"),
        ("log.parquet", "", "is empty"),
        ("log.xlsx", "x", "cannot tell what"),
    ],
)
def test_a_file_without_rows_is_refused_whole(name: str, content: Any, message: str, parse: Callable[..., Any]) -> None:
    """Nothing, only a header, or nothing that we can read: an error, not an empty day."""
    with pytest.raises(ShortlistError, match=message):
        parse(content, name=name, columns=COLUMNS)


def test_an_empty_day_can_be_allowed(parse: Callable[..., Any]) -> None:
    """With the option a header alone is a day without rows; a file of no bytes stays an error."""
    parsed = parse("when,who,what,did\n", columns=COLUMNS, options={"allow_empty": "true"})
    assert (parsed.tables["events"].num_rows, parsed.rejected.num_rows) == (0, 0)
    with pytest.raises(ShortlistError, match="is empty"):
        parse("", columns=COLUMNS, options={"allow_empty": "true"})


def test_keys_that_come_late_are_columns(parse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that only the last part of a file of JSON Lines has is read, and the rows before it have none."""
    lines = [json.dumps(EVENTS[0])] * 3 + [json.dumps({**EVENTS[1], "value": 2.5})]
    monkeypatch.setattr(load, "_CHUNK", 2)
    parsed = parse("\n".join(lines), name="log.jsonl", columns=COLUMNS)
    assert rows(parsed, "row_number", "value") == [(1, None), (4, 2.5)]


def test_broken_lines_stay_with_their_part(
    write: Callable[..., Path], setting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part tells of its own broken lines, once, and still does when the next has been read."""
    monkeypatch.setattr(load, "_CHUNK", 2)
    path = write("log.jsonl", '{"a": 1}\n?\n{"a": 3}\n{"a": 4}\n!\n{"a": 6}\n')
    parts = list(load.load_parts(path, setting(), lambda found: found))
    assert [(table["a"].to_pylist(), broken.rows) for table, broken in parts] == [
        (["1"], [2]),
        (["3", "4"], []),
        (["6"], [5]),
    ]


@pytest.mark.parametrize("name", ["c.parquet", "c.parquet.gz"])
def test_parquet_comes_in_parts(name: str, tmp_path: Path, setting: Callable[..., Any]) -> None:
    """No part has more than `PART` rows whatever the row groups, and rows are numbered through the file."""
    count = PART + 3
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": range(count)}), sink)
    content = bytes(sink.getvalue())
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    parts = [table for table, _ in load.load_parts(tmp_path / name, setting(), lambda found: found)]
    assert max(map(len, parts)) == PART
    assert [n for part in parts for n in part[FILE_ROW].to_pylist()] == list(range(1, count + 1))


def test_an_empty_parquet_is_one_empty_part(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """Where days without rows are allowed, the columns are still there."""
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "c.parquet")
    (part,) = load.load_parts(tmp_path / "c.parquet", setting(options={"allow_empty": "true"}), lambda found: found)
    assert (part[0].column_names, len(part[0])) == (["a", FILE_ROW], 0)


def _as_table(path: Path, source: Any) -> Iterator[object]:
    return load.load_parts(path, source, lambda found: found)


def _as_documents(path: Path, source: Any) -> Iterator[object]:
    return documents(path, source, lambda found: found, Broken())


def _as_ga4(path: Path, source: Any) -> Iterator[object]:
    return ga4_files.Export(path, pq.read_schema(path), 0, Broken()).people()


@pytest.mark.parametrize("read", [_as_table, _as_documents, _as_ga4])
def test_what_was_read_of_a_parquet_file_is_let_go(
    read: Callable[[Path, Any], Iterator[object]],
    tmp_path: Path,
    setting: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A day of any size is read in the memory of a few of its row groups."""
    for module in (load, ga4_files):
        monkeypatch.setattr(module, "PART", 1000)
    path, schema = tmp_path / "c.parquet", pa.schema([("user_id", pa.string())])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as file:
        for group in range(24):
            file.write_table(pa.table({"user_id": [f"{group:08}{row:08}" * 64 for row in range(1000)]}))
    before = held = pa.total_allocated_bytes()
    for _ in read(path, setting()):
        held = max(held, pa.total_allocated_bytes())
    assert held - before < path.stat().st_size / 2
