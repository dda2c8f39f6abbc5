"""CRMs for tests: contacts from plain rows, and the public functions of `features.crm` for `test_purity`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from features import crm

DAY = date(2026, 6, 30)
Said = Mapping[str, str | None]

_CONTACTS = pa.schema(
    [
        ("person_id", pa.int64()),
        ("customer_id", pa.int64()),
        ("day", pa.date32()),
        ("source", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
    ]
)


def contacts_of(rows: Iterable[tuple[int, Said]], **same: Any) -> pa.Table:
    """A CRM that says this of these people; `same` are columns that all rows have."""
    filled = [
        {
            "customer_id": person,
            "day": DAY,
            "source": "crm",
            **same,
            "person_id": person,
            "attributes": list(said.items()),
        }
        for person, said in rows
    ]
    return pa.Table.from_pylist(filled, schema=_CONTACTS)


def facts_of(rows: Iterable[tuple[int, Said]]) -> pa.Table:
    """What such a CRM says, as facts."""
    contacts = contacts_of(rows)
    return crm.facts(contacts, np.unique(np.asarray(contacts["person_id"], np.int64)))


def of_log(log: pa.Table) -> pa.Table:
    """A contact for every different row of a log: 60 people, each with several ids in two CRMs."""
    rows = {zlib.crc32(repr(row).encode()): row for row in log.to_pylist()}
    filled = [
        {
            "person_id": number % 60,
            "customer_id": number,
            "day": DAY.replace(day=1 + number % 3),
            "source": ("crm", "crm2")[number % 2],
            "attributes": [("plan", row["event"]), ("seats", str(number % 17)), ("note", f" {number}"), ("blank", " ")],
        }
        for number, row in rows.items()
    ]
    return pa.Table.from_pylist(filled, schema=_CONTACTS)


def arguments(log: pa.Table) -> Mapping[str, Any]:
    """By the names of their parameters."""
    contacts, people = of_log(log), np.arange(60)[::-1].copy()
    said = crm.facts(contacts, people)
    return {
        "contacts": contacts,
        "people": people,
        "facts": said,
        "tables": [said, said.slice(3)],
        "vocabulary": crm.vocabulary([said]),
    }


def _facts(world: Any) -> pa.Table:
    return crm.facts(of_log(world.log), np.arange(60))


def _coded(world: Any) -> pa.Table:
    said = _facts(world)
    return crm.coded(said, np.arange(70), crm.vocabulary([said]))


CASES: Mapping[str, Callable[[Any], Any]] = {
    "crm.facts": _facts,
    "crm.vocabulary": lambda world: crm.vocabulary([_facts(world), _facts(world).slice(5)]),
    "crm.coded": _coded,
}
"""By name, of a world that has a `log`."""
