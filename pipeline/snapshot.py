"""Published snapshots on disk: written aside, renamed into place whole, and served through one pointer.

    root/snapshots/<as_of>-<id>/   immutable; people/ segments/ default/ contract.yaml manifest.json
    root/CURRENT                   one line, the name of the snapshot that serves
    root/current                   the same as a symbolic link, on file systems that have them
    root/.staging-* .removed-*     work in progress; `heal` removes what a crash left

Every file and folder is synced before the name that leads to it, so a crash or a power cut at any moment leaves
CURRENT naming one whole snapshot: the old one or the new one. Readers take no lock; a reader who resolves CURRENT once
and reads from there sees one snapshot for as long as `collect_garbage` keeps it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from expectations import schemas
from pipeline import contract, disk, manifest, parts, pointer, query
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.manifest import JSON
from pipeline.query import Rows

PATIENCE_SECONDS = 60.0
"""How long one publication waits for another's commit, which takes a moment: writing and auditing need no lock."""

_SNAPSHOTS = "snapshots"
_LOCK = ".lock"
_STAGING = ".staging-"
_REMOVED = ".removed-"


@dataclass(frozen=True)
class Ranked:
    """The three tables of one night, with the columns of `schemas.published(goals)`; rows in any order.

    Each is a table, or the Parquet files that hold it, which may be more than memory does.
    """

    people: Rows
    segments: Rows
    default: Rows

    @property
    def goals(self) -> tuple[str, ...]:
        """The goals that the tables have a probability `p_<goal>` for."""
        return tuple(n.removeprefix("p_") for n in query.schema(self.people).names if n.startswith("p_"))


@dataclass(frozen=True)
class Staged:
    """A whole snapshot that nobody reads yet, for `commit` or `discard`; it is ours while `guard` is open."""

    path: Path
    name: str
    manifest: Mapping[str, Any]
    guard: IO[bytes] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Committed:
    """What `commit` did: whether the snapshot is new on disk, and whether CURRENT names it now."""

    name: str
    created: bool
    current: bool


def stage(root: Path, ranked: Ranked, facts: Mapping[str, JSON], as_of: datetime, *, cadence: str = "1d") -> Staged:
    """Write a whole snapshot aside, every byte of it on disk; what earlier crashes left behind is removed first.

    The same tables, facts and `as_of` give the same bytes and the same name, however often and in whatever row order.

    Args:
        root: The folder `rankings`; created when absent.
        ranked: The tables of the night.
        facts: What the manifest says besides what is computed; `manifest.REQUIRED_FACTS` must be among them.
        as_of: The instant that the tables are for, a whole second.
        cadence: How often a snapshot is published (`1d`, `6h` …), for the contract.

    Raises:
        ShortlistError: The tables or the facts cannot be published, or the disk is full or not ours; nothing is left.
    """
    moment = manifest.utc(as_of)
    forms = schemas.published(ranked.goals)
    tables = {name: parts.conform(getattr(ranked, name), form) for name, form in forms.items()}
    with _explained(root, "writing a snapshot"):
        path, guard = _claim(root)
        with _dropped_on_failure(path, guard):
            parts.write(path, tables, forms)
            disk.write(path / contract.FILE, lambda file: file.write(contract.encode(ranked.goals, cadence)))
            content = manifest.describe(path, {name: form.schema for name, form in forms.items()}, facts, moment)
            disk.write(path / manifest.FILE, lambda file: file.write(manifest.encode(content)))
            disk.sync_folder(path)
    return Staged(path, content["name"], content, guard)


def commit(root: Path, staged: Staged, *, force_current: bool = False) -> Committed:
    """Rename a staged snapshot into place and let CURRENT name it, unless CURRENT names one of a later `as_of`.

    A snapshot that is already there is left as it is. `force_current` lets CURRENT go back.

    Raises:
        ShortlistError: The disk is full or not ours, another publication kept the lock, or a damaged snapshot of this
            name is in the way. The staged files are removed and CURRENT names a whole snapshot: the message says which.
    """
    with _explained(root, f"publishing {staged.name}"), _dropped_on_failure(staged.path, staged.guard):
        with disk.locked(root / _LOCK, PATIENCE_SECONDS):
            created = _place(root, staged)
            _swing(root, staged.name, force=force_current)
            current = _current(root) == staged.name
        discard(staged)
    return Committed(staged.name, created, current)


