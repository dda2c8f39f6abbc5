"""A new key for the pseudonyms of a lake: each becomes HMAC(new key, old pseudonym), in every table, at one moment.

E-mail addresses, orders and sessions are nowhere kept in the clear, so the old key stays part of the new one; a leaked
old key alone leads nowhere any more. See docs/decisions/0009.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from rich.console import Console

from expectations import schemas
from pipeline import checkpoints, disk, looks, query, scratch, swap
from pipeline.config import Config
from pipeline.day_files import ORDER, DayFiles
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.lake import PURGED, Lake
from pipeline.pseudonyms import Pseudonyms, rotate
from pipeline.report import Report
from pipeline.shards import shard_of

_BATCH = 262_144
_PLACE = ", hive_partitioning = true, hive_types = {'source': VARCHAR, 'day': DATE}"


@dataclass(frozen=True)
class RotationReport(Report):
    """Rows by table that now have pseudonyms of the new key; `variable` has to hold `<new>,<old>` from now on."""

    rows: Mapping[str, int]
    variable: str


def run(config: Config) -> RotationReport:
    """Rotate the lake from the configured key to the one in `new_variable`. Interrupted, it is simply run again.

    Until everything is rewritten the old key is the right one and nothing has changed; then all tables change at once.

    Raises:
        ConfigurationError: A key is missing, too short or the same, or the lake was made with another.
        ShortlistError: There is nothing to rotate, a load is under way, or the lake changed meanwhile.
    """
    lake, ids = Lake.of(config), Pseudonyms.configured(config)
    key = _new_key(config, ids)
    if not lake.vault.is_dir():
        raise ShortlistError(f"{lake.root}: no lake is here yet. Nothing has to be rotated: just set the new key.")
    with swap.held(lake):
        swap.swap(lake)
        if not ids.rotated(key).fits(lake):
            _require(ids, lake)
            _rotate(lake, ids, key, config)
    return RotationReport(_rows(lake, _personal(lake)), config.project.id_key_env)


def draw(report: RotationReport, out: Console) -> None:
    """What was rewritten, and what to do now."""
    for table, rows in report.rows.items():
        out.print(f"{table}: {rows:,} rows", markup=False)
    out.print(
        f"The lake has the new key. From now on {report.variable} must hold both, newest first: <new>,<old>",
        markup=False,
        soft_wrap=True,
    )


def new_variable(config: Config) -> str:
    """The environment variable of the key to rotate to: `SHORTLIST_NEW_ID_KEY` by default."""
    name = config.project.id_key_env
    return f"{name.removesuffix('ID_KEY')}NEW_ID_KEY" if name.endswith("ID_KEY") else f"NEW_{name}"


def _new_key(config: Config, ids: Pseudonyms) -> bytes:
    name = new_variable(config)
    new = Pseudonyms.parse(os.environ.get(name, ""), name)
    if new.newer:
        raise ConfigurationError(f"the environment variable {name} must hold one key, and a key has no comma in it")
    if new.key in (ids.key, *ids.newer):
        raise ConfigurationError(f"the key in {name} is in {config.project.id_key_env} already: choose a new one")
    return new.key


def _require(ids: Pseudonyms, lake: Lake) -> None:
    """Raise unless the lake says that it was made with this key: with another one everybody would be lost for good."""
    ids.require(lake)
    if not ids.fits(lake):
        raise ShortlistError(
            f"{lake.root} does not say with which key it was made. Run `shortlist ingest` with that key first."
        )


def _rotate(lake: Lake, ids: Pseudonyms, key: bytes, config: Config) -> None:
    """Build every table anew beside the old one, and swap them."""
    _remove_traces(lake)
    new = swap.building(lake)
    made_of = _versions(lake)
    for name in (names := list(made_of)):
        rotate_table = _rotate_days if name in schemas.LAKE else _rotate_nights
        rotate_table(name, lake, new, key, config)
    if (found := _rows(new, names)) != (expected := _rows(lake, names)):
        raise ShortlistError(f"rows were lost in the rotation: {expected} became {found}. Nothing was changed.")
    ids.rotated(key).remember(new)
    disk.remove(new.staging)
    swap.commit(lake, made_of)
    try:
        _require_quiet(lake)
        _require_same(lake, made_of)
    except ShortlistError:
        swap.withdraw(lake)
        raise
    swap.swap(lake)


def _require_same(lake: Lake, made_of: Mapping[str, int]) -> None:
    """Raise ShortlistError when a table came or changed since."""
    if _versions(lake) != made_of:
        raise ShortlistError(f"{lake.root} changed while it was rotated. Nothing was lost: run rotate-key again.")


def _remove_traces(lake: Lake) -> None:
    """What has old pseudonyms, or a digest of them, and is not needed any more."""
    _require_quiet(lake)
    checkpoints.remove_all(lake)
    looks.remove_all(lake)
    lake.replace_source("loads", schemas.LAKE["loads"].schema.empty_table(), PURGED)


def _require_quiet(lake: Lake) -> None:
    """Raise ShortlistError while a load is under way: it would bring old pseudonyms. What dead ones left is removed."""
    if held := scratch.sweep(lake.staging):
        raise ShortlistError(
            f"{lake.root}: a load is under way ({held[0]}). Nothing was changed; "
            "wait until it ends, pause the DAGs, and run rotate-key again."
        )


# ---------------------------------------------------------------- tables


def _personal(lake: Lake) -> list[str]:
    """Every table of the lake that has pseudonyms, known to `schemas` or not."""
    folders = sorted(log.parent for root in (lake.root, lake.vault) for log in root.glob("[!.]*/_delta_log"))
    return [folder.name for folder in folders if id_columns(_schema(folder))]


def _versions(lake: Lake) -> dict[str, int]:
    return {name: DeltaTable(lake.path(name)).version() for name in _personal(lake)}


def _schema(table: Path) -> pa.Schema:
    return pa.schema(DeltaTable(table).schema().to_arrow())


def id_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold pseudonyms; ids of content are text."""
    return [f.name for f in schema if f.type == pa.int64() and (f.name == "id" or f.name.endswith("_id"))]


