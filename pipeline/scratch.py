"""Room for work in progress, and who may work where: files and locks that go with their process, however that ends."""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShortlistError

IN_MEMORY = 256 * 1024**2
"""Bytes that an array may have and yet lie in memory."""

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


def floats(shape: tuple[int, ...], root: Path | None) -> NDArray[np.float32]:
    """An array to be filled; of more than IN_MEMORY it lies in a file below `root`, where one is given.

    The file has no name, so it ends with the array, or with the process. Memory has what is being worked on, until
    `models.mapped.let_go`. Raises ShortlistError where the disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(np.float32).itemsize
    if root is None or size <= IN_MEMORY:
        return np.empty(shape, np.float32)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=root) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # without it, a full disk ends the process at some later write
        except OSError as error:
            raise ShortlistError(
                f"{root} has no room for {size / 1e9:.1f} GB of rows to learn from ({error.strerror}). Free disk "
                "space, or set a lower training.max_rows."
            ) from error
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.float32).reshape(shape)


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
