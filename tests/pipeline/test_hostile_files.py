"""Hostile files: archives, links, bombs and damaged footers give rows or a refusal, whatever they were made to do."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ShortlistError
from tests.pipeline.reading import DAY, EVENTS, allow_hostile, legible, parsed, readers


def refusal(path: Path, *args: Any, **settings: Any) -> str:
    """What is said of a file that is refused."""
    with pytest.raises(ShortlistError) as told:
        parsed(path, *args, **{"format": "table", "table": "events", **settings})
    assert path.name in str(told.value)
    return str(told.value)


def zipped(name: str) -> bytes:
    """A zip archive of one file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, EVENTS)
    return packed.getvalue()


def tarred(name: str) -> bytes:
    """A tar archive of one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(EVENTS)
        archive.addfile(entry, io.BytesIO(EVENTS.encode()))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("events.csv", zipped("events.csv"), "zip"),
        ("events.csv.gz", gzip.compress(zipped("events.csv")), "zip"),
        ("events.csv.gz", gzip.compress(tarred("events.csv")), "tar"),
        ("events.tar.gz", gzip.compress(EVENTS.encode()), "tar"),
        ("events.csv", b"7z\xbc\xaf\x27\x1c" + bytes(99), "7z"),
        ("events.csv", b"Rar!\x1a\x07\x01\x00" + bytes(99), "rar"),
        ("events.ZIP", EVENTS.encode(), "ZIP"),
    ],
)
def test_archives_are_refused(name: str, content: bytes, kind: str, tmp_path: Path) -> None:
    """By their name or by how they begin, packed once more or not."""
    (tmp_path / name).write_bytes(content)
    assert f"is an archive ({kind};" in refusal(tmp_path / name)


def test_a_path_stays_in_its_folder(tmp_path: Path) -> None:
    """Neither a link nor `..` leads out of the folder that the configuration names; a link within it is fine."""
    outside, inside = tmp_path / "secret.csv", tmp_path / "exports" / "days"
    inside.mkdir(parents=True)
    outside.write_text(EVENTS)
    (inside / "good.csv").write_text(EVENTS)
    (inside / "out.csv").symlink_to(outside)
    (inside / "in.csv").symlink_to("good.csv")
    template = f"{inside}/{{date:%Y%m%d}}.csv"
    assert "is a link that leads out of" in refusal(inside / "out.csv", template=template)
    assert "is not in" in refusal(inside / ".." / ".." / "secret.csv", template=template)
    assert "is not in" in refusal(outside, template=template)
    assert parsed(inside / "in.csv", format="table", table="events", template=template)


def test_a_folder_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    """The operator said where exports are; that this is a mount or a link is the operator's business."""
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to("there")
    (tmp_path / "there" / "events.csv").write_text(EVENTS)
    assert parsed(tmp_path / "here" / "events.csv", format="table", table="events")


@pytest.mark.parametrize("kind", ["pipe", "folder", "nothing", "device"])
def test_only_plain_files_are_opened(kind: str, tmp_path: Path) -> None:
    """A pipe would keep us waiting for ever, a device may never end."""
    path = tmp_path / "events.csv"
    if kind == "device":
        assert "no regular file" in refusal(Path("/dev/zero"))
        return
    {"pipe": os.mkfifo, "folder": os.mkdir, "nothing": str}[kind](path)
    assert ("cannot be opened" if kind == "nothing" else "no regular file") in refusal(path)


