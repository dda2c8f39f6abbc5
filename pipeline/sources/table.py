"""Any CSV, JSON Lines or Parquet whose columns the configuration maps to one of our tables.

Columns that are not mapped but carry our names are taken as they are. `options.<our column> = "…"` gives a column
that the file lacks one value for every row. What the file does not number, is numbered here: `event_id` is a hash of
the row's other values (so a row that is repeated word for word is a duplicate), `line_no` the place within its order.

Files are read in parts; of `transactions` and `customers`, which are judged as a whole, what exceeds memory waits on
disk. Of a customer only what is mapped or listed (`options.attributes = "plan, seats"`) is read; `columns_not_read`
counts the other columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from expectations import schemas
from expectations.schemas import NATIVE, Table
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import convert, customers, presets, sql
from pipeline.sources.convert import Cell, Origin
from pipeline.sources.customers import Contacts
from pipeline.sources.export import Bounds, Known, Parsed, Settings, counted, listed, native, refusals, require_columns
from pipeline.sources.load import load_parts
from pipeline.sources.spooled import Spooled, spooled

TABLES = tuple(NATIVE)
_MADE_HERE = ("event_id", "line_no", "reason")
_OPTIONS = ("allow_empty", "delimiter", "tag_separator", presets.OPTION)


def known(source: Settings) -> Known:
    """The table's columns, as mappings, as constants and (but times and lists) with values to replace.

    For customers any other name is an attribute.
    """
    table, columns = _table(source), _own(source)
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


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """The file's rows in the one native table that the source names."""
    table, source = _table(source), presets.completed(source)
    if table.name == "customers":
        yield from _customers(path, source)
        return
    parts = load_parts(path, source, lambda found: _needed(path, source, found))
    if table.name == "transactions":
        with spooled(parts, lambda raw: _cells(source, raw)) as whole:
            yield from whole.parsed(table.name, path, _lines(whole), {})
        return
    for raw, broken in parts:
        selected, refused = convert.select(raw, _cells(source, raw))
        rejected = refusals(table.name, path.name, broken.table(), refused)
        yield Parsed({table.name: native(table.name, selected)}, rejected)


def _customers(path: Path, source: Settings) -> Iterator[Parsed]:
    notes: dict[str, int] = {}

    def choose(found: Sequence[str]) -> list[str]:
        needed = _needed(path, source, found)
        notes.update(counted(columns_not_read=len(found) - len(needed)))
        return needed

    yield from customers.parsed(
        path, source, load_parts(path, source, choose), lambda raw: _contacts(source, raw), notes
    )


def _contacts(source: Settings, raw: pa.Table) -> Contacts:
    attributes = {name: convert.origin(raw, theirs) for name, theirs in _attributes(source, raw.column_names).items()}
    return Contacts(
        _origins(source, raw),
        {name: convert.mapped_text(name, origin, source) for name, origin in attributes.items()},
    )


def _lines(whole: Spooled) -> str:
    """The rows that are not refused, numbered within their orders (refused ones included) unless they have numbers."""
    number = "CAST(row_number() OVER (PARTITION BY order_id ORDER BY row_number) AS INTEGER) AS line_no"
    numbered = "*" if "line_no" in whole.con.table("spooled").columns else f"*, {number}"
    return f"SELECT * FROM (SELECT {numbered} FROM spooled) WHERE refusal IS NULL ORDER BY row_number"


def _needed(path: Path, source: Settings, found: Sequence[str]) -> list[str]:
    """Their columns to read; ShortlistError when one is missing that was mapped or that no row can do without."""
    mapping, attributes = _mapping(source, found), _attributes(source, found)
    require_columns(path, source, found, {**mapping, **_unavoidable(source, mapping), **attributes})
    _require_id(path, source, found, mapping)
    return list(dict.fromkeys([*mapping.values(), *attributes.values()]))


def _mapping(source: Settings, found: Sequence[str]) -> dict[str, str]:
    """Our column -> theirs, as mapped, or of the same name, or as the preset knows it."""
    usual = presets.columns(source, found)
    named = {ours: ours if ours in found else usual.get(ours) for ours in _own(source)}
    mapped = {ours: source.columns.get(ours, theirs) for ours, theirs in named.items()}
    return {ours: theirs for ours, theirs in mapped.items() if theirs is not None}


