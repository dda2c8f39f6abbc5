"""A file's own columns to ours: SQL for every type, which also says which rows hold no such value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from expectations.schemas import Column
from pipeline.errors import ConfigurationError
from pipeline.sources import sql
from pipeline.sources.export import FILE_ROW, ROW_NUMBER, Settings

ISO = "iso8601"

REFUSAL = "refusal"
"""Why a row is refused; null if it is not. (`reason` is a column of `signals`.)"""

_UNIX = {"unix_seconds": 1_000_000, "unix_millis": 1_000, "unix_micros": 1}

# Microseconds beyond 2^53 (the year 2255) would lose digits as a double, and are no event's time anyway.
_EXACT = "9007199254740992"

YES = ("yes", "true", "1", "y", "t", "on", "granted", "opted in", "opt-in")
NO = ("no", "false", "0", "n", "f", "off", "denied", "declined", "withdrawn", "opted out", "opt-out")
"""The usual words, in lower case."""


@dataclass(frozen=True)
class Origin:
    """Where a value comes from: SQL, and the Arrow type that the file gave it."""

    value: str
    type: pa.DataType


@dataclass(frozen=True)
class Cell:
    """One of our columns in SQL: its value, and where the file's value cannot be read as one (with the reason)."""

    value: str
    broken: str = "false"
    reason: str = ""


def select(raw: pa.Table, cells: Mapping[str, Cell]) -> tuple[pa.Table, pa.Table]:
    """Our columns with `row_number`, in the file's order; and the rows refused (`row_number`, `reason`)."""
    with sql.connection(raw=by_position(raw)) as con:
        result = con.sql(f"{query(raw, cells)} ORDER BY {ROW_NUMBER}").to_arrow_table()
    refused = pc.is_valid(result[REFUSAL])
    refusals = result.filter(refused).select([ROW_NUMBER, REFUSAL])
    return result.filter(pc.invert(refused)).drop_columns([REFUSAL]), refusals.rename_columns([ROW_NUMBER, "reason"])


def query(raw: pa.Table, cells: Mapping[str, Cell]) -> str:
    """SQL on `by_position(raw)`, known as `raw`: our columns, `row_number`, and why a row is refused (`REFUSAL`)."""
    values = [f"{cell.value} AS {sql.name(ours)}" for ours, cell in cells.items()]
    reasons = [f"WHEN {cell.broken} THEN {sql.text(cell.reason)}" for cell in cells.values() if cell.reason]
    reason = f"CASE {' '.join(reasons)} END" if reasons else "NULL::VARCHAR"
    return f"SELECT {origin(raw, FILE_ROW).value} AS {ROW_NUMBER}, {', '.join(values)}, {reason} AS {REFUSAL} FROM raw"


def by_position(raw: pa.Table) -> pa.Table:
    """A file's columns as c0, c1, …: DuckDB does not tell `Id` from `ID`."""
    return raw.rename_columns([f"c{i}" for i in range(raw.num_columns)])


def origin(raw: pa.Table, theirs: str) -> Origin:
    """Where a file's column stands in the SQL of `query`."""
    return Origin(f"c{raw.column_names.index(theirs)}", raw.schema.field(theirs).type)


def constant(value: str) -> Origin:
    """The same text for every row."""
    return Origin(sql.text(value), pa.string())


def cell(column: Column, origin: Origin, source: Settings) -> Cell:
    """The cell of `column` (one of ours) from `origin`, as the source's settings say."""
    if pa.types.is_list(column.type):
        return _list(origin, source)
    if column.type == schemas.TIMESTAMP:
        return instant(column.name, origin, source.timestamp or ISO)
    text = mapped_text(column.name, origin, source)
    if column.name == "event":
        return Cell(event(text))
    if column.name == "email":
        return Cell(f"lower(trim({text}))")
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return number(column.name, text, whole=pa.types.is_integer(column.type))
    return Cell(text)


def mapped_text(ours: str, origin: Origin, source: Settings) -> str:
    """Text with `[sources.values.<ours>]` applied."""
    return sql.mapped(text_of(origin), source.values.get(ours, {}))


def text_of(origin: Origin) -> str:
    """Text, with empty text as null; whole numbers that Parquet stores as floats lose their `.0`."""
    value = origin.value
    text = f"CAST({value} AS VARCHAR)"
    if pa.types.is_floating(origin.type):
        whole = f"{value} = trunc({value}) AND abs({value}) < {_EXACT}"
        text = f"CASE WHEN {whole} THEN CAST(CAST({value} AS BIGINT) AS VARCHAR) ELSE {text} END"
    return f"nullif({text}, '')"


