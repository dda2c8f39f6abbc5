"""What holds tonight that somebody should know: read from what the night wrote, and from what its run says.

Each reader answers for its own kinds. Where one cannot read, what it said last still holds: silence of a broken disk is
no good news.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline import ingest, manifest, refusals, registry, snapshot, snapshot_names, sources
from pipeline.causes import Cause, Kind, Open
from pipeline.config import Config
from pipeline.errors import ShortlistError, in_words
from pipeline.ingest import Unit
from pipeline.lake import Lake
from pipeline.records import Tracker

_FEWEST, _TRAILING = 3, 14
"""Of how many snapshots, at least and at most, a median is usual."""

_ROUTINE = frozenset({"asked for", "always", "no champion", "goals", "age", "predecessor"})
"""Arms of the drift check that fire when all is well, or whose doing is told of by itself."""

_KIND_OF_ARM: Mapping[str, Kind] = {"performance": "dip", "data quality": "quality"}

_EXPLAINED: Mapping[str, frozenset[Kind]] = {
    "failed load": frozenset({"late", "blocked"}),
    "failed check_drift": frozenset({"quality"}),
}
"""Failed steps that are told of by what they failed on."""


@dataclass(frozen=True)
class Night:
    """What the readers look at.

    `ran` says of the steps that ended in this run what they failed with, None for those that did not fail; `overdue`
    that the night's deadline has passed; `open` what held before.
    """

    as_of: datetime
    config: Config
    ran: Mapping[str, str | None] = field(default_factory=dict)
    overdue: bool = False
    open: tuple[Open, ...] = ()

    @property
    def lake(self) -> Lake:
        """Where everything lies."""
        return Lake.of(self.config)


def holding(night: Night) -> tuple[list[Cause], list[str]]:
    """All causes that hold, and why some could not be looked into.

    A load that failed on an export is told of as that export's, and a night that was held back as what is missing.
    """
    found: list[Cause] = []
    notes: list[str] = []
    for kinds, read in _READERS.items():
        try:
            found += read(night)
        except Exception as error:  # noqa: BLE001 (whatever it is, the other causes must be told)
            found += [one.cause for one in night.open if one.cause.kind in kinds]
            notes.append(f"{', '.join(kinds)}: not looked into: {in_words(error)}")
    kinds_found = {cause.kind for cause in found}
    explained = {step for step, kinds in _EXPLAINED.items() if kinds & kinds_found}
    return [cause for cause in found if cause.id not in explained], notes


# ---------------------------------------------------------------- exports and steps


def _exports(night: Night) -> Iterable[Cause]:
    """By source, the newest day's: whose file is not there, and whose was refused."""
    if not night.config.sources:
        return ()
    units = map(Unit.from_json, ingest.plan(night.as_of, night.config))
    return {cause.id: cause for unit in units for cause in _export(unit, night)}.values()


def _export(unit: Unit, night: Night) -> Iterator[Cause]:
    link = str(night.lake.data_docs / "index.html")
    try:
        sources.locate(night.config.source(unit.source), unit.day)
    except ShortlistError as error:
        yield Cause("late", unit.source, str(error))
        return
    if (said := refusals.said(night.lake, unit.label)) is not None:
        yield Cause("blocked", unit.source, said, link)


def _steps(night: Night) -> Iterator[Cause]:
    """Steps that failed in this run; and before, where this run did not get to them."""
    for step, said in night.ran.items():
        if said is not None:
            yield Cause("failed", step, f"The step `{step}` failed: {said}", _airflow(night))
    yield from (one.cause for one in night.open if one.cause.kind == "failed" and one.cause.key not in night.ran)


def _airflow(night: Night) -> str:
    url = night.config.alerts.airflow_url
    return f"{url}/dags" if url else ""


# ---------------------------------------------------------------- models


def _arms(night: Night) -> Iterator[Cause]:
    """The arms of the newest decision that fired, or had to wait though they would have, and are no routine."""
    _, decision = _decision(night)
    link = night.config.alerts.mlflow_url
    for arm in decision.get("arms", ()):
        if (arm["fired"] or arm.get("state") == "held back") and arm["name"] not in _ROUTINE:
            detail = str(arm["detail"])
            yield Cause(_KIND_OF_ARM.get(arm["name"], "drift"), arm["name"], detail[:1].upper() + detail[1:], link)


