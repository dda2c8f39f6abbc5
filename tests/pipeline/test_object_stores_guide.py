"""The guide on object stores, word for word: its configuration, and how it reads what was sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline import parts, stores
from tests.pipeline.buckets import Bucket
from tests.pipeline.nights import publish, ranked
from tests.pipeline.small import House, table_source
from tests.pipeline.test_read_the_tables import GUIDES, arrow, blocks

GUIDE = (GUIDES / "object-stores.md").read_text(encoding="utf-8")
TESTED = GUIDE.partition("### Not run by our tests")[0]
ADDRESS = "s3://company-tables/shortlist"
RESOLVE, *READERS = blocks("python", TESTED)
(SETTINGS,) = blocks("toml", TESTED)


@pytest.fixture(name="sent")
def _sent(tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the guide's first block leaves of a night whose people are in several files."""
    house = House(tmp_path)
    assert ADDRESS in SETTINGS
    config = house.configure(table_source("web", "events") + "\n" + SETTINGS.replace(ADDRESS, bucket.url))
    monkeypatch.setattr(parts, "ROWS_PER_PART", 5)
    publish(house.lake.rankings)
    stores.follow(config)
    found: dict[str, Any] = {}
    exec(RESOLVE.replace(ADDRESS, bucket.url), found)
    return found


def test_every_reader_finds_the_people(sent: dict[str, Any], bucket: Bucket) -> None:
    """Every row of every file, by whichever library."""
    assert sent["name"] == bucket.serves
    assert [re.findall(r"import (\w+)", block)[0] for block in READERS] == ["pyarrow", "pandas", "duckdb"]
    for block in READERS:
        exec(block, sent)
        assert arrow(sent["people"]).equals(ranked().people)
