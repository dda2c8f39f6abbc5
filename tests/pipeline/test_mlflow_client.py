"""MLflow's folder: it moves, it is busy, it is harmed, two begin in it at once, and it is its owner's."""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import registry, tracking
from pipeline.errors import ShortlistError
from pipeline.records import Tracker
from tests.pipeline.trainings import DAY, FILES, NIGHT, record, trained


def test_the_folder_may_move(tracker: Tracker, tmp_path: Path) -> None:
    """Copied elsewhere, the folder still serves its models and takes new ones, and the old place is left alone."""
    old = trained(tracker)
    moved = Tracker(tmp_path / "elsewhere", tracker.project)
    shutil.copytree(tracker.folder, moved.folder)
    files_before = sorted(tracker.folder.rglob("*"))
    new = tracking.log_training(moved, record(files={"click.ubj": b"new"}))
    assert registry.load_bundle_files(moved, old) == FILES
    assert registry.load_bundle_files(moved, new) == {"click.ubj": b"new"}
    assert sorted(tracker.folder.rglob("*")) == files_before


@pytest.fixture
def busy(tracker: Tracker) -> Iterator[Tracker]:
    """A folder that someone else is writing to, and little patience."""
    tracker.folder.mkdir(exist_ok=True)
    with (tracker.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield replace(tracker, lock_seconds=0.1)


def test_a_busy_folder_says_what_to_do(busy: Tracker) -> None:
    """When another process keeps writing, the wait ends with the lock's name and not with a traceback of SQLite."""
    with pytest.raises(ShortlistError, match=r"busy for 0\.1 s.*\.lock"):
        tracking.log_training(busy, record())


def test_what_mlflow_refuses_is_our_error(tmp_path: Path) -> None:
    """A database that is not MLflow's stops the work with the folder's name."""
    tracker = Tracker(tmp_path, "acme")
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ShortlistError, match=str(tmp_path)):
        registry.champion(tracker, NIGHT)


def _train_once(arguments: tuple[Path, int]) -> str:
    folder, day = arguments
    return tracking.log_training(Tracker(folder, "shared"), record(NIGHT + day * DAY, metrics={"auc": 0.5}))


def test_two_processes_at_an_empty_folder_both_finish(tmp_path: Path) -> None:
    """Both make the database and train at once: two versions, no error, a sound file."""
    context = multiprocessing.get_context("forkserver")  # imports MLflow once for both
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "mlflow.tracking", "pipeline.tracking"])
    with context.Pool(2) as pool:
        made = pool.map(_train_once, [(tmp_path, 0), (tmp_path, 1)])
    assert sorted(made) == ["1", "2"]
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_new_database_is_made_quietly_and_for_its_owner_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """No migration chatter on any channel, and nobody else may look into the folder."""
    tracker = Tracker(tmp_path / "mlflow", "acme")
    with caplog.at_level(logging.INFO):
        tracking.log_training(tracker, record())
    out = capfd.readouterr()
    assert (out.out, out.err, caplog.text) == ("", "", "")
    assert tracker.folder.stat().st_mode & 0o077 == 0
