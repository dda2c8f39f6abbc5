"""CSV: exact row numbers, and a broken record costs only itself.

Python's own csv reader says what a record is, because it alone tells where each one begins whatever its quoted fields
hold; faster readers either count lines or stop counting at the first broken row. The text is read in blocks: one that
is provably `regular` goes to Arrow, which gives the same; any other to the csv reader, record by record.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import limits, regular
from pipeline.sources.decode import open_text
from pipeline.sources.export import FILE_ROW, PART, ROW_NUMBER, Settings, require_distinct
from pipeline.sources.regular import Layout

_BLOCK = 1 << 20
"""Characters."""

# Half a surrogate pair, which no decoded text holds, stands in for a carriage return within a line: some exporters do
# not quote it, and the csv reader would end the record there.
_RETURN_WITHIN = re.compile(r"\r(?!\n?$)")
_STAND_IN = "\udc0d"

Choose = Callable[[Sequence[str]], Sequence[str]]
"""The file's column names -> those to read; it raises when a needed one is missing."""


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


Part = tuple[pa.Table, Broken]
"""Some rows of a file with their `FILE_ROW`, and the records thereabouts that could not be read."""


def parts(path: Path, source: Settings, choose: Choose) -> Iterator[Part]:
    """The chosen columns as text in parts of at most `PART` rows; at least one, be it empty.

    A record is what lies between two line ends outside quotes; the header is not counted, nor are blank lines.
    A quote that is never closed (or only beyond 131,072 characters) breaks its own line alone.
    """
    with open_text(path, source) as text:
        yield from parts_of(text, path, source, choose)


def parts_of(text: IO[str], path: Path, source: Settings, choose: Choose, block: int = _BLOCK) -> Iterator[Part]:
    """`parts` of an open text, of which no more than a part and a `block` (characters) are held at a time."""
    mark = _delimiter(path, source)
    unread = _Unread(text, block)
    header = _header(path, source, unread, mark)
    chosen = choose(header)
    require_distinct(path, source, header, chosen)
    layout = Layout(len(header), [header.index(column) for column in chosen], chosen, mark)
    yield from _regrouped(_read_blocks(unread, layout), _columns([], [], layout))


class _Unread:
    """What lies ahead in a text: `rest`, whole lines already taken from it, and then the text itself."""

    def __init__(self, text: IO[str], block: int) -> None:
        self.rest = b""
        self._text = text
        self._block = block

    def take_block(self) -> bool:
        """Let `rest` be a block longer; false at the end of the text."""
        more = self._text.read(self._block)
        if more and more[-1] != "\n":
            more += self._text.readline()
        self.rest += more.encode()
        return bool(self.rest)

    def lines(self) -> _Lines:
        """The lines one by one. When done with them, `rest` must be set to what they leave."""
        return _Lines(io.StringIO(self.rest.decode(), newline="\n"), self._text)


class _Lines:
    """Lines for the csv reader, of which those after a broken record's first can be read again."""

    def __init__(self, rest: io.StringIO, text: IO[str]) -> None:
        self._rest = rest
        self._ahead = chain(rest, text)
        self._again: deque[str] = deque()
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._ahead)
        self._taken.append(line)
        return _RETURN_WITHIN.sub(_STAND_IN, line) if "\r" in line else line

    def begin(self) -> None:
        self._taken.clear()

    def resume_after_first(self) -> None:
        self._again.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]

    @property
    def taken(self) -> int:
        """Characters read since `begin`, but for those to be read again."""
        return sum(map(len, self._taken))

    def left(self) -> bytes:
        return ("".join(self._again) + self._rest.read()).encode()


def _delimiter(path: Path, source: Settings) -> str:
    mark = source.options.get("delimiter", "\t" if ".tsv" in path.suffixes else ",")
    if len(mark) != 1 or mark in '"\r\n ':
        raise ConfigurationError(f"{source.name}: options.delimiter must be one character such as ';', got {mark!r}.")
    return mark


