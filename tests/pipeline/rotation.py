"""A company whose key is changed: two days of exports, and everything that holds a pseudonym."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import schemas
from pipeline import config as configuration
from pipeline import ingest, rotate_key
from pipeline.config import Config
from pipeline.lake import PURGED, UNDATED, Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.suppress import FORGOTTEN
from tests.pipeline.small import House, table_source

A, B, C = "key-a-of-the-tests-only", "key-b-of-the-tests-only", "key-c-of-the-tests-only"
DAYS = (date(2026, 6, 29), date(2026, 6, 30))
NIGHTS = (datetime(2026, 6, 30, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
SOURCES = {
    name: table_source(name, table)
    for name, table in (
        ("web", "events"),
        ("crm", "customers"),
        ("shop", "transactions"),
        ("wishes", "signals"),
    )
}
HEADER = '[project]\nname = "small"\n'
NIGHTLY = "person_features"
Rows = dict[str, list[dict[str, Any]]]


def export(house: House, day: date) -> None:
    """Visitors, three with a login; orders by customers and by address alone; one customer and one visitor object."""
    write = partial(write_rows, house, day)
    write(
        "web",
        [
            {
                "event_id": f"{day}-{i}",
                "ts": f"{day}T08:{i:02d}:00Z",
                "visitor_id": f"v{i % 7}",
                "customer_id": f"k{i % 7}" if i % 7 < 3 and i % 2 else "",
                "session_id": f"s{i // 4}",
                "content_id": f"c{i % 4}",
                "event": "view",
            }
            for i in range(40)
        ],
    )
    write(
        "crm",
        [
            {"customer_id": f"k{i}", "email": f"k{i}@example.com", "consent_personalization": str(i != 2).lower()}
            for i in range(5)
        ],
    )
    write(
        "shop",
        [
            {
                "order_id": f"{day}-o{i}",
                "line_no": 1,
                "ts": f"{day}T09:0{i}:00Z",
                "customer_id": "" if i % 2 else f"k{i}",
                "email": f"k{i}@example.com",
                "amount": 5,
                "currency": "EUR",
            }
            for i in range(5)
        ],
    )
    write("wishes", [{"ts": f"{day}T11:00:00Z", "visitor_id": "v6", "personalization": "false", "reason": "gpc"}])


def write_rows(house: House, day: date, name: str, rows: list[dict[str, Any]]) -> None:
    """A source's export of a day."""
    house.write_csv(f"exports/{name}_{day:%Y%m%d}.csv", rows)


def configured(house: House, *sources: str) -> Config:
    """The configuration, with all sources if none are named."""
    house.file.write_text(HEADER + "".join(SOURCES[name] for name in sources or SOURCES), encoding="utf-8")
    return configuration.load(house.file)


def load(house: House, number: int, key: str, patch: pytest.MonkeyPatch) -> None:
    """A day, then what other steps leave: features of the night, and on the first day a forgotten customer."""
    patch.setenv("SHORTLIST_ID_KEY", key)
    config = configured(house)
    lake, ids = Lake.of(config), Pseudonyms.of(config)
    if number == 0:
        forgotten = {
            "id": ids.one("k3", "customer"),
            "id_type": "customer",
            "personalization": False,
            "reason": "forgotten",
            "since": NIGHTS[0],
            "source": FORGOTTEN,
            "day": UNDATED,
        }
        lake.replace_source(
            "suppressions", pa.Table.from_pylist([forgotten], schemas.LAKE["suppressions"].schema), FORGOTTEN
        )
    ingest.run(NIGHTS[number], config, start=DAYS[number])
    people = pa.array(sorted(set(lake.read("events")["person_id"].to_pylist())), pa.int64())
    lake.replace_night(
        NIGHTLY, pa.table({"person_id": people, "rank": pa.array(np.arange(float(len(people))))}), NIGHTS[number]
    )


def rotated(house: House, patch: pytest.MonkeyPatch, old: str = A, new: str = B) -> rotate_key.RotationReport:
    """What `rotate-key` says, with these keys in the environment."""
    patch.setenv("SHORTLIST_ID_KEY", old)
    patch.setenv("SHORTLIST_NEW_ID_KEY", new)
    return rotate_key.run(configured(house))


def rows_of(house: House) -> Rows:
    """Every table, its rows in order; of the features who has some. No proof of a purge: it tells versions."""
    lake, rows = house.lake, house.rows()
    rows["loads"] = [row for row in rows["loads"] if row["source"] != PURGED]
    people = {str(night): lake.read_night(NIGHTLY, night)["person_id"].to_pylist() for night in lake.nights(NIGHTLY)}
    return {**rows, NIGHTLY: [people]}


def pseudonyms(house: House) -> set[int]:
    """Every pseudonym in any file under the lake, whoever refers to it."""
    found: set[int] = set()
    for file in house.lake.root.rglob("*.parquet"):
        table = pq.ParquetFile(file).read() if "_delta_log" not in file.parts else pa.table({})
        names = [f.name for f in table.schema if f.type == pa.int64() and (f.name == "id" or f.name.endswith("_id"))]
        found |= {value for name in names for value in table[name].drop_null().to_pylist()}
    return found
