"""Any CSV, JSON Lines or Parquet whose columns the configuration maps to one of our tables.

Columns that are not mapped but carry our names are taken as they are. `options.<our column> = "…"` gives a column
that the file lacks one value for every row. What the file does not number, is numbered here: `event_id` is a hash of
the row's other values (so a row that is repeated word for word is a duplicate), `line_no` the place within its order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from expectations import schemas
from expectations.schemas import NATIVE, Table
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import convert, customers
from pipeline.sources.convert import Cell, Origin
from pipeline.sources.export import FILE_ROW, Bounds, Known, Parsed, Settings, listed, native, refusals, require_columns
from pipeline.sources.load import load

TABLES = tuple(NATIVE)
_NUMBERED_HERE = ("event_id", "line_no")
_OPTIONS = ("allow_empty", "delimiter", "tag_separator")


def known(source: Settings) -> Known:
    """The table's columns, as mappings, as constants and (but times and lists) with values to replace.

    For customers any other name is an attribute.
    """
    table = _table(source)
    columns = [name for name in table.names if name != "attributes"]
    single = [c.name for c in table.columns if c.name in columns and c.type != schemas.TIMESTAMP and c.name != "tags"]
    options = [*columns, *_OPTIONS]
    if source.table == "customers":
        return Known([*columns, *source.columns], [*single, *source.values], [*options, "attributes"])
    return Known(columns, single, options)


def _table(source: Settings) -> Table:
    if source.table is None or source.table not in NATIVE:
        raise ConfigurationError(
            f"{source.name}: format 'table' needs `table`, one of {', '.join(NATIVE)}; found {source.table!r}."
        )
    return NATIVE[source.table]


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Parsed:
    """The file's rows in the one native table that the source names."""
    table = _table(source)
    raw, broken = load(path, source, lambda found: _needed(path, source, found))
    selected, refused = convert.select(raw, _cells(source, raw))
    rejected = refusals(table.name, path.name, broken.table(), refused)
    notes = customers.notes(selected) if table.name == "customers" else {}
    return Parsed({table.name: native(table.name, selected)}, rejected, notes)


def _needed(path: Path, source: Settings, found: Sequence[str]) -> list[str]:
    """Their columns to read; ShortlistError when one is missing that was mapped or that no row can do without."""
    mapping, attributes = _mapping(source, found), _attributes(source, found)
    require_columns(path, source, found, {**mapping, **_unavoidable(source, mapping), **attributes})
    _require_id(path, source, found, mapping)
    return list(dict.fromkeys([*mapping.values(), *attributes.values()]))


def _mapping(source: Settings, found: Sequence[str]) -> dict[str, str]:
    """Our column -> theirs, as mapped, or of the same name."""
    own = [name for name in _table(source).names if name != "attributes"]
    return {ours: source.columns.get(ours, ours) for ours in own if ours in source.columns or ours in found}


def _unavoidable(source: Settings, mapping: Mapping[str, str]) -> dict[str, str]:
    required = [column.name for column in _table(source).columns if column.required]
    given = {*mapping, *source.options, *_NUMBERED_HERE}
    return {ours: ours for ours in required if ours not in given}


def _require_id(path: Path, source: Settings, found: Sequence[str], mapping: Mapping[str, str]) -> None:
    choices = _table(source).any_of
    if choices and not {*choices} & {*mapping, *source.options}:
        raise ShortlistError(
            f"{source.name}: {path} has none of the columns {', '.join(choices)}; it has: {listed(found)}. "
            f'Map one of them, e.g. `{choices[0]} = "<their name>"` under [sources.columns].'
        )


def _attributes(source: Settings, found: Sequence[str]) -> dict[str, str]:
    """Attribute -> their column: those that are mapped, and those that `options.attributes` lists, else all others."""
    if source.table != "customers":
        return {}
    mapping = _mapping(source, found)
    named = {name: theirs for name, theirs in source.columns.items() if name not in mapping}
    chosen = source.options.get("attributes")
    taken = {*mapping.values(), *named.values(), FILE_ROW}
    others = [name for name in found if name not in taken] if chosen is None else _split(chosen)
    return {**{name: name for name in others}, **named}


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _cells(source: Settings, raw: pa.Table) -> Mapping[str, Cell]:
    found = raw.column_names
    options = {ours: value for ours, value in source.options.items() if ours in _table(source).names}
    constants = {ours: convert.constant(value) for ours, value in options.items() if ours != "attributes"}
    mapped = {ours: convert.origin(raw, theirs) for ours, theirs in _mapping(source, found).items()}
    origins = {**constants, **mapped}
    if source.table != "customers":
        return _numbered(source, origins, convert.origin(raw, FILE_ROW))
    attributes = {name: convert.origin(raw, theirs) for name, theirs in _attributes(source, found).items()}
    texts = {name: convert.mapped_text(name, origin, source) for name, origin in attributes.items()}
    return customers.cells(origins, texts, source)


def _numbered(source: Settings, origins: Mapping[str, Origin], row: Origin) -> Mapping[str, Cell]:
    table = _table(source)
    cells = {c.name: convert.cell(c, origins[c.name], source) for c in table.columns if c.name in origins}
    if table.name == "events" and "event_id" not in cells:
        cells["event_id"] = Cell(_fingerprint(table, cells))
    if table.name == "transactions" and "line_no" not in cells:
        order = cells["order_id"].value
        cells["line_no"] = Cell(f"CAST(row_number() OVER (PARTITION BY {order} ORDER BY {row.value}) AS INTEGER)")
    return cells


def _fingerprint(table: Table, cells: Mapping[str, Cell]) -> str:
    """MD5 of the row's values in the table's order; when it became available is no part of what happened."""
    parts = [
        f"coalesce({_as_text(table, name, cells[name].value)}, '')" if name in cells else "''"
        for name in table.names
        if name not in ("event_id", "available_at")
    ]
    return f"md5({' || chr(31) || '.join(parts)})"


def _as_text(table: Table, name: str, value: str) -> str:
    moment = table.column(name).type == schemas.TIMESTAMP
    return f"CAST({f'epoch_us({value})' if moment else value} AS VARCHAR)"
