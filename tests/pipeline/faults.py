"""Crashes, half-done writes and removals, and full disks at a chosen file-system call of a publication."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import pytest

from pipeline import disk

CALLS = ("write", "make_folder", "sync_file", "sync_folder", "rename", "replace", "link", "remove")

Fault = Literal["none", "crash", "torn", "full"]


class Crash(BaseException):
    """The process is gone: nothing may clean up after it."""


class Calls:
    """The calls that were made, in order, with their arguments; the one at index `at` meets the fault."""

    def __init__(self, fault: Fault = "none", at: int = -1) -> None:
        """No fault unless an index is given."""
        self.fault, self.at = fault, at
        self.made: list[tuple[str, tuple[Any, ...]]] = []

    def wrap(self, name: str, real: Callable[..., None]) -> Callable[..., None]:
        """`real`, counted, and failing when its turn has come."""

        def call(*arguments: Any, **named: Any) -> None:
            self.made.append((name, arguments))
            if len(self.made) - 1 == self.at:
                self._fail(name, real, arguments)
            real(*arguments, **named)

        return call

    def _fail(self, name: str, real: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self.fault == "torn" and name == "write":
            path, fill = arguments
            real(path, _half(fill))
        if self.fault == "torn" and name == "remove" and (file := _file_in(arguments[0])):
            file.unlink()
        if self.fault in ("crash", "torn"):
            raise Crash
        if self.fault == "full":
            raise OSError(errno.ENOSPC, "No space left on device", str(arguments[0]))


def _file_in(folder: Path) -> Path | None:
    """A file that goes with a folder; none where a link goes, or whoever made the folder died before there was any."""
    return None if folder.is_symlink() else next((path for path in folder.rglob("*") if path.is_file()), None)


def _half(fill: Callable[[IO[bytes]], object]) -> Callable[[IO[bytes]], object]:
    whole = io.BytesIO()
    fill(whole)
    return lambda file: file.write(whole.getvalue()[: len(whole.getvalue()) // 2])


@contextmanager
def calls(fault: Fault = "none", at: int = -1) -> Iterator[Calls]:
    """Every file-system call of `pipeline.disk` goes through the yielded object."""
    made = Calls(fault, at)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(disk, name, made.wrap(name, getattr(disk, name)))
        yield made


def leftovers(root: Path) -> list[str]:
    """What lies under `root` beside what readers may see and the lock."""
    return sorted({path.name for path in root.iterdir()} - {"snapshots", "CURRENT", "current", ".lock"})