def _own(source: Settings) -> list[str]:
    """The columns that a file can have for the source's table."""
    own = [name for name in _table(source).names if name != "attributes"]
    return [*own, customers.GPC] if source.table == "customers" else own


def _unavoidable(source: Settings, mapping: Mapping[str, str]) -> dict[str, str]:
    required = [column.name for column in _table(source).columns if column.required]
    given = {*mapping, *source.options, *_MADE_HERE}
    return {ours: ours for ours in required if ours not in given}


def _require_id(path: Path, source: Settings, found: Sequence[str], mapping: Mapping[str, str]) -> None:
    choices = _table(source).any_of
    if choices and not {*choices} & {*mapping, *source.options}:
        raise ShortlistError(
            f"{source.name}: {path} has none of the columns {', '.join(choices)}; it has: {listed(found)}. "
            f'Map one of them, e.g. `{choices[0]} = "<their name>"` under [sources.columns].'
        )


def _attributes(source: Settings, found: Sequence[str]) -> dict[str, str]:
    """Attribute -> their column: those that `options.attributes` lists, and those that are mapped."""
    if source.table != "customers":
        return {}
    mapping = _mapping(source, found)
    named = {name: theirs for name, theirs in source.columns.items() if name not in mapping}
    return {**{name: name for name in _split(source.options.get("attributes", ""))}, **named}


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _origins(source: Settings, raw: pa.Table) -> dict[str, Origin]:
    """Where our columns come from: constants, and before those the file."""
    options = {ours: value for ours, value in source.options.items() if ours in _own(source)}
    mapped = {ours: convert.origin(raw, theirs) for ours, theirs in _mapping(source, raw.column_names).items()}
    return {**{ours: convert.constant(value) for ours, value in options.items()}, **mapped}


def _cells(source: Settings, raw: pa.Table) -> Mapping[str, Cell]:
    table, origins = _table(source), _origins(source, raw)
    cells = {c.name: convert.cell(c, origins[c.name], source) for c in table.columns if c.name in origins}
    if table.name == "events" and "event_id" not in cells:
        cells["event_id"] = Cell(_fingerprint(table, cells))
    if table.name == "signals":
        cells.update(_wish(origins, source))
    return cells


def _wish(origins: Mapping[str, Origin], source: Settings) -> Mapping[str, Cell]:
    """What a person says about personalization: no row is refused over its words, since that would lose an objection.

    What is neither yes nor no is a no; a reason that is missing or none of ours becomes `consent` or `objection`.
    """
    said = convert.yes_no(convert.mapped_text("personalization", origins["personalization"], source))
    value = f"CASE WHEN {said.broken} THEN false ELSE {said.value} END"
    given = f"lower(trim({convert.mapped_text('reason', origins.get('reason', convert.constant('')), source)}))"
    ours = ", ".join(sql.text(reason) for reason in schemas.SIGNALS)
    reason = f"CASE WHEN {given} IN ({ours}) THEN {given} WHEN {value} THEN 'consent' ELSE 'objection' END"
    return {"personalization": Cell(value), "reason": Cell(reason)}


def _fingerprint(table: Table, cells: Mapping[str, Cell]) -> str:
    """MD5 of the row's values in the table's order; when it became available is no part of what happened.

    Order ids came to the table later: a row without one keeps the id that it always had.
    """
    names = [name for name in table.names if name not in ("event_id", "available_at", "order_id")]
    parts = [
        f"coalesce({_as_text(table, name, cells[name].value)}, '')" if name in cells else "''"
        for name in (*names, *(["order_id"] if "order_id" in cells else []))
    ]
    return f"md5({' || chr(31) || '.join(parts)})"


def _as_text(table: Table, name: str, value: str) -> str:
    moment = table.column(name).type == schemas.TIMESTAMP
    return f"CAST({f'epoch_us({value})' if moment else value} AS VARCHAR)"
