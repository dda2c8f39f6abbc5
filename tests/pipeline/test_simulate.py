"""Simulating: the same bytes every time, made once, never over anybody's files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import simulate
from pipeline.errors import ConfigurationError
from tests.pipeline.simulated import DAYS, END, Made, simulated

ROOT = Path(simulate.__file__).parents[1]


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return simulated(tmp_path_factory.mktemp("exports"))


def _hashes(out: Path) -> dict[str, str]:
    files = sorted(p for p in out.rglob("*") if p.is_file())
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _small(out: Path, seed: int = 3) -> simulate.SimulateReport:
    return simulate.run(out, days=3, people=40, content=40, seed=seed, end=END)


def test_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    """Neither the process nor the hash seed nor the folder leaves a trace in any file."""
    _small(tmp_path / "here")
    code = (
        "import sys, datetime, pathlib; from pipeline import simulate; simulate.run(pathlib.Path(sys.argv[1]), "
        "days=3, people=40, content=40, seed=3, end=datetime.date(2026, 6, 30))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=environment)
    assert _hashes(tmp_path / "here") == _hashes(tmp_path / "there")


def test_another_seed_gives_another_world(tmp_path: Path) -> None:
    """Every export depends on the seed."""
    _small(tmp_path / "a", seed=3)
    _small(tmp_path / "b", seed=4)
    first, second = _hashes(tmp_path / "a"), _hashes(tmp_path / "b")
    assert first.keys() == second.keys()
    same = {name for name in first if first[name] == second[name]}
    assert not {name for name in same if not name.startswith("shopify/")}  # a small shop has days without an order


def test_second_call_changes_nothing(tmp_path: Path) -> None:
    """A finished simulation is reported, not made again."""
    made = _small(tmp_path)
    stamps = {p: p.stat().st_mtime_ns for p in made.paths}
    again = _small(tmp_path)
    assert (made.made, again.made) == (True, False)
    assert again.counts == made.counts
    assert {p: p.stat().st_mtime_ns for p in again.paths} == stamps


def test_report_names_every_file(made: Made) -> None:
    """The paths of the report are the files on disk: no temporary name is left."""
    assert set(made.report.paths) == {p for p in made.out.rglob("*") if p.is_file()}
    assert len(made.report.paths) == 4 * DAYS + 3


def test_unfinished_simulation_is_made_again(tmp_path: Path) -> None:
    """What an interrupted run left behind does not show in the bytes."""
    _small(tmp_path / "whole")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate.run(tmp_path / "cut", days=3, people=40, content=40, seed=3, end=END, progress=interrupt)
    assert not (tmp_path / "cut" / "simulation.json").exists()
    assert _small(tmp_path / "cut").made
    assert _hashes(tmp_path / "cut") == _hashes(tmp_path / "whole")


def test_progress_counts_the_days_and_the_truth(tmp_path: Path) -> None:
    """Progress goes from 1 to its total."""
    seen: list[tuple[int, int]] = []
    tell: Callable[[int, int], None] = lambda done, total: seen.append((done, total))  # noqa: E731
    simulate.run(tmp_path, days=2, people=20, content=24, seed=1, end=END, progress=tell)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_real_exports_are_never_written_over(tmp_path: Path) -> None:
    """A folder that holds somebody's exports is refused and left as it is."""
    (tmp_path / "shopify").mkdir()
    (tmp_path / "shopify" / "orders_20260630.csv").write_text("Name\n#1\n")
    with pytest.raises(ConfigurationError, match="shopify/ that no simulation wrote"):
        _small(tmp_path)
    assert [p.name for p in tmp_path.rglob("*")] == ["shopify", "orders_20260630.csv"]


def test_folder_of_another_simulation_is_refused(tmp_path: Path) -> None:
    """Two worlds are never mixed; the message names the difference."""
    _small(tmp_path, seed=3)
    with pytest.raises(ConfigurationError, match=r"seed 3 \(asked for 4\)"):
        _small(tmp_path, seed=4)


@pytest.mark.parametrize("wrong", [{"days": 0}, {"people": 19}, {"content": 5}, {"seed": -1}])
def test_impossible_worlds_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    """The message names the parameter and its least value; nothing is written."""
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))} must be at least"):
        simulate.run(tmp_path / "out", **wrong, end=END)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
