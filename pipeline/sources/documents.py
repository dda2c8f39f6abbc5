"""Exports of documents: JSON, Parquet or CSV as dicts in the file's order, what their values say, and rows of them.

Used where a row's meaning hangs on what kind of document it is, so that columns cannot be mapped one by one.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expectations.schemas import NATIVE, REJECTED
from pipeline.errors import ShortlistError
from pipeline.sources import footer, limits
from pipeline.sources.convert import NO, YES
from pipeline.sources.decode import require_bytes
from pipeline.sources.delimited import Broken, Choose
from pipeline.sources.export import FILE_ROW, PART, ROW_NUMBER, Parsed, Settings, counted, refusals, require_rows
from pipeline.sources.load import cells, json_objects, load_parts

Document = Mapping[str, Any]
Row = dict[str, Any]

_TABLES = (".csv", ".tsv", ".txt", ".parquet")
_BATCH = 1 << 13
"""Documents made of a table's rows at a time."""


class UnreadableError(Exception):
    """A value that cannot be what it should be; the message names the field and no value."""


def is_table(path: Path) -> bool:
    """Whether the file holds columns (CSV, Parquet); if not, it is JSON, whatever it is called."""
    return any(ending.lower() in _TABLES for ending in path.suffixes)


def documents(path: Path, source: Settings, choose: Choose, broken: Broken) -> Iterator[tuple[int, Document]]:
    """The file's documents, numbered from 1; of a table those columns that `choose` picks. Bad lines go to `broken`.

    Raises:
        ShortlistError: The file cannot be used; be it at its end, when nothing in it was a document.
    """
    read = 0
    for numbered in _documents(path, source, choose, broken):
        read += 1
        yield numbered
    if not read and broken.rows:
        raise ShortlistError(f"{source.name}: no line of {path} is a JSON object; expected one object a line.")
    require_rows(path, source, read)


def _documents(path: Path, source: Settings, choose: Choose, broken: Broken) -> Iterator[tuple[int, Document]]:
    if not is_table(path):
        for rows in json_objects(path, source, broken):
            yield from rows
    elif _is_parquet(path, source):
        yield from enumerate(_parquet(path, source, choose), start=1)
    else:
        for table, refused in load_parts(path, source, choose):
            broken.rows += refused.rows
            broken.reasons += refused.reasons
            for batch in table.to_batches(_BATCH):
                yield from ((row.pop(FILE_ROW), row) for row in batch.to_pylist())


def _is_parquet(path: Path, source: Settings) -> bool:
    require_bytes(path, source)
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parquet(path: Path, source: Settings, choose: Choose) -> Iterator[Document]:
    """Whatever the file is called: PostHog names one that is compressed within `.parquet.zst`."""
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:  # buffers of row groups that were read would stay
            footer.require_plausible(path, source, file)
            for batch in file.iter_batches(_BATCH, columns=list(choose(file.schema_arrow.names))):
                batch.validate(full=True)
                limits.require_cells(path, source, pa.table(batch))
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise footer.damaged(path, source, error) from error


def mapping(value: Any) -> Document:
    """An object, perhaps as JSON text; anything else is an empty one."""
    found = _unpacked(value, "{")
    return found if isinstance(found, dict) else {}


def listed(value: Any) -> Sequence[Any]:
    """A list, perhaps as JSON text; anything else is an empty one."""
    found = _unpacked(value, "[")
    return found if isinstance(found, list) else []


def _unpacked(value: Any, first: str) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith(first):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def text(value: Any) -> str | None:
    """A name or an id; None for nothing, for an object, a list or a truth value. Whole numbers lose their `.0`."""
    if value is None or isinstance(value, (bool, dict, list)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def first_text(document: Document, names: Iterable[str]) -> str | None:
    """The first of the fields that says something."""
    return next((found for name in names if (found := text(document.get(name))) is not None), None)


def number(document: Document, *names: str) -> float | None:
    """The first of the fields that is there, as a finite number; UnreadableError when it is something else."""
    name = next((name for name in names if document.get(name) not in (None, "")), None)
    if name is None:
        return None
    value = document[name]
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise UnreadableError(f"{name} is not a number")
    return found


def whole_number(document: Document, name: str) -> int | None:
    """A whole number of at most 32 bits; UnreadableError when the field holds something else."""
    found = number(document, name)
    if found is not None and (found != int(found) or abs(found) >= 1 << 31):
        raise UnreadableError(f"{name} is not a whole number")
    return None if found is None else int(found)


def instant(document: Document, *names: str) -> datetime | None:
    """The first of the fields that is a time: ISO 8601 (or a time already), UTC unless it says otherwise.

    Raises:
        UnreadableError: None of them is, but one holds something else.
    """
    given = [name for name in names if document.get(name) not in (None, "")]
    moment = next((found for name in given if (found := _moment(document[name])) is not None), None)
    if moment is None and given:
        raise UnreadableError(f"{given[0]} is not a time in the form iso8601")
    return moment


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value.strip().removesuffix(" UTC")) if _looks_iso(value) else value
        if not isinstance(moment, datetime):
            return None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _looks_iso(value: Any) -> bool:
    return isinstance(value, str) and value.strip()[4:5] == "-"


