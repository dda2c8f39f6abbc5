"""A run that is killed at any moment: readers see nothing but whole snapshots, and the next run puts all right."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline import manifest, snapshot
from pipeline.errors import ShortlistError
from tests.worlds import World
from tests.zygote import Zygote

KILLS = 20
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


@pytest.fixture(name="world")
def _world(small_night: World, copy_of: Callable[[World], World]) -> World:
    """Its next night looks at the newest day of each source and at no other: every load has something to do."""
    world = copy_of(small_night)
    text = world.config.read_text(encoding="utf-8")
    text = re.sub("^(format = .*)$", r"\1\nlate_days = 0", text.replace("late_days = 0", ""), flags=re.MULTILINE)
    world.config.write_text(text, encoding="utf-8")
    return world


def test_killed_runs(world: World, tmp_path: Path) -> None:
    """Twenty runs of the next night are killed at random moments, while a reader looks; then one run does it all."""
    log = tmp_path / "run.log"
    before = world.copied_to(tmp_path / "before")
    with Zygote(world.config) as zygote:
        zygote.run(RETRAIN, log)
        training = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["train"]["seconds"]
        undisturbed = rows(world)
        rest = zygote.run(NEXT, log)  # without the loads: most of the killed runs find them done
        shutil.rmtree(world.folder)
        before.copied_to(world.folder)
        moments = random.Random(20260702)
        with Reader(world.rankings) as reader:
            killed = 0
            for arguments in itertools.islice(itertools.cycle([NEXT, NEXT, NEXT, RETRAIN]), KILLS):
                moment = moments.uniform(0, rest + training if arguments is RETRAIN else rest)
                killed += zygote.kill(arguments, log, moment)
                reader.look()
            zygote.run(RETRAIN, log)
    reader.look()
    assert killed >= KILLS // 2
    assert reader.reads > KILLS
    assert reader.problems == []
    assert {manifest.instant(name)[:10] for name in reader.seen} == {"2026-07-01", "2026-07-02"}
    assert rows(world).keys() == undisturbed.keys()
    for name, table in rows(world).items():
        pd.testing.assert_frame_equal(table, undisturbed[name])
