"""CSV, record by record: exact row numbers, and a broken record costs only itself.

Python's own csv reader does the parsing, because it alone tells where each record begins whatever its quoted fields
hold. Faster readers either count lines or stop counting at the first broken row.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyarrow as pa

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources.decode import open_text
from pipeline.sources.export import FILE_ROW, ROW_NUMBER, Settings

_CHUNK = 1 << 16

# Half a surrogate pair, which no decoded text holds, stands in for a carriage return within a line: some exporters do
# not quote it, and the csv reader would end the record there.
_RETURN_WITHIN = re.compile(r"\r(?!\n?$)")
_STAND_IN = "\udc0d"

Choose = Callable[[Sequence[str]], Sequence[str]]
"""The file's column names -> those to read; it raises when a needed one is missing."""


class _Lines:
    """Lines for the csv reader, of which those after a broken record's first can be read again."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._text)
        if "\r" in line:
            line = _RETURN_WITHIN.sub(_STAND_IN, line)
        self._taken.append(line)
        return line

    def begin(self) -> None:
        self._taken.clear()

    def resume_after_first(self) -> None:
        self._again.extendleft(reversed(self._taken[1:]))


@dataclass
class Broken:
    """Records that could not be read, by row number, and why."""

    rows: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, row: int, reason: str) -> None:
        """Note one more."""
        self.rows.append(row)
        self.reasons.append(reason)

    def table(self) -> pa.Table:
        """Columns `row_number` and `reason`."""
        return pa.table({ROW_NUMBER: pa.array(self.rows, pa.int64()), "reason": pa.array(self.reasons, pa.string())})


def read(path: Path, source: Settings, choose: Choose) -> tuple[pa.Table, Broken]:
    """The chosen columns as text with `FILE_ROW`, and the broken records.

    A record is what lies between two line ends outside quotes; the header is not counted, nor are blank lines.
    A quote that is never closed (or only beyond 131,072 characters) breaks its own line alone.
    """
    with open_text(path, source) as text:
        lines = _Lines(text)
        reader = csv.reader(lines, strict=True, delimiter=_delimiter(path, source))
        header = _header(path, source, reader)
        chosen = choose(header)
        broken = Broken()
        chunks = list(_chunks(_records(reader, lines, len(header), broken), header, chosen))
    return pa.concat_tables([_columns([], [], header, chosen), *chunks]), broken


def _delimiter(path: Path, source: Settings) -> str:
    mark = source.options.get("delimiter", "\t" if ".tsv" in path.suffixes else ",")
    if len(mark) != 1 or mark in '"\r\n ':
        raise ConfigurationError(f"{source.name}: options.delimiter must be one character such as ';', got {mark!r}.")
    return mark


def _header(path: Path, source: Settings, reader: Iterator[list[str]]) -> list[str]:
    try:
        first = next((record for record in reader if record), None)
    except csv.Error as error:
        raise ShortlistError(f"{source.name}: the header of {path} is no CSV ({error}); export it again.") from error
    if first is None:
        raise ShortlistError(f"{source.name}: {path} is empty: expected a header and rows; export it again.")
    if any(_STAND_IN in column for column in first):
        raise ShortlistError(f"{source.name}: lines of {path} end in a carriage return alone; expected a line feed.")
    return [column.strip() for column in first]


def _records(reader: Iterator[list[str]], lines: _Lines, width: int, broken: Broken) -> Iterator[tuple[int, list[str]]]:
    number = 0
    while True:
        lines.begin()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            broken.add(number, f"is not valid CSV: {error}")
            lines.resume_after_first()
            continue
        if not record:
            continue
        number += 1
        if len(record) == width:
            yield number, record
        else:
            broken.add(number, f"has {len(record)} fields where the header has {width}")


def _chunks(
    records: Iterator[tuple[int, list[str]]], header: Sequence[str], chosen: Sequence[str]
) -> Iterator[pa.Table]:
    numbers: list[int] = []
    rows: list[list[str]] = []
    for number, record in records:
        numbers.append(number)
        rows.append(record)
        if len(rows) == _CHUNK:
            yield _columns(numbers, rows, header, chosen)
            numbers, rows = [], []
    yield _columns(numbers, rows, header, chosen)


def _columns(
    numbers: Sequence[int], rows: Sequence[Sequence[str]], header: Sequence[str], chosen: Sequence[str]
) -> pa.Table:
    places = [header.index(column) for column in chosen]
    columns = [_strings([row[place] for row in rows]) for place in places]
    return pa.table([*columns, pa.array(numbers, pa.int64())], names=[*chosen, FILE_ROW])


def _strings(cells: Sequence[str]) -> pa.Array:
    try:
        return pa.array(cells, pa.string())
    except UnicodeEncodeError:  # a stand-in, and nothing else: the text was decoded
        return pa.array([cell.replace(_STAND_IN, "\r") for cell in cells], pa.string())
