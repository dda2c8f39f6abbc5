"""The lake as plain dicts: a tiny company's exports, and what every table must hold after whatever was done with them.

Nothing of the door is used but the pseudonyms themselves and the shard of one: the rest is said again, row by row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from expectations import schemas
from pipeline.lake import UNDATED
from pipeline.pseudonyms import Pseudonyms
from pipeline.shards import shard_of

Row = dict[str, Any]
Unit = tuple[str, date | None]
Place = tuple[str, date]
Tables = dict[str, dict[Place, list[Row]]]
Columns = Mapping[str, tuple[str, ...]]

NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
DAYS = tuple(date(2026, 6, day) for day in (28, 29, 30))
UNITS: tuple[Unit, ...] = (*((source, day) for source in ("web", "shop", "crm") for day in DAYS), ("wishes", None))

HEADERS: Mapping[str, tuple[str, ...]] = {
    "web": ("event_id", "ts", "visitor_id", "customer_id", "order_id", "content_id", "event"),
    "shop": ("order_id", "line_no", "ts", "customer_id", "email", "content_id", "amount"),
    "crm": ("customer_id", "email", "consent_personalization", "opted_out_at"),
    "wishes": ("ts", "visitor_id", "customer_id", "email", "personalization", "reason"),
}
_TABLE = {"web": "events", "shop": "transactions", "crm": "customers", "wishes": "signals"}

SETTINGS = "\n".join(
    f'[[sources]]\nname = "{source}"\nformat = "table"\ntable = "{table}"\noptions.allow_empty = "true"\n'
    f'path = "exports/{source}{"" if source == "wishes" else "_{date:%Y%m%d}"}.csv"\n'
    for source, table in _TABLE.items()
)
SETTINGS += "[quality]\nmax_quarantined_share = 1.0\n"

_PERSONAL: Columns = {
    "events": ("person_id", "visitor_id", "customer_id"),
    "transactions": ("person_id", "order_id"),
    "customers": ("customer_id",),
    "native_ids": ("id",),
}
_LINKS: Columns = {"identities": ("id", "other_id")}
_NOT_A_TIME = "ts is not a time in the form iso8601"


def file_name(unit: Unit) -> str:
    """The export's."""
    source, day = unit
    return f"{source}_{day:%Y%m%d}.csv" if day else f"{source}.csv"


def write(folder: Path, unit: Unit, rows: Iterable[Row]) -> None:
    """The export of a unit as a CSV; without rows it is a header."""
    folder.mkdir(exist_ok=True)
    with (folder / file_name(unit)).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADERS[unit[0]])
        writer.writeheader()
        writer.writerows(rows)


# ---------------------------------------------------------------- one export, row by row


def loaded(unit: Unit, exported: list[Row], ids: Pseudonyms, suppressed: set[int], forgotten: set[int]) -> Tables:
    """What the lake must hold of an export that is loaded while these people are known to object."""
    name = _TABLE[unit[0]]
    good = [row for row in exported if row.get("ts") != "?"]
    rows = [{**row, **_pseudonyms(row, ids)} for row in good]
    found: dict[str, list[Row]] = {
        **_READ[name](rows, unit),
        "quarantine": [
            {"table": name, "source_file": file_name(unit), "row_number": number, "reason": _NOT_A_TIME}
            for number, row in enumerate(exported, 1)
            if row.get("ts") == "?"
        ],
        "native_ids": list(_native_ids(good, ids)),
        "identities": list(_links(rows, unit)),
    }
    allowed = {
        table: _placed(_without(_without(rows, table, suppressed), table, forgotten, _LINKS), unit)
        for table, rows in found.items()
    }
    return {
        table: {place: _finished(table, place, rows) for place, rows in places.items()}
        for table, places in allowed.items()
        if places
    }


def _pseudonyms(row: Row, ids: Pseudonyms) -> Row:
    kinds = ("visitor", "customer", "order")
    known = {f"{kind}_id": ids.one(row[f"{kind}_id"], kind) for kind in kinds if row.get(f"{kind}_id")}
    nothing = {f"{kind}_id": None for kind in kinds if f"{kind}_id" in row}
    address = {"email_id": ids.one(row["email"], "email") if row["email"] else None} if "email" in row else {}
    return {**nothing, **known, **address}


def _ts(row: Row) -> datetime:
    return datetime.fromisoformat(row["ts"])


def _known_at(unit: Unit) -> datetime:
    assert unit[1] is not None
    return datetime.combine(unit[1] + timedelta(days=1), time(), UTC) - timedelta(microseconds=1)


def _native_ids(good: list[Row], ids: Pseudonyms) -> Iterator[Row]:
    for row in good:
        for kind in ("visitor", "customer"):
            if native := row.get(f"{kind}_id"):
                own = {"_day": _ts(row).date()} if "ts" in row else {}
                yield {"id": ids.one(native, kind), "id_type": kind, "native_id": native, **own}


def _links(rows: list[Row], unit: Unit) -> Iterator[Row]:
    """Each id of a row with its best one, as known since the first such row."""
    first: dict[tuple[int, str, int, str], datetime] = {}
    for row in rows:
        when = _ts(row) if "ts" in row else _known_at(unit)
        have = [
            (kind, row[f"{kind}_id"]) for kind in ("customer", "email", "order", "visitor") if row.get(f"{kind}_id")
        ]
        for kind, one in have[1:]:
            link = (one, kind, have[0][1], have[0][0])
            first[link] = min(when, first.get(link, when))
    names = ("id", "id_type", "other_id", "other_type")
    yield from ({**dict(zip(names, link, strict=True)), "available_at": when} for link, when in first.items())


