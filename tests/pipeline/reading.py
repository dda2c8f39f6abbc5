"""Reading files as a night does, in a child process, with formats and limits of a test's choice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import pyarrow as pa
import pytest

from pipeline import parse, sources
from pipeline.config import Config
from pipeline.sections import Limits, Source
from pipeline.sources.export import Parsed
from tests.pipeline import hostile

DAY = (1_782_777_600_000_000, 1_782_864_000_000_000)
EVENTS = "event_id,ts,visitor_id,content_id,event\n" + "".join(
    f"{i % 90},2026-06-30T12:00:00Z,v{i},c{i},{'view' if i % 7 else 'nonsense'}\n" for i in range(100)
)


def allow_hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `hostile` a format, for one test."""
    monkeypatch.setattr(sources, "FORMATS", MappingProxyType({**sources.FORMATS, "hostile": hostile}))


def stream(path: Path, limits: dict[str, Any], template: str | None = None, **settings: Any) -> Iterator[Parsed]:
    """The parts of one file under these limits; `settings` are the source's, `template` its path."""
    config = Config(file=path.with_name("shortlist.toml"), limits=Limits(**{"seconds": 120, **limits}))
    return parse.stream(path, Source(name="export", path=template or str(path), **settings), DAY, config)


def parsed(path: Path, limits: dict[str, Any] | None = None, **settings: Any) -> list[Parsed]:
    """`stream` to its end."""
    return list(stream(path, limits or {}, **settings))


def servers() -> list[psutil.Process]:
    """The server of this process, if it has one."""
    return [child for child in psutil.Process().children() if "pipeline.parse" in child.cmdline()]


def readers() -> list[psutil.Process]:
    """The processes that read a file for us right now."""
    return [reader for server in servers() for reader in server.children()]


def same(one: Parsed, other: Parsed) -> bool:
    """Whether two are the same in every row and count."""
    tables = one.tables.keys() == other.tables.keys() and all(one.tables[n].equals(other.tables[n]) for n in one.tables)
    return (
        tables
        and one.rejected.equals(other.rejected)
        and replace(one, tables={}, rejected=None) == replace(other, tables={}, rejected=None)
    )


def legible(part: Parsed) -> int:
    """Looks at every value but times, which may be of a year that Python does not know; how many events there are."""
    for rows in part.tables.values():
        rows.select([field.name for field in rows.schema if not pa.types.is_timestamp(field.type)]).to_pylist()
    return int(part.tables["events"].num_rows) if "events" in part.tables else 0
