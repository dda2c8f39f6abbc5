"""Loads, purges and erasures that die at one of their writes, as a killed process does: nothing is tidied up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from pipeline.day_files import DayFiles
from pipeline.lake import Lake
from tests.pipeline.faults import Calls, Crash

WRITES: tuple[tuple[type, str], ...] = (
    (Lake, "adopt"),
    (DayFiles, "add"),
    (Path, "rename"),
    (DeltaTable, "create_write_transaction"),
)
"""What a load, a purge and an erasure write with, each call a place to die at."""


def crashes_at(at: int, staging: Path, what: Callable[[], object]) -> bool:
    """Do it, dying at the write number `at`; whether it died. The dead do not tidy up."""
    made = Calls("crash", at)
    with _dying(made, staging):
        try:
            what()
        except Crash:
            return True
    return False


@contextmanager
def _dying(made: Calls, staging: Path) -> Iterator[None]:
    real = shutil.rmtree

    def rmtree(path: Any, *rest: Any, **options: Any) -> None:
        if not Path(path).is_relative_to(staging):
            real(path, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WRITES:
            patch.setattr(owner, name, made.wrap(name, getattr(owner, name)))
        patch.setattr(shutil, "rmtree", rmtree)
        yield
