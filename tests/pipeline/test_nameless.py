"""Ids that a format makes itself of what may not be kept: no way leads back from them, and nobody is listed by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import ingest, publish, rank
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms
from tests.pipeline.small import House
from tests.pipeline.traces import Traces
from tests.pipeline.website import DAY, NIGHT

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
READERS = [f"203.0.113.{i}" for i in range(12)]
LOG = (
    '[[sources]]\nname = "log"\nformat = "access_log"\npath = "exports/{date:%Y%m%d}.log"\n'
    '[goals.read]\nevents = ["view"]\n'
)


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> House:
    return House(tmp_path)


def read(house: House, users: Iterable[str] = ()) -> None:
    """Every reader sees /a, every second one /b as well; `users` log in, each at an address of their own."""
    seen = [(address, "-", page) for i, address in enumerate(READERS) for page in ("/a", "/b")[: 2 - i % 2]]
    seen += [(f"198.51.100.{i}", user, "/b") for i, user in enumerate(users)]
    lines = [
        f'{address} - {user} [{DAY:%d/%b/%Y}:12:{i:02d}:00 +0000] "GET {page} HTTP/1.1" 200 5 "-" "{AGENT}"'
        for i, (address, user, page) in enumerate(seen)
    ]
    path = house.folder / f"exports/{DAY:%Y%m%d}.log"
    path.parent.mkdir()
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def guesses() -> tuple[str, ...]:
    """What anybody can work out who knows how the format makes its ids."""
    return tuple(hashlib.sha256("\x1f".join((one, AGENT, str(DAY))).encode()).hexdigest() for one in READERS)


def test_an_address_cannot_be_guessed_from_what_is_kept(house: House) -> None:
    """Their pseudonyms have a key; nothing else of them is in any file, in the vault or anywhere else."""
    read(house, ["ann"])
    config = house.configure(LOG)
    ingest.run(NIGHT, config)
    assert Traces((*guesses(), *READERS), ()).left_in(house.folder) == []
    ids = Pseudonyms.of(config)
    assert {ids.one(one, "visitor") for one in guesses()} < set(house.lake.read("events")["person_id"].to_pylist())
    known = {row["id_type"]: row["native_id"] for row in house.lake.read("native_ids").to_pylist()}
    assert known == {"visitor": "", "customer": "ann"}


@pytest.mark.parametrize("users", [[], [f"user-{i}" for i in range(12)]], ids=["nobody has a name", "some have"])
def test_only_who_can_be_asked_for_is_listed(users: list[str], house: House) -> None:
    """Readers without a name make content popular; the lists are of those who logged in, and the default."""
    read(house, users)
    config = house.configure(LOG)
    as_of = NIGHT + timedelta(days=1)
    ingest.run(as_of, config, start=DAY, end=DAY)
    report = rank.run(as_of, config)
    assert report.filtered["people without an id of yours"] == len(READERS)
    assert publish.run(as_of, config).current
    current = Lake.of(config).rankings / "current"
    assert set(pq.read_table(current / "people")["person_id"].to_pylist()) == set(users)
    assert pq.read_table(current / "default")["content_id"][0].as_py() == "/a"
