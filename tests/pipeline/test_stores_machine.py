"""Any interleaving of publications, rollbacks, erasures and housekeeping, with a store that may go away at any call."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from obstore.store import MemoryStore

from pipeline import manifest, snapshot, stores
from pipeline.errors import ShortlistError
from pipeline.object_store import Folder
from tests.examples import examples
from tests.pipeline.nights import publish
from tests.pipeline.small import House, table_source

NIGHTS, VARIANTS = 3, 2
CALLS = ("list", "read", "put", "put_if", "delete")
Command = Callable[..., Any]


class Mortal(Folder):
    """A store in memory that keeps conditions; from one call on it is away, that call done or not."""

    left: int | None = None
    done: bool = False

    def __getattribute__(self, name: str) -> Any:
        """A call, while there are any left."""
        found = super().__getattribute__(name)
        if name not in CALLS:
            return found

        def call(*arguments: Any) -> Any:
            kind = type(self)
            if kind.left is not None:
                kind.left -= 1
                if kind.left == 0 and kind.done:
                    found(*arguments)
                if kind.left <= 0:
                    raise ShortlistError("the store is away")
            return found(*arguments)

        return call


def may_fail(left: int | None) -> AbstractContextManager[None]:
    """A command may, where the store may go away; else it must not."""
    return nullcontext() if left is None else suppress(ShortlistError)


@cache
def published() -> tuple[tempfile.TemporaryDirectory[str], list[str]]:
    """Every night in every variant, to be copied from; in order of instants."""
    folder = tempfile.TemporaryDirectory()
    nights = [(night, variant) for night in range(NIGHTS) for variant in range(VARIANTS)]
    return folder, [publish(Path(folder.name), *one).name for one in nights]


def original(name: str) -> Path:
    """The snapshot as it was published."""
    return Path(published()[0].name) / "snapshots" / name


class Followers(RuleBasedStateMachine):
    """One published folder and one store."""

    def __init__(self) -> None:
        """Nothing has been published yet."""
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.config = House(Path(self.folder.name)).configure(
            table_source("web", "events") + '[publish]\nstores = ["s3://bucket"]\n'
        )
        self.root = House(Path(self.folder.name)).lake.rankings
        self.store = Mortal("s3://bucket/rankings", MemoryStore())
        self.served = ""
        self.may_go_back = False

    def teardown(self) -> None:
        """Remove what the machine wrote."""
        self.folder.cleanup()

    @property
    def serves_here(self) -> str:
        """What CURRENT names here."""
        return snapshot.resolve(self.root).name

    def at_the_store(self, command: Command, *, left: int | None = None, done: bool = False, **how: Any) -> Any:
        """The command; with `left`, the store is away after so many calls."""
        Mortal.left, Mortal.done = left, done
        try:
            with patch.object(stores, "folder_at", lambda _: self.store):
                return command(self.config, **how)
        finally:
            Mortal.left = None

    def put_here(self, name: str) -> None:
        """As a publication leaves it."""
        if not (self.root / "snapshots" / name).exists():
            shutil.copytree(original(name), self.root / "snapshots" / name)

    @rule(which=st.integers(0, NIGHTS * VARIANTS - 1), left=st.none() | st.integers(1, 16), done=st.booleans())
    def publish(self, which: int, left: int | None, done: bool) -> None:
        """A night comes here; the store follows, or goes away at some call."""
        name = published()[1][which]
        first = not snapshot.snapshots(self.root)
        self.put_here(name)
        if first or manifest.instant(self.serves_here) <= manifest.instant(name):
            snapshot.rollback(self.root, name)
        with may_fail(left):
            self.at_the_store(stores.follow, left=left, done=done)

    @precondition(lambda self: snapshot.snapshots(self.root))
    @rule(data=st.data(), left=st.none() | st.integers(1, 12), done=st.booleans())
    def roll_back(self, data: st.DataObject, left: int | None, done: bool) -> None:
        """An older one shall serve, or a newer one."""
        name = data.draw(st.sampled_from(snapshot.snapshots(self.root)))
        snapshot.rollback(self.root, name)
        self.may_go_back = True
        with may_fail(left):
            self.at_the_store(stores.follow, left=left, done=done, back=True)
            assert stores.pointer(self.store) == name

    @precondition(lambda self: snapshot.snapshots(self.root))
    @rule(left=st.none() | st.integers(1, 16), done=st.booleans())
    def housekeep(self, left: int | None, done: bool) -> None:
        """Only the latest, and what serves, is kept."""
        snapshot.collect_garbage(self.root, keep=1)
        with may_fail(left):
            self.at_the_store(stores.tidy, left=left, done=done)
            assert self.there() <= {*snapshot.snapshots(self.root), stores.pointer(self.store)}

    @precondition(lambda self: snapshot.snapshots(self.root))
    @rule(data=st.data(), left=st.none() | st.integers(1, 16), done=st.booleans())
    def forget(self, data: st.DataObject, left: int | None, done: bool) -> None:
        """A snapshot gives way to the other one of its night; whenever that succeeds, it has gone there too."""
        names = published()[1]
        old = data.draw(st.sampled_from(snapshot.snapshots(self.root)))
        new = names[names.index(old) ^ 1]
        self.put_here(new)
        if self.serves_here == old:
            snapshot.rollback(self.root, new)
        shutil.rmtree(self.root / "snapshots" / old)
        self.may_go_back = True
        with may_fail(left):
            self.at_the_store(stores.forget, left=left, done=done)
            assert self.there() == set(snapshot.snapshots(self.root))

    @precondition(lambda self: snapshot.snapshots(self.root))
    @rule()
    def heal(self) -> None:
        """Whatever was interrupted: `forget` with a store that stays brings it to what is here."""
        self.may_go_back = True
        (done,) = self.at_the_store(stores.forget)
        assert self.there() == set(snapshot.snapshots(self.root))
        assert done.current == stores.pointer(self.store)
        assert manifest.instant(str(done.current)) >= manifest.instant(self.serves_here)
        assert all(self.is_whole(name) for name in snapshot.snapshots(self.root))
        assert not [path for path in self.store.list() if path.startswith(".probe-")]

    def there(self) -> set[str]:
        """The snapshots in the store, parts of them included."""
        return set(stores.names_in(self.store.list()))

    def is_whole(self, name: str) -> bool:
        """Whether the store has every file of it, byte for byte."""
        folder = original(name)
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        return all(self.store.read(f"snapshots/{name}/{key}").data == path.read_bytes() for key, path in files.items())

    @invariant()
    def readers_find_one_whole_snapshot(self) -> None:
        """Whatever happened; and none older than before, unless somebody asked for it."""
        now = stores.pointer(self.store) or ""
        assert not now or self.is_whole(now)
        assert self.may_go_back or now[:18] >= self.served[:18]
        self.served, self.may_go_back = now, False


TestFollowers = Followers.TestCase
TestFollowers.settings = settings(
    max_examples=examples(20), stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
