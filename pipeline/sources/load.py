"""Files to rows: any CSV, JSON Lines or Parquet as Arrow tables of the chosen columns, with row numbers, in parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ShortlistError
from pipeline.sources import delimited, footer, limits
from pipeline.sources.decode import open_bytes, open_text, require_bytes
from pipeline.sources.delimited import Broken, Choose, Part
from pipeline.sources.export import FILE_ROW, PART, Settings, require_rows

_PACKED = (".gz", ".zst")
_CHUNK = 1 << 12
"""Objects at a time: nested ones are large."""


def load_parts(path: Path, source: Settings, choose: Choose) -> Iterator[Part]:
    """The chosen columns with `FILE_ROW`, and the broken rows, in parts; what the file is, its name tells.

    There is at least one part, none has more than `PART` rows, and a file larger than memory can be read (but a JSON
    list or a packed Parquet). CSV and JSON Lines give text; Parquet keeps its types.

    Raises:
        ShortlistError: The file cannot be used; be it after its last part, when it has no rows.
    """
    readers = {
        ".csv": delimited.parts,
        ".tsv": delimited.parts,
        ".txt": delimited.parts,
        ".jsonl": _json_parts,
        ".ndjson": _json_parts,
        ".json": _json_parts,
        ".parquet": parquet_parts,
    }
    endings = [ending for ending in path.suffixes if ending not in _PACKED]
    reader = readers.get(endings[-1].lower()) if endings else None
    if reader is None:
        raise ShortlistError(f"{source.name}: cannot tell what {path} is; its name must end in {', '.join(readers)}.")
    yield from _with_rows(path, source, reader(path, source, choose))


def delimited_parts(path: Path, source: Settings, choose: Choose) -> Iterator[Part]:
    """`load_parts` for a format that is CSV whatever the file is called."""
    yield from _with_rows(path, source, delimited.parts(path, source, choose))


def _with_rows(path: Path, source: Settings, parts: Iterator[Part]) -> Iterator[Part]:
    rows = 0
    for table, broken in parts:
        rows += table.num_rows + len(broken.rows)
        yield table, broken
    require_rows(path, source, rows)


def parquet(path: Path, source: Settings, choose: Choose) -> Part:
    """`parquet_parts` in one."""
    return _joined(parquet_parts(path, source, choose))


def _joined(parts: Iterator[Part]) -> Part:
    whole = Broken()
    tables = []
    for table, broken in parts:
        tables.append(table)
        whole.rows += broken.rows
        whole.reasons += broken.reasons
    return pa.concat_tables(tables), whole


def parquet_parts(path: Path, source: Settings, choose: Choose) -> Iterator[Part]:
    """A Parquet file's chosen columns in parts; ShortlistError when it is cut off or damaged."""
    require_bytes(path, source)
    try:
        with open_bytes(path, source) as stream:
            unpacked = pa.BufferReader(stream.read()) if path.suffix in _PACKED else path
            file = pq.ParquetFile(unpacked, pre_buffer=False)  # buffers of row groups that were read would stay
            chosen = list(choose(file.schema_arrow.names))
            done = 0
            for batch in file.iter_batches(PART, columns=chosen):
                batch.validate(full=True)
                yield _numbered(pa.table(batch), done), Broken()
                done += batch.num_rows
            if done == 0:
                yield _numbered(file.schema_arrow.empty_table().select(chosen), 0), Broken()
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise footer.damaged(path, source, error) from error


def _numbered(rows: pa.Table, done: int) -> pa.Table:
    return rows.append_column(FILE_ROW, pa.array(np.arange(done + 1, done + 1 + rows.num_rows)))


def json_document(path: Path, source: Settings) -> Any:
    """The one JSON document that the file is, whole."""
    with open_text(path, source) as text:
        content = text.read()
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ShortlistError(
            f"{source.name}: {path} is no whole JSON document ({error}); it is cut off or damaged: export it again."
        ) from error


def json_objects(path: Path, source: Settings, broken: Broken) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """JSON Lines, or one JSON list, as numbered objects (from 1) in parts; what is no object goes to `broken`.

    A list is one line of text or spread over many: it is parsed whole, so exports too large for memory must be lines.
    """
    with open_text(path, source) as text:
        numbered = enumerate(_json_values(path, source, text), start=1)
        while values := list(islice(numbered, _CHUNK)):
            yield [(number, row) for number, value in values if (row := _json_row(number, value, broken)) is not None]


def _json_values(path: Path, source: Settings, text: IO[str]) -> Iterator[str | dict[str, Any]]:
    """Each line, or each element of the list that the file is."""
    lines = (line for line in text if line.strip())
    first = next(lines, "")
    if not first.lstrip().startswith("["):
        yield from filter(None, chain([first], lines))
        return
    try:
        listed = json.loads(first + "".join(lines))
    except (ValueError, RecursionError) as error:
        raise ShortlistError(f"{source.name}: {path} is no whole JSON list ({error}); export it again.") from error
    yield from (value if isinstance(value, dict) else json.dumps(value) for value in listed)


def _json_parts(path: Path, source: Settings, choose: Choose) -> Iterator[Part]:
    """Read twice: keys come and go from line to line, and only the whole file tells which there are."""
    names = dict.fromkeys(name for rows in json_objects(path, source, Broken()) for _, row in rows for name in row)
    if not names:
        raise ShortlistError(
            f"{source.name}: no line of {path} is a JSON object; expected JSON Lines: one object a line."
        )
    limits.require_columns(path, source, len(names))
    chosen = choose(list(names))
    broken = Broken()
    for rows in json_objects(path, source, broken):
        yield _json_columns(rows, chosen), Broken(broken.rows, broken.reasons)
        broken.rows, broken.reasons = [], []


def _json_row(number: int, line: str | dict[str, Any], broken: Broken) -> dict[str, Any] | None:
    if isinstance(line, dict):
        return line
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict):
        return row
    broken.add(number, "is not a JSON object")
    return None


def _json_columns(rows: Sequence[tuple[int, dict[str, Any]]], names: Sequence[str]) -> pa.Table:
    columns = [strings(plain_text(row.get(name)) for _, row in rows) for name in names]
    return pa.table([*columns, pa.array([number for number, _ in rows], pa.int64())], names=[*names, FILE_ROW])


def plain_text(value: Any) -> str | None:
    """A JSON value as the text that a CSV would hold; lists and objects stay JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def cells(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    """Values of one of our columns as Arrow; texts as `strings` has them."""
    if pa.types.is_string(type_):
        return strings(values)
    if pa.types.is_list(type_):
        return pa.array([None if value is None else strings(value).to_pylist() for value in values], type_)
    return pa.array(values, type_)


def strings(values: Iterable[str | None]) -> pa.Array:
    """Text as Arrow; half of a surrogate pair, which JSON allows and UTF-8 does not, becomes `?`."""
    texts = list(values)
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text and text.encode("utf-8", "replace").decode() for text in texts], pa.string())
