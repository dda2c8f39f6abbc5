"""What the lake says of rows: never another title or country than the right one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pipeline import config as configuration
from pipeline.lake import Lake
from pipeline.lookup import UNKNOWN, Content, Lookup
from pipeline.night import Archive
from tests.worlds import World

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
NIGHT = AS_OF - timedelta(days=1)


@pytest.fixture(name="lookup", scope="module")
def _lookup(small_night: World) -> Lookup:
    config = configuration.load(small_night.config)
    found = Lookup.of(Lake.of(config), config, AS_OF, [NIGHT])
    assert found is not None
    return found


def test_a_content_is_what_the_night_called_it(lookup: Lookup, small_night: World) -> None:
    """Title and category as the catalogue had them on that night; of what it did not know, the id alone."""
    config = configuration.load(small_night.config)
    catalogue = Archive.load(Lake.of(config), config, AS_OF).night(NIGHT).content
    for row in catalogue.slice(0, 3).to_pylist():
        assert lookup.content(NIGHT, row["content_id"]) == (row["content_id"], row["title"], row["category"])
    assert lookup.content(NIGHT, "unheard of") == Content("unheard of")


def test_a_country_is_where_somebody_was_last(lookup: Lookup) -> None:
    """The country of the last row that has one; of somebody who is not there it is unknown."""
    log = lookup.archive.outcome(NIGHT, AS_OF - NIGHT)
    last: dict[int, str] = {}
    for row in sorted(log.select(["person_id", "ts", "country"]).to_pylist(), key=lambda row: row["ts"]):
        if row["country"]:
            last[row["person_id"]] = row["country"]
    people = np.array([*last, 1], np.int64)
    assert len(set(last.values())) > 1
    assert lookup.countries(people).tolist() == [*last.values(), UNKNOWN]
