"""Going back: an older snapshot serves again, whole, until the next publication; and what that means for objections."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import rollback, snapshot
from pipeline.errors import ShortlistError
from tests.pipeline.faults import Crash, calls, leftovers
from tests.pipeline.nights import as_of, changed, facts, is_whole, publish, ranked
from tests.pipeline.small import House
from tests.pipeline.website import DAY, load

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
WISHES = '[[sources]]\nname = "wishes"\nformat = "table"\ntable = "signals"\npath = "exports/wishes.csv"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Nights 0 and 1, of which night 1 serves."""
    root = tmp_path / "rankings"
    publish(root, night=0)
    publish(root, night=1)
    return root


def test_an_older_snapshot_serves_again(root: Path) -> None:
    """CURRENT and the link name it, every byte as it was; what served before is told and stays."""
    old, new = snapshot.snapshots(root)
    assert snapshot.rollback(root, old) == new
    assert snapshot.resolve(root).name == old
    assert (root / "current").readlink() == Path(f"snapshots/{old}")
    assert [is_whole(root / "snapshots" / name) for name in (old, new)] == [True, True]
    assert snapshot.rollback(root, new) == old
    assert leftovers(root) == []


def test_the_next_publication_goes_forward_again(root: Path) -> None:
    """The next night serves as soon as it is published, and so does the same night published again."""
    old, new = snapshot.snapshots(root)
    snapshot.rollback(root, old)
    assert publish(root, night=1).current
    assert snapshot.resolve(root).name == new
    snapshot.rollback(root, old)
    assert publish(root, night=2).current


def test_garbage_collection_keeps_what_serves(root: Path) -> None:
    """However old it is; what was published since and is not among the latest goes."""
    old, between = snapshot.snapshots(root)
    publish(root, night=2)
    snapshot.rollback(root, old)
    assert snapshot.collect_garbage(root, keep=1) == (between,)
    assert is_whole(snapshot.resolve(root))


def test_a_damaged_snapshot_cannot_serve(root: Path) -> None:
    """The message names the file and what serves; nothing was changed."""
    old, new = snapshot.snapshots(root)
    (root / "snapshots" / old / "people" / "part-00000.parquet").unlink()
    with pytest.raises(ShortlistError, match=rf"people/part-00000\.parquet: missing.* CURRENT names {new}\."):
        snapshot.rollback(root, old)
    assert snapshot.resolve(root).name == new


@pytest.mark.parametrize("name", ["2026-10-01T000000Z-00000000", "../rankings", ""])
def test_what_is_not_there_cannot_serve(root: Path, name: str) -> None:
    """Neither a snapshot that was removed nor a folder that is none."""
    now = snapshot.resolve(root)
    with pytest.raises(ShortlistError, match=r"cannot serve: .*manifest\.json"):
        snapshot.rollback(root, name)
    assert snapshot.resolve(root) == now


def test_a_crash_at_every_call_of_a_rollback(root: Path, tmp_path: Path) -> None:
    """Whichever call dies, CURRENT names a whole snapshot, and the same command goes on from there."""
    old, new = snapshot.snapshots(root)
    trace = Path(shutil.copytree(root, tmp_path / "trace", symlinks=True))
    with calls() as made:
        snapshot.rollback(trace, old)
    swung = [name for name, _ in made.made].index("replace")
    for at in range(len(made.made)):
        place = Path(shutil.copytree(root, tmp_path / str(at), symlinks=True))
        with calls("crash", at), pytest.raises(Crash):
            snapshot.rollback(place, old)
        assert snapshot.resolve(place).name == (old if at > swung else new)
        snapshot.rollback(place, old)
        assert snapshot.resolve(place).name == old
        snapshot.heal(place)
        assert leftovers(place) == []
        assert (place / "current").readlink().name == old


def test_people_who_object_by_now_are_counted(tmp_path: Path) -> None:
    """Two of three who have lists in the old snapshot objected since, one as a customer and one as a visitor."""
    house = House(tmp_path)
    config = house.configure(WISHES)
    rows = [("customer_id", "p000", "no"), ("visitor_id", "p002", "no"), ("customer_id", "p001", "yes")]
    blank = {"ts": f"{DAY}T10:00:00Z", "visitor_id": "", "customer_id": "", "email": "", "reason": "consent"}
    house.write_csv(
        "exports/wishes.csv", [{**blank, kind: person, "personalization": said} for kind, person, said in rows]
    )
    load(config, "wishes", None)
    root = house.lake.rankings
    old, new = publish(root, night=0).name, publish(root, night=1).name
    report = rollback.run(NOW, config, old)
    assert (report.before, report.now, report.objecting) == (new, old, 2)
    without = changed(ranked(night=2), "people", "person_id", dict.fromkeys(range(12), "p001"))
    tables = snapshot.Ranked(without.people.slice(0, 4), without.segments, without.default)
    clean = snapshot.commit(root, snapshot.stage(root, tables, facts(), as_of(2))).name
    assert rollback.run(NOW, config, clean).objecting == 0
