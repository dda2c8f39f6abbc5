"""The future, however it is changed, changes nothing of a night, to the last bit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipeline import config as configuration
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.night import Archive
from tests.features.images import image
from tests.pipeline.lakes import (
    END,
    NAMES,
    NIGHT,
    archive,
    config_in,
    fortnight,
    garbled,
    joined,
    shuffled,
    split,
    written,
)
from tests.worlds import World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
INSTANTS = [NIGHT, NIGHT + timedelta(hours=6, minutes=10), datetime(2026, 3, 14, tzinfo=UTC)]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings whose history is shorter than the fortnight."""
    return config_in(tmp_path_factory.mktemp("night"))


def seen(lake: Lake, config: Config, as_of: datetime, until: datetime | None = None) -> list[bytes]:
    """Everything that is known and computed of a night, to the last bit; `until` is where the archive ends."""
    days = config.training.history_days if until is None else None
    return _seen(Archive.load(lake, config, until or as_of, days), config, as_of)


def _seen(found: Archive, config: Config, as_of: datetime) -> list[bytes]:
    night = found.night(as_of)
    features = NightFeatures.of(night, config)
    assert features.people.num_rows
    rest = [getattr(features, name) for name in ("history", "people", "contents", "space")]
    chosen = [(block, features.candidates(block, config)) for block in features.blocks()]
    pairs = [features.between(block, one.person, one.content) for block, one in chosen]
    chosen_and_said = [[one for _, one in chosen], pairs, [*features.pairs.tastes()]]
    return image([night.log, night.content, night.suppressed.sort(), night.rankable(config), rest, chosen_and_said])


@pytest.mark.parametrize("as_of", INSTANTS)
def test_a_lake_cut_at_the_night_gives_the_same_features(as_of: datetime, tmp_path: Path) -> None:
    """Truncation: byte for byte, the full lake as of a night is the lake without anything that came later."""
    whole, cut = config_in(tmp_path / "whole"), config_in(tmp_path / "cut")
    known, later = split(fortnight(), as_of)
    assert all(rows.num_rows for rows in (*known.values(), *later.values()))
    expected = seen(written(known, cut), cut, as_of)
    full = written(joined(known, later), whole)
    assert seen(full, whole, as_of) == expected
    assert seen(full, whole, as_of, until=END) == expected


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("as_of", INSTANTS)
def test_a_garbled_future_gives_the_same_features(as_of: datetime, seed: int, config: Config) -> None:
    """Future shuffle: people, contents, amounts, links, catalogues and consents of later rows may be anything."""
    rng = np.random.default_rng(seed)
    known, later = split(fortnight(), as_of)
    other = {name: garbled(rows, rng) for name, rows in later.items()}
    assert all(other[name] != later[name] for name in later)
    expected = _seen(archive(joined(known, later), config), config, as_of)
    assert _seen(archive(joined(other, known), config), config, as_of) == expected


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_the_lakes_rows_means_nothing(seed: int, config: Config) -> None:
    """A lake promises no order, and none is asked of it."""
    rng = np.random.default_rng(seed)
    found = fortnight()
    mixed = {name: shuffled(rows, rng) for name, rows in found.items()}
    assert _seen(archive(mixed, config), config, NIGHT) == _seen(archive(found, config), config, NIGHT)


def test_the_night_before_is_another_one(config: Config) -> None:
    """The comparison above can fail: a day less of the same rows is seen."""
    found = archive(fortnight(), config)
    assert _seen(found, config, NIGHT) != _seen(found, config, NIGHT - DAY)


def test_a_simulated_companys_lake_may_be_cut_too(small_night: World, tmp_path: Path) -> None:
    """Truncation on what real exports brought in: analytics, a CRM, orders and a catalogue, three nights ago."""
    config = configuration.load(small_night.config)
    lake, as_of = Lake.of(config), datetime(2026, 6, 28, tzinfo=UTC)
    found = {name: lake.read(name) for name in NAMES}
    known, later = split(found, as_of)
    assert later["events"].num_rows
    cut = configuration.parse(config.model_dump(exclude={"file"}), tmp_path / "shortlist.toml")
    assert seen(written(known, cut), cut, as_of) == seen(lake, config, as_of, until=datetime(2026, 7, 1, tzinfo=UTC))
