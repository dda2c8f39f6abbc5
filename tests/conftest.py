"""Worlds that many tests look at, each made once a session whichever test process asks first."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

import pipeline  # noqa: F401 - it sets when Python looks for garbage
from tests import worlds
from tests.examples import examples
from tests.worlds import World

os.environ.update(worlds.QUIET)  # before a test imports what reads it

CHEAPER = {"nights = 21": "nights = 8", "trials = 12": "trials = 1"}
"""What differs from the example's settings in `default_night`: fewer nights to learn from and no search."""

SMALL = {
    "late_days = 3 ": "late_days = 0 ",
    "nights = 21": "nights = 4\nwarm_up_days = 3\nmin_positives = 5",
    "trials = 12": "trials = 2",
    "seconds = 60": "seconds = 600",  # a budget that never binds: the same night is then the same model
    "also = []": 'also = ["csv", "jsonl", "delta"]',
}


# No test is about time: a busy machine may be as slow as it likes. CI draws the same examples every time.
settings.register_profile(
    "house", max_examples=examples(30), deadline=None, derandomize="CI" in os.environ, print_blob=True
)
settings.load_profile("house")

SLOWEST = (
    "test_kill",
    "test_lake_machine",
    "test_forget",
    "test_exports_crashes",
    "test_spark",
    "test_rotate_key",
    "test_scheduler",
    "test_retrain_story",
    "test_real_input",
    "test_whole_night",
    "test_canaries",
    "test_bad_input",
)
"""Files that take longest, begun first: begun last, one would keep one core busy while the other idles.

Of the first six only `test_kill` compiles the kernels, nearly a minute of a core where nothing is compiled yet: side
by side, three would compile the same. The first three are begun at once. The first two have two tests each, so xdist
at once puts the fourth and the fifth behind them.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest files."""
    order = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(name="shared", scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of this session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def default_night(shared: Path) -> World:
    """What `make run` makes, as of 2026-07-01, of 15 days instead of 30: 1,000 people, 300 contents, all sources.

    The CRM's and the catalogue's snapshots begin with the first night that is learned from.
    """

    def make(folder: Path) -> str:
        size = ("--days", "15", "--people", "1000", "--content", "300", "--seed", "7", "--end", "2026-06-30")
        worlds.simulated(folder, CHEAPER, *size)
        worlds.only_newest(folder / "exports", ("hubspot", "wordpress"), days=9)
        return worlds.night(folder, "2026-07-01")

    return worlds.made_once(shared, "default", make)


@pytest.fixture(scope="session")
def small_night(shared: Path) -> World:
    """80 people and 9 days, as of 2026-07-01; a further day is exported already, for a next night.

    Of the CRM and the catalogue only the newest snapshots are there: each load costs as much as a small night's lists.
    """

    def make(folder: Path) -> str:
        size = ("--days", "9", "--people", "80", "--content", "60", "--seed", "3", "--end", "2026-07-01")
        worlds.simulated(folder, SMALL, *size)
        worlds.only_newest(folder / "exports", ("hubspot", "wordpress"), days=3)
        return worlds.night(folder, "2026-07-01")

    return worlds.made_once(shared, "small", make)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[World], World]:
    """Copies a world for a test that changes it."""
    return lambda world: world.copied_to(tmp_path / world.folder.name)


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a world that nothing was run in: a day of web analytics, 2026-06-30.

    It does not look back: of a night without exports one load fails.
    """
    folder = tmp_path_factory.mktemp("tiny") / "world"
    folder.mkdir()
    size = ("--days", "1", "--people", "40", "--content", "40", "--seed", "3", "--end", "2026-06-30")
    worlds.simulated(folder, {"late_days = 3 ": "late_days = 0 "}, *size)
    text = (folder / "shortlist.toml").read_text(encoding="utf-8")
    head, web, *_ = text.split("[[sources]]\n")
    goals = text[text.index("[goals.") :]
    assert web.startswith('name = "web"')
    (folder / "shortlist.toml").write_text(f"{head}[[sources]]\n{web}{goals}", encoding="utf-8")
    return folder / "shortlist.toml"
