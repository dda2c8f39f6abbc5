"""Counts of nobody in particular: known like any row, as popular as what people do, and a list if nobody is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import build_features, ingest, publish, rank
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.night import Archive
from tests.pipeline.lakes import NIGHT, config_in, night_of, tables, written
from tests.pipeline.small import House

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
OF_EVERYBODY = ("popularity_3h", "popularity_1d", "popularity_7d", "trend", "gravity", "idle_days", "age_days")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Seven days of history."""
    return config_in(tmp_path)


def counts(ts: datetime, content: str = "c01", **more: Any) -> dict[str, Any]:
    """Ten views in the hour that begins at `ts`."""
    return {"ts": ts, "content_id": content, "count": 10.0, "available_at": ts, **more}


@pytest.mark.parametrize(
    ("ts", "available_at", "known"),
    [
        (NIGHT - HOUR, NIGHT - MICROSECOND, 1),
        (NIGHT - HOUR, NIGHT, 0),
        (NIGHT, NIGHT - HOUR, 0),
        (NIGHT - 7 * DAY, NIGHT - DAY, 1),
        (NIGHT - 8 * DAY, NIGHT - DAY, 0),
    ],
)
def test_counts_are_known_like_any_row(ts: datetime, available_at: datetime, known: int, config: Config) -> None:
    """Strictly before the night, once their hour or day is over, and no older than the history."""
    assert night_of(config, popularity=[counts(ts, available_at=available_at)]).popularity.num_rows == known


def test_where_there_are_orders_anonymous_purchases_are_none_either(config: Config) -> None:
    """The order is known from the shop: counted again it would be two."""
    rows = [counts(NIGHT - HOUR, event="purchase"), counts(NIGHT - HOUR)]
    order = {"ts": NIGHT - DAY, "person": 101, "amount": 1.0, "content_id": "c01"}
    assert night_of(config, popularity=rows).popularity.num_rows == 2
    assert night_of(config, popularity=rows, transactions=[order]).popularity["event"].to_pylist() == ["view"]


def test_without_a_catalogue_content_is_also_what_nobody_in_particular_touched(config: Config) -> None:
    """Published when anybody first saw it."""
    seen = {"ts": NIGHT - DAY, "person": 1, "content_id": "c01"}
    content = night_of(config, events=[seen], popularity=[counts(NIGHT - 2 * DAY), counts(NIGHT - HOUR, "c02")]).content
    assert dict(zip(content["content_id"].to_pylist(), content["published_at"].to_pylist(), strict=True)) == {
        "c01": NIGHT - 2 * DAY,
        "c02": NIGHT - HOUR,
    }


def test_ten_anonymous_views_are_as_popular_as_those_of_ten_visitors(config: Config) -> None:
    """Of the night's contents, and of the trending candidates made of them; people and labels are known people's."""
    ts = NIGHT - 30 * HOUR
    other = [{"ts": NIGHT - 2 * HOUR, "person": 1, "content_id": "c02"}]
    visitors = [{"ts": ts, "person": person, "content_id": "c01"} for person in range(11, 21)]
    known = NightFeatures.of(night_of(config, events=[*other, *visitors]), config)
    found = NightFeatures.of(night_of(config, events=other, popularity=[counts(ts)]), config)
    for name in OF_EVERYBODY:
        assert found.contents[name].to_pylist() == pytest.approx(known.contents[name].to_pylist()), name
    assert found.contents["people_7d"].to_pylist() == [0, 1]
    (block,) = found.blocks()
    chosen = found.candidates(block, config)
    assert [found.history.catalogue.ids[at].as_py() for at in chosen.content] == ["c01"]


def test_an_archive_of_counts_alone_has_nobody(tmp_path: Path) -> None:
    """It is no empty lake, but there is nothing to replay."""
    config = config_in(tmp_path)
    found = Archive.load(written(tables(popularity=[counts(NIGHT - DAY)]), config), config, NIGHT)
    assert found.first_ts() == NIGHT
    assert build_features.replayed_nights(found, config) == []


def test_a_company_that_counts_and_knows_nobody_gets_the_default_list(tmp_path: Path) -> None:
    """Plausible alone: the most read comes first, in a list of nobody's own, and the audit lets it pass."""
    house = House(tmp_path)
    views = {"/guides/a": 3, "/guides/b": 30, "/guides/c": 9}
    rows = [
        {"date": f"2026-06-{day:02d}", "hostname": "example.com", "page": page, "pageviews": count}
        for day in range(20, 30)
        for page, count in views.items()
    ]
    house.write_csv("exports/imported_pages.csv", rows)
    config = house.configure(
        '[[sources]]\nname = "site"\nformat = "plausible"\npath = "exports/imported_pages.csv"\n'
        '[goals.read]\nevents = ["view"]\n'
    )
    as_of = datetime(2026, 7, 1, tzinfo=UTC)
    ingest.run(as_of, config)
    rank.run(as_of, config)
    assert publish.run(as_of, config).current
    current = Lake.of(config).rankings / "current"
    default = pq.read_table(current / "default")
    assert default["content_id"].to_pylist() == ["/guides/b", "/guides/c", "/guides/a"]
    assert set(default["strategy"].to_pylist()) == {"default"}
    assert pq.read_table(current / "people").num_rows == pq.read_table(current / "segments").num_rows == 0
