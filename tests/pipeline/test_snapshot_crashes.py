"""Crashes at every moment: a reader always finds exactly one whole snapshot, and the next run simply goes on."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline import disk, manifest, snapshot
from pipeline.errors import ShortlistError
from pipeline.snapshot import Committed
from tests.examples import examples
from tests.pipeline.faults import Calls, Crash, Fault, calls, leftovers
from tests.pipeline.nights import as_of, facts, is_whole, publish, ranked

FAULTS: tuple[Fault, ...] = ("crash", "torn", "full")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which night 0 serves; copy it, do not change it."""
    root = tmp_path_factory.mktemp("published") / "rankings"
    publish(root, night=0)
    return root


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    """A folder of the test's own in which night 0 serves."""
    return Path(shutil.copytree(published, tmp_path / "rankings", symlinks=True))


def trace(root: Path) -> Calls:
    """The calls of one whole publication."""
    with calls() as made:
        publish(root, night=1)
    return made


def copies(published: Path, folder: Path, numbers: Iterable[int]) -> Iterator[tuple[int, Path]]:
    """For each number a fresh copy of what was published."""
    for number in numbers:
        yield number, Path(shutil.copytree(published, folder / str(number), symlinks=True))


@pytest.mark.parametrize("fault", ["crash", "torn"])
def test_a_crash_at_every_call(published: Path, root: Path, tmp_path: Path, fault: Fault) -> None:
    """Whichever call the process dies in, CURRENT names a whole snapshot, and the next run publishes and tidies up."""
    names = [name for name, _ in trace(root).made]
    moments = [at for at, name in enumerate(names) if fault == "crash" or name == "write"]
    assert len(names) > 20
    for at, place in copies(published, tmp_path, moments):
        with calls(fault, at) as made, pytest.raises(Crash):
            publish(place, night=1)
        assert len(made.made) == at + 1, "something cleaned up after the process had died"
        assert all(is_whole(place / "snapshots" / name) for name in snapshot.snapshots(place))
        assert snapshot.resolve(place).name in snapshot.snapshots(place)
        assert publish(place, night=1).current
        assert leftovers(place) == []
        assert (place / "current").resolve() == snapshot.resolve(place).resolve()
        assert manifest.load(snapshot.resolve(place))["night"] == 1


def test_a_full_disk_at_every_call(published: Path, root: Path, tmp_path: Path) -> None:
    """Out of space at any call: one message that says what serves, nothing staged stays, CURRENT names a whole one."""
    names = [name for name, _ in trace(root).made]
    for at, place in copies(published, tmp_path, range(len(names))):
        old = snapshot.resolve(place)
        with calls("full", at), pytest.raises(ShortlistError, match="No space left on device") as failure:
            publish(place, night=1)
        now = snapshot.resolve(place)
        assert f"CURRENT names {now.name}. Free disk space" in str(failure.value)
        assert (now != old) == ("replace" in names[:at]), "CURRENT moves by the one replace and nothing else"
        assert all(is_whole(place / "snapshots" / name) for name in snapshot.snapshots(place))
        assert set(leftovers(place)) <= {".CURRENT.new", ".current.new"}


@pytest.mark.parametrize("fault", ["crash", "torn"])
def test_a_crash_while_removing_old_snapshots(root: Path, tmp_path: Path, fault: Fault) -> None:
    """No reader ever finds a snapshot of which some files have gone: it is there whole, or not at all."""
    publish(root, night=1)
    for at, place in copies(root, tmp_path / "copies", range(3)):
        with calls(fault, at), pytest.raises(Crash):
            snapshot.collect_garbage(place, keep=1)
        assert all(is_whole(place / "snapshots" / name) for name in snapshot.snapshots(place))
        snapshot.collect_garbage(place, keep=1)
        snapshot.heal(place)
        assert len(snapshot.snapshots(place)) == 1
        assert leftovers(place) == []