def replace(root: Path, name: str, staged: Staged) -> None:
    """Put a staged snapshot in the place of the published one `name`, which is removed; CURRENT follows if it named it.

    Raises:
        ShortlistError: As `commit` does. CURRENT names a whole snapshot, and the same again goes on from there.
    """
    with _explained(root, f"replacing {name}"), _dropped_on_failure(staged.path, staged.guard):
        old = (root / _SNAPSHOTS / name).stat()
        os.utime(staged.path, ns=(old.st_atime_ns, old.st_mtime_ns))  # by which snapshots of one night are ordered
        with disk.locked(root / _LOCK, PATIENCE_SECONDS):
            _place(root, staged)
            if _current(root) == name:
                _swing(root, staged.name, force=True)
            _remove(root, name)
        discard(staged)


def rollback(root: Path, name: str) -> str | None:
    """Let CURRENT name a published snapshot again, whatever it names now; returns what that is.

    Raises:
        ShortlistError: That snapshot is not there, or not as it was published; CURRENT is as it was.
    """
    with _explained(root, f"going back to {name}"), disk.locked(root / _LOCK, PATIENCE_SECONDS):
        if problems := verify(root / _SNAPSHOTS / name):
            found = "; ".join(problems[:3])
            raise ShortlistError(f"{name} cannot serve: {found}. {what_serves(root)} Name another one.")
        before = _current(root)
        _swing(root, name, force=True)
    return before


def discard(staged: Staged) -> None:
    """Remove what was staged; nothing that was published changes."""
    _drop(staged.path, staged.guard)


def heal(root: Path) -> tuple[str, ...]:
    """Remove what crashed runs left and make the link agree with CURRENT; returns the names of what was removed.

    What a living publication is writing is left alone. Every `stage` does this too.
    """
    with _explained(root, "healing"), disk.locked(root / _LOCK, PATIENCE_SECONDS):
        removed = _sweep(root)
        if name := _current(root):
            _link(root, name)
    return removed


def resolve(root: Path) -> Path:
    """The snapshot that serves now; read everything from this path, for CURRENT may move on meanwhile.

    Raises:
        ShortlistError: Nothing was published yet, or CURRENT names nothing that is there.
    """
    with _explained(root, "reading CURRENT"):
        if not (name := _current(root)):
            raise ShortlistError(f"{root / pointer.FILE}: nothing has been published here yet. Publish a night first.")
        path = root / _SNAPSHOTS / name
        if not (path / manifest.FILE).is_file():
            found = ", ".join(snapshots(root)) or "none"
            raise ShortlistError(
                f"{root / pointer.FILE} names {name}, which is not there (found: {found}). Publish a night again."
            )
    return path


def snapshots(root: Path) -> tuple[str, ...]:
    """The names of all published snapshots, oldest `as_of` first."""
    folder = root / _SNAPSHOTS
    if not folder.is_dir():
        return ()
    return tuple(sorted(path.name for path in folder.iterdir() if manifest.NAME.fullmatch(path.name)))


def read(root: Path, table: str) -> pa.Table:
    """One table (`people`, `segments` or `default`) of the snapshot that serves now, sorted by its key."""
    return table_of(resolve(root), table)


