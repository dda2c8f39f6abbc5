"""The model that served before serves again, from a night on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rich.console import Console

from pipeline import registry
from pipeline.build_features import fits
from pipeline.bundles import load_bundle
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.records import Tracker
from pipeline.report import Report

BY_HAND = "asked for by hand"


@dataclass(frozen=True)
class RollbackModelReport(Report):
    """The versions that served before and that serve from `as_of` on; the same where nothing had to be changed."""

    as_of: str
    before: str
    now: str
    reason: str


def run(as_of: datetime, config: Config, to: str | None = None, reason: str = BY_HAND) -> RollbackModelReport:
    """Let version `to`, by default the one that was promoted before, make lists from `as_of` on.

    Raises:
        ShortlistError: There is nothing to go back to, or that model is not whole or was trained for other goals or
            features than the configuration's; what served serves on.
    """
    tracker = Tracker(Lake.of(config).tracking, config.project.name)
    _require_usable(tracker, registry.going_back_to(tracker, as_of, to), config)
    before, now = registry.roll_back(tracker, as_of, to, reason)
    return RollbackModelReport(as_of.isoformat(), before, now, reason)


def _require_usable(tracker: Tracker, version: str, config: Config) -> None:
    if not fits(load_bundle(tracker, version), config):
        raise ShortlistError(
            f"model version {version} was trained for other goals or features than {config.file} asks for now, so it "
            "cannot make lists. Nothing was changed"
        )


def draw(report: RollbackModelReport, out: Console) -> None:
    """What served, what serves, and what that does not change."""
    if report.before == report.now:
        out.print(f"model {report.now} serves from {report.as_of} on already; nothing was changed.", soft_wrap=True)
        return
    out.print(f"before: model {report.before}")
    out.print(f"now:    model {report.now}, from {report.as_of} on", style="bold", soft_wrap=True)
    out.print(
        "What is published stays as it is until the next night; `shortlist rank` and `shortlist publish` make this "
        f"night's lists anew. The same night run again does not promote model {report.before} again; a later night may "
        "promote a new one.",
        soft_wrap=True,
    )