def test_no_permission(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not ours to write is one clear message; what serves goes on serving."""

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(disk, "write", refuse)
    with pytest.raises(ShortlistError, match=r"Permission denied.*CURRENT names .*Give this user write permission"):
        publish(root, night=1)
    assert leftovers(root) == []


def test_every_name_is_on_disk_before_what_leads_to_it(root: Path) -> None:
    """Files, their folders, the snapshot's name, then CURRENT: the order that a power cut cannot break."""
    unsynced: set[Path] = set()
    steps = []
    for name, (path, *others) in trace(root).made:
        if name == "rename":
            assert not [folder for folder in unsynced if folder.is_relative_to(path)]
            unsynced |= {path.parent, others[0].parent}
        if name in ("write", "make_folder", "link"):
            assert path.name != ".CURRENT.new" or not unsynced, "CURRENT is touched before the snapshot is safe"
            unsynced.add((others[0] if name == "link" else path).parent)
        if name == "replace":
            unsynced.add(path.parent)
        if name == "sync_folder":
            unsynced.discard(path)
        steps.append(name)
    assert not unsynced
    assert [name for name in steps if name in ("rename", "replace")] == ["rename", "replace", "replace"]


def test_two_publishers_at_once(root: Path) -> None:
    """Publications that overlap all succeed, and the latest night serves whoever finished last."""
    nights = [(night, variant) for night in (1, 2) for variant in (0, 1)]
    with ThreadPoolExecutor(max_workers=3) as pool:
        done = list(pool.map(lambda one: publish(root, *one), nights))
    assert all(one.created for one in done)
    assert len(snapshot.snapshots(root)) == 5
    assert manifest.load(snapshot.resolve(root))["night"] == 2
    assert all(is_whole(root / "snapshots" / name) for name in snapshot.snapshots(root))
    assert leftovers(root) == []


PUBLISHER = """
import sys
from pathlib import Path
from tests.pipeline.nights import publish
for variant in range(int(sys.argv[2]), 1_000_000):
    print(publish(Path(sys.argv[1]), 0, variant).name, flush=True)
"""


class Reader(threading.Thread):
    """Reads what CURRENT names, again and again, and remembers every variant that it saw and every torn read."""

    def __init__(self, root: Path) -> None:
        """For the snapshots under `root`."""
        super().__init__()
        self.root, self.stop = root, threading.Event()
        self.seen: list[int] = []
        self.torn: list[str] = []

    def run(self) -> None:
        """Read until told to stop."""
        while not self.stop.is_set():
            path = snapshot.resolve(self.root)
            self.seen.append(manifest.load(path)["variant"])
            if not is_whole(path):
                self.torn.append(path.name)


def test_killed_publishers_and_a_reader(root: Path) -> None:
    """However often the publisher is killed, a reader sees whole snapshots only, and none older than before."""
    moments = Random(7)
    reader = Reader(root)
    reader.start()
    try:
        for life in range(3):
            command = [sys.executable, "-c", PUBLISHER, str(root), str(1 + 1000 * life)]
            with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stdout.readline().startswith(b"2026-11-01T")
                time.sleep(moments.uniform(0.0, 0.25))
                process.send_signal(signal.SIGKILL)
            assert process.returncode == -signal.SIGKILL
            snapshot.heal(root)
            assert leftovers(root) == []
    finally:
        reader.stop.set()
        reader.join()
    assert reader.torn == []
    assert reader.seen == sorted(reader.seen)
    assert len(set(reader.seen)) > 1
    assert manifest.load(snapshot.resolve(root))["variant"] > 2000
    assert all(snapshot.verify(root / "snapshots" / name) == [] for name in snapshot.snapshots(root))


@cache
def name_of(night: int, variant: int) -> str:
    """The name that this content has wherever it is published."""
    with tempfile.TemporaryDirectory() as folder:
        content = facts(night=night, variant=variant)
        staged = snapshot.stage(Path(folder) / "rankings", ranked(night, variant), content, as_of(night))
        snapshot.discard(staged)
        return staged.name


def test_the_link_leads_somewhere_after_a_dead_rollback_and_housekeeping(tmp_path: Path) -> None:
    """Found among ten thousand interleavings: CURRENT swung, the link did not, and where it led was removed."""
    old, new = (publish(tmp_path / "rankings", night, 0).name for night in range(2))
    link = tmp_path / "rankings" / "current"
    snapshot.rollback(tmp_path / "rankings", old)
    (tmp_path / "rankings" / "CURRENT").write_text(f"{new}\n")
    assert snapshot.collect_garbage(tmp_path / "rankings", 1) == (old,)
    assert link.resolve().name == new


class Publications(RuleBasedStateMachine):
    """Any interleaving of publications, rollbacks, crashes, full disks, healing and garbage collection.

    Against a dictionary; the night that serves goes back only where a rollback, or a forced publication, asks for it.
    """

    def __init__(self) -> None:
        """Nothing has been published yet."""
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "rankings"
        self.nights: dict[str, int] = {}
        self.current: str | None = None
        self.latest, self.asked_back = -1, False

    def teardown(self) -> None:
        """Remove what the machine wrote."""
        self.folder.cleanup()

    def serves_after(self, name: str, night: int, force: bool) -> str:
        """What CURRENT must name once this night is published."""
        goes_back = self.current is not None and as_of(night) < as_of(self.night_of_current)
        return self.current if goes_back and not force and self.current else name

    @property
    def night_of_current(self) -> int:
        """The night that serves, by the model."""
        return self.nights[self.current] if self.current else -1

    @rule(night=st.integers(0, 2), variant=st.integers(0, 1), force=st.booleans())
    def publish(self, night: int, variant: int, force: bool) -> None:
        """Publishing succeeds, and CURRENT moves as it must."""
        name = name_of(night, variant)
        expected = self.serves_after(name, night, force)
        done = publish(self.root, night, variant, force=force)
        self.asked_back = force
        assert done == Committed(name, created=name not in self.nights, current=expected == name)
        self.nights[name], self.current = night, expected
        assert leftovers(self.root) == []

    @rule(night=st.integers(0, 2), variant=st.integers(0, 1), fault=st.sampled_from(FAULTS), at=st.integers(0, 32))
    def fail(self, night: int, variant: int, fault: Fault, at: int) -> None:
        """A publication that dies leaves all that there was, at most its own snapshot more, and CURRENT old or new."""
        name = name_of(night, variant)
        allowed = {self.current, self.serves_after(name, night, force=False)}
        with calls(fault, at), suppress(Crash, ShortlistError):
            publish(self.root, night, variant)
        found = set(snapshot.snapshots(self.root))
        assert set(self.nights) <= found <= {*self.nights, name}
        self.nights |= dict.fromkeys(found - set(self.nights), night)
        self.current = snapshot.resolve(self.root).name if (self.root / "CURRENT").exists() else None
        assert self.current in allowed

    @precondition(lambda self: self.nights)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        """Any snapshot that is there can serve again, an older one or a newer one; what served is told."""
        name = data.draw(st.sampled_from(sorted(self.nights)))
        assert snapshot.rollback(self.root, name) == self.current
        self.current, self.asked_back = name, True

    @precondition(lambda self: self.nights)
    @rule(data=st.data(), fault=st.sampled_from(FAULTS), at=st.integers(0, 7))
    def fail_to_roll_back(self, data: st.DataObject, fault: Fault, at: int) -> None:
        """A rollback that dies leaves CURRENT old or new, and no snapshot comes or goes."""
        name = data.draw(st.sampled_from(sorted(self.nights)))
        allowed = {self.current, name}
        with calls(fault, at), suppress(Crash, ShortlistError):
            snapshot.rollback(self.root, name)
        self.current = snapshot.resolve(self.root).name if (self.root / "CURRENT").exists() else None
        self.asked_back = True
        assert self.current in allowed

    @precondition(lambda self: self.nights)
    @rule(data=st.data())
    def roll_back_to_a_damaged_one(self, data: st.DataObject) -> None:
        """A snapshot that is not as it was published cannot serve; mended, it is as good as ever."""
        name = data.draw(st.sampled_from(sorted(self.nights)))
        file = self.root / "snapshots" / name / "default" / "part-00000.parquet"
        whole = file.read_bytes()
        file.write_bytes(whole[:-5] + b"?" + whole[-4:])
        with pytest.raises(ShortlistError, match=r"default/part-00000\.parquet"):
            snapshot.rollback(self.root, name)
        file.write_bytes(whole)

    @rule()
    def verify(self) -> None:
        """Nothing is wrong with any snapshot, whatever happened to the others."""
        assert [snapshot.verify(self.root / "snapshots" / name) for name in sorted(self.nights)] == [[]] * len(
            self.nights
        )

    @precondition(lambda self: self.root.exists())
    @rule(keep=st.integers(1, 3), data=st.data(), by_age=st.booleans())
    def collect_garbage(self, keep: int, data: st.DataObject, by_age: bool) -> None:
        """The latest and the current snapshot stay and, where age is asked for, those that were published since."""
        young = {name for name in sorted(self.nights) if by_age and data.draw(st.booleans(), name)}
        for name in self.nights:
            moment = as_of(1 if name in young else -1).timestamp()
            os.utime(self.root / "snapshots" / name, (moment, moment))
        kept = {*sorted(self.nights)[-keep:], *young, self.current}
        removed = snapshot.collect_garbage(self.root, keep, as_of(0) if by_age else None)
        assert set(removed) == set(self.nights) - kept
        self.nights = {name: night for name, night in self.nights.items() if name in kept}

    @precondition(lambda self: self.root.exists())
    @rule()
    def heal(self) -> None:
        """No litter is left."""
        snapshot.heal(self.root)
        assert leftovers(self.root) == []

    @invariant()
    def what_serves_is_one_whole_snapshot(self) -> None:
        """CURRENT names what the model says, every byte of it right; the link leads to a whole snapshot too."""
        if self.current is None:
            assert not (self.root / "CURRENT").exists()
            return
        path = snapshot.resolve(self.root)
        assert path.name == self.current
        assert is_whole(path)
        if (self.root / "current").is_symlink():
            assert is_whole((self.root / "current").resolve())

    @invariant()
    def nothing_goes_back_unasked(self) -> None:
        """The night that readers find is never an older one, unless the last step asked for it."""
        night = manifest.load(snapshot.resolve(self.root))["night"] if self.current else -1
        assert night >= self.latest or self.asked_back
        self.latest, self.asked_back = night, False

    @invariant()
    def what_was_published_stays(self) -> None:
        """No snapshot comes or goes by itself."""
        assert set(snapshot.snapshots(self.root)) == set(self.nights)


# Each of 18 steps; 600 of them are the ten thousand interleavings of docs/benchmarks.md.
Publications.TestCase.settings = settings(
    max_examples=examples(6), stateful_step_count=18, deadline=None, suppress_health_check=list(HealthCheck)
)
TestPublications = Publications.TestCase
