"""Room for work in progress: many rows lie in a file that nobody sees, and memory has some of them at a time."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from models.mapped import let_go
from pipeline import scratch
from pipeline.errors import ShortlistError

SHAPE = (3_000, 700)
SIZE = 4 * SHAPE[0] * SHAPE[1]


@pytest.fixture(name="mapped")
def _mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """An array that is too large for memory."""
    monkeypatch.setattr(scratch, "IN_MEMORY", SIZE - 1)
    return scratch.floats(SHAPE, tmp_path / "scratch")


def in_memory(array: np.ndarray) -> int:
    """How many bytes of the mapping that an array lies in are in memory."""
    start = f"{array.__array_interface__['data'][0]:x}-"
    maps = Path("/proc/self/smaps").read_text()
    found = re.search(rf"^{start}.*?^Rss: +([0-9]+) kB", maps, re.MULTILINE | re.DOTALL)
    assert found is not None
    return 1024 * int(found[1])


def test_a_large_array_lies_in_a_file_without_a_name(mapped: np.ndarray, tmp_path: Path) -> None:
    """It can be written and read; nothing is found on disk, where a killed process would leave it."""
    mapped[:] = np.arange(SHAPE[1])
    assert (mapped.shape, mapped.dtype, mapped.sum(dtype=float)) == (SHAPE, np.float32, 3_000 * 699 * 700 / 2)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_is_let_go_of_is_read_again(mapped: np.ndarray) -> None:
    """Also by a part of it; what lies in memory anyway is left alone."""
    mapped[:] = 7
    assert in_memory(mapped) == SIZE // 4096 * 4096 + 4096 * bool(SIZE % 4096)
    let_go(mapped[10:20, 3])
    assert in_memory(mapped) == 0
    assert (mapped == 7).all()
    small = np.ones(3)
    let_go(small[1:])
    assert small.tolist() == [1, 1, 1]


def test_a_small_array_and_one_without_a_folder_lie_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is made for them."""
    assert scratch.floats(SHAPE, tmp_path / "none").base is None
    monkeypatch.setattr(scratch, "IN_MEMORY", 0)
    assert scratch.floats(SHAPE, None).base is None
    assert not (tmp_path / "none").exists()


def test_a_disk_that_is_full_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write into a file that the disk has no room for would end the process."""

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(scratch, "IN_MEMORY", 0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ShortlistError, match=r"no room for 0\.0 GB .*No space left.*training\.max_rows"):
        scratch.floats(SHAPE, tmp_path)