def _header(path: Path, source: Settings, unread: _Unread, mark: str) -> list[str]:
    unread.take_block()
    lines = unread.lines()
    try:
        first = next((record for record in csv.reader(lines, strict=True, delimiter=mark) if record), None)
    except csv.Error as error:
        raise ShortlistError(f"{source.name}: the header of {path} is no CSV ({error}); export it again.") from error
    if first is None:
        raise ShortlistError(f"{source.name}: {path} is empty: expected a header and rows; export it again.")
    if any(_STAND_IN in column for column in first):
        raise ShortlistError(f"{source.name}: lines of {path} end in a carriage return alone; expected a line feed.")
    unread.rest = lines.left()
    limits.require_columns(path, source, len(first))
    return [column.strip() for column in first]


def _read_blocks(unread: _Unread, layout: Layout) -> Iterator[Part]:
    done = 0
    while unread.take_block():
        broken = Broken()
        table = _read_regular(unread, layout, done)
        if table is None:
            table = _read_exactly(unread, layout, done, broken)
        done += table.num_rows + len(broken.rows)
        yield table, broken


def _read_regular(unread: _Unread, layout: Layout, done: int) -> pa.Table | None:
    """The records that end within `rest`, which is shortened; None (and nothing read) unless all are regular."""
    end = regular.end(unread.rest, layout.mark) if layout.simple else 0
    table = regular.read(unread.rest[:end], layout) if end else None
    if table is None:
        return None
    unread.rest = unread.rest[end:]
    return table.append_column(FILE_ROW, pa.array(np.arange(done + 1, done + 1 + table.num_rows)))


def _read_exactly(unread: _Unread, layout: Layout, done: int, broken: Broken) -> pa.Table:
    """The records that begin within `rest`, which becomes what they leave."""
    lines = unread.lines()
    records = list(_records(lines, len(unread.rest.decode()), layout, done, broken))
    unread.rest = lines.left()
    return _columns([number for number, _ in records], [record for _, record in records], layout)


def _records(
    lines: _Lines, characters: int, layout: Layout, done: int, broken: Broken
) -> Iterator[tuple[int, list[str]]]:
    """Those that begin within so many characters, numbered on from `done`."""
    reader = csv.reader(lines, strict=True, delimiter=layout.mark)
    number = done
    while characters > 0:
        lines.begin()
        try:
            record = next(reader)
        except csv.Error as error:
            number += 1
            broken.add(number, f"is not valid CSV: {error}")
            lines.resume_after_first()
            continue
        finally:
            characters -= lines.taken
        if not record:
            continue
        number += 1
        if len(record) == layout.width:
            yield number, record
        else:
            broken.add(number, f"has {len(record)} fields where the header has {layout.width}")


def _columns(numbers: Sequence[int], rows: Sequence[Sequence[str]], layout: Layout) -> pa.Table:
    columns = [_strings([row[place] for row in rows]) for place in layout.places]
    return pa.table([*columns, pa.array(numbers, pa.int64())], names=[*layout.names, FILE_ROW])


def _strings(cells: Sequence[str]) -> pa.Array:
    try:
        return pa.array(cells, pa.string())
    except UnicodeEncodeError:  # a stand-in, and nothing else: the text was decoded
        return pa.array([cell.replace(_STAND_IN, "\r") for cell in cells], pa.string())


def _regrouped(blocks: Iterator[Part], empty: pa.Table) -> Iterator[Part]:
    """Blocks, small or large, as parts of `PART` rows; the last is what remains."""
    rows, broken = empty, Broken()
    for table, refused in blocks:
        rows = pa.concat_tables([rows, table])
        broken.rows += refused.rows
        broken.reasons += refused.reasons
        while rows.num_rows + len(broken.rows) >= PART:
            yield rows.slice(0, PART), broken
            rows, broken = rows.slice(PART), Broken()
    yield rows, broken
