"""Object stores follow the published folder: the same snapshots, the same CURRENT, each of them swung by one put.

    s3://bucket/folder/rankings/snapshots/<as_of>-<id>/   the files of the folder here; manifest.json is put last
                                CURRENT                   one line, put only if nobody has put another meanwhile

What is published here is the truth, and a store is brought to it by looking at what it has. So whoever is interrupted,
at any request, does the same again and comes to the same end. A snapshot is whole before CURRENT names it, and CURRENT
names another one before a snapshot goes. All that is done to stores for one folder is done one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pipeline import disk, manifest, snapshot
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.object_store import PROBE, Folder
from pipeline.pointer import FILE as POINTER

SNAPSHOTS = "snapshots"
PATIENCE_SECONDS = 3600.0
"""How long one command waits for another's uploads."""

OnFile: TypeAlias = Callable[[str, int, int], None]
"""Told of which snapshot, in which store, how many of how many files have been sent."""

_RANKINGS = "rankings"
_LOCK = ".stores.lock"
_TRIES = 5


@dataclass(frozen=True)
class Followed:
    """One store, after it followed: what serves there, how many files were sent, which snapshots were removed.

    `keeps_versions`: the bucket keeps what is deleted or replaced, as versions, until its own rules remove them; None:
    the store does not say whether it does.
    """

    url: str
    current: str | None
    sent: int
    removed: tuple[str, ...]
    keeps_versions: bool | None


def folder_at(url: str) -> Folder:
    """Where the rankings are in one of `publish.stores`."""
    return Folder.at(f"{url}/{_RANKINGS}")


def follow(config: Config, *, back: bool = False, on_file: OnFile | None = None) -> tuple[Followed, ...]:
    """Send every store what it lacks, and let CURRENT there name what serves here.

    CURRENT goes to an earlier instant only where `back` asks for it.

    Raises:
        ShortlistError: A store could not follow; the others did, and readers of it see one whole snapshot.
    """

    def errand(visit: _Visit) -> tuple[str, ...]:
        visit.serve(back=back)
        visit.send_all()
        return ()

    return _at_each(config, errand, on_file)


def tidy(config: Config) -> tuple[Followed, ...]:
    """As `follow`; and what is not here any more goes there, except what CURRENT names there.

    Raises:
        ShortlistError: As `follow` does.
    """

    def errand(visit: _Visit) -> tuple[str, ...]:
        visit.serve(back=False)
        removed = visit.sweep()
        visit.send_all()
        return removed

    return _at_each(config, errand, None)


def forget(config: Config) -> tuple[Followed, ...]:
    """As `tidy`; and the store is listed again, to prove that it has no snapshot but those here.

    A snapshot that is not here cannot serve there either, whatever its instant: nobody could say who is in it.

    Raises:
        ShortlistError: As `follow` does, or something is still there.
    """

    def errand(visit: _Visit) -> tuple[str, ...]:
        visit.serve(back=visit.serves_what_is_not_here())
        removed = visit.sweep()
        visit.prove_swept()
        visit.send_all()
        return removed

    return _at_each(config, errand, None)


def names_in(paths: Iterable[str]) -> frozenset[str]:
    """The snapshots that objects belong to."""
    parts = (path.split("/") for path in paths)
    return frozenset(
        found[1] for found in parts if len(found) > 2 and found[0] == SNAPSHOTS and manifest.NAME.fullmatch(found[1])
    )


def pointer(place: Folder) -> str | None:
    """The snapshot that CURRENT names in a store.

    Raises:
        ShortlistError: It holds something else, or cannot be read.
    """
    return _name(place, place.read(POINTER).data)


def _name(place: Folder, data: bytes | None) -> str | None:
    if data is None:
        return None
    text = data.decode(errors="replace").removesuffix("\n")
    if not manifest.NAME.fullmatch(text):
        raise ShortlistError(
            f"{place.url}/{POINTER} holds {text[:80]!r}, no snapshot's name. Remove it from the store, then "
            "run the same command again."
        )
    return text


