"""Folders for work in progress, and who may work where: locks that go with their process, however that ends."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_LOCK = ".lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process does this to the folder meanwhile."""
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def folder_in(root: Path) -> Iterator[Path]:
    """A folder of its own below `root`, gone afterwards; what a killed process left there is gone before."""
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with alone(root):
            _sweep(root)
            folder = Path(tempfile.mkdtemp(dir=root))
            held.enter_context(alone(folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path) -> list[Path]:
    """Remove what killed processes left below `root`; returns what is still there: whose process is at work."""
    root.mkdir(parents=True, exist_ok=True)
    with alone(root):
        _sweep(root)
        return sorted(path for path in root.iterdir() if path.is_dir())


def _sweep(root: Path) -> None:
    for folder in root.iterdir():
        if folder.is_dir() and not _is_held(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_held(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
