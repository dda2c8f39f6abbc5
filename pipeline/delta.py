"""Delta tables that stay open as long as nobody changes them: to open one is to replay its log, some 5 ms each time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

from deltalake import DeltaTable

_MOST = 32
"""Tables that stay open: a lake has some fifteen."""


class _Stamp(NamedTuple):
    """What tells the file of a commit from another one in its place."""

    inode: int
    changed_ns: int
    size: int


_open: dict[Path, tuple[DeltaTable, _Stamp]] = {}
_lock = threading.Lock()


def opened(path: Path) -> DeltaTable | None:
    """The newest version of the table in the folder `path`; None where there is none.

    A commit is a file of its own, numbered without a gap, and nobody writes over one. So a table is as it was while the
    file of its newest commit is the same and the next one is not there: two looks in place of a log.
    """
    if known := _open.get(path):
        table, stamp = known
        if stamp == _stamp(path, table.version()) and not _commit(path, table.version() + 1).exists():
            return table
    if not DeltaTable.is_deltatable(str(path)):
        return None
    return keep(path, DeltaTable(path))


def keep(path: Path, table: DeltaTable) -> DeltaTable:
    """Remember an open table as it is: one that was just opened, or that has just been committed to."""
    if stamp := _stamp(path, table.version()):  # a log that was cleaned up has checkpoints only
        with _lock:
            _open.pop(path, None)
            _open[path] = table, stamp  # the newest last
            while len(_open) > _MOST:
                del _open[next(iter(_open))]
    return table


def _commit(path: Path, version: int) -> Path:
    return path / "_delta_log" / f"{version:020}.json"


def _stamp(path: Path, version: int) -> _Stamp | None:
    try:
        found = _commit(path, version).stat()
    except FileNotFoundError:
        return None
    return _Stamp(found.st_ino, found.st_mtime_ns, found.st_size)
