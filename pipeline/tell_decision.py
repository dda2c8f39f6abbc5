"""A night's decision as it lies in the lake, in words, and where its page is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline import decisions
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.records import Tracker
from pipeline.report import Report
from pipeline.reports.decision import STATES, figures_of

_STYLES = {
    "blocks": "bold red",
    "rolls back": "bold red",
    "fires": "bold red",
    "warns": "yellow",
    "held back": "magenta",
    "cannot tell": "bold",
}


@dataclass(frozen=True)
class DecisionTold(Report):
    """The record of a night, as `pipeline.check_drift.DriftReport` has it, and its page; null where MLflow has none."""

    as_of: str
    decision: Mapping[str, Any]
    page: Path | None


def run(as_of: datetime, config: Config) -> DecisionTold:
    """The newest decision that was made for `as_of` or a night before.

    Raises:
        ShortlistError: There is none.
    """
    lake = Lake.of(config)
    nights = [night for night in lake.nights(decisions.TABLE) if night <= as_of]
    record = decisions.of_night(lake, nights[-1]) if nights else None
    if record is None:
        raise ShortlistError(
            f"nothing was decided for {as_of.isoformat()} or before; `shortlist drift` decides, and every "
            "`shortlist run` does"
        )
    return DecisionTold(nights[-1].isoformat(), record, _page(record, Tracker(lake.tracking, config.project.name)))


def _page(record: Mapping[str, Any], tracker: Tracker) -> Path | None:
    """Found by what lies beside it, the newest first: to ask MLflow would take seconds of imports."""
    files = tracker.artifacts("*").relative_to(tracker.folder.resolve())
    kept = tracker.folder.resolve().glob(f"{files}/decision.json")
    for path in sorted(kept, key=lambda one: one.stat().st_mtime_ns, reverse=True):
        if json.loads(path.read_text(encoding="utf-8"))["as_of"] == record["as_of"]:
            return path.with_name("decision.html")
    return None


def draw(told: DecisionTold, out: Console) -> None:
    """The verdict, every reason, and where the page lies."""
    out.print(f"{told.as_of}: {told.decision['verdict']}", style="bold", markup=False, soft_wrap=True)
    table = Table("state", "reason", "on what")
    for arm in sorted(told.decision["arms"], key=lambda arm: STATES.index(arm["state"])):
        measured = figures_of(arm)
        said = escape(arm["detail"]) + (f"\n[dim]{escape(measured)}[/]" if measured else "")
        style = _STYLES.get(arm["state"], "dim")
        table.add_row(f"[{style}]{arm['state']}[/]", escape(arm["name"]), said)
    out.print(table)
    if told.page is not None:
        out.print(f"page: {told.page}", markup=False, soft_wrap=True)