def event(text: str) -> str:
    """One of our event names; any other becomes `custom:<lower case, words joined by _>`."""
    known = ", ".join(sql.text(name) for name in schemas.EVENTS)
    custom = rf"trim(regexp_replace(lower({text}), '[^\pL\pN]+', '_', 'g'), '_')"
    is_ours = f"{text} IN ({known}) OR starts_with({text}, '{schemas.CUSTOM_PREFIX}')"
    return f"CASE WHEN {is_ours} THEN {text} WHEN {text} IS NOT NULL THEN '{schemas.CUSTOM_PREFIX}' || {custom} END"


def number(ours: str, text: str, *, whole: bool = False) -> Cell:
    """A finite number; `whole` ones must have no fraction and fit 32 bits."""
    value, kind = f"try_cast({text} AS DOUBLE)", "number"
    wrong = f"{value} IS NULL OR NOT isfinite({value})"
    if whole:
        wrong, kind = f"{wrong} OR {value} <> trunc({value}) OR abs({value}) > 2147483647", "whole number"
    broken = f"{text} IS NOT NULL AND ({wrong})"
    cast = f"CAST({value} AS INTEGER)" if whole else value
    return Cell(f"CASE WHEN NOT ({broken}) THEN {cast} END", broken, f"{ours} is not a {kind}")


def instant(ours: str, origin: Origin, form: str) -> Cell:
    """A time as TIMESTAMPTZ; without an offset it is UTC. `form` matters for text and numbers only."""
    if pa.types.is_temporal(origin.type):
        return Cell(f"CAST({origin.value} AS TIMESTAMPTZ)")
    text = f"nullif(trim({text_of(origin)}), '')"
    value = _parsed_instant(text, form)
    broken = f"{text} IS NOT NULL AND {value} IS NULL"
    return Cell(value, broken, f"{ours} is not a time in the form {form}")


def _parsed_instant(text: str, form: str) -> str:
    if form in _UNIX:
        micros = f"round(try_cast({text} AS DOUBLE) * {_UNIX[form]})"
        return f"CASE WHEN abs({micros}) < {_EXACT} THEN make_timestamptz(CAST({micros} AS BIGINT)) END"
    if form != ISO:
        _require_format(form)
        return f"CAST(try_strptime({text}, {sql.text(form)}) AS TIMESTAMPTZ)"
    # DuckDB wants no space before the offset, and would take `epoch` or `infinity` for times.
    joined = rf"regexp_replace({text}, '\s+([+-]\d\d:?\d\d)$', '\1')"
    return rf"CASE WHEN regexp_matches({text}, '^\d{{4}}-') THEN try_cast({joined} AS TIMESTAMPTZ) END"


def _require_format(form: str) -> None:
    try:
        with sql.connection() as con:
            con.execute(f"SELECT epoch(try_strptime('', {sql.text(form)}))")
    except duckdb.Error as error:
        if "%" in form:
            raise ConfigurationError(f"timestamp {form!r} is no strptime format: {error}") from error
    if "%" not in form:
        raise ConfigurationError(
            f"timestamp {form!r} is not known; expected {ISO}, {', '.join(_UNIX)} or a format such as '%d/%m/%Y %H:%M'."
        )


def yes_no(text: str) -> Cell:
    """A yes or a no in any of the usual words; anything else is broken."""
    plain = f"lower(trim({text}))"
    value = f"CASE WHEN {plain} IN {YES} THEN true WHEN {plain} IN {NO} THEN false END"
    return Cell(value, f"({plain} <> '' AND {value} IS NULL)")


def _list(origin: Origin, source: Settings) -> Cell:
    """A list column as it is; text that is a JSON list, or is split at `options.tag_separator` (default `|`)."""
    if pa.types.is_list(origin.type) or pa.types.is_large_list(origin.type):
        return Cell(f"CAST({origin.value} AS VARCHAR[])")
    text = text_of(origin)
    separator = sql.text(source.options.get("tag_separator", "|"))
    split = f"list_filter(list_transform(string_split({text}, {separator}), lambda t: trim(t)), lambda t: t <> '')"
    is_json = f"starts_with({text}, '[') AND json_valid({text})"
    return Cell(f"CASE WHEN {is_json} THEN from_json({text}, '[\"VARCHAR\"]') ELSE {split} END")
