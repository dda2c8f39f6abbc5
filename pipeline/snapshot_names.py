"""Which published snapshot somebody means: by its name or the beginning of it, by CURRENT, or as the one before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pipeline import manifest, snapshot
from pipeline.errors import ConfigurationError, ShortlistError

_FOLDER = "snapshots"


def path_of(root: Path, name: str) -> Path:
    """The folder of a published snapshot."""
    return root / _FOLDER / name


def in_order(root: Path) -> tuple[str, ...]:
    """All published snapshots, oldest instant first; those of one instant in the order of their publication."""
    names = snapshot.snapshots(root)
    return tuple(sorted(names, key=lambda name: (manifest.instant(name), path_of(root, name).stat().st_mtime_ns)))


def by_night(root: Path) -> dict[datetime, Path]:
    """The snapshot of each instant, oldest first: of several of one the last that was published."""
    return {night(name): path_of(root, name) for name in in_order(root)}


def night(name: str) -> datetime:
    """The instant that a snapshot is for."""
    return datetime.strptime(manifest.instant(name), manifest.STAMP).replace(tzinfo=UTC)


def serving(root: Path) -> str | None:
    """The name of the snapshot that serves; None where none does: `snapshot.resolve` says why."""
    try:
        return snapshot.resolve(root).name
    except ShortlistError:
        return None


def meant(root: Path, text: str) -> str:
    """The name that is `text` or, alone among all, begins with it.

    Raises:
        ConfigurationError: No name does, or several do.
    """
    names = in_order(root)
    found = [name for name in names if name.startswith(text)] if text else []
    if text in found or len(found) == 1:
        return text if text in found else found[0]
    if found:
        raise ConfigurationError(f"{text!r} begins several snapshots: {', '.join(found)}. Give more of the name.")
    raise ConfigurationError(
        f"{root}: no snapshot is named {text!r} (found: {', '.join(names) or 'none'}). "
        "Give a name, or as much of its beginning as no other has; `shortlist snapshots` lists them."
    )


def before(root: Path, name: str) -> str:
    """The snapshot that comes just before this one `in_order`.

    Raises:
        ConfigurationError: It is the oldest.
    """
    names = in_order(root)
    place = names.index(name)
    if not place:
        raise ConfigurationError(f"{root}: {name} is the oldest snapshot; there is none before it to compare it with.")
    return names[place - 1]


def earlier(root: Path, instant: datetime) -> Path | None:
    """The snapshot of the latest instant before this one, the last published of several; None without one."""
    return next((path for when, path in reversed(by_night(root).items()) if when < instant), None)
