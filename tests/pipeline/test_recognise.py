"""What the lake says of rows: never another night, content or country than the right one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.contents import content_features
from features.history import History
from pipeline import config as configuration
from pipeline.build_features import goal_rules
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.recognise import UNKNOWN, Lookup, nights_of
from tests.worlds import World

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
NIGHT = AS_OF - timedelta(days=1)


@pytest.fixture(name="lookup", scope="module")
def _lookup(small_night: World) -> Lookup:
    config = configuration.load(small_night.config)
    found = Lookup.of(Lake.of(config), config, AS_OF, [NIGHT])
    assert found is not None
    return found


def test_a_content_is_known_by_its_features(lookup: Lookup, small_night: World) -> None:
    """By age and quality as models read them every content of the catalogue is itself, or nobody: never another."""
    config = configuration.load(small_night.config)
    night = Archive.load(Lake.of(config), config, AS_OF).night(NIGHT)
    features = content_features(History.of(night.log, night.content, night.popularity, NIGHT, goal_rules(config)))
    rows = [row for row in features.to_pylist() if row["listed"]]
    ages = [(np.float32(row["age_days"]), np.float32(row["quality"])) for row in rows]
    same = Counter(ages)
    titles = dict(zip(night.content["content_id"].to_pylist(), night.content["title"].to_pylist(), strict=True))
    assert rows
    assert set(same.values()) == {1}, "contents of one age would not be recognised, and this test tests nothing"
    for row, (age, quality) in zip(rows, ages, strict=True):
        found = lookup.content(NIGHT, float(age), float(quality))
        assert found is not None
        assert (found.content_id, found.title) == (row["content_id"], titles[row["content_id"]])
    age, quality = ages[0]
    assert lookup.content(NIGHT, float(np.nextafter(age, np.float32(1e9))), float(quality)) is None
    assert lookup.content(AS_OF, float(age), float(quality)) is None


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


NIGHTS = [AS_OF + timedelta(days=i) for i in range(4)]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6).map(sorted), min_size=1, max_size=4))
def test_nights_are_told_rightly_or_not_at_all(by_night: list[list[int]]) -> None:
    """Rows sorted by night and person: where nights are told, each row's is its own."""
    nights = NIGHTS[: len(by_night)]
    people = np.array([person for rows in by_night for person in rows], np.int64)
    right = [night for night, rows in zip(nights, by_night, strict=True) for _ in rows]
    assert nights_of(people, nights) in (right, None)
    if all(before[-1] > after[0] for before, after in pairwise(by_night)):
        assert nights_of(people, nights) == right
