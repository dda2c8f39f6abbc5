"""CURRENT: one line that names the folder that serves, swung by one rename; and a symbolic link that says the same."""

from __future__ import annotations

from pathlib import Path

from pipeline import disk

FILE = "CURRENT"
LINK = "current"
TEMPORARY = (".CURRENT.new", ".current.new")
"""What a crash may leave of the file and of the link; whoever holds the lock of the folder removes it."""


def read(root: Path) -> str | None:
    """What CURRENT says, whatever that is; None where there is none."""
    try:
        text = (root / FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return text.removesuffix("\n")


def swing(root: Path, name: str) -> None:
    """Let CURRENT say this name."""
    temporary = root / TEMPORARY[0]
    disk.remove(temporary)
    disk.write(temporary, lambda file: file.write(f"{name}\n".encode()))
    disk.replace(temporary, root / FILE)
    disk.sync_folder(root)


def link(root: Path, target: Path) -> None:
    """Let the link lead to `target`, which is below `root`; not on a file system that has no links."""
    path, temporary = root / LINK, root / TEMPORARY[1]
    if path.is_symlink() and path.readlink() == target:
        return
    disk.remove(temporary)
    try:
        disk.link(target, temporary)
    except OSError as error:
        if error.errno in disk.NO_SYMLINKS:
            return  # a convenience that this file system does not have; CURRENT is the truth
        raise
    disk.replace(temporary, path)
    disk.sync_folder(root)
