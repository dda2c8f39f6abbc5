"""Refused rows: which, why, what to do about them, and loading their exports again once something was done.

The lake has no value of a refused row, only its file, its number and a reason: whoever mends the export looks there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pipeline import ingest, sources
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.ingest import Unit
from pipeline.lake import UNDATED, Lake
from pipeline.reasons import explained
from pipeline.report import Report

_EXAMPLES = 5

State = Literal["as loaded", "changed", "file is missing", "other path", "no such source"]
"""Of an export: whether it, or its source's settings, are what they were when it was loaded."""

_STATES: Mapping[State, str] = {
    "as loaded": "nothing changed: mend the export or the mapping first",
    "changed": "the export or its settings changed: --retry loads it again",
    "file is missing": "the file is gone: export it again, or correct the source's `path`",
    "other path": "the source's `path` has got or lost its {date} since: `shortlist ingest` loads it",
    "no such source": "the configuration has no such source any more",
}


@dataclass(frozen=True)
class Refused:
    """Rows of one table of one export that were refused for one reason; `day` is None for a file that is read whole."""

    source: str
    day: str | None
    table: str
    file: str
    reason: str
    rows: int
    row_numbers: tuple[int, ...]
    state: State
    meaning: str
    remedy: str


@dataclass(frozen=True)
class Retried:
    """What a retry did with one (source, day)."""

    source: str
    day: str | None
    refused_before: int
    refused_now: int
    loaded: bool
    said: str


@dataclass(frozen=True)
class QuarantineReport(Report):
    """`refused`: what is in quarantine (after a retry: still). `retried` and `ingest` are of the retry alone."""

    refused: tuple[Refused, ...]
    retried: tuple[Retried, ...] = ()
    ingest: Mapping[str, Any] | None = None


def run(
    config: Config, *, source: str | None = None, since: date | None = None, until: date | None = None
) -> QuarantineReport:
    """The refused rows of `source` (or all) from `since` to `until`; files that are read whole have no day of theirs.

    Raises:
        ConfigurationError: There is no such source, in the configuration or in quarantine.
    """
    lake = Lake.of(config)
    units = _units(lake, config, source, since, until)
    return QuarantineReport(tuple(one for unit in units for one in _refused(unit, lake, config)))


def retry(
    as_of: datetime,
    config: Config,
    *,
    source: str | None = None,
    since: date | None = None,
    until: date | None = None,
    on_unit: Callable[[int, int], None] | None = None,
) -> QuarantineReport:
    """Load the exports of refused rows again that changed, or whose settings did; where none did, nothing is touched.

    Raises:
        ShortlistError: An export is still too broken; those before it are loaded.
    """
    lake = Lake.of(config)
    units = _units(lake, config, source, since, until)
    retried, reports = [], []
    for done, unit in enumerate(units):
        state, before = _state(unit, config), _count(lake, unit)
        if state == "changed":
            reports.append(ingest.load(unit.to_json(), as_of, config).to_json())
        retried.append(_retried(unit, state, before, _count(lake, unit)))
        if on_unit:
            on_unit(done + 1, len(units))
    finished = ingest.finish(as_of, config, reports).to_json() if reports else None
    left = tuple(one for unit in units for one in _refused(unit, lake, config))
    return QuarantineReport(left, tuple(retried), finished)


def _retried(unit: Unit, state: State, before: int, now: int) -> Retried:
    said = "loaded again" if state == "changed" else _STATES[state]
    return Retried(unit.source, unit.to_json()["day"], before, now, state == "changed", said)


# ---------------------------------------------------------------- what is in quarantine


def _units(lake: Lake, config: Config, source: str | None, since: date | None, until: date | None) -> list[Unit]:
    """The loads that refused rows, oldest first."""
    days = lake.days("quarantine")
    if source is not None and all(name != source for name, _ in days):
        config.source(source)
    return [
        Unit(name, None if day == UNDATED else day)
        for name, day in sorted(days, key=lambda place: (place[1], place[0]))
        if source in (None, name) and _between(day, since, until)
    ]


def _between(day: date, since: date | None, until: date | None) -> bool:
    if day == UNDATED:
        return since is None and until is None
    return (since or day) <= day <= (until or day)


def _rows(lake: Lake, unit: Unit) -> pa.Table:
    return lake.read("quarantine", source=unit.source, days=[unit.day or UNDATED])


def _count(lake: Lake, unit: Unit) -> int:
    return int(_rows(lake, unit).num_rows)


def _refused(unit: Unit, lake: Lake, config: Config) -> Iterator[Refused]:
    """A unit's refused rows by table, file and reason, the most frequent first."""
    rows = _rows(lake, unit)
    if not rows.num_rows:
        return
    state = _state(unit, config)
    groups = rows.group_by(["table", "source_file", "reason"]).aggregate([("row_number", "count")]).to_pylist()
    for group in sorted(groups, key=lambda one: (-one["row_number_count"], one["table"], one["reason"])):
        meaning, remedy = explained(group["reason"])
        yield Refused(
            source=unit.source,
            day=unit.to_json()["day"],
            table=group["table"],
            file=group["source_file"],
            reason=group["reason"],
            rows=group["row_number_count"],
            row_numbers=_examples(rows, group),
            state=state,
            meaning=meaning,
            remedy=remedy,
        )


def _examples(rows: pa.Table, group: Mapping[str, Any]) -> tuple[int, ...]:
    same = [pc.equal(rows[name], group[name]) for name in ("table", "source_file", "reason")]
    numbers = rows["row_number"].filter(pc.and_(pc.and_(same[0], same[1]), same[2]))
    return tuple(numbers.sort()[:_EXAMPLES].to_pylist())


def _state(unit: Unit, config: Config) -> State:
    if all(source.name != unit.source for source in config.sources):
        return "no such source"
    source = config.source(unit.source)
    if sources.whole_file(source) != (unit.day is None):
        return "other path"
    try:
        return "as loaded" if ingest.is_loaded(unit, config) else "changed"
    except ConfigurationError:
        raise
    except ShortlistError:
        return "file is missing"


# ---------------------------------------------------------------- for people


def draw(report: QuarantineReport, out: Console) -> None:
    """What is in quarantine on a terminal, each reason explained once."""
    for unit in report.retried:
        counts = f"{unit.refused_before:,} refused before, {unit.refused_now:,} now"
        out.print(f"{unit.source} {unit.day or 'whole file'}: {unit.said} ({counts})", markup=False, soft_wrap=True)
    if not report.refused:
        out.print(_EMPTY, soft_wrap=True)
        return
    table = Table("source", Column("day", no_wrap=True), "table", "rows", "reason", "for example rows")
    for one in report.refused:
        numbers = ", ".join(map(str, one.row_numbers)) + (" …" if one.rows > _EXAMPLES else "")
        table.add_row(one.source, one.day or "whole file", one.table, f"{one.rows:,}", escape(one.reason), numbers)
    out.print(table)
    reasons = {one.reason: f"{one.meaning}.\n  To do: {one.remedy}." for one in report.refused}
    exports = {f"{one.source} {one.day or 'whole file'}, {one.file}": _STATES[one.state] for one in report.refused}
    for name, said in (reasons | exports).items():
        out.print(f"{name}\n  {said}", markup=False, soft_wrap=True)


_EMPTY = (
    "Nothing is in quarantine. An export that is refused as a whole leaves no rows here: "
    "`shortlist ingest` says why, with every reason counted."
)
