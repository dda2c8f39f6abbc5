"""Lakes for tests: tables from plain rows, and a busy fortnight of a company in which everything comes late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from pipeline import config as configuration
from pipeline.config import Config
from pipeline.lake import UNDATED, Lake
from pipeline.night import Archive, Night
from pipeline.rebuild import Rebuilt, rebuild
from pipeline.shards import shard_of

Tables = Mapping[str, pa.Table]
Rows = list[dict[str, Any]]

NAMES = ("events", "transactions", "popularity", "identities", "content", "customers", "suppressions")
FIRST, NIGHT, END = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 10, 17))
VISITORS, CUSTOMERS = range(1, 31), range(101, 113)
CONTENT = tuple(f"c{number:02d}" for number in range(20))

SETTINGS: Mapping[str, Any] = {
    "project": {"development_key": True},
    "goals": {
        "click": {"events": ["click"], "weight": 0.2},
        "read": {"events": ["like", "comment"], "min_dwell_seconds": 30, "horizon_days": 2, "weight": 0.5},
        "purchase": {"events": ["purchase"], "horizon_days": 3},
    },
    "ranking": {"k": 5, "candidates": 8, "max_per_category": 3},
    "training": {"history_days": 7, "nights": 5, "warm_up_days": 2},
    "privacy": {"unknown_consent": "allow"},
}


def config_in(folder: Path, **sections: Mapping[str, Any]) -> Config:
    """SETTINGS with some sections changed, as if `shortlist.toml` lay in `folder`."""
    changed = {name: {**SETTINGS.get(name, {}), **values} for name, values in sections.items()}
    return configuration.parse({**SETTINGS, **changed}, folder / "shortlist.toml")


def table(name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of a lake table. What follows from other columns, or is of no interest, is filled in."""
    filled = [_FILLED[name](number, dict(row)) for number, row in enumerate(rows)]
    return pa.Table.from_pylist(filled, schema=schemas.LAKE[name].schema)


def tables(**rows: Iterable[Mapping[str, Any]]) -> dict[str, pa.Table]:
    """All tables that a night is made of, from plain rows; those that are not given are empty.

    Contacts who object are given as `customers`, and end where the ingest puts them.
    """
    contacts = list(rows.get("customers", ()))
    said = [*rows.get("suppressions", ()), *(_objection(row) for row in contacts if _objects(row))]
    given = {**rows, "customers": [row for row in contacts if not _objects(row)], "suppressions": said}
    return {name: table(name, given.get(name, ())) for name in NAMES}


def _objects(row: Mapping[str, Any]) -> bool:
    return row.get("consent_personalization") is False or row.get("opted_out_at") is not None


def _objection(row: Mapping[str, Any]) -> dict[str, Any]:
    place = {name: row[name] for name in ("source", "day") if name in row}
    told = datetime.combine(row.get("day", UNDATED), time(23, 59), UTC)
    return {"id": row["customer_id"], "since": row.get("opted_out_at") or told, **place}


def archive(found: Tables, config: Config, until: datetime = END) -> Archive:
    """What `Archive.load` would read from a lake that holds nothing else."""
    return Archive(until=until, config=config, **found)


def rebuilt(found: Tables, config: Config, as_of: datetime = NIGHT, *, lists: bool = True) -> Rebuilt:
    """One past night of these tables as rows."""
    return next(rebuild(archive(found, config), [as_of], config, lists=lists))


def night_of(config: Config, as_of: datetime = NIGHT, **rows: Iterable[Mapping[str, Any]]) -> Night:
    """The night of a few rows."""
    return archive(tables(**rows), config).night(as_of)


def written(found: Tables, config: Config) -> Lake:
    """The tables as the lake of `config`."""
    lake = Lake.of(config)
    for name, rows in found.items():
        for source in rows["source"].unique().to_pylist():
            lake.replace_source(name, rows.filter(pc.equal(rows["source"], source)), source)
    return lake


def split(found: Tables, as_of: datetime) -> tuple[dict[str, pa.Table], dict[str, pa.Table]]:
    """What could be known before `as_of`, and all the rest."""
    marked = {name: _known(rows, as_of) for name, rows in found.items()}
    known = {name: rows.filter(marked[name]) for name, rows in found.items()}
    return known, {name: rows.filter(pc.invert(marked[name])) for name, rows in found.items()}