def test_a_file_beyond_the_limit_is_not_opened(tmp_path: Path) -> None:
    """However little of it is on the disk."""
    path = tmp_path / "events.csv"
    with path.open("wb") as file:
        file.truncate(60 * 10**9)
    assert "limits.max_file_gb = 50" in refusal(path)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_bomb_is_put_out_while_it_unpacks(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 MB in a few KB: stopped at 64 MB. Under a ratio that allows it, it is read to its end."""
    allow_hostile(monkeypatch)
    path = tmp_path / f"bomb.csv{ending}"
    with pa.output_stream(str(path)) as bomb:
        for _ in range(300):
            bomb.write(bytes(1_000_000))
    how: dict[str, Any] = {"format": "hostile", "options": {"does": "unpack"}, "table": None}
    assert "unpacks to more than 200 times its size" in refusal(path, **how)
    ratio = 1 + 300_000_000 // path.stat().st_size
    with pytest.raises(ShortlistError, match=r"^unpacked 300000000$"):
        parsed(path, {"max_ratio": ratio}, **how)


# ---------------------------------------------------------------- Parquet

_VALUE = pa.struct([("string_value", pa.string()), ("int_value", pa.int64())])
_HIT = {
    "event_date": "20260630",
    "event_timestamp": DAY[0],
    "event_name": "page_view",
    "event_params": [{"key": "content_id", "value": {"string_value": "c", "int_value": None}}],
    "user_pseudo_id": "1.2",
}
_GA4 = pa.schema(
    [
        ("event_date", pa.string()),
        ("event_timestamp", pa.int64()),
        ("event_name", pa.string()),
        ("event_params", pa.list_(pa.struct([("key", pa.string()), ("value", _VALUE)]))),
        ("user_pseudo_id", pa.string()),
    ]
)


def ga4_file() -> bytes:
    """A small export as BigQuery writes it."""
    written = io.BytesIO()
    hits = [{**_HIT, "event_timestamp": DAY[0] + i, "user_pseudo_id": f"{i}.{i}"} for i in range(50)]
    pq.write_table(pa.Table.from_pylist(hits, schema=_GA4), written, compression="snappy")
    return written.getvalue()


GOOD = ga4_file()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    length=st.just(len(GOOD)) | st.integers(1, len(GOOD)),
)
def test_a_damaged_file_gives_rows_or_an_error(flips: list[tuple[int, int]], length: int, tmp_path: Path) -> None:
    """Flipped bytes in data or footer, or a missing end, whatever they make of the file."""
    content = bytearray(GOOD)
    for place, byte in flips:
        content[place] = byte
    path = tmp_path / "events.parquet"
    path.write_bytes(content[:length])
    try:
        parts = parsed(path, {"memory_mb": 512, "seconds": 60}, format="ga4")
    except ShortlistError as refused:
        assert str(refused).startswith("export: ")  # noqa: PT017 - either outcome is a pass
    else:
        for part in parts:
            assert legible(part) <= 50
    assert readers() == []


def parquet(path: Path, columns: dict[str, Any], **how: Any) -> Path:
    """Writes a Parquet file."""
    pq.write_table(pa.table(columns), path, **how)
    return path


def nested(depth: int) -> pa.DataType:
    """A list of lists of … numbers."""
    type_: pa.DataType = pa.int64()
    for _ in range(depth):
        type_ = pa.list_(type_)
    return type_


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pa.array([None], nested(7)), None),
        (pa.array([None], nested(8)), "at most 8 deep"),
        (pa.array([1]).dictionary_encode(), None),
        (pa.array(["{}"], pa.json_()), None),
        (
            pa.ExtensionArray.from_storage(
                pa.fixed_shape_tensor(pa.int8(), (1,)), pa.array([[1]], pa.list_(pa.int8(), 1))
            ),
            "no export needs",
        ),
    ],
)
def test_types_that_no_export_needs_are_refused(column: pa.Array, says: str | None, tmp_path: Path) -> None:
    """Columns nested without end or of somebody's own types, wanted or not; Parquet's own types are fine."""
    columns = {"event_id": ["1"], "ts": [DAY[0]], "visitor_id": ["v"], "content_id": ["c"], "event": ["view"]}
    path = parquet(tmp_path / "events.parquet", {**columns, "odd": column})
    how = {"format": "table", "table": "events", "timestamp": "unix_micros"}
    if says is None:
        assert parsed(path, **how)[0].tables["events"].num_rows == 1
    else:
        assert says in refusal(path, **how)


@pytest.mark.parametrize("name", ["events.parquet", "events.csv", "events.jsonl"])
def test_more_columns_than_any_export_has_are_refused(name: str, tmp_path: Path) -> None:
    """Whether a footer, a header or the objects' keys tell how many there are."""
    path, columns = tmp_path / name, [f"c{i}" for i in range(31)]
    if name == "events.parquet":
        parquet(path, {column: [1] for column in columns})
    elif name == "events.csv":
        path.write_text(f"{','.join(columns)}\n{','.join('1' * 31)}\n", encoding="utf-8")
    else:
        path.write_text("".join(json.dumps({column: 1}) + "\n" for column in columns), encoding="utf-8")
    assert "has 31 columns, more than limits.max_columns = 30" in refusal(path, {"max_columns": 30})


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_parquet_bomb_is_known_by_its_footer(ending: str, tmp_path: Path) -> None:
    """Twenty million equal numbers take a few KB; reading them would take 160 MB a column."""
    path = parquet(tmp_path / "bomb.parquet", {"event_timestamp": pa.repeat(1, 20_000_000)}, compression="zstd")
    if ending:
        path = path.with_suffix(".parquet.gz")
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    assert "unpacks to more than 200 times its size" in refusal(path, format="ga4", table=None)
