"""A source's settings, and writing small exports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Setting:
    """The part of the configuration that reading a file needs."""

    name: str = "export"
    format: str = "table"
    table: str | None = None
    path: str = "export.csv"
    timestamp: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    encoding: str = "utf-8"
    options: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(scope="session")
def setting() -> Callable[..., Setting]:
    """Settings of a source; what is not given has the configuration's default."""
    return Setting


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file of this name and content; text as UTF-8."""

    def to_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return to_file