def shuffled(rows: pa.Table, rng: np.random.Generator) -> pa.Table:
    """The same rows in another order."""
    return rows.take(pa.array(rng.permutation(rows.num_rows)))


def garbled(rows: pa.Table, rng: np.random.Generator) -> pa.Table:
    """The rows with every fact about people and content dealt out anew; when they became known stays as it was."""
    kept = {"source", "day", "ts", "available_at", "event_id", "order_id", "line_no"}
    for at, name in enumerate(rows.column_names):
        if name not in kept:
            dealt = rows[name].take(pa.array(rng.permutation(rows.num_rows)))
            rows = rows.set_column(at, rows.schema.field(at), dealt)
    return rows


def joined(*parts: Tables) -> dict[str, pa.Table]:
    """The rows of several sets of tables."""
    return {name: pa.concat_tables([part[name] for part in parts]) for name in parts[0]}


def fortnight(seed: int = 9, *, impressions: bool = True) -> dict[str, pa.Table]:
    """16 days of 42 people and 20 contents: late rows, links found later, orders, refunds, catalogues and opt-outs."""
    rng = np.random.default_rng(seed)
    return tables(
        events=list(_events(rng, impressions)),
        transactions=list(_transactions(rng)),
        identities=list(_identities(rng)),
        content=list(_content(rng)),
        customers=list(_customers(rng)),
        popularity=list(_popularity(rng)),
    )


# ---------------------------------------------------------------- rows, filled in


def _event(number: int, row: dict[str, Any]) -> dict[str, Any]:
    person = row.pop("person")
    given = {"event_id": f"e{number}", "available_at": row["ts"], "event": "view", "source": "web"}
    return {**given, **_at_home(person), "visitor_id": person, "day": row["ts"].date(), **row}


def _transaction(number: int, row: dict[str, Any]) -> dict[str, Any]:
    given = {"order_id": number, "line_no": 1, "available_at": row["ts"], "source": "shop"}
    return {**given, **_at_home(row.pop("person")), "day": row["ts"].date(), **row}


def _at_home(person: int) -> dict[str, int]:
    return {"person_id": person, "shard": int(shard_of(np.array([person]))[0])}


def _counts(number: int, row: dict[str, Any]) -> dict[str, Any]:
    given = {"event": "view", "count": 1.0, "available_at": row["ts"] + timedelta(days=1), "source": "web"}
    return {**given, "day": row["ts"].date(), **row}


def _identity(number: int, row: dict[str, Any]) -> dict[str, Any]:
    given = {"id_type": "visitor", "other_type": "customer", "source": "web"}
    return {**given, "day": row["available_at"].date(), **row}


def _suppression(number: int, row: dict[str, Any]) -> dict[str, Any]:
    given = {"id_type": "customer", "personalization": False, "reason": "crm", "source": "crm"}
    return {**given, "day": UNDATED, **row}


def _content_row(number: int, row: dict[str, Any]) -> dict[str, Any]:
    given = {"published_at": datetime(2026, 1, 1, tzinfo=UTC), "status": "published", "source": "catalogue"}
    return {**given, "day": UNDATED, **row}


def _customer(number: int, row: dict[str, Any]) -> dict[str, Any]:
    return {"source": "crm", "day": UNDATED, **row}


_FILLED = {
    "events": _event,
    "transactions": _transaction,
    "popularity": _counts,
    "identities": _identity,
    "content": _content_row,
    "customers": _customer,
    "suppressions": _suppression,
}


def _known(rows: pa.Table, as_of: datetime) -> pa.ChunkedArray:
    """Which rows could be known strictly before the instant; a snapshot is known when its day is over."""
    if "available_at" not in rows.column_names:
        return pc.less(rows["day"], pa.scalar(as_of.date(), pa.date32()))
    limit = pa.scalar(as_of, schemas.TIMESTAMP)
    known = pc.less(rows["available_at"], limit)
    return pc.and_(known, pc.less(rows["ts"], limit)) if "ts" in rows.column_names else known


# ---------------------------------------------------------------- the fortnight


def _one_of(rng: np.random.Generator, *options: Any) -> Any:
    return options[rng.integers(len(options))]


