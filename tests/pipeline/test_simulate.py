"""Simulating: the same bytes every time, made once, never over anybody's files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
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


def test_a_shift_changes_what_comes_after_it(tmp_path: Path) -> None:
    """Exports before the day are those of the world without it; from that day on people do other things."""
    last = {f"{system}_{END:%Y%m%d}" for system in ("events", "contacts", "orders", "posts")}
    _small(tmp_path / "still")
    made = simulate.run(tmp_path / "shifted", days=3, people=40, content=40, seed=3, end=END, shift=END)
    still, shifted = _hashes(tmp_path / "still"), _hashes(tmp_path / "shifted")
    assert shifted.keys() - still.keys() == {"truth/shift.parquet"}
    assert tmp_path / "shifted" / "truth" / "shift.parquet" in made.paths
    other = {name for name in still if still[name] != shifted[name]}
    assert {f"ga4/events_{END:%Y%m%d}.parquet", "truth/engagement.parquet", "simulation.json"} <= other
    assert {Path(name).stem for name in other} <= {"engagement", "simulation", *last}


def test_a_world_with_a_shift_is_another_simulation(tmp_path: Path) -> None:
    """Neither is taken for the other, whichever was made first."""
    simulate.run(tmp_path / "shifted", days=3, people=40, content=40, seed=3, end=END, shift=END)
    with pytest.raises(ConfigurationError, match=r"shift 2026-06-30 \(asked for None\)"):
        _small(tmp_path / "shifted")
    _small(tmp_path / "still")
    with pytest.raises(ConfigurationError, match=r"shift None \(asked for 2026-06-30\)"):
        simulate.run(tmp_path / "still", days=3, people=40, content=40, seed=3, end=END, shift=END)


@pytest.mark.parametrize("back", [-1, 2, 3])
def test_a_shift_is_on_an_exported_day_with_one_before_it(tmp_path: Path, back: int) -> None:
    """Otherwise nobody could see it; nothing is written."""
    with pytest.raises(ConfigurationError, match="shift must be a day after the first and not after the last"):
        simulate.run(tmp_path / "out", days=3, end=END, shift=END - timedelta(days=back))
    assert not (tmp_path / "out").exists()


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
