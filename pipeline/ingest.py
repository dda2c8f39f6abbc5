"""Exports into the lake, a (source, day) at a time: read, pseudonymise, judge, replace; a bad day changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from expectations import schemas
from pipeline import clock, collect, erasure, refusals, shortcomings, sources, staging, tally, validate
from pipeline.collect import Collected
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import UNDATED, Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.report import Report
from pipeline.sections import Source
from pipeline.sources import limits
from pipeline.staging import Staged

MAX_RANGE_DAYS = 5 * 366
"""A longer range is a mistyped year; Airflow maps a task to each of its days."""

_UNLIMITED = 10**15
_LAYOUT = "2"
"""Part of a load's fingerprint: raise it when the same file must be loaded again because we read it differently."""


@dataclass(frozen=True)
class DayReport(Report):
    """What became of one table of one (source, day).

    `late`: rows that an earlier load of the same day did not have. `suppressed`: rows of people who object, left out.
    `bots`, `without_consent` and `notes` are of the whole file, and told with its first table.
    """

    date: str | None
    source: str
    table: str
    read: int
    kept: int
    quarantined: Mapping[str, int]
    duplicates: int
    suppressed: int = 0
    late: int = 0
    bots: int = 0
    without_consent: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class IngestReport(Report):
    """What an ingest did; `changed` is false when every file was already in the lake as it is."""

    days: tuple[DayReport, ...]
    changed: bool
    warnings: tuple[str, ...] = ()
    data_docs: str | None = None
    purged: Mapping[str, int] = field(default_factory=dict)
    """Rows that left the lake because the person objects, by table."""