def _rows(lake: Lake, names: list[str]) -> dict[str, int]:
    return {name: DeltaTable(lake.path(name)).count() for name in names}


def _rotate_days(name: str, lake: Lake, new: Lake, key: bytes, config: Config) -> None:
    """A day's file at a time; a table that has none is made all the same, so that the old one goes."""
    new.adopt(name, (), "", None)
    new.staging.mkdir(parents=True, exist_ok=True)
    for source, day in sorted(lake.days(name)):
        written = DayFiles(new.staging, name, source)
        _rotate_day(name, lake.files(name, source, day), written, key, config)
        new.adopt(name, written.close(), source, day)


def _rotate_day(name: str, files: list[str], written: DayFiles, key: bytes, config: Config) -> None:
    columns = id_columns(schemas.LAKE[name].schema)
    with query.connection(config.limits.memory_mb) as con:
        con.execute(f"CREATE VIEW rows AS SELECT * FROM {query.parquet(files, _PLACE)}")
        distinct = " UNION ".join(f"SELECT {column} AS old FROM rows WHERE {column} IS NOT NULL" for column in columns)
        con.register("changed", _changed(con.sql(distinct).to_arrow_table()["old"], key))
        order = ", ".join(query.name(column) for column in ORDER[name])
        for batch in con.sql(f"{_select(name, columns)} ORDER BY {order}").to_arrow_reader(_BATCH):
            written.add(pa.Table.from_batches([batch]))


def _changed(old: pa.ChunkedArray, key: bytes) -> pa.Table:
    new = rotate(np.asarray(old), key)
    if len(np.unique(new)) < len(new):
        raise ShortlistError("two people would get the same pseudonym. Nothing was changed; choose another new key.")
    return pa.table({"old": old, "new": new, "shard": shard_of(new)})


def _select(name: str, columns: list[str]) -> str:
    """The table's columns, each id by way of `changed`, and the shard that follows from the person."""
    changed = {column: f"{query.name(f'{column}_changed')}.new" for column in columns}
    changed["shard"] = f"{query.name('person_id_changed')}.shard"
    chosen = [f"{changed.get(c, f'rows.{query.name(c)}')} AS {query.name(c)}" for c in schemas.LAKE[name].names]
    joins = [
        f"LEFT JOIN changed AS {query.name(f'{c}_changed')} ON {query.name(f'{c}_changed')}.old = rows.{query.name(c)}"
        for c in columns
    ]
    return f"SELECT {', '.join(chosen)} FROM rows {' '.join(joins)}"


def _rotate_nights(name: str, lake: Lake, new: Lake, key: bytes, config: Config) -> None:
    for night in lake.nights(name):
        rows = lake.read_night(name, night)
        columns = id_columns(rows.schema)
        for column in columns:
            old = rows[column].combine_chunks().dictionary_encode()
            ids = pa.array(rotate(np.asarray(old.dictionary), key))
            rows = rows.set_column(rows.schema.get_field_index(column), column, ids.take(old.indices))
        new.replace_night(name, rows.sort_by([(column, "ascending") for column in columns]), night)
