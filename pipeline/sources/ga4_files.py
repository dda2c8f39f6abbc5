"""GA4's export in its three forms, as one: Parquet is read where it lies, text becomes Parquet in scratch space.

JSON Lines (`bq extract --destination_format NEWLINE_DELIMITED_JSON`) write whole numbers as text; CSV holds the nested
columns as JSON. Parquet is read twice (parameters first, then who and what), which costs less than keeping a copy.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import ShortlistError
from pipeline.sources import delimited, footer, limits, lines, sql
from pipeline.sources.decode import open_bytes, require_bytes
from pipeline.sources.delimited import Broken
from pipeline.sources.export import FILE_ROW, PART, ROW_NUMBER, Settings, require_columns, require_rows

REQUIRED = ("event_date", "event_timestamp", "event_name", "event_params", "user_pseudo_id")
_ITEM = ("item_id", "index", "price", "quantity")
_WHO = ("user_pseudo_id", "user_id", "platform", "device.category", "geo.country", "privacy_info.analytics_storage")
_PACKED = (".gz", ".zst")

_VALUE = '{"string_value": "VARCHAR", "int_value": "BIGINT", "float_value": "DOUBLE", "double_value": "DOUBLE"}'
_PARAMETERS = f'[{{"key": "VARCHAR", "value": {_VALUE}}}]'
_PLAIN = ("event_date", "event_timestamp", "event_name", "user_pseudo_id", "user_id", "stream_id", "platform")
_NESTED: Mapping[str, str] = {
    "event_params": _PARAMETERS,
    "user_properties": _PARAMETERS,
    "privacy_info": '{"analytics_storage": "VARCHAR"}',
    "device": '{"category": "VARCHAR"}',
    "geo": '{"country": "VARCHAR"}',
    "ecommerce": '{"transaction_id": "VARCHAR"}',
    "items": '[{"item_id": "VARCHAR", "index": "BIGINT", "price": "DOUBLE", "quantity": "DOUBLE"}]',
}


@dataclass(frozen=True)
class Export:
    """A day's export as Parquet: where it is, what it has, and the rows of the original that could not be read."""

    path: Path
    schema: pa.Schema
    rows: int
    """The highest row number."""
    broken: Broken

    @property
    def relation(self) -> str:
        """The file in SQL, with `row_number`."""
        numbered = "*" if ROW_NUMBER in self.schema.names else f"*, file_row_number + 1 AS {ROW_NUMBER}"
        return f"(SELECT {numbered} FROM read_parquet({sql.text(str(self.path))}, file_row_number = true))"

    def has(self, name: str, field: str | None = None) -> bool:
        """Whether there is such a column, and in it such a field."""
        return name in self.schema.names and (field is None or field in fields(self.schema.field(name).type))

    def items(self) -> Iterator[pa.RecordBatch]:
        """What was listed or bought: `row_number` and, where the export has them, `items`."""
        return self._batches([])

    def people(self) -> Iterator[pa.RecordBatch]:
        """Who did it, and with what: `items` and the columns about the person, in batches of the file's order."""
        return self._batches(_WHO)

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path, pre_buffer=False) as file:  # buffers of row groups that were read would stay
            leaves = [file.schema.column(i).path for i in range(len(file.schema))]
            wanted = [leaf for leaf in leaves if leaf in columns or leaf == ROW_NUMBER or _is_item(leaf)]
            first = 1
            for batch in file.iter_batches(PART, columns=wanted or leaves[:1]):
                yield (
                    batch
                    if ROW_NUMBER in wanted
                    else batch.append_column(ROW_NUMBER, pa.array(np.arange(first, first + batch.num_rows)))
                )
                first += batch.num_rows


def _is_item(leaf: str) -> bool:
    return leaf.startswith("items.") and leaf.rsplit(".", 1)[-1] in _ITEM


def fields(type_: pa.DataType) -> tuple[str, ...]:
    """Field names of a list of records, or of a record."""
    inner = type_.value_type if pa.types.is_list(type_) or pa.types.is_large_list(type_) else type_
    return tuple(field.name for field in inner) if pa.types.is_struct(inner) else ()


@contextmanager
def opened(path: Path, source: Settings) -> Iterator[Export]:
    """The export; ShortlistError when it is cut off, damaged, or no GA4 export."""
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json_lines, ".csv": _csv}
    endings = [ending.lower() for ending in path.suffixes if ending not in _PACKED]
    reader = readers.get(endings[-1]) if endings else None
    require_bytes(path, source)
    with tempfile.TemporaryDirectory(prefix="shortlist-") as scratch, _whole(path, source):
        spool = Path(scratch) / "export.parquet"
        if reader:
            yield _spooled(path, source, reader(path, source), spool)
        elif endings[-1:] == [".parquet"]:
            yield _as_it_lies(path, source, spool)
        else:
            raise ShortlistError(
                f"{source.name}: cannot tell what {path} is; its name must end in {', '.join([*readers, '.parquet'])}."
            )


@contextmanager
def database(export: Export) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database that may read this one file and no other; most of the memory is for what is kept of the rows."""
    with sql.connection([export.path]) as con:
        con.execute(f"SET memory_limit = '{limits.current().memory_mb // 4}MiB'")
        yield con


_DAMAGE = (duckdb.Error, duckdb.InvalidInputException, duckdb.IOException)
"""What DuckDB raises for a damaged file (the first where its Thrift reader gives up), and for no query."""


@contextmanager
def _whole(path: Path, source: Settings) -> Iterator[None]:
    """Say of a damaged Parquet file that it is one; what a library says of it may quote a value, so it is not told."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError, duckdb.Error) as error:
        if isinstance(error, duckdb.Error) and type(error) not in _DAMAGE:
            raise
        if os.strerror(errno.ENOSPC) in str(error):
            raise ShortlistError(
                f"{source.name}: the disk is full with what reading {path} needs to keep there; free some space in "
                f"{tempfile.gettempdir()}, or point TMPDIR to where there is more, and run it again."
            ) from error
        raise ShortlistError(
            f"{source.name}: {path} is no whole Parquet file ({type(error).__name__} while reading it); it is cut off "
            "or damaged: export it again."
        ) from error


