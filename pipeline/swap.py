"""Tables of the lake replaced by others, all of them or none, whoever is interrupted at whatever moment.

New tables are built in a folder of the lake that nobody reads. It is given the name `.rotated` once it is whole and on
the disk: from then on the swap can only be finished, which the next run does that needs the key. In the swap the old
tables are moved away before the first new one comes in, `native_ids` first and last: without it nobody can be ranked,
so a reader who comes in between finds too little, and never a mixture of old and new pseudonyms.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline import disk
from pipeline.errors import ShortlistError
from pipeline.lake import Lake

_BUILDING, _READY, _AWAY, _LOCK = ".rotating", ".rotated", ".before-rotation", ".rotation.lock"
_MADE_OF = "versions.json"
_GATE = "native_ids"


@contextmanager
def held(lake: Lake) -> Iterator[None]:
    """Nobody else builds or swaps meanwhile.

    Raises:
        ShortlistError: Somebody else does.
    """
    lock = disk.try_lock(lake.root / _LOCK)
    if lock is None:
        raise ShortlistError(f"{lake.root}: another rotation is under way here. Wait for it to end, or stop it.")
    with lock:
        yield


def pending(lake: Lake) -> bool:
    """Whether a swap was interrupted, or is under way."""
    return (lake.root / _READY).is_dir()


def finish(lake: Lake) -> None:
    """End a swap that was interrupted; waits for one that is under way."""
    if pending(lake):
        with (lake.root / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            swap(lake)


def building(lake: Lake) -> Lake:
    """An empty lake to build the new tables in; only its owner can enter. What an earlier attempt left is removed."""
    folder = lake.root / _BUILDING
    disk.remove(folder)
    disk.make_folder(folder)
    folder.chmod(0o700)
    return replace(lake, root=folder)


def commit(lake: Lake, made_of: Mapping[str, int]) -> None:
    """Declare the build whole: it is to replace the tables `made_of`, which have these versions."""
    folder = lake.root / _BUILDING
    disk.write(folder / _MADE_OF, lambda file: file.write(json.dumps(dict(made_of)).encode()))
    _sync(folder)
    disk.rename(folder, lake.root / _READY)
    disk.sync_folder(lake.root)


def withdraw(lake: Lake) -> None:
    """Throw away what `commit` declared whole, or what is left of it."""
    disk.remove(lake.root / _BUILDING)
    disk.rename(lake.root / _READY, lake.root / _BUILDING)
    disk.remove(lake.root / _BUILDING)


def swap(lake: Lake) -> None:
    """Put what is ready, if anything is, in the place of what it was made of. For who holds the lock.

    What was made of tables that have changed since is thrown away: it would take the change with it.
    """
    if not pending(lake):
        disk.remove(lake.root / _BUILDING)
        return
    made_of = json.loads((lake.root / _READY / _MADE_OF).read_text())
    if (lake.root / _AWAY).is_dir() or {name: lake.version(name) for name in made_of} == made_of:
        _move(lake, sorted(made_of, key=lambda name: name != _GATE))
        disk.remove(lake.root / _AWAY)
    withdraw(lake)


def _move(lake: Lake, names: list[str]) -> None:
    """Every old table out, then every new one in, then what says which key they have."""
    ready, away = (replace(lake, root=lake.root / folder) for folder in (_READY, _AWAY))
    disk.make_folder(away.vault)
    away.root.chmod(0o700)
    for name in names:
        if ready.path(name).is_dir() and lake.path(name).is_dir():
            _move_away(lake.path(name), away.path(name))
    _sync_names(lake, away)
    for name in reversed(names):
        if ready.path(name).is_dir():
            disk.rename(ready.path(name), lake.path(name))
    for file in ready.vault.glob("*"):
        disk.replace(file, lake.vault / file.name)
    _sync_names(lake, ready)


def _move_away(table: Path, away: Path) -> None:
    """What lies in the place of a table that is away already was begun by a run that found none there."""
    if away.is_dir():
        disk.remove(table)
    else:
        disk.rename(table, away)


def _sync_names(*lakes: Lake) -> None:
    for lake in lakes:
        disk.sync_folder(lake.vault)
        disk.sync_folder(lake.root)


def _sync(folder: Path) -> None:
    """Have every file and name below `folder` on the disk: what it replaces will be deleted."""
    for path, _, names in os.walk(folder):
        for name in names:
            with (Path(path) / name).open("rb") as file:
                os.fsync(file.fileno())
        disk.sync_folder(Path(path))
