"""All published snapshots: what each says of itself, how much room it takes, and which one serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pipeline import manifest, snapshot_names
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.report import Report
from pipeline.reports.page import DASH


@dataclass(frozen=True)
class Published:
    """One snapshot as its manifest describes it; `problem` says why it cannot, and then the rest of it is empty.

    `published` is when its folder was written. `strategies` counts people, `rows` is by table.
    """

    name: str
    as_of: str
    published: str
    current: bool
    people: int = 0
    rows: Mapping[str, int] | None = None
    strategies: Mapping[str, int] | None = None
    model_versions: Any = None
    bytes: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class SnapshotsReport(Report):
    """All snapshots, the oldest first, and the name of the one that serves."""

    root: str
    current: str | None
    snapshots: tuple[Published, ...]


def run(config: Config) -> SnapshotsReport:
    """Look at every manifest; files are not read (`shortlist verify` does that)."""
    root = Lake.of(config).rankings
    current = snapshot_names.serving(root)
    found = tuple(_published(root, name, name == current) for name in snapshot_names.in_order(root))
    return SnapshotsReport(str(root), current, found)


def _published(root: Path, name: str, current: bool) -> Published:
    path = snapshot_names.path_of(root, name)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    try:
        return Published(name, published=written, current=current, **_described(manifest.load(path)))
    except ShortlistError as error:
        problem = str(error)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"{path}: {manifest.FILE} is not as we write it ({type(error).__name__}: {error})"
    return Published(name, manifest.instant(name), written, current, problem=problem)


def _described(content: Mapping[str, Any]) -> dict[str, Any]:
    rows: dict[str, int] = {}
    for file in content["files"]:
        table, _, part = file["path"].partition("/")
        if part:
            rows[table] = rows.get(table, 0) + file["rows"]
    return {
        "as_of": content["as_of"],
        "people": int(content["people"]),
        "rows": dict(sorted(rows.items())),
        "strategies": {name: int(count) for name, count in content["counts_by_strategy"].items()},
        "model_versions": content["model_versions"],
        "bytes": sum(file["bytes"] for file in content["files"]),
    }


def draw(report: SnapshotsReport, out: Console) -> None:
    """A line a snapshot, the newest last; what serves has an arrow."""
    if not report.snapshots:
        out.print(f"{report.root}: nothing has been published here yet.", markup=False, soft_wrap=True)
        return
    table = Table(
        "",
        Column("snapshot", no_wrap=True),
        Column("rows", justify="right"),
        Column("people by strategy", justify="right"),
        Column("models", overflow="fold"),
        Column("MB", justify="right"),
    )
    for one in report.snapshots:
        mark = "\N{RIGHTWARDS ARROW}" if one.current else ""
        table.add_row(mark, f"{one.name}\nwritten {one.published[:16].replace('T', ' ')}", *_cells(one))
    out.print(table)
    for one in report.snapshots:
        if one.problem:
            out.print(one.problem, style="bold red", markup=False, soft_wrap=True)
    says = f"CURRENT names {report.current}" if report.current else "CURRENT names none of them: see `shortlist verify`"
    out.print(says, markup=False, soft_wrap=True)


def _cells(one: Published) -> tuple[str | Text, ...]:
    """What may stand in a manifest that somebody changed is no markup."""
    if one.rows is None:
        return (DASH,) * 4
    people = {"all": one.people, **(one.strategies or {})}
    models = one.model_versions.values() if isinstance(one.model_versions, Mapping) else one.model_versions
    return _counted(one.rows), _counted(people), Text("\n".join(map(str, models))), f"{one.bytes / 1e6:,.2f}"


def _counted(counts: Mapping[str, int]) -> Text:
    return Text("\n".join(f"{name} {count:,}" for name, count in counts.items()))
