"""What was seen of past nights is found while it would be seen again, and leaves with whoever it is about."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from expectations import schemas
from models.classifier import Bundle
from pipeline import disk, erasure, looks
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import PURGED, Lake
from pipeline.looks import Looks
from tests.pipeline.lakes import config_in, table

NIGHT, DAY = datetime(2026, 3, 10, tzinfo=UTC), timedelta(days=1)
SEEN = {
    "people": np.array([3, 5]),
    "columns/visits/deep": np.array([0.5, np.nan]),
    "probabilities/read": np.zeros(0),
}


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


@pytest.fixture(name="lake")
def _lake(config: Config) -> Lake:
    """Every day around the night was loaded."""
    lake = Lake.of(config)
    for back in range(-2, 4):
        load(lake, (NIGHT - back * DAY).date(), "first")
    return lake


def load(lake: Lake, day: date, proof: str, source: str = "web") -> None:
    """A day's export is in the lake."""
    row = {"files": "f", "sha256": proof, "rows": 1, "source": source, "day": day}
    lake.replace_day("loads", pa.Table.from_pylist([row], schema=schemas.LAKE["loads"].schema), source, day)


def models(*contexts: str) -> list[Bundle]:
    """Models that differ in what is said of them."""
    return [Bundle({}, {}, {"as_of": context}) for context in contexts]


def kept(lake: Lake, config: Config, night: datetime = NIGHT) -> Looks:
    """Somebody looked at a night."""
    found = Looks.of(lake, config, models("a"))
    found.keep(night, night, "people", SEEN)
    return found


def seen(lake: Lake, config: Config, *of: str, what: str = "people") -> bool:
    """Whether it is found by a later look, with these models."""
    return Looks.of(lake, config, models(*of or ("a",))).read(NIGHT, NIGHT, what) is not None


def test_what_was_seen_is_read_back_to_the_last_bit(lake: Lake, config: Config) -> None:
    """Names with slashes, missing values and nothing at all included; nobody else may read the folder."""
    kept(lake, config)
    found = Looks.of(lake, config, models("a")).read(NIGHT, NIGHT, "people")
    assert found is not None
    assert {name: values.tobytes() for name, values in found.items()} == {
        name: values.tobytes() for name, values in SEEN.items()
    }
    assert looks.below("columns", found).keys() == {"visits/deep"}
    assert looks.under("columns", looks.below("columns", found)).keys() == {"columns/visits/deep"}
    assert lake.looks.stat().st_mode & 0o777 == 0o700


def test_it_is_found_only_by_who_would_see_the_same(lake: Lake, config: Config) -> None:
    """Other models, other settings, or something else of the night are not answered with it."""
    kept(lake, config)
    assert seen(lake, config)
    assert not seen(lake, config, "b")
    assert not seen(lake, config, "a", "b")
    assert not seen(lake, config, what="answers")
    assert not seen(lake, config_in(config.file.parent, ranking={"k": 4}))


@pytest.mark.parametrize(("back", "found"), [(3, False), (1, False), (0, True), (-1, True)])
def test_a_day_that_is_loaded_again_is_looked_at_again(lake: Lake, config: Config, back: int, found: bool) -> None:
    """If it was over when the night began; what was not known then makes no difference."""
    kept(lake, config)
    load(lake, (NIGHT - back * DAY).date(), "again")
    assert seen(lake, config) is found


def test_a_load_of_the_night_s_own_day_counts_if_any_row_of_it_was_known(lake: Lake, config: Config) -> None:
    """An export of a day may begin before it does, in another time zone: the night knew those rows."""
    event = {"person": 1, "content_id": "c01", "source": "web", "day": NIGHT.date()}
    for hours, found in ((1, True), (-1, False)):
        at = NIGHT + timedelta(hours=hours)
        rows = table("events", [{**event, "ts": at, "available_at": at}])
        lake.replace_day("events", rows, "web", NIGHT.date())
        load(lake, NIGHT.date(), "first")
        kept(lake, config)
        load(lake, NIGHT.date(), f"again {hours}")
        assert seen(lake, config) is found


def test_a_proof_of_deletion_is_no_load(lake: Lake, config: Config) -> None:
    """It changes whenever anybody objects, of which `remove_those_with` takes care."""
    kept(lake, config)
    load(lake, date(1970, 1, 1), "of tonight", PURGED)
    assert seen(lake, config)


def test_what_no_check_asks_for_is_removed(lake: Lake, config: Config) -> None:
    """What was read or kept stays; of nights that are past comparing, and of earlier models, nothing does."""
    for night in (NIGHT, NIGHT - DAY):
        kept(lake, config, night)
    now = Looks.of(lake, config, models("a"))
    now.read(NIGHT, NIGHT, "people")
    now.keep(NIGHT + DAY, NIGHT + DAY, "people", SEEN)
    now.forget_others()
    assert sorted(file.name[:10] for file in lake.looks.iterdir()) == ["2026-03-10", "2026-03-11"]


def test_a_damaged_file_is_named(lake: Lake, config: Config) -> None:
    """One flipped bit, or half a file: it says which, and what to do."""
    kept(lake, config)
    (file,) = lake.looks.iterdir()
    whole = file.read_bytes()
    at = whole.index(SEEN["people"].tobytes())
    for broken in (whole[:at] + b"\xff" + whole[at + 1 :], whole[: len(whole) // 2], b""):
        file.write_bytes(broken)
        with pytest.raises(ShortlistError, match=f"{file.name} cannot be read.*Remove it"):
            seen(lake, config)


def test_it_is_kept_whole_or_not_at_all(lake: Lake, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full half-way leaves nothing that a later night would find, and nothing beside it."""

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(disk, "replace", full)
        with pytest.raises(OSError, match="No space"):
            kept(lake, config)
    assert not seen(lake, config)
    assert not list(lake.root.rglob("*.npz"))


# ---------------------------------------------------------------- whose rows leave


@pytest.mark.parametrize(
    ("person", "stays"),
    [(3, False), (5, False), (7, True), (40, False), (41, False)],
    ids=["seen", "seen too", "stranger", "a browser of one", "whose browser counted as one's"],
)
def test_whoever_leaves_takes_what_was_seen_of_them(lake: Lake, config: Config, person: int, stays: bool) -> None:
    """By the id that they were seen under, or by any that was ever linked to it; of others everything stays."""
    when = {"available_at": NIGHT - DAY, "source": "web", "day": NIGHT.date()}
    pairs = ((40, 3), (5, 41), (7, 8))
    links = [
        {"id": one, "id_type": "visitor", "other_id": other, "other_type": "customer", **when} for one, other in pairs
    ]
    lake.replace_source("identities", table("identities", links), "web")
    found = Looks.of(lake, config, models("a"))
    found.keep(NIGHT, NIGHT, "answers", {"predecessor/people": np.array([3, 5]), "champion/group": np.array([7])})
    erasure.delete_people(lake, pa.array([person], pa.int64()))
    assert seen(lake, config, what="answers") is stays


def test_who_is_forgotten_leaves_nothing_that_was_seen_of_anybody(lake: Lake, config: Config) -> None:
    """Links go too, so nobody could tell later under which ids they were seen."""
    kept(lake, config)
    erasure.forget_people(lake, pa.array([7], pa.int64()))
    assert not lake.looks.exists()
