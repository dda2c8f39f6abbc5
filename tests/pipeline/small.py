"""A small company on disk for the tests of the door: its exports, its configuration, and `shortlist` on them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import cli, config
from pipeline.config import Config
from pipeline.lake import Lake

HEADER = """
[project]
name = "small"
development_key = true
"""


def table_source(name: str, table: str, more: str = "") -> str:
    """The configuration of a source in our own format with an export a day; `more` are further lines."""
    path = f"exports/{name}_{{date:%Y%m%d}}.csv"
    return f'[[sources]]\nname = "{name}"\nformat = "table"\ntable = "{table}"\npath = "{path}"\n{more}'


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code, its standard output, and its standard error without line breaks."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which is one JSON object and nothing else."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def lacks(self, *words: str) -> list[str]:
        """Those of `words` that were not said on standard error."""
        return [word for word in words if word not in self.err]


def shortlist(capsys: pytest.CaptureFixture[str], *arguments: object) -> Said:
    """`shortlist <arguments>` in this process, as the console script runs it."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["shortlist", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    out, err = capsys.readouterr()
    return Said(int(stopped.value.code or 0), out, " ".join(err.split()))


@dataclass(frozen=True)
class House:
    """A folder with `shortlist.toml`, exports, and everything that is made of them."""

    folder: Path

    @property
    def file(self) -> Path:
        """The configuration's place."""
        return self.folder / "shortlist.toml"

    def configure(self, text: str) -> Config:
        """Write the configuration, `text` after the project's section, and read it."""
        self.file.write_text(HEADER + text, encoding="utf-8")
        return config.load(self.file)

    @property
    def lake(self) -> Lake:
        """The lake of the configuration as it is now."""
        return Lake.of(config.load(self.file))

    def write_csv(self, name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        """A CSV with the keys of the first row as its header."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    def served(self) -> dict[str, str | bytes]:
        """Everything under `published/`: each file's bytes, each link's target."""
        root = self.lake.published
        links = {path for path in root.rglob("*") if path.is_symlink()}
        files = {path for path in root.rglob("*") if path.is_file() and not links & {path, *path.parents}}
        return {str(path): str(path.readlink()) if path in links else path.read_bytes() for path in links | files}

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Every table of the lake, its rows in an order that does not depend on how they were written."""
        return {name: in_order(self.lake.read(name)) for name in self.lake.versions()}


def in_order(table: pa.Table) -> list[dict[str, Any]]:
    """The rows, sorted by what they hold."""
    return sorted(table.to_pylist(), key=repr)


def events_csv(day: date, count: int, start: int = 0) -> Iterable[dict[str, object]]:
    """`count` events of a day, a minute apart, by five visitors about four contents."""
    for i in range(start, start + count):
        yield {
            "event_id": f"{day}-{i}",
            "ts": f"{day}T{i // 60:02d}:{i % 60:02d}:00Z",
            "visitor_id": f"v{i % 5}",
            "content_id": f"c{i % 4}",
            "event": ("view", "click")[i % 2],
        }