def _person(row: Row, other: str) -> Row:
    person = row["customer_id"] or row[other]
    return {"person_id": person, "shard": int(shard_of(np.array([person]))[0])}


def _first_of_each(rows: list[Row], *key: str) -> list[Row]:
    return list({tuple(row[name] for name in key): row for row in reversed(rows)}.values())


def _events(rows: list[Row], unit: Unit) -> dict[str, list[Row]]:
    found = [{**row, **_person(row, "visitor_id"), "ts": _ts(row), "available_at": _ts(row)} for row in rows]
    return {"events": found}


def _transactions(rows: list[Row], unit: Unit) -> dict[str, list[Row]]:
    found = [
        {**row, **_person(row, "email_id"), "ts": _ts(row), "available_at": _ts(row), "amount": float(row["amount"])}
        for row in rows
    ]
    return {"transactions": found}


def _customers(rows: list[Row], unit: Unit) -> dict[str, list[Row]]:
    """Contacts who object are none of ours, and a wish."""
    consents = {"yes": True, "no": False, "": None}
    read = [
        {
            **row,
            "consent_personalization": consents[row["consent_personalization"]],
            "opted_out_at": datetime.fromisoformat(row["opted_out_at"]) if row["opted_out_at"] else None,
            "attributes": [],
        }
        for row in rows
    ]
    objecting = [row for row in read if row["consent_personalization"] is False or row["opted_out_at"]]
    wishes = [
        {**_wish(row["customer_id"], "customer", "crm"), "since": row["opted_out_at"] or _known_at(unit)}
        for row in objecting
    ]
    return {"customers": [row for row in read if row not in objecting], "suppressions": wishes}


def _signals(rows: list[Row], unit: Unit) -> dict[str, list[Row]]:
    return {
        "suppressions": [
            {**_wish(row[f"{kind}_id"], kind, row["reason"], row["personalization"] == "yes"), "since": _ts(row)}
            for row in rows
            for kind in ("visitor", "customer", "email")
            if row[f"{kind}_id"]
        ]
    }


def _wish(one: int, kind: str, reason: str, personalization: bool = False) -> Row:
    return {"id": one, "id_type": kind, "personalization": personalization, "reason": reason}


_READ = {"events": _events, "transactions": _transactions, "customers": _customers, "signals": _signals}
_KEYS = {"events": ("event_id",), "transactions": ("order_id", "line_no"), "customers": ("customer_id",)}


def _without(rows: list[Row], table: str, people: set[int], columns: Columns = _PERSONAL) -> list[Row]:
    return [row for row in rows if not people & {row.get(name) for name in columns.get(table, ())}]


def _placed(rows: list[Row], unit: Unit) -> dict[Place, list[Row]]:
    placed: dict[Place, list[Row]] = {}
    for row in rows:
        placed.setdefault((unit[0], row.pop("_day", UNDATED) if unit[1] is None else unit[1]), []).append(row)
    return placed


def _finished(table: str, place: Place, rows: list[Row]) -> list[Row]:
    """As `read` gives them back: in order, with every column, each row once."""
    first = _first_of_each(rows, *_KEYS[table]) if table in _KEYS else rows
    stamp = {"source": place[0], "day": place[1]}
    full = [{name: {**row, **stamp}.get(name) for name in schemas.LAKE[table].names} for row in first]
    return sorted({repr(row): row for row in full}.values(), key=repr)


# ---------------------------------------------------------------- who objects


def suppressed(tables: Tables, besides: str | None = None) -> set[int]:
    """Every id of everybody who objects, but by what the CRM `besides` says.

    A snapshot of which no contact is left is none: the one before it counts.
    """
    spoken = [row for rows in tables.get("suppressions", {}).values() for row in rows]
    said = [row for row in spoken if row["reason"] != "crm" or row["source"] != besides]
    newest: dict[str, date] = {}
    for source, day in {*tables.get("customers", {}), *((r["source"], r["day"]) for r in said if r["reason"] == "crm")}:
        newest[source] = max(day, newest.get(source, day))
    objecting = {row["id"] for row in said if row["reason"] == "crm" and row["day"] == newest[row["source"]]}
    objecting |= {row["id"] for row in said if row["reason"] == "forgotten"}
    signals = [row for row in said if row["reason"] in schemas.SIGNALS]
    for one in {row["id"] for row in signals}:
        theirs = [row for row in signals if row["id"] == one]
        last = max(row["since"] for row in theirs)
        if not all(row["personalization"] for row in theirs if row["since"] == last):
            objecting.add(one)
    return ids_of(objecting, tables)


def ids_of(people: set[int], tables: Tables) -> set[int]:
    """`people`, and whatever id was ever seen with one of theirs."""
    links = [(row["id"], row["other_id"]) for rows in tables.get("identities", {}).values() for row in rows]
    found, before = set(people), set[int]()
    while found != before:
        before = set(found)
        found |= {one for link in links if found & {*link} for one in link}
    return found


def without(tables: Tables, people: set[int], columns: Columns = _PERSONAL) -> Tables:
    """The tables without the rows of `people`."""
    kept = {
        table: {place: rest for place, rows in places.items() if (rest := _without(rows, table, people, columns))}
        for table, places in tables.items()
    }
    return {table: places for table, places in kept.items() if places}


def forgotten(tables: Tables, people: set[int]) -> Tables:
    """The tables without the rows of `people`, and without what leads from one of their ids to another."""
    return without(without(tables, people), people, _LINKS)