def _taken_back(night: Night) -> Iterator[Cause]:
    """The model that the newest decision took back."""
    _, decision = _decision(night)
    if back := decision.get("rolled_back"):
        said = f"Version {back['from']} is taken back, and version {back['to']} serves again: {back['why']}"
        yield Cause("rollback", back["from"], said, night.config.alerts.mlflow_url)


def _decision(night: Night) -> tuple[datetime | None, Mapping[str, Any]]:
    """The newest decision, and the night that it is of."""
    nights = [one for one in night.lake.nights("decisions") if one <= night.as_of]
    if not nights:
        return None, {}
    rows = night.lake.read_night("decisions", nights[-1])["decision"].to_pylist()
    return nights[-1], json.loads(rows[0])


def _trained(night: Night) -> Iterator[Cause]:
    """The model that this night trained. MLflow is asked only where the night's decision was to train."""
    decided, decision = _decision(night)
    if decided != night.as_of or not decision.get("retrain"):
        return
    tracker = Tracker(night.lake.tracking, night.config.project.name)
    for version in registry.versions(tracker):
        if version.as_of == night.as_of:
            became = "became the champion" if version.promoted else "did not become the champion"
            url = night.config.alerts.mlflow_url
            page = f"{url}/#/models/{tracker.model_name}/versions/{version.version}" if url else str(version.report)
            yield Cause("retrained", version.version, f"Version {version.version} {became}: {version.reason}", page)
            return


# ---------------------------------------------------------------- what is published


def _published(night: Night) -> Iterator[Cause]:
    """What is wrong with the snapshot that serves: nobody in it, far fewer than usual, or of long ago."""
    root = night.lake.rankings
    if not snapshot.snapshots(root):
        return
    serving = snapshot.resolve(root)
    served, people = snapshot_names.night(serving.name), manifest.load(serving)["people"]
    before = [path for when, path in snapshot_names.by_night(root).items() if when < served][-_TRAILING:]
    usual = statistics.median(manifest.load(path)["people"] for path in before) if len(before) >= _FEWEST else 0
    share, link = night.config.alerts.min_people_share, str(root / "current")
    if people == 0:
        yield Cause("empty", "people", f"{serving.name} serves, in which nobody has a list.", link)
    elif people < share * usual:
        yield Cause(
            "shrunken",
            "people",
            f"{serving.name} serves, in which {people:,} people have a list; in those before it {usual:,.0f} had one "
            f"(alerts.min_people_share is {share:g}).",
            link,
        )
    behind = round((night.as_of - served) / night.config.project.step)  # a night is an hour longer in autumn
    if behind > night.config.alerts.stale_nights:
        yield Cause("stale", "people", f"{serving.name} serves, which is {behind} nights behind.", link)


def _overdue(night: Night) -> Iterator[Cause]:
    """Nights whose deadline has passed, until one as late as that is published."""
    name = snapshot_names.serving(night.lake.rankings)
    served = snapshot_names.night(name).isoformat() if name else ""
    if night.overdue and served < night.as_of.isoformat():
        hours = night.config.alerts.deadline_hours
        yield Cause(
            "deadline",
            "night",
            f"The night of {night.as_of.isoformat()} is not published, and its deadline of {hours:g} hours has passed; "
            f"{name or 'nothing'} serves.",
            _airflow(night),
        )
    yield from (one.cause for one in night.open if one.cause.kind == "deadline" and served < one.since)


_READERS: Mapping[tuple[Kind, ...], Callable[[Night], Iterable[Cause]]] = {
    ("late", "blocked"): _exports,
    ("failed",): _steps,
    ("deadline",): _overdue,
    ("empty", "shrunken", "stale"): _published,
    ("drift", "dip", "quality"): _arms,
    ("rollback",): _taken_back,
    ("retrained",): _trained,
}
