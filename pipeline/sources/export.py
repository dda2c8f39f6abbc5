"""What every export format hands over: `Parsed`, and the checks that all of them share."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa

from expectations import schemas
from pipeline.errors import ConfigurationError, ShortlistError

ROW_NUMBER = "row_number"

FILE_ROW = " row"
"""`row_number` beside a file's own columns, whose names never begin with a space."""

PART = 1 << 17
"""Rows of a part, for formats that read in parts."""

Bounds = tuple[int, int]
"""The export's day: its first microsecond (UTC epoch), and the first one after it."""

Day = Bounds | tuple[datetime, datetime]
"""`Bounds`, or the same as instants with a time zone."""


def micros(day: Day | None) -> Bounds | None:
    """The day's bounds in microseconds."""
    if day is None:
        return None
    start, end = (_micros(instant) if isinstance(instant, datetime) else instant for instant in day)
    return start, end


def _micros(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class Settings(Protocol):
    """The part of a `[[sources]]` entry that reading a file needs."""

    @property
    def name(self) -> str:
        """The source's name, first word of every message."""
        ...

    @property
    def format(self) -> str:
        """One of `pipeline.sources.FORMATS`."""
        ...

    @property
    def table(self) -> str | None:
        """The native table that a `table` export fills."""
        ...

    @property
    def path(self) -> str:
        """Where the files are, with `{date:%Y%m%d}` where the day stands."""
        ...

    @property
    def timestamp(self) -> str | None:
        """How times are written; None for ISO 8601."""
        ...

    @property
    def columns(self) -> Mapping[str, str]:
        """Ours = theirs."""
        ...

    @property
    def values(self) -> Mapping[str, Mapping[str, str]]:
        """Our column -> theirs = ours."""
        ...

    @property
    def encoding(self) -> str:
        """Text encoding of CSV and JSON."""
        ...

    @property
    def options(self) -> Mapping[str, str]:
        """Settings that only this format knows."""
        ...


@dataclass(frozen=True)
class Parsed:
    """One file, read: native tables (plus `row_number`), refused rows, and counts of what was left out.

    `tables`: name -> exactly the native schema of `expectations.schemas` and `row_number` (int64, from 1).
    `rejected`: `schemas.REJECTED`. `notes`: what was left out on purpose, only counts above zero; `bots`,
    `without_consent` and `late` are columns of a day's report. `duplicates`: rows left out because their key had been
    there before, by table.
    """

    tables: Mapping[str, pa.Table]
    rejected: pa.Table
    notes: Mapping[str, int] = field(default_factory=dict)
    duplicates: Mapping[str, int] = field(default_factory=dict)


def joined(parts: Iterable[Parsed]) -> Parsed:
    """The parts of one file as a whole."""
    listed = list(parts)
    names = dict.fromkeys(name for part in listed for name in part.tables)
    notes: Counter[str] = Counter()
    duplicates: Counter[str] = Counter()
    for part in listed:
        notes.update(part.notes)
        duplicates.update(part.duplicates)
    return Parsed(
        {name: pa.concat_tables([part.tables[name] for part in listed if name in part.tables]) for name in names},
        pa.concat_tables([schemas.REJECTED.empty_table(), *(part.rejected for part in listed)]),
        dict(notes),
        dict(duplicates),
    )


class Known(NamedTuple):
    """The names that a source may use in `[sources.columns]`, `[sources.values]` and `options`."""

    columns: Sequence[str] = ()
    values: Sequence[str] = ()
    options: Sequence[str] = ()


class Format(Protocol):
    """A module of this package that reads one export format."""

    TABLES: tuple[str, ...]

    @property
    def read(self) -> Callable[[Path, Settings, Bounds | None], Parsed | Iterator[Parsed]]:
        """File, settings and the export's day (None when the file holds many) -> its rows, whole or in parts.

        Parts come in the order of the file (`row_number` goes on counting); notes and duplicates add up. A format whose
        exports can be larger than memory yields parts of at most `PART` rows.
        """
        ...

    @property
    def known(self) -> Callable[[Settings], Known]:
        """What may be set for this source."""
        ...


def native(name: str, table: pa.Table) -> pa.Table:
    """`table` in exactly the native schema of `name` plus `row_number`; columns that it lacks are null."""
    schema = schemas.NATIVE[name].schema.append(pa.field(ROW_NUMBER, pa.int64(), nullable=False))
    columns = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(table.num_rows, f.type) for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def refusals(table: str, file: str, *parts: pa.Table) -> pa.Table:
    """Refused rows (each part: `row_number`, `reason`) as `schemas.REJECTED`, in the order of the file."""
    rows = pa.concat_tables([part.select([ROW_NUMBER, "reason"]) for part in parts])
    count = rows.num_rows
    columns = [pa.repeat(table, count), pa.repeat(file, count), *rows.columns]
    return pa.table(columns, names=schemas.REJECTED.names).cast(schemas.REJECTED).sort_by(ROW_NUMBER)


def counted(**counts: int) -> Mapping[str, int]:
    """Notes without the zeros."""
    return {name: count for name, count in counts.items() if count}


def require_columns(path: Path, source: Settings, found: Sequence[str], wanted: Mapping[str, str]) -> None:
    """Raise ShortlistError unless the file has every column of `wanted` (ours -> theirs), and each only once."""
    for ours, theirs in wanted.items():
        if theirs not in found:
            raise ShortlistError(_missing(path, source, found, ours, theirs))
    require_distinct(path, source, found, list(wanted.values()))


def require_distinct(path: Path, source: Settings, found: Sequence[str], wanted: Iterable[str]) -> None:
    """Raise ShortlistError unless the file has each of these columns only once."""
    for name in wanted:
        if found.count(name) > 1:
            raise ShortlistError(
                f"{source.name}: {path} has {found.count(name)} columns named {name!r}; rename all but one."
            )


def _missing(path: Path, source: Settings, found: Sequence[str], ours: str, theirs: str) -> str:
    near = None if _are_values(found) else nearest(theirs, found) or nearest(ours, found)
    line = f'{ours} = "{near or "<their name>"}"'
    advice = f"The nearest is {near!r}: i" if near else "I"
    return (
        f"{source.name}: {path} has no column {theirs!r}, which holds `{ours}`; it has: {listed(found)}."
        f"{_delimiter_hint(found)} {advice}f the column was renamed, put `{line}` under [sources.columns]."
    )


def listed(names: Sequence[str], most: int = 40) -> str:
    """Names for a message, the first `most` of them; none when the file's first line holds values instead."""
    if _are_values(names):
        return "no names but what looks like values, which are not repeated here; is the header missing?"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _are_values(names: Sequence[str]) -> bool:
    """Whether any of them is an address, or says something without a letter, such as a number or a date."""
    return any("@" in name or (name.strip() and not any(map(str.isalpha, name))) for name in names)


def _delimiter_hint(found: Sequence[str]) -> str:
    """A header that was not split at all is read with the wrong delimiter."""
    mark = next((mark for mark in ";\t|" if len(found) == 1 and mark in found[0]), None)
    return f" It was read as one column: is options.delimiter = {mark!r} missing?" if mark else ""


def require_rows(path: Path, source: Settings, rows: int) -> None:
    """Raise ShortlistError for a file without rows, unless `options.allow_empty = "true"`."""
    if rows == 0 and source.options.get("allow_empty") != "true":
        raise ShortlistError(
            f"{source.name}: {path} has no rows, only its outline; expected at least one. Export it again, or set "
            f'options.allow_empty = "true" if days without rows are normal.'
        )


def require_known(source: Settings, what: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Raise ConfigurationError for the first name in `given` that the format does not know."""
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ConfigurationError(
                f"{source.name}: format {source.format!r} has no {what} {name!r}; known: {', '.join(known) or 'none'}"
                f"{hint}"
            )


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The most similar of `known`, capitals and punctuation aside; None when nothing is similar."""
    plain = {_plain(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_plain(name), list(plain), n=1, cutoff=0.6)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
