"""A run that is repeated, or killed at any moment: readers see whole snapshots only, and the next run mends all."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from pipeline import manifest, snapshot
from pipeline.errors import ShortlistError
from tests.worlds import World
from tests.zygote import Zygote

KILLS = 6
SAME = ("run", "--as-of", "2026-07-01", "--json")
NEXT = ("run", "--as-of", "2026-07-02", "--json")
RETRAIN = (*NEXT, "--retrain")


class Reader(threading.Thread):
    """Reads as downstream systems do, all the time: resolves CURRENT, and checks every file of what it names."""

    def __init__(self, rankings: Path) -> None:
        super().__init__(daemon=True)
        self.rankings, self.reads = rankings, 0
        self.seen: set[str] = set()
        self.problems: list[str] = []
        self._done = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self._done.wait(0.02):
            self.look(thoroughly=False)

    def look(self, *, thoroughly: bool = True) -> None:
        """One read, of every file if `thoroughly` or if the snapshot is new; a failure is a problem, too."""
        try:
            current = snapshot.resolve(self.rankings)
            if thoroughly or current.name not in self.seen:
                self.problems += snapshot.verify(current)
                self.problems += changed_files(exported(self.rankings, "csv"))
                self.problems += changed_files(exported(self.rankings, "jsonl"))
            self.seen.add(current.name)
            self.reads += 1
        except (ShortlistError, OSError) as error:
            self.problems.append(repr(error))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self.join()


def rows(world: World) -> dict[str, pd.DataFrame]:
    """The tables that serve, but for the number of the model's version: killed trainings use numbers up."""
    current = snapshot.resolve(world.rankings)
    tables = {name: pq.read_table(current / name).to_pandas() for name in ("people", "segments", "default")}
    return {name: table.drop(columns="model_version") for name, table in tables.items()}


def exported(rankings: Path, form: str) -> Path:
    """The export that serves."""
    place = rankings.with_name("exports") / form
    return place / (place / "CURRENT").read_text(encoding="utf-8").strip()


def changed_files(export: Path) -> list[str]:
    """Files of an export that are not as its record says; of one that has given way to another, none."""
    try:
        tables = json.loads((export / "export.json").read_bytes())["tables"].values()
        digests = {one["file"]: hashlib.sha256((export / one["file"]).read_bytes()).hexdigest() for one in tables}
    except FileNotFoundError:
        return [f"{export} is not whole"] if exported_now(export) else []
    return [f"{export / one['file']} has changed" for one in tables if digests[one["file"]] != one["sha256"]]


def exported_now(export: Path) -> bool:
    """Whether it is still the one that serves."""
    return (export.parent / "CURRENT").read_text(encoding="utf-8").strip() == export.name


def moments(count: int, seconds: float, draw: random.Random) -> list[float]:
    """One in each of as many equal parts of a run, in any order."""
    return draw.sample([(part + draw.random()) * seconds / count for part in range(count)], count)


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every test finds its world: Airflow is set up for one place."""
    return tmp_path_factory.mktemp("runs") / "small"


@pytest.fixture(name="zygote", scope="module")
def _zygote(small_night: World, folder: Path) -> Iterator[Zygote]:
    with Zygote(small_night.copied_to(folder).config) as zygote:
        yield zygote


@pytest.fixture(name="world")
def _world(zygote: Zygote, small_night: World, folder: Path) -> World:  # the zygote's world, as it was
    shutil.rmtree(folder)
    return small_night.copied_to(folder)


@dataclass(frozen=True)
class Again:
    """A night that was run once more: what it said, how long it took, and what readers saw before and after it."""

    answer: Any
    seconds: float
    before: dict[str, bytes]
    after: dict[str, bytes]


@pytest.fixture(name="again", scope="module")
def _again(zygote: Zygote, small_night: World, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Again:
    world, log = World(folder, small_night.answer), tmp_path_factory.mktemp("again") / "run.log"
    before = published(world)
    seconds = zygote.run(SAME, log)
    return Again(said(log), seconds, before, published(world))


def test_the_same_night_again_publishes_nothing_new(small_night: World, again: Again) -> None:
    """A second run of a night, even in another folder, finds its snapshot there already and changes no byte of it."""
    assert again.answer["publish"]["name"] == small_night.report["publish"]["name"]
    assert (again.answer["publish"]["created"], again.answer["finish"]["changed"]) == (False, False)
    assert again.after == again.before


def published(world: World) -> dict[str, bytes]:
    """Every byte that a reader could see."""
    files = (path for path in world.rankings.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(world.rankings)): path.read_bytes() for path in files}


def said(log: Path) -> Any:
    """The answer of a run, which it writes last."""
    return json.loads(log.read_text(encoding="utf-8").splitlines()[-1])


def newest_days_only(world: World) -> None:
    """The next night looks at the newest day of each source and at no other: every load has something to do."""
    text = world.config.read_text(encoding="utf-8")
    text = re.sub("^(format = .*)$", r"\1\nlate_days = 0", text.replace("late_days = 0", ""), flags=re.MULTILINE)
    world.config.write_text(text, encoding="utf-8")


def test_killed_runs(again: Again, world: World, zygote: Zygote, tmp_path: Path) -> None:
    """Six runs of the next night are killed, early to late, while a reader looks; then one run does it all."""
    log = tmp_path / "run.log"
    newest_days_only(world)
    before = world.copied_to(tmp_path / "before")
    zygote.run(RETRAIN, log)
    training = said(log)["train"]["seconds"]
    undisturbed = rows(world)
    rest = again.seconds  # without loads: most of the killed runs find them done
    shutil.rmtree(world.folder)
    before.copied_to(world.folder)
    draw = random.Random(20260702)
    normal, trained = moments(2 * KILLS // 3, rest, draw), moments(KILLS // 3, rest + training, draw)
    with Reader(world.rankings) as reader:
        killed = 0
        for kill in range(KILLS):
            arguments, after = (RETRAIN, trained) if kill % 3 == 2 else (NEXT, normal)
            killed += zygote.kill(arguments, log, after.pop())
            reader.look()
        zygote.run(RETRAIN, log)
    reader.look()
    assert killed >= KILLS // 2
    assert reader.reads > KILLS
    assert reader.problems == []
    assert {manifest.instant(name)[:10] for name in reader.seen} == {"2026-07-01", "2026-07-02"}
    serves = snapshot.resolve(world.rankings)
    for form in ("csv", "jsonl"):
        record = json.loads((exported(world.rankings, form) / "export.json").read_bytes())
        assert (record["snapshot"], changed_files(exported(world.rankings, form))) == (serves.name, [])
    delta = DeltaTable(world.rankings.with_name("exports") / "delta" / "people").to_pyarrow_table()
    assert delta.sort_by([("person_id", "ascending"), ("id_type", "ascending"), ("rank", "ascending")]).equals(
        snapshot.table_of(serves, "people")
    )
    assert rows(world).keys() == undisturbed.keys()
    for name, table in rows(world).items():
        pd.testing.assert_frame_equal(table, undisturbed[name])