def told(store: Followed) -> str:
    """What was removed from a store, and what it may keep of it all the same."""
    kept = {
        True: " This bucket keeps versions of what was deleted: remove those yourself, or have a lifecycle rule do it.",
        None: " Whether it keeps what was deleted, it does not say: see the bucket's versioning and soft delete.",
        False: "",
    }[store.keeps_versions]
    return f"{store.url}: {len(store.removed)} snapshots removed.{kept}"


# ---------------------------------------------------------------- every store


def _at_each(
    config: Config, errand: Callable[[_Visit], tuple[str, ...]], on_file: OnFile | None
) -> tuple[Followed, ...]:
    """Go to one store after the other; one that fails does not keep the others from following."""
    root = Lake.of(config).rankings
    done: list[Followed] = []
    failures: list[str] = []
    if not config.publish.stores:
        return ()
    with _alone(root):
        for url in config.publish.stores:
            visit: _Visit | None = None
            try:
                visit = _Visit.begin(url, root, config.project.name, on_file)
                removed = errand(visit)
                done.append(Followed(url, visit.there, visit.sent, removed, visit.keeps_versions))
            except ShortlistError as error:
                failures.append(f"{error} {_serving_there(url, visit)}")
    if failures:
        failed = "\n".join(f"  {one}" for one in failures)
        raise ShortlistError(
            f"{root}: {_serving_here(root)}, but {len(failures)} of {len(config.publish.stores)} object stores did not "
            f"follow:\n{failed}\nRepair that and run the same command again; files that a store has are not sent again."
        )
    return tuple(done)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Nobody else publishes to, or removes from, the stores of this folder meanwhile."""
    disk.make_folder(root)
    lock = disk.wait_for_lock(root / _LOCK, PATIENCE_SECONDS)
    if lock is None:
        raise ShortlistError(
            f"{root / _LOCK}: another process has been at the object stores for {PATIENCE_SECONDS / 60:g} minutes. "
            f"{_serving_here(root)}; the stores were left to it. Wait until it ends, then run the same command again."
        )
    with lock:
        yield


def _serving_here(root: Path) -> str:
    return f"here CURRENT names {snapshot.resolve(root).name}" if snapshot.snapshots(root) else "nothing serves here"


def _serving_there(url: str, visit: _Visit | None) -> str:
    if visit is None:
        return f"What serves at {url} was not touched."
    return f"When it was last read, CURRENT there named {visit.there or 'nothing'}."


# ---------------------------------------------------------------- one store


@dataclass
class _Visit:
    """One store, while it is brought to what is here."""

    place: Folder
    root: Path
    project: str
    on_file: OnFile | None
    keeps_versions: bool | None
    held: dict[str, int]
    there: str | None
    """What CURRENT was last seen to name in the store."""
    sent: int = 0

    @classmethod
    def begin(cls, url: str, root: Path, project: str, on_file: OnFile | None) -> _Visit:
        """Try the store and look at what it has, before anybody looks at what is here.

        In this order: what another process published here has been here before it was there.
        """
        place = folder_at(url)
        keeps_versions = place.probe()
        held = place.list()
        visit = cls(place, root, project, on_file, keeps_versions, held, pointer(place))
        if visit.there and visit.serves_what_is_not_here():
            visit.require_ours(visit.there)
        return visit

    def serves_what_is_not_here(self) -> bool:
        """Whether CURRENT there names a snapshot that is not among those here."""
        return self.there is not None and self.there not in snapshot.snapshots(self.root)

    def require_ours(self, name: str) -> None:
        """Raise ShortlistError where another project's snapshot is in the folder."""
        data = self.place.read(f"{SNAPSHOTS}/{name}/{manifest.FILE}").data
        owner = manifest.decode(data, f"{self.place.url}/{SNAPSHOTS}/{name}").get("project") if data else None
        if owner not in (None, self.project):
            raise ShortlistError(
                f"{self.place.url}: {name} there is of the project {owner!r}, and this is {self.project!r}. "
                "Nothing was changed. Give each project a folder of its own in publish.stores."
            )

    def serve(self, *, back: bool) -> None:
        """Send what serves here, and let CURRENT there name it."""
        if not snapshot.snapshots(self.root):
            return
        name = snapshot.resolve(self.root).name
        if self.send(name):
            self.swing(name, back=back)

    def send_all(self) -> None:
        """Send every snapshot that is here, the newest first."""
        for name in reversed(snapshot.snapshots(self.root)):
            self.send(name)

    def missing(self, name: str) -> list[str]:
        """The files of a snapshot here that the store does not have in their size, the manifest last.

        The size will do: the name holds a hash of what every file must be, nobody but us writes there, and an object
        appears whole or not at all. `shortlist verify --stores` reads the bytes.
        """
        folder = self.root / SNAPSHOTS / name
        sizes = {file["path"]: file["bytes"] for file in manifest.load(folder)["files"]}
        sizes[manifest.FILE] = (folder / manifest.FILE).stat().st_size
        return [path for path, size in sizes.items() if self.held.get(f"{SNAPSHOTS}/{name}/{path}") != size]

    def send(self, name: str) -> bool:
        """Send what the store lacks of a snapshot; whether it is whole there. It is not if it went from here meanwhile.

        Whoever removed it here is waiting for us, to remove it there.
        """
        folder = self.root / SNAPSHOTS / name
        try:
            self._send(name, folder)
        except (ShortlistError, FileNotFoundError):
            if folder.exists():
                raise
            return False
        return True

    def _send(self, name: str, folder: Path) -> None:
        missing = self.missing(name)
        if missing and (problems := snapshot.verify(folder)):
            raise ShortlistError(
                f"{folder} is not as it was published ({'; '.join(problems[:3])}), so it was not sent to "
                f"{self.place.url}. Remove that folder, or bring it back from a copy."
            )
        for done, path in enumerate(missing, 1):
            key = f"{SNAPSHOTS}/{name}/{path}"
            self.place.put(key, folder / path)
            self.held[key] = (folder / path).stat().st_size
            self.sent += 1
            if self.on_file:
                self.on_file(f"{self.place.url}: {name}", done, len(missing))

    def swing(self, name: str, *, back: bool) -> None:
        """Let CURRENT name a snapshot, unless it names a later one already. Who loses a race looks again."""
        for _ in range(_TRIES):
            read = self.place.read(POINTER)
            self.there = now = _name(self.place, read.data)
            if now == name or (now and not back and manifest.instant(now) > manifest.instant(name)):
                return
            if self.place.put_if(POINTER, f"{name}\n".encode(), read.version) is not None:
                self.there = name
                return
        raise ShortlistError(
            f"{self.place.url}/{POINTER}: others have put it anew {_TRIES} times while it was to be put. "
            "Only one published folder may lead to a store's folder: see who else does."
        )

    def strays(self, held: Iterable[str]) -> list[str]:
        """Snapshots that are there and not here, less the one that serves there."""
        return sorted(names_in(held) - {*snapshot.snapshots(self.root), self.there})

    def sweep(self) -> tuple[str, ...]:
        """Remove all strays and what killed probes left; returns the names of the strays.

        A manifest goes first: what has none is no snapshot.
        """
        strays = self.strays(self.held)
        for name in strays:
            self.require_ours(name)
            prefix = f"{SNAPSHOTS}/{name}/"
            paths = sorted(path for path in self.held if path.startswith(prefix))
            self._delete([path for path in paths if path == prefix + manifest.FILE])
            self._delete([path for path in paths if path != prefix + manifest.FILE])
        self._delete([path for path in self.held if path.startswith(PROBE)])
        return tuple(strays)

    def _delete(self, paths: list[str]) -> None:
        self.place.delete(paths)
        for path in paths:
            del self.held[path]

    def prove_swept(self) -> None:
        """Raise ShortlistError where a snapshot is there that is not here, the one that serves there included."""
        if left := sorted(names_in(self.place.list()) - set(snapshot.snapshots(self.root))):
            raise ShortlistError(
                f"{self.place.url} has {', '.join(left)}, which is not here, so nobody can say who is in it. Publish a "
                "night, which lets another one serve, then run the same command again; or remove it from the store."
            )