def _as_it_lies(path: Path, source: Settings, spool: Path) -> Export:
    if path.suffix in _PACKED:
        with open_bytes(path, source) as stream, spool.open("wb") as unpacked:
            while block := stream.read(PART):
                unpacked.write(block)
        return _as_it_lies(spool, source, spool)
    with pq.ParquetFile(path) as file:
        footer.require_plausible(path, source, file)
        schema, rows = file.schema_arrow, file.metadata.num_rows
    require_columns(path, source, schema.names, {name: name for name in REQUIRED})
    require_rows(path, source, rows)
    _require_nested(path, source, schema)
    return Export(path, schema, rows, Broken())


def _require_nested(path: Path, source: Settings, schema: pa.Schema) -> None:
    """Raise ShortlistError unless parameters and items are nested, as BigQuery exports them to Parquet."""
    for name in ("event_params", "items"):
        if name in schema.names and not fields(schema.field(name).type):
            raise ShortlistError(
                f"{source.name}: {path} has `{name}` as {schema.field(name).type}; expected a list of records. "
                "Export the table from BigQuery as Parquet, which keeps nested columns."
            )


_Part = tuple[pa.Table, Broken]


def _spooled(path: Path, source: Settings, parts: Iterator[_Part], spool: Path) -> Export:
    """The parts of a text export as a Parquet file of our own."""
    broken, last = Broken(), 0
    writer: pq.ParquetWriter | None = None
    for table, refused in parts:
        writer = writer or pq.ParquetWriter(spool, table.schema, compression="snappy")
        writer.write_table(table)
        broken.rows += refused.rows
        broken.reasons += refused.reasons
        last = max([last, *refused.rows, *table[ROW_NUMBER][-1:].to_pylist()])
    if writer:
        writer.close()
    require_rows(path, source, last)
    if not writer:
        raise ShortlistError(f"{source.name}: {path} has no rows and no header; export it again.")
    return Export(spool, pq.read_schema(spool), last, broken)


def _json_lines(path: Path, source: Settings) -> Iterator[_Part]:
    structure = ", ".join([*(f'"{name}": "VARCHAR"' for name in _PLAIN), *(f'"{k}": {v}' for k, v in _NESTED.items())])
    whole = f"CASE WHEN json_valid({lines.LINE}) THEN json_transform({lines.LINE}, '{{{structure}}}') END"
    plain = ", ".join(f"{_cast(name, f'event.{name}')} AS {name}" for name in _PLAIN)
    no_list = " OR ".join(
        f"CASE WHEN event.{name} IS NULL THEN json_type({lines.LINE}, '$.{name}') <> 'NULL' END"
        for name in ("event_params", "items")
    )
    query = f"""
        SELECT {ROW_NUMBER}, {plain}, {", ".join(f"event.{name} AS {name}" for name in _NESTED)},
               CASE WHEN event.event_name IS NULL THEN 'is not an event of GA4 as a JSON object'
                    WHEN {no_list} THEN 'event_params or items is not a list of records' END AS reason
        FROM (SELECT {ROW_NUMBER}, {lines.LINE}, {whole} AS event FROM part)
    """
    with sql.connection() as con:
        for part in lines.parts(path, source):
            yield _converted(con, part, query)


def _csv(path: Path, source: Settings) -> Iterator[_Part]:
    def choose(found: Sequence[str]) -> Sequence[str]:
        require_columns(path, source, found, {name: name for name in REQUIRED})
        return [name for name in (*_PLAIN, *_NESTED) if name in found]

    with sql.connection() as con:
        for text, broken in delimited.parts(path, source, choose):
            part = text.rename_columns([ROW_NUMBER if name == FILE_ROW else name for name in text.column_names])
            table, refused = _converted(con, part, _csv_query(part.column_names))
            yield table, Broken([*broken.rows, *refused.rows], [*broken.reasons, *refused.reasons])


def _csv_query(found: Sequence[str]) -> str:
    def filled(name: str) -> str:
        return f"nullif({name}, '')"

    plain = [f"{_cast(name, filled(name))} AS {name}" for name in _PLAIN if name in found]
    nested = [name for name in _NESTED if name in found]
    values = [f"CASE WHEN json_valid({name}) THEN json_transform({name}, '{_NESTED[name]}') END" for name in nested]
    reasons = [
        f"WHEN {name} <> '' AND ({value}) IS NULL THEN '{name} is not JSON as GA4 has it'"
        for name, value in zip(nested, values, strict=True)
    ]
    named = [f"{value} AS {name}" for name, value in zip(nested, values, strict=True)]
    return f"SELECT {', '.join([ROW_NUMBER, *plain, *named])}, CASE {' '.join(reasons)} END AS reason FROM part"


def _cast(name: str, text: str) -> str:
    return f"TRY_CAST({text} AS BIGINT)" if name == "event_timestamp" else text


def _converted(con: duckdb.DuckDBPyConnection, part: pa.Table, query: str) -> _Part:
    """The part's good rows, and the others."""
    con.register("part", part)
    made = con.sql(query).to_arrow_table()
    good = pc.is_null(made["reason"])
    refused = made.filter(pc.invert(good))
    return made.filter(good).drop_columns(["reason"]), Broken(
        refused[ROW_NUMBER].to_pylist(), refused["reason"].to_pylist()
    )
