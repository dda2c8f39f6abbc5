"""The file-system calls that publication relies on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline import disk
from pipeline.errors import ShortlistError


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of what was really synced, in order."""
    inodes: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        inodes.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return inodes


def test_what_is_written_is_synced(tmp_path: Path, synced: list[int]) -> None:
    """A written file and a synced folder have reached the disk, not only the cache, when the call returns."""
    disk.write(tmp_path / "file", lambda file: file.write(b"x"))
    disk.sync_folder(tmp_path)
    assert synced == [(tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A file that is there is never changed."""
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        disk.write(tmp_path / "file", lambda file: file.write(b"new"))
    assert (tmp_path / "file").read_bytes() == b"old"


def test_removing_a_link_spares_what_it_leads_to(tmp_path: Path) -> None:
    """Only the link goes; folders go whole; what is not there is no error."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    disk.link(Path("folder"), tmp_path / "link")
    disk.remove(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    disk.remove(tmp_path / "folder")
    disk.remove(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """While it is held nobody else gets it, however often they ask; afterwards the next one does."""
    lock = tmp_path / "lock"
    refused = pytest.raises(
        ShortlistError, match=r"another process has held this lock for 0\.1 s, .* below .* stop it, which frees"
    )
    with disk.locked(lock, 0.0):
        assert disk.try_lock(lock) is None
        with refused, disk.locked(lock, 0.1):
            pytest.fail("two hold one lock")
    with disk.locked(lock, 0.0):
        assert disk.try_lock(lock) is None
