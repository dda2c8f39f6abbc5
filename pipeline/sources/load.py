"""Files to rows: any CSV, JSON Lines or Parquet becomes an Arrow table of the chosen columns, with row numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ShortlistError
from pipeline.sources import delimited
from pipeline.sources.decode import open_bytes, open_text, require_bytes
from pipeline.sources.delimited import Broken, Choose
from pipeline.sources.export import FILE_ROW, Settings, require_rows

_PACKED = (".gz", ".zst")
_CHUNK = 1 << 16


def load(path: Path, source: Settings, choose: Choose) -> tuple[pa.Table, Broken]:
    """The chosen columns with `FILE_ROW`, and the broken rows; what the file is, its name tells.

    CSV and JSON Lines give text; Parquet keeps its types.
    """
    readers = {
        ".csv": delimited.read,
        ".tsv": delimited.read,
        ".txt": delimited.read,
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json_lines,
        ".parquet": parquet,
    }
    endings = [ending for ending in path.suffixes if ending not in _PACKED]
    reader = readers.get(endings[-1].lower()) if endings else None
    if reader is None:
        raise ShortlistError(f"{source.name}: cannot tell what {path} is; its name must end in {', '.join(readers)}.")
    table, broken = reader(path, source, choose)
    require_rows(path, source, table.num_rows + len(broken.rows))
    return table, broken


def delimited_rows(path: Path, source: Settings, choose: Choose) -> tuple[pa.Table, Broken]:
    """`load` for a format that is CSV whatever the file is called."""
    table, broken = delimited.read(path, source, choose)
    require_rows(path, source, table.num_rows + len(broken.rows))
    return table, broken


def parquet(path: Path, source: Settings, choose: Choose) -> tuple[pa.Table, Broken]:
    """A Parquet file's chosen columns; ShortlistError when it is cut off or damaged."""
    require_bytes(path, source)
    try:
        with open_bytes(path, source) as stream:
            file = pq.ParquetFile(pa.BufferReader(stream.read()) if path.suffix in _PACKED else path)
            table = file.read(columns=list(choose(file.schema_arrow.names)))
    except (pa.ArrowException, OSError) as error:
        raise ShortlistError(
            f"{source.name}: {path} is no whole Parquet file ({_first_line(error)}); it is cut off or damaged: "
            "export it again."
        ) from error
    return table.append_column(FILE_ROW, pa.array(np.arange(1, table.num_rows + 1))), Broken()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _json_lines(path: Path, source: Settings, choose: Choose) -> tuple[pa.Table, Broken]:
    broken = Broken()
    with open_text(path, source) as text:
        chunks = list(_json_chunks(text, broken))
    table = pa.concat_tables([_json_columns([]), *chunks], promote_options="default")
    names = [name for name in table.column_names if name != FILE_ROW]
    if not names:
        raise ShortlistError(
            f"{source.name}: no line of {path} is a JSON object; expected JSON Lines: one object a line."
        )
    return table.select([*choose(names), FILE_ROW]), broken


def _json_chunks(text: IO[str], broken: Broken) -> Iterator[pa.Table]:
    numbered = enumerate((line for line in text if line.strip()), start=1)
    while lines := list(islice(numbered, _CHUNK)):
        rows = [(number, _json_row(number, line, broken)) for number, line in lines]
        yield _json_columns([(number, row) for number, row in rows if row is not None])


def _json_row(number: int, line: str, broken: Broken) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict):
        return row
    broken.add(number, "is not a JSON object")
    return None


def _json_columns(rows: Sequence[tuple[int, dict[str, Any]]]) -> pa.Table:
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    columns = [strings(plain_text(row.get(name)) for _, row in rows) for name in names]
    numbers = pa.array([number for number, _ in rows], pa.int64())
    return pa.table([numbers, *columns], names=[FILE_ROW, *names])


def plain_text(value: Any) -> str | None:
    """A JSON value as the text that a CSV would hold; lists and objects stay JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def strings(values: Iterable[str | None]) -> pa.Array:
    """Text as Arrow; half of a surrogate pair, which JSON allows and UTF-8 does not, becomes `?`."""
    texts = list(values)
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text and text.encode("utf-8", "replace").decode() for text in texts], pa.string())