def yes_no(value: Any) -> bool | None:
    """A yes or a no in any of the usual words; None for anything else."""
    plain = str(value).strip().lower()
    return plain in YES if plain in (*YES, *NO) else None


class Rows:
    """Native rows of the part of a file that is being read; `take` hands them over and begins the next part."""

    def __init__(self, file: str, tables: Iterable[str]) -> None:
        self.notes: Counter[str] = Counter()
        self.broken = Broken()
        self._file = file
        self._tables: dict[str, list[Row]] = {name: [] for name in tables}
        self._refused: dict[str, Broken] = defaultdict(Broken)

    def add(self, table: str, row_number: int, **values: Any) -> None:
        """One row; columns that are not given are null."""
        self._tables[table].append({ROW_NUMBER: row_number, **values})

    def refuse(self, table: str, row_number: int, reason: str) -> None:
        """One row that cannot be read."""
        self._refused[table].add(row_number, reason)

    @property
    def full(self) -> bool:
        """Whether there are enough for a part."""
        return sum(map(len, self._tables.values())) >= PART

    def take(self) -> Parsed:
        """The rows so far; of links and wishes those that say something new."""
        said = {name: _news(name, rows) for name, rows in self._tables.items()}
        parsed = Parsed({name: _native(name, rows) for name, rows in said.items()}, self._rejected(), self._counts())
        for rows in self._tables.values():
            rows.clear()
        self._refused.clear()
        self.notes.clear()
        self.broken.rows, self.broken.reasons = [], []
        return parsed

    def _rejected(self) -> pa.Table:
        first = next(iter(self._tables))
        parts = [refusals(first, self._file, self.broken.table())]
        parts += [refusals(table, self._file, refused.table()) for table, refused in self._refused.items()]
        return pa.concat_tables([REJECTED.empty_table(), *parts]).sort_by(ROW_NUMBER)

    def _counts(self) -> Mapping[str, int]:
        return counted(**self.notes)


def _native(name: str, rows: Sequence[Row]) -> pa.Table:
    schema = NATIVE[name].schema.append(pa.field(ROW_NUMBER, pa.int64(), nullable=False))
    columns = [cells([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _whose(row: Row) -> tuple[str, ...]:
    return tuple(row.get(name) or "" for name in ("visitor_id", "customer_id", "email"))


def _news(table: str, rows: Sequence[Row]) -> Sequence[Row]:
    """What says something new; a row without a time is the contract's to refuse, and speaks for no other."""
    if table not in _NEWS:
        return rows
    timed = [row for row in rows if row["ts"] is not None]
    untimed = [row for row in rows if row["ts"] is None]
    return sorted([*_NEWS[table](timed), *untimed], key=lambda row: int(row[ROW_NUMBER]))


def _first_meetings(links: Sequence[Row]) -> Sequence[Row]:
    """Of the same ids seen together the earliest time."""
    earliest: dict[tuple[str, ...], Row] = {}
    for row in links:
        known = earliest.setdefault(_whose(row), row)
        if row["ts"] < known["ts"]:
            earliest[_whose(row)] = row
    return list(earliest.values())


def _changes(signals: Sequence[Row]) -> Sequence[Row]:
    """Of a wish that is repeated unchanged the first and the last time: its change, and that it still stood."""
    turns: list[Row] = []
    ordered = sorted(signals, key=lambda row: (_whose(row), row["reason"], row["ts"], not row["personalization"]))
    for _, same in groupby(ordered, key=lambda row: (_whose(row), row["reason"], row["personalization"])):
        run = list(same)
        turns += run if len(run) < 2 else [run[0], run[-1]]
    return turns


_NEWS: Mapping[str, Callable[[Sequence[Row]], Sequence[Row]]] = {"links": _first_meetings, "signals": _changes}
