"""The file-system calls that publication is made of: each has reached the disk, or has failed, when it returns.

Renaming is atomic on one POSIX file system, but a name survives a power cut only once its folder is synced
(Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). A failed fsync is never tried again: the kernel
may have dropped the data and would report success.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.errors import ShortlistError

NO_SYMLINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What a file system without symbolic links answers."""

_PAUSE_SECONDS = 0.05
_REMEDIES = {
    errno.ENOSPC: "Free disk space (fewer old snapshots need less of it)",
    errno.EDQUOT: "Free disk space, or raise the quota",
    errno.EACCES: "Give this user write permission there",
    errno.EPERM: "Give this user write permission there",
    errno.EROFS: "Mount the file system writable",
}


def remedy(error: OSError) -> str:
    """What to do about what the file system refused: the first half of a sentence."""
    return _REMEDIES.get(error.errno or 0, "Repair that")


def write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Create `path`, which must not exist, and let `fill` write its bytes."""
    with path.open("xb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """Create `path` and what leads to it; a folder that is already there is fine."""
    path.mkdir(parents=True, exist_ok=True)


def sync_file(path: Path) -> None:
    """Make what another library has written into `path` survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in `path` survive a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def rename(source: Path, target: Path) -> None:
    """Give a folder its name; `target` must not exist. Sync both parents afterwards."""
    source.rename(target)


def replace(source: Path, target: Path) -> None:
    """Swing `target` to what `source` holds, in one step. Sync the folder afterwards."""
    source.replace(target)


def link(target: Path, path: Path) -> None:
    """Create the symbolic link `path`, holding `target` as it is given."""
    path.symlink_to(target, target_is_directory=True)


def remove(path: Path) -> None:
    """Delete a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def try_lock(path: Path) -> IO[bytes] | None:
    """The open, locked file, or None where someone else holds it. Closing it, or dying, gives the lock back."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def wait_for_lock(path: Path, patience_seconds: float) -> IO[bytes] | None:
    """As `try_lock`, asking again and again for at most this long."""
    file = try_lock(path)
    for _ in range(int(patience_seconds / _PAUSE_SECONDS)):
        if file is not None:
            break
        time.sleep(_PAUSE_SECONDS)
        file = try_lock(path)
    return file


@contextmanager
def locked(path: Path, patience_seconds: float) -> Iterator[None]:
    """Hold the lock file `path`, waiting for it at most this long.

    Raises:
        ShortlistError: Someone else kept it.
    """
    file = wait_for_lock(path, patience_seconds)
    if file is None:
        raise ShortlistError(
            f"{path}: another process has held this lock for {patience_seconds:g} s, so nothing was changed here. It "
            f"publishes, forgets somebody or cleans up below {path.parent} (`fuser {path}` tells its number): wait "
            "until it ends, or stop it, which frees the lock; then run the same command again."
        )
    with file:
        yield
