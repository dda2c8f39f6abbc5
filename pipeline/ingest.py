"""Exports into the lake, a (source, day) at a time: read, pseudonymise, judge, then replace. A day that fails changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from pipeline import identify, night, sources, validate
from pipeline.config import Config, Source
from pipeline.errors import ShortlistError
from pipeline.lake import UNDATED, Lake
from pipeline.pseudonyms import Pseudonyms, shard_of
from pipeline.report import Report

_UNLIMITED = 10**15
_LAYOUT = "1"
"""Part of a load's fingerprint: raise it when the same file must be loaded again because we read it differently."""


@dataclass(frozen=True)
class DayReport(Report):
    """What became of one table of one (source, day)."""

    date: str | None
    source: str
    table: str
    read: int
    kept: int
    quarantined: Mapping[str, int]
    duplicates: int
    suppressed: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class IngestReport(Report):
    """What an ingest did; `changed` is false when every file was already in the lake as it is."""

    days: tuple[DayReport, ...]
    changed: bool
    warnings: tuple[str, ...] = ()
    data_docs: str | None = None


@dataclass(frozen=True)
class Unit:
    """One (source, day) to load; `day` is None for a file that is read whole."""

    source: str
    day: date | None

    def to_json(self) -> dict[str, str | None]:
        return {"source": self.source, "day": self.day.isoformat() if self.day else None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Unit:
        return cls(value["source"], date.fromisoformat(value["day"]) if value["day"] else None)

    @property
    def label(self) -> str:
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

    Without a range: the newest finished day, the source's `late_days` before it, and every older day that has a file but
    was never loaded. With one: exactly the days from `start` to `end`, both included. Files without a date are read whole.

    Raises:
        ShortlistError: The configuration has no sources.
    """
    if not config.sources:
        raise ShortlistError(
            f"{config.file}: no [[sources]]: there is nothing to ingest. See README.md, 'your own exports'."
        )
    loaded = _loaded(Lake.of(config))
    newest = night.last_finished_day(as_of, config)
    units: list[Unit] = []
    for source in config.sources:
        if sources.whole_file(source):
            units.append(Unit(source.name, None))
        elif start or end:
            units += _range(source, start or end or newest, end or newest)
        else:
            units += _due(source, newest, {day for name, day in loaded if name == source.name})
    return [unit.to_json() for unit in units]


def _range(source: Source, start: date, end: date) -> list[Unit]:
    if start > end:
        raise ShortlistError(f"the range starts on {start}, after it ends on {end}")
    return [Unit(source.name, start + timedelta(days=i)) for i in range((end - start).days + 1)]


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
    source, lake = config.source(what.source), Lake.of(config)
    ids = Pseudonyms.of(config)
    path = sources.locate(source, what.day)
    fingerprint = _fingerprint(path, source)
    if _loaded(lake).get((source.name, what.day or UNDATED)) == fingerprint:
        return IngestReport((), changed=False)
    parsed = sources.read_export(path, source, _bounds(what.day, config))
    _refuse_if_broken(what, path, parsed, config)
    bundle = _LakeRows.of(parsed, source, what.day, config, ids)
    _judge(bundle, what, lake, config)
    _write(bundle, what, path, fingerprint, lake)
    return IngestReport(_reports(parsed, what), changed=True, warnings=())


def finish(as_of: datetime, config: Config, reports: Sequence[Mapping[str, Any]]) -> IngestReport:
    """Join the units' reports, say what the lake lacks, and build the Data Docs."""
    lake = Lake.of(config)
    days = tuple(DayReport(**day) for report in reports for day in report["days"])
    changed = any(report["changed"] for report in reports)
    docs = validate.build_docs(lake.data_docs) if changed else lake.data_docs / "data_docs" / "index.html"
    return IngestReport(days, changed, tuple(_warnings(as_of, config, lake)), str(docs))


def _warnings(as_of: datetime, config: Config, lake: Lake) -> list[str]:
    """What a person should know about the lake but no gate refuses."""
    said = []
    newest = night.last_finished_day(as_of, config)
    recent = lake.read("events", columns=["content_id"], since=newest, until=newest)
    catalogue = lake.read("content", columns=["content_id"])
    if catalogue.num_rows and recent.num_rows:
        unknown = pc.invert(pc.is_in(recent["content_id"], value_set=catalogue["content_id"].combine_chunks()))
        strangers = recent.filter(unknown)["content_id"].unique().sort()
        if len(strangers):
            rows = pc.sum(unknown.cast(pa.int64())).as_py()
            said.append(
                f"{rows} events of {newest} are about {len(strangers)} content ids that are in no catalogue, for example "
                f"{strangers[0].as_py()!r}: they tell what people do, but cannot be recommended"
            )
    for table, without in _WITHOUT.items():
        if not lake.exists(table):
            said.append(without)
    return said


_WITHOUT = {
    "events": "no web analytics: orders are all we know of what people do",
    "content": "no content catalogue: content is what people touched; no categories, expiry or quality",
    "customers": "no CRM: no consent, attributes or customer names; everybody may be ranked",
    "transactions": "no transactions: purchases are what the events say; no money in RFM",
}


# ---------------------------------------------------------------- one unit, step by step


def _loaded(lake: Lake) -> dict[tuple[str, date], str]:
    rows = lake.read("loads", columns=["source", "day", "sha256"]).to_pylist()
    return {(row["source"], row["day"]): row["sha256"] for row in rows}


def _fingerprint(path: Path, source: Source) -> str:
    digest = hashlib.sha256(
        json.dumps(
            [_LAYOUT, source.model_dump(mode="json", exclude={"path", "late_days", "required"})], sort_keys=True
        ).encode()
    )
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _bounds(day: date | None, config: Config) -> tuple[datetime, datetime] | None:
    """The instants between which the export's day lies."""
    if day is None:
        return None
    zone = config.project.zone
    return datetime.combine(day, time(), zone), datetime.combine(day + timedelta(days=1), time(), zone)


def _refuse_if_broken(unit: Unit, path: Path, parsed: sources.Parsed, config: Config) -> None:
    kept = sum(table.num_rows for table in parsed.tables.values())
    refused = parsed.rejected.num_rows
    limit = config.quality.max_quarantined_share
    if refused and refused / (kept + refused) > limit:
        reasons = "; ".join(f"{n} x {reason}" for reason, n in _counted(parsed.rejected).items())
        raise ShortlistError(
            f"{unit.label}: {refused} of {kept + refused} rows of {path.name} are broken ({reasons}), more than "
            f"quality.max_quarantined_share = {limit}. Nothing was loaded; mend the export and run ingest again."
        )


def _counted(rejected: pa.Table) -> dict[str, int]:
    counts = (
        rejected.group_by("reason")
        .aggregate([("reason", "count")])
        .sort_by([("reason_count", "descending"), ("reason", "ascending")])
    )
    return dict(zip(counts["reason"].to_pylist(), counts["reason_count"].to_pylist(), strict=True))


@dataclass(frozen=True)
class _LakeRows:
    """One unit's rows as the lake holds them."""

    tables: Mapping[str, pa.Table]

    @classmethod
    def of(cls, parsed: sources.Parsed, source: Source, day: date | None, config: Config, ids: Pseudonyms) -> _LakeRows:
        books = _Books(source, day, config)
        tables: dict[str, pa.Table] = {}
        links, native_ids = [], []
        for name, native in parsed.tables.items():
            rows = _PSEUDONYMISE[name](native, books, ids)
            tables[name] = rows.select(schemas.LAKE[name].names).cast(schemas.LAKE[name].schema)
            native_ids.append(_native_ids(native, rows, books, ids))
            links.append(_links(name, native, rows, books, ids))
        tables["native_ids"] = _unique(pa.concat_tables(native_ids), "native_ids")
        tables["identities"] = _unique(pa.concat_tables(links), "identities")
        tables["quarantine"] = books.stamp(parsed.rejected, None).select(schemas.LAKE["quarantine"].names)
        return cls(tables)


@dataclass(frozen=True)
class _Books:
    """The bookkeeping columns of one unit."""

    source: Source
    day: date | None
    config: Config

    def stamp(self, rows: pa.Table, ts: pa.ChunkedArray | None) -> pa.Table:
        """`rows` with `source` and `day`; a whole file's rows belong to the day on which they happened."""
        n = rows.num_rows
        if self.day is None and ts is not None:
            local = pc.local_timestamp(ts.cast(pa.timestamp("us", tz=self.config.project.timezone)))
            day = local.cast(pa.date32())
        else:
            day = pa.array([self.day or UNDATED] * n, pa.date32())
        return rows.append_column("source", pa.array([self.source.name] * n, pa.string())).append_column("day", day)

    def available(self, rows: pa.Table) -> pa.ChunkedArray:
        """When each row could first be known: as the export says, else when it happened plus the source's delay."""
        delay = pa.scalar(timedelta(minutes=self.source.delay_minutes), pa.duration("us"))
        return pc.coalesce(rows["available_at"], pc.add(rows["ts"], delay))

    def snapshot_known_at(self) -> datetime:
        """A dated snapshot is of its day; who is in it was known when that day began at the latest at its end."""
        bounds = _bounds(self.day, self.config)
        return (
            bounds[1] - timedelta(microseconds=1)
            if bounds
            else datetime.combine(UNDATED, time(), self.config.project.zone)
        )


def _events(native: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    rows = _with(
        native,
        available_at=books.available(native),
        visitor_id=ids.column(native["visitor_id"], "visitor"),
        customer_id=ids.column(native["customer_id"], "customer"),
        session_id=ids.column(native["session_id"], "session"),
    )
    return books.stamp(_with_person(rows, "customer_id", "visitor_id"), rows["ts"])


def _content(native: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    return books.stamp(native, None)


def _customers(native: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    return books.stamp(_with(native, customer_id=ids.column(native["customer_id"], "customer")), None)


def _transactions(native: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    rows = _with(
        native,
        available_at=books.available(native),
        order_id=ids.column(native["order_id"], "order"),
        customer_id=ids.column(native["customer_id"], "customer"),
        email_id=ids.column(native["email"], "email"),
    )
    return books.stamp(_with_person(rows, "customer_id", "email_id"), rows["ts"])


_PSEUDONYMISE: Mapping[str, Callable[[pa.Table, _Books, Pseudonyms], pa.Table]] = {
    "events": _events,
    "content": _content,
    "customers": _customers,
    "transactions": _transactions,
}


def _with(rows: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    for name, values in columns.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, name, values) if at >= 0 else rows.append_column(name, values)
    return rows


def _with_person(rows: pa.Table, first: str, second: str) -> pa.Table:
    person = pc.coalesce(rows[first], rows[second])
    shard = shard_of(np.asarray(person.combine_chunks()))
    return _with(rows, person_id=person, shard=pa.array(shard, pa.int16()))


def _native_ids(native: pa.Table, rows: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    """The way back from pseudonyms, for publication; e-mails have none."""
    parts = [schemas.LAKE["native_ids"].schema.empty_table()]
    for kind in ("visitor", "customer"):
        name = f"{kind}_id"
        if name in native.column_names:
            ids_of_kind = pa.table(
                {"id": rows[name], "native_id": native[name], "day": rows["day"], "source": rows["source"]}
            )
            ids_of_kind = ids_of_kind.filter(pc.is_valid(ids_of_kind["id"]))
            kinds = pa.array([kind] * ids_of_kind.num_rows, pa.string())
            parts.append(
                ids_of_kind.append_column("id_type", kinds).select(parts[0].column_names).cast(parts[0].schema)
            )
    return pa.concat_tables(parts)


def _links(name: str, native: pa.Table, rows: pa.Table, books: _Books, ids: Pseudonyms) -> pa.Table:
    if name == "events":
        links = identify.links_of_events(rows)
    elif name == "customers":
        emails = ids.column(native["email"], "email")
        customers = rows["customer_id"].combine_chunks()
        links = identify.links_of_customers(customers, emails, books.snapshot_known_at())
    else:
        return schemas.LAKE["identities"].schema.empty_table()
    stamped = books.stamp(links, links["available_at"] if name == "events" else None)
    return stamped.select(schemas.LAKE["identities"].names).cast(schemas.LAKE["identities"].schema)


def _unique(rows: pa.Table, table: str) -> pa.Table:
    """One row a (day and) id: what the vault needs of a file in which every event repeats its visitor."""
    key = ["id", "id_type", "native_id", "source", "day"] if table == "native_ids" else list(rows.column_names)
    return rows.group_by(key).aggregate([]).select(rows.column_names).cast(rows.schema)


def _judge(bundle: _LakeRows, unit: Unit, lake: Lake, config: Config) -> None:
    for name in schemas.NATIVE:
        if name not in bundle.tables:
            continue
        rows = bundle.tables[name]
        limits = _row_limits(name, unit, lake, config)
        verdict = validate.check(name, rows, lake.data_docs, run=unit.label, day=unit.day or UNDATED, parameters=limits)
        if not verdict.success:
            failures = "\n".join(f"  {failure}" for failure in verdict.failures)
            raise ShortlistError(
                f"{unit.label}: table {name!r} breaks its contract, so nothing of this export was loaded:\n{failures}\n"
                f"Data Docs: {validate.build_docs(lake.data_docs)}"
            )


def _row_limits(table: str, unit: Unit, lake: Lake, config: Config) -> dict[str, float]:
    """How many rows are plausible: a share of the median of the trailing days; anything above zero where there are none."""
    if unit.day is None or not lake.exists(table):
        return {"min_rows": 1, "max_rows": _UNLIMITED}
    quality = config.quality
    since, until = unit.day - timedelta(days=quality.trailing_days), unit.day - timedelta(days=1)
    before = lake.read(table, columns=["day"], source=unit.source, since=since, until=until)
    counts = np.unique(np.asarray(before["day"].combine_chunks().cast(pa.int32())), return_counts=True)[1]
    if len(counts) < 3:
        return {"min_rows": 1, "max_rows": _UNLIMITED}
    median = float(np.median(counts))
    return {
        "min_rows": max(1, int(median * quality.min_rows_share)),
        "max_rows": int(median * quality.max_rows_share) + 100,
    }


def _write(bundle: _LakeRows, unit: Unit, path: Path, fingerprint: str, lake: Lake) -> None:
    """The vault first, the proof of the load last: whoever is interrupted in between loads the unit again."""
    kept = sum(bundle.tables[name].num_rows for name in schemas.NATIVE if name in bundle.tables)
    for name in ("native_ids", "identities", "quarantine", *schemas.NATIVE):
        if name in bundle.tables:
            _replace(lake, name, bundle.tables[name], unit)
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
    _replace(lake, "loads", proof, unit)


def _replace(lake: Lake, table: str, rows: pa.Table, unit: Unit) -> None:
    if unit.day is None:
        lake.replace_source(table, rows, unit.source)
    else:
        lake.replace_day(table, rows, unit.source, unit.day)


def _reports(parsed: sources.Parsed, unit: Unit) -> tuple[DayReport, ...]:
    day = unit.day.isoformat() if unit.day else None
    reports = []
    for name, rows in parsed.tables.items():
        rejected = _counted(parsed.rejected.filter(pc.equal(parsed.rejected["table"], name)))
        duplicates = parsed.duplicates.get(name, 0)
        read = rows.num_rows + sum(rejected.values()) + duplicates
        reports.append(
            DayReport(day, unit.source, name, read, rows.num_rows, rejected, duplicates, notes=dict(parsed.notes))
        )
    return tuple(reports)
