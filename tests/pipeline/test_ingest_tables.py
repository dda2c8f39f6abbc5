"""Ingest of exports that tell no events: counts of nobody, wishes, who is who; each is loaded and reported whole."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from pipeline import ingest
from pipeline.pseudonyms import Pseudonyms
from tests.pipeline.small import House, table_source
from tests.pipeline.website import DAY, NIGHT, days_before, load

COUNTS = '[[sources]]\nname = "site"\nformat = "plausible"\npath = "exports/pages_{date:%Y%m%d}.csv"\n'
WISHES = table_source("wishes", "signals")
CALLS = '[[sources]]\nname = "calls"\nformat = "segment"\npath = "exports/calls_{date:%Y%m%d}.jsonl"\n'


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> House:
    return House(tmp_path)


def counted(house: House, day: date, pages: int) -> None:
    """The counts of so many pages on a day."""
    rows = [{"date": day, "page": f"/{i}", "pageviews": 9} for i in range(pages)]
    house.write_csv(f"exports/pages_{day:%Y%m%d}.csv", rows)


def told(report: ingest.IngestReport) -> list[tuple[str, int, int]]:
    """Table, rows read and rows kept."""
    return [(day.table, day.read, day.kept) for day in report.days]


def test_counts_alone_are_a_load(house: House) -> None:
    """A day of nothing but `popularity` may be of any size, is loaded once, and is replaced by a later export."""
    config = house.configure(COUNTS)
    for back in (4, 3, 2, 1):
        counted(house, days_before(back), 40)
        load(config, "site", days_before(back))
    counted(house, DAY, 3)
    assert told(load(config, "site")) == [("popularity", 3, 3)]
    assert not load(config, "site").changed
    counted(house, DAY, 5)
    assert told(load(config, "site")) == [("popularity", 5, 5)]
    assert set(house.lake.versions()) == {"popularity", "loads"}
    assert house.lake.rows_by_day("popularity", "site", days_before(1), DAY) == {days_before(1): 40, DAY: 5}
    assert ingest.finish(NIGHT, config, []).purged == {}


def test_wishes_alone_are_a_load(house: House) -> None:
    """They are no table of the lake, but are in the report with what was refused, and in the lake as suppressions."""
    wish = {"visitor_id": "", "customer_id": "", "personalization": "false", "reason": "gpc", "ts": f"{DAY}T08:00:00Z"}
    more = [{**wish, "visitor_id": f"v{i}"} for i in range(8)]
    house.write_csv(f"exports/wishes_{DAY:%Y%m%d}.csv", [{**wish, "customer_id": "c"}, {**wish, "ts": "?"}, *more])
    config = house.configure(WISHES)
    assert told(load(config, "wishes")) == [("signals", 10, 9)]
    assert not load(config, "wishes").changed
    rows, ids = house.rows(), Pseudonyms.of(config)
    assert {(row["id"], row["id_type"], row["reason"]) for row in rows["suppressions"]} == {
        (ids.one("c", "customer"), "customer", "gpc"),
        *((ids.one(f"v{i}", "visitor"), "visitor", "gpc") for i in range(8)),
    }
    assert set(rows) == {"suppressions", "native_ids", "quarantine", "loads"}


def test_calls_without_content_are_a_load(house: House) -> None:
    """A day on which people only logged in and refused: the links and wishes are kept, and no event is missed."""
    at = {"anonymousId": "v", "userId": "c", "timestamp": f"{DAY}T08:00:00Z"}
    said = {"type": "identify", "messageId": "1", "traits": {"opted_out": True, "email": "c@example.com"}, **at}
    path = house.folder / f"exports/calls_{DAY:%Y%m%d}.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(said), encoding="utf-8")
    config = house.configure(CALLS + 'options.allow_empty = "true"\n')
    assert told(load(config, "calls")) == [("events", 0, 0), ("links", 1, 1), ("signals", 1, 1)]
    rows = house.rows()
    assert set(rows) == {"identities", "suppressions", "native_ids", "loads"}
    assert {row["id_type"] for row in rows["identities"]} == {"visitor", "email"}
    assert {row["reason"] for row in rows["suppressions"]} == {"objection"}
    assert house.lake.days("loads") == {("calls", DAY)}
