"""Whether published snapshots are, byte for byte, as they were published, and whether CURRENT leads to one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pipeline import pointer, snapshot, snapshot_names
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.report import Report


@dataclass(frozen=True)
class Verified:
    """One snapshot and what is wrong with it, each named to the file; nothing when it is whole."""

    name: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class VerifyReport(Report):
    """What was found of each snapshot; `pointers` is what is wrong with CURRENT and its link."""

    snapshots: tuple[Verified, ...]
    pointers: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.pointers and not any(one.problems for one in self.snapshots)


def run(config: Config, name: str | None = None) -> VerifyReport:
    """Read every byte of the snapshot that `name` begins; without it of all of them, and look where CURRENT leads."""
    root = Lake.of(config).rankings
    names = (snapshot_names.meant(root, name),) if name is not None else snapshot_names.in_order(root)
    found = tuple(Verified(one, tuple(snapshot.verify(snapshot_names.path_of(root, one)))) for one in names)
    return VerifyReport(found, () if name is not None else tuple(_pointers(root)))


def _pointers(root: Path) -> Iterator[str]:
    """CURRENT is the truth; the link is a convenience, which may be absent but must not disagree."""
    try:
        serves = snapshot.resolve(root)
    except ShortlistError as error:
        yield str(error)
        return
    link = root / pointer.LINK
    if link.is_symlink() and link.resolve() != serves.resolve():
        yield f"{link} leads to {link.readlink()}, but CURRENT names {serves.name}. `shortlist housekeep` mends it."


def draw(report: VerifyReport, out: Console) -> None:
    """A line a snapshot, and one for whatever is wrong."""
    for one in report.snapshots:
        out.print("[bold red]BAD[/] " if one.problems else "[green]ok[/]  ", end="")
        out.print(one.name, markup=False)
        for problem in one.problems:
            out.print(f"    {problem}", markup=False, soft_wrap=True)
    for problem in report.pointers:
        out.print("[bold red]BAD[/] ", end="")
        out.print(problem, markup=False, soft_wrap=True)
