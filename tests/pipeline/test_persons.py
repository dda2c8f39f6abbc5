"""People measured on many nights in one pass, from memory or from the lake's files: as if each night had been alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.kernel import kernel
from features.rows import FOREVER, SHARD
from pipeline import persons
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.measuring import person_spec
from pipeline.night import Archive
from pipeline.orders import Orders
from pipeline.shards import SHARDS, shard_of
from pipeline.timeline import Timeline
from tests.features.images import image
from tests.pipeline.lakes import END, FIRST, NIGHT, archive, config_in, fortnight, shuffled, table, tables, written

DAY = timedelta(days=1)
NIGHTS = [NIGHT + step * timedelta(hours=18) for step in range(9)]
"""Midnights and other hours, of six days in which links are found, orders refunded and rows come late."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The fortnight's settings with all of its history, and its lake."""
    found = config_in(tmp_path_factory.mktemp("persons"), training={"history_days": 365})
    written(fortnight(), found)
    return found


def ordered(measured: pa.Table) -> pa.Table:
    """By night and person."""
    return measured.sort_by([("night", "ascending"), ("person_id", "ascending")]).combine_chunks()


def alone(nights: list[datetime], config: Config) -> pa.Table:
    """Each night from the log that `Archive.night` cuts for it, in which nothing comes late and nobody is moved."""
    found = archive(fortnight(), config)
    return ordered(pa.concat_tables([_of_log(found, night, config) for night in nights]))


def _of_log(found: Archive, night: datetime, config: Config) -> pa.Table:
    log = found.night(night).log
    missing = {name: pa.nulls(log.num_rows, SHARD.field(name).type) for name in ("known_at", "known_until", "channel")}
    rows = pa.table({name: log[name] if name in log.column_names else missing[name] for name in SHARD.names})
    return kernel(rows.sort_by([("person_id", "ascending"), ("ts", "ascending")]), [night], person_spec(config))


def from_memory(nights: list[datetime], config: Config, *, order: int = 0) -> pa.Table:
    """One pass over the tables."""
    found = archive(fortnight(), config)
    events = shuffled(found.events, np.random.default_rng(order)) if order else found.events
    timeline = Timeline.of(nights, found.identities, Orders.of(found.transactions), config)
    return ordered(kernel(timeline.rows(events, found.transactions), nights, person_spec(config)))


def from_lake(nights: list[datetime], config: Config, folder: Path, workers: int = 2, slices: int = SHARDS) -> pa.Table:
    """One pass over the files."""
    log = replace(persons.Log.of(Lake.of(config), nights, config), slices=slices)
    return ordered(persons.measured(log, nights, person_spec(config), folder, workers))


def without_entry(measured: pa.Table) -> pa.Table:
    """`Night.log` does not say through which channel somebody came."""
    return measured.drop_columns([name for name in measured.column_names if name.startswith("session_entry_")])


def test_many_nights_in_one_pass_are_each_night_alone(config: Config) -> None:
    """Links that come to be known, orders that are refunded, rows that are late: to the last bit as `Archive.night`."""
    expected = alone(NIGHTS, config)
    assert len(pc.unique(expected["person_id"])) > 30
    assert image(without_entry(from_memory(NIGHTS, config))) == image(without_entry(expected))


def test_the_fortnight_moves_people_and_replaces_lines(config: Config) -> None:
    """The test above can fail: browsers change hands within its nights, and orders become the truth about purchases."""
    found = archive(fortnight(), config)
    timeline = Timeline.of(NIGHTS, found.identities, Orders.of(found.transactions), config)
    assert (np.diff(timeline.starts) > 1).sum() > 5
    rows = timeline.rows(found.events, found.transactions)
    assert rows["known_until"].null_count < rows.num_rows


@pytest.mark.parametrize(("workers", "slices"), [(1, 1), (2, SHARDS), (3, 4)])
def test_the_lakes_files_say_the_same(config: Config, tmp_path: Path, workers: int, slices: int) -> None:
    """In any number of slices, by any number of workers; rows may lie in another slice than their person is."""
    assert image(from_lake(NIGHTS, config, tmp_path, workers, slices)) == image(from_memory(NIGHTS, config))


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_of_rows_means_nothing(config: Config, order: int) -> None:
    """A lake promises none."""
    assert image(from_memory(NIGHTS, config, order=order)) == image(from_memory(NIGHTS, config))


