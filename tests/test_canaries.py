"""None of thousands of canaries in the exports is found in anything that a night makes of them, or says."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests import canaries, worlds
from tests.canaries import DAY, IDS, KINDS, SOURCES
from tests.pipeline.small import House, shortlist
from tests.worlds import World

MEANT = ("published/", "state/ranked/")
"""Where ids stand as the company writes them: what is published, and what the night was about to publish."""

FASTER = {
    "late_days = 3 ": "late_days = 0 ",
    "nights = 21": "nights = 3\nwarm_up_days = 2\nmin_positives = 2",
    "trials = 12": "trials = 1",
    "seconds = 60": "seconds = 600",
    "[goals.click]": f"{SOURCES}[goals.click]",
    "also = []": 'also = ["csv", "jsonl", "delta"]',
}


@pytest.fixture(name="night", scope="module")
def _night(shared: Path) -> World:
    """A whole night on exports full of canaries, with all that it said beside it."""

    def make(folder: Path) -> str:
        worlds.simulated(folder, FASTER, "--days", "7", "--people", "60", "--content", "40", "--end", "2026-06-30")
        for system in ("hubspot", "shopify", "wordpress"):
            for path in (folder / "exports" / system).iterdir():
                if DAY not in path.name:
                    path.unlink()
        planted = canaries.plant(folder / "exports").count()
        assert min(planted.values()) >= 40, planted
        assert sum(planted.values()) >= 1000
        done = worlds.shortlist(folder, "run", "--as-of", "2026-07-01", "--json")
        (folder / "said.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return worlds.made_once(shared, "canaries", make)


@pytest.fixture(name="made", scope="module")
def _made(night: World) -> Mapping[str, bytes]:
    """Path -> all that a reader of that file can get out of it, in small letters; but for the vault's files.

    The vault is there to find the way back, so it must hold native ids. That nobody else gets in is tested.
    """
    files = [path for top in ("lake", "state", "published", "said.txt") for path in _files(night.folder / top)]
    named = {path: str(path.relative_to(night.folder)) for path in files}
    return {
        name: b"\n".join([name.encode(), *_readings(path)]).lower()
        for path, name in named.items()
        if not name.startswith("lake/vault/")
    }


def _files(top: Path) -> list[Path]:
    return [path for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file() and not path.is_symlink()]


def _readings(path: Path) -> Iterator[bytes]:
    """Its bytes, and what they are when they are unpacked."""
    content = path.read_bytes()
    yield content
    if content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        yield pa.input_stream(pa.BufferReader(content), compression="zstd").read()
    if content.startswith(b"PAR1"):
        table = pq.read_table(pa.BufferReader(content))
        yield from (text.encode() for column in table.columns for text in _texts(column.combine_chunks()))
    if content.startswith(b"SQLite format 3\0"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            yield from (line.encode("utf-8", "replace") for line in database.iterdump())


def _texts(column: pa.Array) -> Iterator[str]:
    """The different texts of an array, at whatever depth; numbers as texts."""
    if pa.types.is_struct(column.type):
        for field in column.flatten():
            yield from _texts(field)
    elif pa.types.is_map(column.type):
        yield from _texts(column.keys)
        yield from _texts(column.items)
    elif pa.types.is_list(column.type):
        yield from _texts(column.flatten())
    elif not pa.types.is_binary(column.type):
        yield from pc.unique(column.cast(pa.string())).drop_null().to_pylist()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_made_holds_a_canary(kind: str, made: Mapping[str, bytes]) -> None:
    """Lake, reports, MLflow, Airflow's logs and database, and what the terminal showed."""
    mark = KINDS[kind][0].encode()
    found = [name for name, text in made.items() if mark in text and not (kind in IDS and name.startswith(MEANT))]
    assert found == [], f"{kind} from the exports are in these files"


def test_the_search_finds_what_is_there(night: World, made: Mapping[str, bytes]) -> None:
    """Published ids and what lies packed in the exports are found, so the search would have found the others."""
    for place in ("rankings", "exports/csv", "exports/jsonl", "exports/delta"):
        published = b"".join(text for name, text in made.items() if name.startswith(f"published/{place}/"))
        assert KINDS["cookies"][0].encode() in published, place
    exported = b"".join(b"".join(_readings(path)) for path in _files(night.exports)).lower()
    assert [kind for kind, (mark, _) in KINDS.items() if mark.encode() not in exported] == []
    tops = {tuple(name.split("/")[:2]) for name in made}
    assert {("lake", "events"), ("lake", "quarantine"), ("state", "mlflow"), ("state", "airflow")} <= tops


def test_only_the_owner_gets_into_the_vault(night: World) -> None:
    """It is the only place with native ids; and even there is no e-mail address, name, telephone number or IP."""
    vault = night.folder / "lake" / "vault"
    assert stat.S_IMODE(vault.stat().st_mode) == 0o700
    kept = b"".join(b"".join(_readings(path)) for path in _files(vault)).lower()
    assert [kind for kind in KINDS if KINDS[kind][0].encode() in kept] == list(IDS)


# ---------------------------------------------------------------- files that are refused


def headless(content: bytes) -> bytes:
    """Without its first line."""
    return content.partition(b"\n")[2]


def garbled(content: bytes) -> bytes:
    """With bytes of another encoding in the middle."""
    half = len(content) // 2
    return content[:half] + b"\xff\xfe\xe4" + content[half:]


def shifted(content: bytes) -> bytes:
    """A CSV whose names of columns are one to the right, so that values stand in the columns of others."""
    return b"new," + content


SPOILT = {
    "web": f"ga4/events_{DAY}.parquet",
    "crm": f"hubspot/contacts_{DAY}.csv",
    "shop": f"shopify/orders_{DAY}.csv",
    "catalogue": f"wordpress/posts_{DAY}.json",
    "calls": f"segment_{DAY}.jsonl",
    "log": f"access_{DAY}.log",
    "sales": f"salesforce_{DAY}.csv",
    "money": f"stripe_{DAY}.csv",
}


@pytest.mark.parametrize("source", SPOILT)
def test_what_is_said_of_a_spoilt_file_holds_no_canary(
    source: str, night: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whether the file is refused, or only rows of it: neither message nor log repeats any of it."""
    house = House(tmp_path)
    (tmp_path / "exports").mkdir()
    house.file.write_text(_only(source, night), encoding="utf-8")
    path = tmp_path / "exports" / SPOILT[source]
    path.parent.mkdir(exist_ok=True)
    good = (night.exports / SPOILT[source]).read_bytes()
    refused = 0
    for damage in (headless, garbled, shifted):
        shutil.rmtree(tmp_path / "lake", ignore_errors=True)
        path.write_bytes(damage(good))
        said = shortlist(capfd, "ingest", "--config", house.file, "--as-of", "2026-07-01")
        refused += said.code
        text = f"{said.out} {said.err}".lower()
        assert [kind for kind, (mark, _) in KINDS.items() if mark in text] == [], (damage.__name__, said.err)
    assert refused, "no damage was bad enough"


def _only(source: str, night: World) -> str:
    """The configuration with this source alone, of its newest day."""
    head, *sources = night.config.read_text(encoding="utf-8").split("[[sources]]\n")
    (kept,) = (text for text in sources if text.startswith(f'name = "{source}"'))
    return f"{head}[[sources]]\n{kept.partition('[goals')[0]}"
