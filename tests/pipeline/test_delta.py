"""Tables that stay open are as new as the log: whoever else commits, removes or replaces them in between."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline import delta


def committed(path: Path, *values: int, mode: str = "append") -> None:
    """A commit by somebody else."""
    write_deltalake(path, pa.table({"x": pa.array(values, pa.int64())}), mode=mode)  # type: ignore[call-overload]


def values(path: Path) -> list[int]:
    """What an opened table holds, sorted."""
    table = delta.opened(path)
    assert table is not None
    return sorted(table.to_pyarrow_table()["x"].to_pylist())


def test_a_table_stays_open_until_somebody_commits(tmp_path: Path) -> None:
    """The same object, and after a commit of somebody else's the newest version."""
    assert delta.opened(tmp_path) is None
    committed(tmp_path, 1)
    first = delta.opened(tmp_path)
    assert delta.opened(tmp_path) is first
    committed(tmp_path, 2)
    assert values(tmp_path) == [1, 2]
    assert delta.opened(tmp_path) is not first


def test_another_table_in_its_place_is_another_table(tmp_path: Path) -> None:
    """As when a lake is deleted and loaded again: the version is the same, the table is not."""
    here, there = tmp_path / "here", tmp_path / "there"
    committed(here, 1)
    committed(there, 2)
    assert values(here) == [1]
    shutil.rmtree(here)
    assert delta.opened(here) is None
    there.rename(here)
    assert values(here) == [2]


def test_a_log_without_commits_is_read_again(tmp_path: Path) -> None:
    """Where an erasure left only a checkpoint, nothing tells that the table is as it was."""
    committed(tmp_path, 1)
    table = DeltaTable(tmp_path)
    table.create_checkpoint()
    (tmp_path / "_delta_log" / f"{0:020}.json").unlink()
    assert values(tmp_path) == [1]
    assert delta.opened(tmp_path) is not delta.opened(tmp_path)


def test_what_one_commits_oneself_stays_open(tmp_path: Path) -> None:
    """`keep` says that the table has moved on with our own commit."""
    committed(tmp_path, 1)
    table = delta.opened(tmp_path)
    assert table is not None
    table.delete()
    delta.keep(tmp_path, table)
    assert delta.opened(tmp_path) is table
    assert values(tmp_path) == []


def test_only_so_many_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were opened last."""
    monkeypatch.setattr(delta, "_MOST", 2)
    paths = [tmp_path / f"{n}" for n in range(3)]
    for path in paths:
        committed(path, 1)
    opened = [delta.opened(path) for path in paths]
    assert [delta.opened(path) is one for path, one in reversed(list(zip(paths, opened, strict=True)))] == [
        True,
        True,
        False,
    ]
