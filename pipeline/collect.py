"""One export, part by part, to the staging area: parsed in a child, held to its contract, pseudonymised, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from pipeline import erasure, parse, refuse, suppress
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.pseudonymise import bounds, lake_rows
from pipeline.pseudonyms import Pseudonyms
from pipeline.sections import Source
from pipeline.sources import Parsed, contracts
from pipeline.sources.export import Bounds, micros, refusals
from pipeline.staging import Staging

JUDGED = tuple(name for name in schemas.NATIVE if name in schemas.LAKE)
"""Native tables that the lake has, too, and that therefore have a suite."""


@dataclass
class Collected:
    """Counts of one export's rows, by native table; `refused` by (table, reason)."""

    tables: list[str] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    suppressed: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


def collect(
    path: Path,
    source: Source,
    day: date | None,
    as_of: datetime,
    config: Config,
    ids: Pseudonyms,
    staged: Staging,
    con: duckdb.DuckDBPyConnection,
) -> Collected:
    """Stage every row of `path` that may enter the lake, and what the vault must know of it; `con` is to count in.

    Raises:
        ShortlistError: The file as a whole cannot be used.
    """
    lake = Lake.of(config)
    suppressed = suppress.known_now(lake, as_of, config, besides=source.name)
    forgotten = suppress.forgotten(lake)
    limits = micros(bounds(day, config))
    found = Collected()
    for part in parse.stream(path, source, limits, config):
        checked = _checked(part, limits, path, config, con)
        _count(found, part, checked)
        for name, rows in lake_rows(checked, source, day, config, ids).items():
            allowed = _without(rows, erasure.PERSONAL.get(name, ()), suppressed)
            allowed = _without(allowed, erasure.LINKS.get(name, ()), forgotten)
            staged.add(name, allowed)
            if name in checked.tables:
                found.suppressed[name] += checked.tables[name].num_rows - allowed.num_rows
    return found


def _checked(part: Parsed, limits: Bounds | None, path: Path, config: Config, con: duckdb.DuckDBPyConnection) -> Parsed:
    """The rows that keep the contract, and those that do not with the format's own refusals."""
    tables: dict[str, pa.Table] = {}
    rejected = [part.rejected]
    for name, rows in part.tables.items():
        kept, refused = contracts.split(name, rows, limits, source_file=path.name)
        tables[name], unfit = _split(name, kept, config, con)
        rejected += [refused, refusals(name, path.name, unfit)]
    return Parsed(tables, pa.concat_tables(rejected), part.notes, part.duplicates)


def _split(name: str, rows: pa.Table, config: Config, con: duckdb.DuckDBPyConnection) -> tuple[pa.Table, pa.Table]:
    """By the suite's lines that refuse single rows; links and signals have no suite."""
    if name not in JUDGED:
        return rows, refuse.REFUSED.empty_table()
    return refuse.split(name, rows, {"min_rows": 0, "max_rows": 0}, config.suites, con)


def _count(found: Collected, part: Parsed, checked: Parsed) -> None:
    found.tables += [name for name in part.tables if name not in found.tables]
    found.kept.update({name: rows.num_rows for name, rows in checked.tables.items()})
    refused = zip(checked.rejected["table"].to_pylist(), checked.rejected["reason"].to_pylist(), strict=True)
    found.refused.update(refused)
    found.duplicates.update(part.duplicates)
    found.notes.update(part.notes)


def _without(rows: pa.Table, columns: tuple[str, ...], people: pa.Array) -> pa.Table:
    """Rows in which none of `columns` names one of `people`."""
    if not len(people):
        return rows
    for name in columns:
        rows = rows.filter(pc.invert(pc.is_in(rows[name], value_set=people)))
    return rows