def test_a_few_people_at_a_time_are_all_of_them(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits into memory at a time changes nothing."""
    whole = image(from_memory(NIGHTS, config))
    monkeypatch.setattr("features.kernel._CELLS", 1)
    assert image(from_memory(NIGHTS, config)) == whole


def test_a_lake_of_nobody_gives_an_empty_answer_with_all_columns(tmp_path: Path) -> None:
    """Counts of nobody in particular are no people."""
    config = config_in(tmp_path)
    written(tables(popularity=[{"ts": FIRST, "content_id": "c"}]), config)
    found = from_lake([NIGHT], config, tmp_path / "pass")
    assert found.num_rows == 0
    assert set(person_spec(config).names) <= set(found.column_names)


def test_progress_is_told_slice_by_slice(config: Config, tmp_path: Path) -> None:
    """Somebody waits at a terminal."""
    log, told = replace(persons.Log.of(Lake.of(config), [NIGHT], config), slices=4), []
    persons.measured(log, [NIGHT], person_spec(config), tmp_path, 2, lambda done, of: told.append((done, of)))
    assert sorted(told) == [(done, 4) for done in (1, 2, 3, 4)]


# ---------------------------------------------------------------- whose a row is


def test_an_id_is_its_persons_from_the_first_night_that_knows(tmp_path: Path) -> None:
    """Seen with a customer at noon: that day's midnight does not know, the next does."""
    config = config_in(tmp_path)
    noon = NIGHT + timedelta(hours=12)
    links = table("identities", [{"id": 1, "other_id": 101, "available_at": noon}])
    timeline = Timeline.of(
        [NIGHT, NIGHT + DAY, NIGHT + 2 * DAY], links, Orders(FOREVER, table("transactions", [])), config
    )
    events = table("events", [{"ts": FIRST, "person": 1, "content_id": "c"}])
    rows = timeline.rows(events, table("transactions", [])).select(["person_id", "known_at", "known_until"]).to_pylist()
    assert rows == [
        {"person_id": 1, "known_at": FIRST, "known_until": NIGHT},
        {"person_id": 101, "known_at": NIGHT, "known_until": None},
    ]


def test_a_line_counts_until_its_newest_export_is_known(tmp_path: Path) -> None:
    """Paid on Sunday, exported again on Tuesday with half refunded: both nights know what they could."""
    config = config_in(tmp_path)
    paid, refunded = FIRST + timedelta(hours=1), FIRST + 2 * DAY
    lines = table(
        "transactions",
        [
            {"ts": paid, "person": 101, "content_id": "c", "amount": 20.0, "order_id": 7},
            {
                "ts": paid,
                "person": 101,
                "content_id": "c",
                "amount": 10.0,
                "order_id": 7,
                "available_at": refunded,
                "day": refunded.date(),
            },
        ],
    )
    orders = Orders.of(lines)
    assert orders.since == int(paid.timestamp() * 1e6)
    nights = [FIRST + DAY, FIRST + 3 * DAY]
    timeline = Timeline.of(nights, table("identities", []), orders, config)
    rows = timeline.rows(table("events", []), lines)
    found = kernel(rows, nights, person_spec(config))
    assert found["rfm_monetary_30d"].to_pylist() == [20.0, 10.0]
    assert found["purchases_30d"].to_pylist() == [1.0, 1.0]


def test_rows_that_ended_before_the_first_night_are_left_out(config: Config) -> None:
    """A web purchase says nothing once orders are known, so no pass has to carry it."""
    found = archive(fortnight(), config)
    timeline = Timeline.of([END], found.identities, Orders.of(found.transactions), config)
    rows = timeline.rows(found.events, found.transactions.slice(0, 0))
    assert "purchase" not in rows["event"].unique().to_pylist()
    assert rows["known_until"].null_count == rows.num_rows


@pytest.mark.parametrize(("rows", "slices"), [(0, 1), (200_000, 1), (200_001, 2), (10**7, 64), (10**10, 64)])
def test_a_log_is_cut_as_little_as_may_be(rows: int, slices: int) -> None:
    """A small one not at all; never finer than its shards."""
    assert persons._slices(rows) == slices


def test_everybody_is_in_one_shard(config: Config, tmp_path: Path) -> None:
    """Rows of one person, wherever they lie in the lake, come together in that person's shard."""
    log = replace(persons.Log.of(Lake.of(config), NIGHTS, config), slices=SHARDS)
    log.set_aside(tmp_path)
    homes: dict[int, int] = {}
    for shard, rows in log.people(range(SHARDS), tmp_path):
        for person in rows["person_id"].unique().to_pylist():
            assert homes.setdefault(person, shard) == shard
            assert shard_of(np.array([person]))[0] == shard
    assert len(homes) > 30
