"""Collecting an export: every row of the file is kept, refused, repeated or left out, and the counts say which."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import collect, staging, tally
from pipeline.collect import Collected
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.pseudonyms import Pseudonyms
from tests.pipeline.lakes import table
from tests.pipeline.small import House, events_csv, table_source

NIGHT, DAY = datetime(2026, 7, 1, tzinfo=UTC), date(2026, 6, 30)
WEB = table_source("web", "events")


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.configure(WEB)
    return house


def collected(house: House, config: Config, rows: list[dict[str, Any]]) -> tuple[Collected, dict[str, int]]:
    """What is said of an export with these rows, and how many of them each table would get."""
    path = house.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", rows)
    ids = Pseudonyms.of(config)
    with tally.database() as con, staging.opened(house.lake) as staged:
        found = collect.collect(path, config.source("web"), DAY, NIGHT, config, ids, staged, con)
        return found, {name: one.rows for name, one in staged.finish("web", con).items()}


def test_every_row_is_accounted_for(house: House) -> None:
    """Of ten rows one has no time, one is known, one's browser objects; seven are new."""
    config = house.configure(WEB)
    visitor = Pseudonyms.of(config).one("objector", "visitor")
    wish = {"id": visitor, "id_type": "visitor", "reason": "gpc", "since": datetime(2026, 6, 1, tzinfo=UTC)}
    house.lake.replace_source("suppressions", table("suppressions", [{**wish, "source": "wishes"}]), "wishes")
    rows = [dict(row) for row in events_csv(DAY, 10)]
    rows[1]["ts"], rows[2]["visitor_id"], rows[3]["event_id"] = "?", "objector", rows[0]["event_id"]
    found, staged = collected(house, config, rows)
    assert (found.tables, found.kept, found.suppressed) == (["events"], {"events": 9}, {"events": 1})
    assert found.refused == {("events", "ts is not a time in the form iso8601"): 1}
    assert (staged["events"], staged["quarantine"]) == (7, 1)


def test_a_suite_refuses_rows_as_the_contract_does(house: House, tmp_path: Path) -> None:
    """A line of the company's own suite that rejects rows: they are refused with its reason, the rest is kept."""
    suite = """{"name": "events", "expectations": [{"type": "expect_column_values_to_not_be_in_set",
        "kwargs": {"column": "content_id", "value_set": ["c1"]},
        "meta": {"severity": "reject the row", "notes": "c1 is a test page"}}]}"""
    folder = tmp_path / "suites"
    folder.mkdir()
    (folder / "events.json").write_text(suite, encoding="utf-8")
    config = house.configure(WEB + '[quality]\nsuites = "suites"\n')
    found, staged = collected(house, config, [dict(row) for row in events_csv(DAY, 8)])
    assert found.refused == {("events", "c1 is a test page"): 2}
    assert (found.kept["events"], staged["events"], staged["quarantine"]) == (6, 6, 2)


def test_nothing_is_staged_of_a_file_that_cannot_be_read(house: House) -> None:
    """The error is the format's own, and no folder is left."""
    with pytest.raises(ShortlistError, match="has no column 'event'"):
        collected(house, house.configure(WEB), [{"ts": f"{DAY}T00:00:00Z", "visitor_id": "v", "content_id": "a"}])
    assert not [path for path in house.lake.staging.iterdir() if path.is_dir()]