def table_of(snapshot: Path, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One table of one snapshot, staged or published; all of its columns, or some.

    Raises:
        ShortlistError: The snapshot has no such table, or cannot be read.
    """
    files = manifest.parts(manifest.load(snapshot), table)
    if not files:
        raise ShortlistError(f"{snapshot} has no table {table!r}; there are people, segments and default.")
    try:
        return pa.concat_tables(pq.ParquetFile(snapshot / file).read(columns) for file in files)
    except (OSError, pa.ArrowInvalid) as error:
        raise ShortlistError(f"{snapshot}: {table} cannot be read ({error}). Publish its night again.") from error


def verify(snapshot: Path) -> list[str]:
    """What is wrong with a published snapshot: missing, added or changed files, wrong row counts; empty when whole."""
    return manifest.problems(snapshot)


def collect_garbage(root: Path, keep: int, since: datetime | None = None) -> tuple[str, ...]:
    """Remove all snapshots but the `keep` latest, those published after `since`, and the one that CURRENT names.

    Returns the removed names. When a snapshot was published is the time of its folder, which `replace` hands on. A
    reader who is still reading a removed one fails: keep as many, and as long, as the slowest reader needs.
    """
    if keep < 1:
        raise ConfigurationError(f"housekeeping: {keep} snapshots to keep; it must be 1 or more.")
    with _explained(root, "removing old snapshots"), disk.locked(root / _LOCK, PATIENCE_SECONDS):
        names = snapshots(root)
        young = {name for name in names if since and (root / _SNAPSHOTS / name).stat().st_mtime > since.timestamp()}
        serves = _current(root)
        if serves:
            _link(root, serves)  # a crash may have left it at one of those that go now
        kept = {*names[-keep:], *young, serves}
        removed = tuple(name for name in names if name not in kept)
        for name in removed:
            _remove(root, name)
    return removed


def _remove(root: Path, name: str) -> None:
    """Out of sight first, as a whole: no snapshot is ever seen with some of its files gone."""
    aside = root / f"{_REMOVED}{name}"
    disk.rename(root / _SNAPSHOTS / name, aside)
    disk.sync_folder(root / _SNAPSHOTS)
    disk.remove(aside)


def _claim(root: Path) -> tuple[Path, IO[bytes]]:
    """A new staging folder and its guard: a lock that the kernel releases when we die, by which `_sweep` knows."""
    disk.make_folder(root / _SNAPSHOTS)
    disk.sync_folder(root.parent)
    disk.sync_folder(root)
    with disk.locked(root / _LOCK, PATIENCE_SECONDS):
        _sweep(root)
        path = root / f"{_STAGING}{secrets.token_hex(4)}"
        guard = disk.try_lock(_guard(path))
        if guard is None:
            raise ShortlistError(f"{path}: another publication has drawn the same name. Run the same command again.")
        with _dropped_on_failure(path, guard):
            disk.make_folder(path)
    return path, guard


def _guard(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _sweep(root: Path) -> tuple[str, ...]:
    """Remove leftovers; the caller holds the lock, under which staging folders and their guards are made."""
    staged = {path.with_name(path.name.removesuffix(".lock")) for path in root.glob(f"{_STAGING}*")}
    removed = [path for path in sorted(staged) if _abandoned(path)]
    removed += sorted(root.glob(f"{_REMOVED}*"))
    removed += [root / name for name in pointer.TEMPORARY if (root / name).is_symlink() or (root / name).exists()]
    for path in removed:
        disk.remove(path)
        disk.remove(_guard(path))
    return tuple(path.name for path in removed)


def _abandoned(path: Path) -> bool:
    guard = disk.try_lock(_guard(path))
    if guard is None:
        return False
    guard.close()
    return True


def _place(root: Path, staged: Staged) -> bool:
    target = root / _SNAPSHOTS / staged.name
    if target.exists():
        _check_same(target, staged)
        return False
    disk.rename(staged.path, target)
    disk.sync_folder(root / _SNAPSHOTS)
    disk.sync_folder(root)
    return True


def _check_same(target: Path, staged: Staged) -> None:
    problems = verify(target)
    if not problems and manifest.load(target) != staged.manifest:
        problems = ["another content has the same name"]
    if problems:
        raise ShortlistError(
            f"{target} is already there, but not as it was published ({'; '.join(problems[:3])}). "
            "Nothing was changed; move that folder away and run the same command again."
        )


def _swing(root: Path, name: str, *, force: bool) -> None:
    """Let CURRENT name this snapshot unless that would go back in time, and the link what CURRENT names."""
    now = _current(root)
    if now and not force and manifest.instant(now) > manifest.instant(name):
        return
    if now != name:
        pointer.swing(root, name)
    _link(root, name)


def _link(root: Path, name: str) -> None:
    pointer.link(root, Path(_SNAPSHOTS) / name)


def _current(root: Path) -> str | None:
    name = pointer.read(root)
    if name is not None and not manifest.NAME.fullmatch(name):
        raise ShortlistError(
            f"{root / pointer.FILE} holds {name[:80]!r}, no snapshot's name. "
            "Restore it, or remove it and publish again."
        )
    return name


def _drop(path: Path, guard: IO[bytes]) -> None:
    disk.remove(path)
    disk.remove(_guard(path))
    guard.close()


@contextmanager
def _dropped_on_failure(path: Path, guard: IO[bytes]) -> Iterator[None]:
    """On failure the staging folder goes; when we are being killed only the guard does, and the next run cleans up."""
    try:
        yield
    except Exception:
        with guard:
            _drop(path, guard)
        raise
    except BaseException:
        guard.close()
        raise


@contextmanager
def _explained(root: Path, doing: str) -> Iterator[None]:
    """What the file system refused, as one message that says what serves now and what to do."""
    try:
        yield
    except OSError as error:
        raise ShortlistError(
            f"{root}: {doing} failed: {error}. {what_serves(root)} "
            f"{disk.remedy(error)}, then run the same command again."
        ) from error


def what_serves(root: Path) -> str:
    """What CURRENT names, as a sentence for a message."""
    try:
        name = _current(root)
    except (OSError, ShortlistError) as error:
        return f"CURRENT cannot be read either ({error})."
    return f"CURRENT names {name}." if name else "Nothing is being served."