@dataclass(frozen=True)
class Unit:
    """One (source, day) to load; `day` is None for a file that is read whole."""

    source: str
    day: date | None

    def to_json(self) -> dict[str, str | None]:
        """The form in which Airflow hands a unit to a task."""
        return {"source": self.source, "day": self.day.isoformat() if self.day else None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Unit:
        """The unit that `to_json` wrote."""
        return cls(value["source"], date.fromisoformat(value["day"]) if value["day"] else None)

    @property
    def label(self) -> str:
        """What messages and Data Docs call it."""
        return f"{self.source} {self.day or 'whole file'}"


def run(
    as_of: datetime,
    config: Config,
    *,
    start: date | None = None,
    end: date | None = None,
    on_unit: Callable[[int, int], None] | None = None,
) -> IngestReport:
    """Load everything that `plan` says, one unit after the other."""
    units = plan(as_of, config, start, end)
    reports = []
    for done, unit in enumerate(units):
        reports.append(load(unit, as_of, config))
        if on_unit:
            on_unit(done + 1, len(units))
    return finish(as_of, config, [r.to_json() for r in reports])


def plan(as_of: datetime, config: Config, start: date | None = None, end: date | None = None) -> list[dict[str, Any]]:
    """The (source, day) units to load, as JSON.

    Without a range: the newest finished day, the source's `late_days` before it, and every older day that has a file
    but was never loaded. With one: exactly the days from `start` to `end`, both included; a source that is not
    `required` only those that have a file. Files without a date are read whole.

    Raises:
        ShortlistError: The configuration has no sources, or the range ends before it starts or is too long.
    """
    if not config.sources:
        raise ShortlistError(
            f"{config.file}: no [[sources]]: there is nothing to ingest. See README.md, 'your own exports'."
        )
    newest = clock.last_finished_day(as_of, config)
    asked = _days(start or end or newest, end or newest) if start or end else None
    loaded = _loaded(Lake.of(config))
    units: list[Unit] = []
    for source in config.sources:
        if sources.whole_file(source):
            units.append(Unit(source.name, None))
        elif asked:
            units += _asked(source, asked)
        else:
            units += _due(source, newest, {day for name, day in loaded if name == source.name})
    return [unit.to_json() for unit in units]


def _days(start: date, end: date) -> list[date]:
    count = (end - start).days + 1
    if count < 1:
        raise ShortlistError(f"the range starts on {start}, after it ends on {end}; give the earlier day first")
    if count > MAX_RANGE_DAYS:
        raise ShortlistError(
            f"the range from {start} to {end} has {count} days, more than {MAX_RANGE_DAYS}; is a year mistyped?"
        )
    return [start + timedelta(days=i) for i in range(count)]


def _asked(source: Source, days: Sequence[date]) -> list[Unit]:
    there = days if source.required else sorted(set(days) & set(sources.available_days(source)))
    return [Unit(source.name, day) for day in there]


def _due(source: Source, newest: date, loaded: set[date]) -> list[Unit]:
    available = {day for day in sources.available_days(source) if day <= newest}
    late = {newest - timedelta(days=i) for i in range(source.late_days + 1)}
    due = (available - loaded) | (available & late)
    if source.required and newest not in loaded:
        due.add(newest)  # its load fails with the message that the operator needs
    return [Unit(source.name, day) for day in sorted(due)]


def load(unit: Mapping[str, Any], as_of: datetime, config: Config) -> IngestReport:
    """Load one unit: nothing of it reaches the lake unless all of it may.

    Raises:
        ShortlistError: The file is missing or unreadable, too many of its rows were refused, or a suite failed.
    """
    what = Unit.from_json(unit)
    with refusals.kept(Lake.of(config), what.label):
        return _load(what, as_of, config)


def _load(what: Unit, as_of: datetime, config: Config) -> IngestReport:
    source, lake = config.source(what.source), Lake.of(config)
    Pseudonyms.of(config)  # no key, no lake
    path = sources.locate(source, what.day)
    limits.require_file(path, source, config.limits)
    fingerprint = _fingerprint(path, source, config)
    before = _loaded(lake, what).get((source.name, what.day or UNDATED))
    if before == fingerprint:
        return IngestReport((), changed=False)
    with tally.database(config.limits.memory_mb // 2) as con, staging.opened(lake) as staged:
        ids = Pseudonyms.of(config)  # once more: while this folder is held, nobody changes the lake's key
        found = collect.collect(path, source, what.day, as_of, config, ids, staged, con)
        tables = staged.finish(source.name, con)
        _refuse_if_broken(what, path, found, config)
        warnings = _judge(tables, found, what, lake, config, con)
        reports = _reports(tables, found, what, _late(tables, what, lake, con) if before else {})
        _write(tables, what, path, fingerprint, lake)
    return IngestReport(reports, changed=True, warnings=warnings)


def is_loaded(unit: Unit, config: Config) -> bool:
    """Whether the lake has the unit's export as it is, read with the settings as they are: `load` would do nothing.

    Raises:
        ShortlistError: The file is missing.
    """
    source = config.source(unit.source)
    done = _loaded(Lake.of(config), unit).get((unit.source, unit.day or UNDATED))
    return done == _fingerprint(sources.locate(source, unit.day), source, config)


def finish(as_of: datetime, config: Config, reports: Sequence[Mapping[str, Any]]) -> IngestReport:
    """Join the units' reports, say what the lake lacks, and build the Data Docs."""
    lake = Lake.of(config)
    days = tuple(DayReport(**day) for report in reports for day in report["days"])
    changed = any(report["changed"] for report in reports)
    purged = erasure.purge(lake, as_of, config)
    docs = validate.build_docs(lake.data_docs) if changed else lake.data_docs / validate.INDEX
    warnings = [warning for report in reports for warning in report["warnings"]]
    return IngestReport(days, changed, (*warnings, *shortcomings.of(lake, as_of, config)), str(docs), purged)


# ---------------------------------------------------------------- one unit, step by step


def _loaded(lake: Lake, unit: Unit | None = None) -> dict[tuple[str, date], str]:
    """The fingerprint of every load, or of one unit's."""
    source, days = (unit.source, [unit.day or UNDATED]) if unit else (None, None)
    rows = lake.read("loads", columns=["source", "day", "sha256"], source=source, days=days)
    return {(row["source"], row["day"]): row["sha256"] for row in rows.to_pylist()}


def _fingerprint(path: Path, source: Source, config: Config) -> str:
    settings = source.model_dump(mode="json", exclude={"path", "late_days", "required"})
    suites = sorted(config.suites.glob("*.json")) if config.suites else []
    judged = [config.project.timezone, {suite.name: suite.read_text(encoding="utf-8") for suite in suites}]
    digest = hashlib.sha256(json.dumps([_LAYOUT, settings, judged], sort_keys=True).encode())
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _refuse_if_broken(unit: Unit, path: Path, found: Collected, config: Config) -> None:
    kept, refused = found.kept.total(), found.refused.total()
    limit = config.quality.max_quarantined_share
    if refused and refused / (kept + refused) > limit:
        counts = sorted(found.refused.items(), key=lambda item: (-item[1], item[0]))
        reasons = "; ".join(f"{n} x {reason}" for (_, reason), n in counts)
        raise ShortlistError(
            f"{unit.label}: {refused} of {kept + refused} rows of {path.name} are broken ({reasons}), more than "
            f"quality.max_quarantined_share = {limit}. Nothing was loaded; mend the export and run ingest again."
        )


def _judge(
    tables: Mapping[str, Staged],
    found: Collected,
    unit: Unit,
    lake: Lake,
    config: Config,
    con: duckdb.DuckDBPyConnection,
) -> tuple[str, ...]:
    """Every table's suite on the files that the lake is to adopt; returns what the suites only warn of."""
    warnings: list[str] = []
    for name in (name for name in collect.JUDGED if name in tables):
        sizes = _row_limits(name, unit, found, lake, config)
        files = [file.path for file in tables[name].files]
        rows = files or schemas.LAKE[name].schema.empty_table()
        verdict = validate.check(
            name,
            rows,
            lake.data_docs,
            run=unit.label,
            day=unit.day or UNDATED,
            parameters=sizes,
            added=config.suites,
            con=con,
        )
        if not verdict.success:
            failures = "\n".join(f"  {failure}" for failure in verdict.failures)
            raise ShortlistError(
                f"{unit.label}: table {name!r} breaks its contract, so nothing of this export was loaded:\n{failures}\n"
                f"Data Docs: {validate.build_docs(lake.data_docs)}"
            )
        warnings += [f"{unit.label}: table {name!r}: {warning}" for warning in verdict.warnings]
    return tuple(warnings)


def _row_limits(table: str, unit: Unit, found: Collected, lake: Lake, config: Config) -> dict[str, float]:
    """How many rows are plausible: a share of the trailing days' median; anything above zero where there are none.

    There is no lower limit for a source that may be empty (`allow_empty`), for what comes besides a source's own table,
    and where people who object were left out.
    """
    besides = table == "popularity" or (table == "events" and found.kept["popularity"] > 0)
    may_be_empty = config.source(unit.source).options.get("allow_empty") == "true"
    least = 0 if may_be_empty or besides or found.suppressed[table] else 1
    if unit.day is None or not lake.exists(table):
        return {"min_rows": least, "max_rows": _UNLIMITED}
    quality = config.quality
    since, until = unit.day - timedelta(days=quality.trailing_days), unit.day - timedelta(days=1)
    counts = list(lake.rows_by_day(table, unit.source, since, until).values())
    if len(counts) < 3:
        return {"min_rows": least, "max_rows": _UNLIMITED}
    median = float(np.median(counts))
    return {
        "min_rows": least and max(1, int(median * quality.min_rows_share)),
        "max_rows": int(median * quality.max_rows_share) + 100,
    }


def _late(tables: Mapping[str, Staged], unit: Unit, lake: Lake, con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows of a day that is loaded again which its last load did not have."""
    return {
        name: staging.new_keys(name, tables[name].files, lake.files(name, unit.source, unit.day), con)
        for name in ("events", "transactions")
        if name in tables
    }


def _write(tables: Mapping[str, Staged], unit: Unit, path: Path, fingerprint: str, lake: Lake) -> None:
    """The vault first, the proof of the load last: whoever is interrupted in between loads the unit again.

    The proof of the last load goes before all else: half of this one is not what it proves.
    """
    if _holds(lake, "loads", unit):
        lake.adopt("loads", (), unit.source, unit.day)
    for name in _WRITTEN:
        files = tables[name].files if name in tables else ()
        if files or _holds(lake, name, unit):
            lake.adopt(name, files, unit.source, unit.day)
    kept = sum(tables[name].rows for name in schemas.NATIVE if name in tables)
    proof = pa.table(
        {
            "files": [path.name],
            "sha256": [fingerprint],
            "rows": [kept],
            "source": [unit.source],
            "day": [unit.day or UNDATED],
        },
        schema=schemas.LAKE["loads"].schema,
    )
    if unit.day is None:
        lake.replace_source("loads", proof, unit.source)
    else:
        lake.replace_day("loads", proof, unit.source, unit.day)


_WRITTEN = (
    *("native_ids", "identities", "suppressions", "quarantine"),
    *("events", "content", "customers", "transactions", "popularity"),
)


def _holds(lake: Lake, table: str, unit: Unit) -> bool:
    """Whether the lake has rows of this unit, perhaps from when the export or its settings were others."""
    return any(source == unit.source and unit.day in (None, day) for source, day in lake.days(table))


def _reports(
    tables: Mapping[str, Staged], found: Collected, unit: Unit, late: Mapping[str, int]
) -> tuple[DayReport, ...]:
    day = unit.day.isoformat() if unit.day else None
    reports = []
    notes = dict(found.notes)
    for name in found.tables:
        rejected = {reason: n for (table, reason), n in sorted(found.refused.items()) if table == name}
        repeated = found.duplicates[name] + (tables[name].duplicates if name in tables else 0)
        kept = tables[name].rows if name in schemas.LAKE else found.kept[name]
        read = found.kept[name] + sum(rejected.values()) + found.duplicates[name]
        reports.append(
            DayReport(
                day,
                unit.source,
                name,
                read,
                kept,
                rejected,
                repeated,
                suppressed=found.suppressed[name],
                late=late.get(name, 0),
                bots=notes.pop("bots", 0),
                without_consent=notes.pop("without_consent", 0),
                notes=notes,
            )
        )
        notes = {}
    return tuple(reports)
