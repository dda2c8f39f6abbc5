"""What `rank` leaves for `publish`: whole nights only, until they are over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import ranked
from pipeline.config import parse
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.ranked import forget_ranked, ranked_files, write_ranked
from tests.pipeline.faults import Crash
from tests.pipeline.ranking import read_ranked

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
    write_ranked(lake, NIGHT, [("people", people(1)), ("extra", people(9))])
    write_ranked(lake, NIGHT, [("people", people(2))])
    assert {name: table.to_pylist() for name, table in read_ranked(lake, NIGHT).items()} == {
        "people": [{"person_id": 2}]
    }


def test_pieces_are_written_as_they_come(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables may take turns; rows stay in the order of their pieces, and lie on disk before the last piece is made."""
    monkeypatch.setattr(ranked, "_ROWS_AT_A_TIME", 4)
    on_disk: list[int] = []

    def pieces() -> Iterator[tuple[str, pa.Table]]:
        for number in range(100):
            yield "people", people(*range(1000 * number, 1000 * number + 999))
            yield "default", people(number)
            on_disk.append(sum(path.stat().st_size for path in lake.ranked.rglob("people.parquet")))

    write_ranked(lake, NIGHT, pieces())
    assert on_disk[1] < on_disk[50] < on_disk[99]
    found = read_ranked(lake, NIGHT)
    assert found["default"]["person_id"].to_pylist() == list(range(100))
    assert found["people"]["person_id"].to_pylist() == [1000 * n + i for n in range(100) for i in range(999)]


def test_a_night_that_fails_or_is_killed_leaves_the_one_before(lake: Lake) -> None:
    """What is half written is never found; nothing of it is left, of a killed run once the night is ranked again."""

    def failing(error: BaseException) -> Iterator[tuple[str, pa.Table]]:
        yield "people", people(7)
        raise error

    write_ranked(lake, NIGHT, [("people", people(1))])
    with pytest.raises(ShortlistError, match="no content"):
        write_ranked(lake, NIGHT, failing(ShortlistError("no content")))
    assert [path.name for path in lake.ranked.iterdir()] == ["2026-06-02T000000Z"]
    with pytest.raises(Crash):
        write_ranked(lake, NIGHT, failing(Crash()))
    assert read_ranked(lake, NIGHT)["people"]["person_id"].to_pylist() == [1]
    assert len(list(lake.ranked.iterdir())) == 2
    write_ranked(lake, NIGHT, [("people", people(2))])
    assert read_ranked(lake, NIGHT)["people"]["person_id"].to_pylist() == [2]
    assert [path.name for path in lake.ranked.iterdir()] == ["2026-06-02T000000Z"]


def test_a_night_that_was_not_ranked_says_what_to_run(lake: Lake) -> None:
    """Publishing what is not there names the night and the command; half-written lists are not there."""
    staging = lake.ranked / ".2026-06-02T000000Z"
    staging.mkdir(parents=True)
    (staging / "people.parquet").touch()
    with pytest.raises(ShortlistError, match=r"2026-06-02T00:00:00.*not ranked yet.*shortlist rank --as-of 2026-06-02"):
        ranked_files(lake, NIGHT)


def test_only_older_nights_are_forgotten(lake: Lake) -> None:
    """Work in progress of past nights goes, that of the night itself stays."""
    for late in range(3):
        write_ranked(lake, NIGHT + late * DAY, [("people", people(1))])
    assert forget_ranked(lake, NIGHT + 2 * DAY) == ("2026-06-02T000000Z", "2026-06-03T000000Z")
    assert [path.name for path in lake.ranked.iterdir()] == ["2026-06-04T000000Z"]
