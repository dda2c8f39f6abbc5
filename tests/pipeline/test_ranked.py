"""What `rank` leaves for `publish`: whole nights only, until they are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.config import parse
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.ranked import forget_ranked, read_ranked, write_ranked

NIGHT = datetime(2026, 6, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.of(parse({}, tmp_path / "shortlist.toml"))


def people(*ids: int) -> pa.Table:
    """A ranked table, as far as it matters here."""
    return pa.table({"person_id": list(ids)})


def test_ranked_lists_are_kept_for_publish(lake: Lake) -> None:
    """What `rank` leaves is what `publish` finds; ranking again leaves nothing of the first time."""
    write_ranked(lake, NIGHT, {"people": people(1), "extra": people(9)})
    write_ranked(lake, NIGHT, {"people": people(2)})
    assert {name: table.to_pylist() for name, table in read_ranked(lake, NIGHT).items()} == {
        "people": [{"person_id": 2}]
    }


def test_a_night_that_was_not_ranked_says_what_to_run(lake: Lake) -> None:
    """Publishing what is not there names the night and the command; half-written lists are not there."""
    staging = lake.ranked / ".2026-06-02T000000Z"
    staging.mkdir(parents=True)
    (staging / "people.parquet").touch()
    with pytest.raises(ShortlistError, match=r"2026-06-02T00:00:00.*not ranked yet.*shortlist rank --as-of 2026-06-02"):
        read_ranked(lake, NIGHT)


def test_only_older_nights_are_forgotten(lake: Lake) -> None:
    """Work in progress of past nights goes, that of the night itself stays."""
    for late in range(3):
        write_ranked(lake, NIGHT + late * DAY, {"people": people(1)})
    assert forget_ranked(lake, NIGHT + 2 * DAY) == ("2026-06-02T000000Z", "2026-06-03T000000Z")
    assert [path.name for path in lake.ranked.iterdir()] == ["2026-06-04T000000Z"]
