"""Whether published snapshots are, byte for byte, as they were published, and whether CURRENT leads to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pipeline import pointer, snapshot, snapshot_names, verify_stores
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.report import Report
from pipeline.verify_stores import Verified, VerifiedStore


@dataclass(frozen=True)
class VerifyReport(Report):
    """What was found of each snapshot; `pointers` is what is wrong with CURRENT and its link; `stores`: of them."""

    snapshots: tuple[Verified, ...]
    pointers: tuple[str, ...]
    stores: tuple[VerifiedStore, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        found = (*self.snapshots, *(one for store in self.stores for one in store.snapshots))
        return not (self.pointers or any(store.pointers for store in self.stores) or any(one.problems for one in found))


def run(config: Config, name: str | None = None, *, stores: bool = False) -> VerifyReport:
    """Read every byte of the snapshot that `name` begins; without it of all of them, and look where CURRENT leads.

    With `stores`, read the object stores, too.
    """
    root = Lake.of(config).rankings
    names = (snapshot_names.meant(root, name),) if name is not None else snapshot_names.in_order(root)
    found = tuple(Verified(one, tuple(snapshot.verify(snapshot_names.path_of(root, one)))) for one in names)
    pointers = () if name is not None else tuple(_pointers(root))
    return VerifyReport(found, pointers, verify_stores.run(config, names[0] if name else None) if stores else ())


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
    """A line a snapshot, and one for whatever is wrong; a store's come after its address."""
    _draw(report.snapshots, report.pointers, out)
    for store in report.stores:
        out.print(store.url, markup=False, soft_wrap=True)
        _draw(store.snapshots, store.pointers, out)


def _draw(snapshots: Iterable[Verified], pointers: Iterable[str], out: Console) -> None:
    for one in snapshots:
        out.print("[bold red]BAD[/] " if one.problems else "[green]ok[/]  ", end="")
        out.print(one.name, markup=False)
        for problem in one.problems:
            out.print(f"    {problem}", markup=False, soft_wrap=True)
    for problem in pointers:
        out.print("[bold red]BAD[/] ", end="")
        out.print(problem, markup=False, soft_wrap=True)
