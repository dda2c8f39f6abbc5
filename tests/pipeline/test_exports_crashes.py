"""Exports when a process dies, the disk is full or a file is damaged: whole for readers, and mended by the next run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deltalake import DeltaTable

from pipeline import exports, snapshot
from pipeline.errors import ShortlistError
from tests.pipeline.exported import (
    ALSO,
    Content,
    configured,
    content,
    files,
    in_order,
    is_whole,
    nothing_else,
    says,
    two_nights,
)
from tests.pipeline.faults import Calls, Crash, Fault, calls
from tests.pipeline.nights import publish
from tests.pipeline.small import House

house = two_nights


@contextmanager
def failing(fault: Fault = "none", at: int = -1) -> Iterator[Calls]:
    """Every file-system call and every commit to a Delta table goes through the yielded object."""
    with calls(fault, at) as made, pytest.MonkeyPatch.context() as patch:
        name = "create_write_transaction"
        patch.setattr(DeltaTable, name, made.wrap(name, getattr(DeltaTable, name)))
        yield made


def moments(names: list[str], form: str) -> list[int]:
    """The first and the second time that the run passes from one kind of call to another: tables are alike.

    Of Delta's tables, each of which is written by one and the same library, the first.
    """
    pairs, times = list(zip(["", *names], names, strict=False)), 1 if form == "delta" else 2
    return [at for at, pair in enumerate(pairs) if pairs[:at].count(pair) < times] + [len(names) - 1]


def requires_whole(house: House, form: str, old: Content, new: Content) -> None:
    """A text export is old or new as a whole; so is each Delta table, and all that the record names."""
    found = content(house, form)
    if form != "delta" or found is None:
        assert found in (old, new)
        return
    assert new is not None
    place = house.lake.exports / form
    recorded = {
        table: in_order(DeltaTable(place / table, version=one["version"]).to_pyarrow_table().to_pylist())
        for table, one in says(house, form)["tables"].items()
    }
    assert recorded in (old, new)
    for table, rows in found.items():
        assert rows in (new[table], (old or {}).get(table)), table


@pytest.fixture(name="due", params=["the first", "a later one"])
def _due(request: pytest.FixtureRequest, house: House) -> House:
    """A company with an export to be written; of an older snapshot there is one already, or none yet."""
    if request.param == "a later one":
        exports.update(configured(house, "csv", "delta"))
        publish(house.lake.rankings, night=2, variant=2)
    return house


@pytest.mark.parametrize("form", ["csv", "delta"])
@pytest.mark.parametrize("fault", ["crash", "torn"])
def test_a_crash_at_every_call(due: House, tmp_path: Path, form: str, fault: Fault) -> None:
    """Whichever call the process dies in, readers find whole exports, and the next run ends where one would have."""
    whole = House(Path(shutil.copytree(due.folder, tmp_path / "whole", symlinks=True)))
    with failing() as made:
        exports.update(configured(whole, form))
    names = [name for name, _ in made.made]
    assert set(names) >= {"write", "rename", "replace", "remove", "sync_folder"}
    old, new = content(due, form), content(whole, form)
    assert old != new
    for at in moments(names, form):
        if fault == "torn" and names[at] not in ("write", "remove"):
            continue
        again = House(Path(shutil.copytree(due.folder, tmp_path / "again", symlinks=True)))
        config = configured(again, form)
        with failing(fault, at), pytest.raises(Crash):
            exports.update(config)
        requires_whole(again, form, old, new)
        exports.update(config)
        assert content(again, form) == new, f"after dying in call {at}, {names[at]}"
        assert nothing_else(again, form)
        if form == "csv":
            assert {name: one for name, (one, _) in files(again).items()} == {
                name: one for name, (one, _) in files(whole).items()
            }
        shutil.rmtree(again.folder)


@pytest.mark.parametrize("form", ["csv", "delta"])
def test_a_crash_and_then_a_rollback(house: House, tmp_path: Path, form: str) -> None:
    """Nothing that a dead process had half written, or half removed, is taken for whole when its snapshot serves."""
    first, _ = snapshot.snapshots(house.lake.rankings)
    snapshot.rollback(house.lake.rankings, first)
    exports.update(configured(house, form))
    old = content(house, form)
    publish(house.lake.rankings, night=1, variant=1)
    whole = House(Path(shutil.copytree(house.folder, tmp_path / "whole", symlinks=True)))
    with failing() as made:
        exports.update(configured(whole, form))
    for at in [at for at, (name, _) in enumerate(made.made) if name in ("write", "remove")]:
        again = House(Path(shutil.copytree(house.folder, tmp_path / "again", symlinks=True)))
        config = configured(again, form)
        with failing("torn", at), pytest.raises(Crash):
            exports.update(config)
        snapshot.rollback(again.lake.rankings, first)
        exports.update(config)
        assert content(again, form) == old
        assert nothing_else(again, form)
        shutil.rmtree(again.folder)


@pytest.mark.parametrize("form", ["csv", "delta"])
def test_a_full_disk_at_every_call(due: House, tmp_path: Path, form: str) -> None:
    """The message says what serves, that it does so all the same, and what to do; nothing was un-published."""
    serves = snapshot.resolve(due.lake.rankings).name
    whole = House(Path(shutil.copytree(due.folder, tmp_path / "whole", symlinks=True)))
    with failing() as made:
        exports.update(configured(whole, form))
    old, new = content(due, form), content(whole, form)
    for at in moments([name for name, _ in made.made], form)[::2]:
        again = House(Path(shutil.copytree(due.folder, tmp_path / "again", symlinks=True)))
        config = configured(again, form)
        with failing("full", at), pytest.raises(ShortlistError, match="No space left on device") as failure:
            exports.update(config)
        said = str(failure.value)
        assert f"CURRENT names {serves}. It is published and stays so" in said
        assert "Free disk space" in said
        assert "run the same command again" in said
        assert snapshot.resolve(again.lake.rankings).name == serves
        requires_whole(again, form, old, new)
        exports.update(config)
        assert content(again, form) == new
        shutil.rmtree(again.folder)


def test_a_table_that_is_no_delta_table_is_named(house: House) -> None:
    """What serves is said, and what failed; with the folder deleted, as the message says, all is well again."""
    config = configured(house, *ALSO)
    exports.update(config)
    publish(house.lake.rankings, night=2, variant=2)
    for log in (house.lake.exports / "delta" / "people" / "_delta_log").iterdir():
        log.write_text("no log")
    serves = snapshot.resolve(house.lake.rankings).name
    with pytest.raises(ShortlistError, match=rf"exporting what serves as delta failed.*CURRENT names {serves}"):
        exports.update(config)
    assert is_whole(house, "csv")
    shutil.rmtree(house.lake.exports / "delta")
    assert exports.update(config) == ("delta",)
    assert is_whole(house, "delta")


def test_a_damaged_snapshot_is_not_exported(house: House) -> None:
    """Exports are as they were, and the message says which snapshot cannot be read."""
    config = configured(house, "csv")
    exports.update(config)
    before = files(house)
    publish(house.lake.rankings, night=2, variant=2)
    serves = snapshot.resolve(house.lake.rankings)
    (serves / "people" / "part-00000.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ShortlistError, match=rf"{serves.name} could not be compared.*shortlist verify"):
        exports.update(config)
    assert files(house) == before