def _instants(rng: np.random.Generator, count: int) -> Rows:
    """When rows happened (on a coarse grid: ties) and were known: at once, soon, or days later."""
    minutes = rng.integers(0, 16 * 24 * 6, count) * 10
    late = rng.choice([0, 0, 0, 5, 90, 24 * 60, 3 * 24 * 60], count)
    happened = [FIRST + timedelta(minutes=int(minute)) for minute in minutes]
    return [
        {"ts": ts, "available_at": ts + timedelta(minutes=int(wait))} for ts, wait in zip(happened, late, strict=True)
    ]


def _events(rng: np.random.Generator, impressions: bool) -> Iterable[dict[str, Any]]:
    """What was shown, what was done about it hours later, and what was done of people's own accord."""
    kinds = ["view", "view", "view", "click", "click", "like", "comment", "purchase", "custom:scroll"]
    for when in _instants(rng, 3000):
        who = {"person": _one_of(rng, *VISITORS, *CUSTOMERS), "content_id": _one_of(rng, *CONTENT, "ghost")}
        shown, done = rng.random(2) < (0.8, 0.25)
        if shown and impressions:
            yield {**when, **who, "event": "impression", "position": int(rng.integers(1, 9))}
        if done or not shown:
            event, wait = _one_of(rng, *kinds), timedelta(hours=int(rng.integers(0, 20)))
            yield {
                **{name: instant + wait for name, instant in when.items()},
                **who,
                "event": event,
                "dwell_seconds": _one_of(rng, None, 3.0, 30.0, 77.7) if event == "view" else None,
                "device": _one_of(rng, "mobile", "desktop", None),
            }


def _transactions(rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    for when in _instants(rng, 480):
        yield {
            **when,
            "person": _one_of(rng, *CUSTOMERS, *range(201, 207)),
            "content_id": _one_of(rng, *CONTENT, None),
            "amount": _one_of(rng, 0.1, 0.2, 19.99, 0.0, -0.2),
        }


def _popularity(rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    """Counts by the hour, known when their day is over."""
    for when in _instants(rng, 200):
        ts = when["ts"].replace(minute=0)
        midnight = datetime.combine(ts.date() + timedelta(days=1), time(), UTC)
        yield {
            "ts": ts,
            "available_at": midnight - timedelta(microseconds=1),
            "content_id": _one_of(rng, *CONTENT, "ghost"),
            "event": _one_of(rng, "view", "view", "impression", "purchase", "custom:scroll"),
            "count": float(rng.integers(1, 5)),
        }


def _identities(rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    for alias in (*VISITORS[:15], *range(201, 207)):
        kind = "visitor" if alias in VISITORS else "email"
        for _ in range(int(rng.integers(1, 3)) if kind == "visitor" else 1):
            seen = FIRST + timedelta(minutes=int(rng.integers(0, 16 * 24 * 60)))
            customer = _one_of(rng, *CUSTOMERS)
            yield {"id": alias, "id_type": kind, "other_id": customer, "available_at": seen}


def _days() -> list[date]:
    return [FIRST.date() + timedelta(days=number) for number in range(16)]


def _content(rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    """A catalogue a day in which categories, status and quality change; and an undated one that knows two of them."""
    for day in _days():
        for number, name in enumerate(CONTENT[: 10 + (day - FIRST.date()).days // 2]):
            yield {
                "content_id": name,
                "category": _one_of(rng, "news", "sport", "arts", None),
                "author": _one_of(rng, "ann", "bob", None),
                "tags": list(rng.choice(["x", "y", "z"], int(rng.integers(0, 3)), replace=False)),
                "published_at": FIRST - timedelta(days=20 - 2 * number),
                "status": _one_of(rng, "published", "published", "published", "draft"),
                "quality": _one_of(rng, None, 0.2, 0.9),
                "day": day,
            }
    for name in ("c01", "manual"):
        yield {"content_id": name, "category": "manual", "source": "handbook"}


def _customers(rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    for day in _days():
        for customer in CUSTOMERS:
            opted_out = FIRST + timedelta(hours=int(rng.integers(0, 20 * 24))) if rng.random() < 0.2 else None
            consent = _one_of(rng, True, True, True, None, False)
            row = {"customer_id": customer, "consent_personalization": consent, "opted_out_at": opted_out, "day": day}
            yield {**row, "attributes": [("plan", f"p{(customer + day.day) % 3}"), ("seats", str(customer + day.day))]}


def event(ts: datetime, person: int = 1, content: str = "c01", **more: Any) -> dict[str, Any]:
    """One event."""
    return {"ts": ts, "person": person, "content_id": content, **more}
