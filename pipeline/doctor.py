"""Is everything in place for tonight: configuration, sources, key, folders, disk; and what every setting is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from pipeline import messenger, sources, stores, swap
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.report import Report
from pipeline.sections import Source

_ENOUGH_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    healthy: bool
    detail: str


@dataclass(frozen=True)
class DoctorReport(Report):
    """What was found, and every effective setting with where it came from (`file` or `default`)."""

    findings: tuple[Finding, ...]
    settings: tuple[tuple[str, str, str], ...]

    @property
    def healthy(self) -> bool:
        """Whether tonight can run: nothing that was looked at is bad."""
        return all(finding.healthy for finding in self.findings)


def run(config: Config) -> DoctorReport:
    """Look at everything that a night needs, and change nothing."""
    exports, places = map(_source, config.sources), map(_store, config.publish.stores)
    findings = (_key(config), *exports, *_folders(Lake.of(config)), *places, _alerts(config))
    return DoctorReport(findings, tuple(_settings(config)))


def draw(report: DoctorReport, out: Console) -> None:
    """Findings first, settings after."""
    for finding in report.findings:
        mark = "[green]ok  [/]" if finding.healthy else "[bold red]BAD [/]"
        out.print(mark, end="")
        out.print(f"{finding.what}: {finding.detail}", markup=False, soft_wrap=True)
    table = Table("setting", "value", "from")
    for row in report.settings:
        table.add_row(*row)
    out.print(table)


def _key(config: Config) -> Finding:
    what, lake = f"key {config.project.id_key_env}", Lake.of(config)
    try:
        ids = Pseudonyms.configured(config)
        ids.require(lake)
    except ShortlistError as error:
        return Finding(what, False, str(error))
    if swap.pending(lake):
        return Finding(what, False, "a rotation was interrupted: the next `shortlist ingest` or `rotate-key` ends it")
    if not os.environ.get(config.project.id_key_env):
        return Finding(what, True, "the public development key is used: for trying things out only")
    return Finding(what, True, "set, and the lake was made with it" if ids.fits(lake) else "set; no lake has it yet")


def _store(url: str) -> Finding:
    """Whether it can be read; that it keeps the conditions of a put is tried before each publication."""
    try:
        place = stores.folder_at(url)
        objects, serves = place.list(), stores.pointer(place)
    except ShortlistError as error:
        return Finding(f"store {url}", False, str(error))
    return Finding(f"store {url}", True, f"{len(objects)} objects; CURRENT there names {serves or 'nothing yet'}")


def _alerts(config: Config) -> Finding:
    """Whether the addresses are any; whether they answer, `shortlist alert --test` says."""
    name = config.alerts.urls_env
    try:
        found = messenger.addresses(config)
    except ShortlistError as error:
        return Finding("alerts", False, str(error))
    services = ", ".join(one.name for one in found)
    return Finding("alerts", True, f"{len(found)} addresses: {services}" if found else f"nobody is told: no {name}")


def _source(source: Source) -> Finding:
    what = f"source {source.name} ({source.format})"
    try:
        sources.format_of(source)
        if sources.whole_file(source):
            path = sources.locate(source, None)
            return Finding(what, True, f"{path} ({path.stat().st_size:,} bytes)")
        days = sources.available_days(source)
    except ShortlistError as error:
        return Finding(what, False, str(error))
    if not days:
        return Finding(what, False, f"no file matches {source.path}")
    return Finding(what, True, f"{len(days)} days, {min(days)} to {max(days)}")


def _folders(lake: Lake) -> Iterator[Finding]:
    for name, folder in (("lake", lake.root), ("published", lake.published), ("state", lake.state)):
        existing = _nearest_existing(folder)
        writable = os.access(existing, os.W_OK)
        free = shutil.disk_usage(existing).free
        detail = (
            f"{folder}: {free / 1024**3:.1f} GB free" if writable else f"{folder}: no write permission in {existing}"
        )
        if free < _ENOUGH_BYTES:
            detail += f"; a night wants at least {_ENOUGH_BYTES / 1024**3:.0f} GB"
        yield Finding(name, writable and free >= _ENOUGH_BYTES, detail)


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _settings(config: Config) -> Iterator[tuple[str, str, str]]:
    for name in type(config).model_fields:
        if name != "file":
            yield from _rows(name, getattr(config, name), name in config.model_fields_set)


def _rows(name: str, value: Any, given: bool) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _rows(f"{name}.{field}", getattr(value, field), given and field in value.model_fields_set)
    elif isinstance(value, dict) and any(isinstance(v, BaseModel) for v in value.values()):
        for key, section in value.items():
            yield from _rows(f"{name}.{key}", section, given)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for section in value:
            yield from _rows(f"{name}.{getattr(section, 'name', '')}", section, given)
    else:
        yield name, str(value), "file" if given else "default"
