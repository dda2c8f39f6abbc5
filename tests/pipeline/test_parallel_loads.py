"""Loads at the same moment, each in a process of its own as Airflow's tasks are: all of them land, each row once."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pyarrow as pa
import pytest

from expectations import schemas
from pipeline import config, ingest
from pipeline.lake import Lake
from tests.pipeline.small import House, events_csv

PROCESSES = 4
DAYS = [date(2026, 6, 21) + timedelta(days=i) for i in range(10)]
NIGHT = datetime(2026, 7, 1, tzinfo=UTC)

together: list[Barrier] = []


@pytest.fixture(name="pool", scope="module")
def _pool() -> Iterator[Pool]:
    context = multiprocessing.get_context("forkserver")  # imports once what each of them needs
    context.set_forkserver_preload(["great_expectations", "pipeline.ingest"])
    with context.Pool(PROCESSES, _meet_at, (context.Barrier(PROCESSES),)) as pool:
        yield pool


def _meet_at(barrier: Barrier) -> None:
    together.append(barrier)


def load(file: Path, source: str, day: date | None) -> bool:
    """One unit, begun when every process has one to begin."""
    together[0].wait()
    return ingest.load(ingest.Unit(source, day).to_json(), NIGHT, config.load(file)).changed


def overwrite(root: Path, writer: int) -> None:
    """Every day of a new table in turn, as the other processes do in the same moment."""
    lake = Lake(root, root / "published", root / "state")
    together[0].wait()
    for day in DAYS:
        row = {"files": "", "sha256": str(writer), "rows": 1, "source": "web", "day": day}
        lake.replace_day("loads", pa.Table.from_pylist([row], schema=schemas.LAKE["loads"].schema), "web", day)


def test_every_load_lands(pool: Pool, tmp_path: Path) -> None:
    """Days and sources of the same tables beside each other, and the same whole file four times over."""
    house = House(tmp_path)
    named = '[[sources]]\nname = "{0}"\nformat = "table"\ntable = "{1}"\npath = "exports/{0}{2}.csv"\n'
    dated = "_{date:%Y%m%d}"
    house.configure(
        named.format("web", "events", dated) + named.format("app", "events", dated) + named.format("cms", "content", "")
    )
    for source in ("web", "app"):
        for day in DAYS[:2]:
            rows = [{**row, "event_id": f"{source} {row['event_id']}"} for row in events_csv(day, 12)]
            house.write_csv(f"exports/{source}_{day:%Y%m%d}.csv", rows)
    house.write_csv("exports/cms.csv", [{"content_id": f"c{i}", "status": "published"} for i in range(4)])
    units = [("cms", None)] * PROCESSES + [(source, day) for source in ("web", "app") for day in DAYS[:2]]
    changed = pool.starmap(load, [(house.file, *unit) for unit in units], chunksize=1)
    rows = house.rows()
    assert all(changed[PROCESSES:])
    assert sorted(row["content_id"] for row in rows["content"]) == ["c0", "c1", "c2", "c3"]
    assert Counter((row["source"], row["day"]) for row in rows["events"]) == dict.fromkeys(units[PROCESSES:], 12)
    assert len({row["event_id"] for row in rows["events"]}) == 4 * 12
    assert len(rows["loads"]) == 5


def test_the_last_writer_of_a_day_has_it(pool: Pool, tmp_path: Path) -> None:
    """Whoever comes at the same moment waits and replaces: no error, and never the rows of two."""
    pool.starmap(overwrite, [(tmp_path, writer) for writer in range(PROCESSES)], chunksize=1)
    rows = Lake(tmp_path, tmp_path / "published", tmp_path / "state").read("loads").to_pylist()
    assert Counter(row["day"] for row in rows) == dict.fromkeys(DAYS, 1)
