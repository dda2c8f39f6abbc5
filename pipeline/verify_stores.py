"""Whether object stores hold, byte for byte, what was published, and whether their CURRENT leads where it does here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import manifest, snapshot, stores
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.lake import Lake
from pipeline.object_store import Folder
from pipeline.pointer import FILE as POINTER


@dataclass(frozen=True)
class Verified:
    """One snapshot and what is wrong with it, each named to the file; nothing when it is whole."""

    name: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class VerifiedStore:
    """What was found in one store; `pointers` is what is wrong with CURRENT."""

    url: str
    snapshots: tuple[Verified, ...]
    pointers: tuple[str, ...]


def run(config: Config, name: str | None = None) -> tuple[VerifiedStore, ...]:
    """Read every byte that the stores have of the snapshot `name`; without it of all, and look where CURRENT leads.

    Raises:
        ConfigurationError: There are no stores in the configuration.
        ShortlistError: A store cannot be read.
    """
    if not config.publish.stores:
        raise ConfigurationError(f"{config.file}: publish.stores is empty, so there are no object stores to verify")
    root = Lake.of(config).rankings
    return tuple(_verified(stores.folder_at(url), root, name) for url in config.publish.stores)


def _verified(place: Folder, root: Path, name: str | None) -> VerifiedStore:
    held = place.list()
    here = snapshot.snapshots(root)
    names = (name,) if name is not None else tuple(sorted({*here, *stores.names_in(held)}))
    found = tuple(Verified(one, tuple(_problems(place, root, one, held))) for one in names)
    return VerifiedStore(place.url, found, () if name is not None else tuple(_pointers(place, root)))


def _problems(place: Folder, root: Path, name: str, held: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with one snapshot in a store, by its own manifest, and by the one here."""
    prefix = f"{stores.SNAPSHOTS}/{name}/"
    there = {path.removeprefix(prefix): size for path, size in held.items() if path.startswith(prefix)}
    here = root / stores.SNAPSHOTS / name
    if not here.is_dir():
        yield "is not here any more: `shortlist housekeep` removes it from the store, unless it serves there"
    if not there:
        yield "is not in the store: `shortlist housekeep` sends it"
        return
    data = place.read(prefix + manifest.FILE).data
    if data is None:
        yield f"{manifest.FILE}: missing"
        return
    if here.is_dir() and data != (here / manifest.FILE).read_bytes():
        yield f"{manifest.FILE}: not the one that is here"
    try:
        content = manifest.decode(data, prefix)
        yield from manifest.misnamed(content, name)
        declared = {file["path"]: file for file in content["files"]}
    except ShortlistError as error:
        yield str(error)
    except (KeyError, TypeError) as error:
        yield f"{manifest.FILE}: not as we write it ({type(error).__name__}: {error})"
    else:
        yield from _files(place, prefix, declared, there)


def _files(
    place: Folder, prefix: str, declared: Mapping[str, Mapping[str, Any]], there: Mapping[str, int]
) -> Iterator[str]:
    present = there.keys() - {manifest.FILE}
    yield from (f"{path}: missing" for path in sorted(declared.keys() - present))
    yield from (f"{path}: not in the manifest" for path in sorted(present - declared.keys()))
    for path in sorted(declared.keys() & present):
        expected = declared[path]
        if there[path] != expected["bytes"]:
            yield f"{path}: bytes is {there[path]}, the manifest says {expected['bytes']}"
        elif (found := place.sha256(prefix + path)) != expected["sha256"]:
            yield f"{path}: sha256 is {found}, the manifest says {expected['sha256']}"


def _pointers(place: Folder, root: Path) -> Iterator[str]:
    """What serves in the store is what serves here."""
    serves = snapshot.resolve(root).name if snapshot.snapshots(root) else None
    try:
        found = stores.pointer(place)
    except ShortlistError as error:
        yield str(error)
        return
    if found != serves:
        yield (
            f"{place.url}/{POINTER} names {found or 'nothing'}, but here {serves or 'nothing'} serves. "
            f"`shortlist rollback {serves or 'NAME'}` lets it serve there, too."
        )
