"""The guide on adding a source, word for word: one file and its name in the registry are all that it takes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline.lake import Lake
from pipeline.sections import Source
from pipeline.sources import FORMATS
from tests.worlds import CODE, HOUSE, QUIET

GUIDE = (HOUSE / "docs" / "guides" / "add-a-source.md").read_text(encoding="utf-8")
PACKAGES = ("pipeline", "expectations", "features", "models", "dags")


def block(language: str) -> str:
    """The guide's one fenced block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def patched(text: str, diff: str) -> str:
    """`text` with the lines that `diff` adds, each after the line that it shows before."""
    lines = diff.splitlines()
    for before, line in pairwise(lines):
        if line.startswith("+"):
            assert text.count(f"{before[1:]}\n") == 1
            text = text.replace(f"{before[1:]}\n", f"{before[1:]}\n{line[1:]}\n")
    return text


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of our code, to which the guide's module and its name are added and nothing else."""
    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(HOUSE / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    registry = folder / "pipeline" / "sources" / "__init__.py"
    registry.write_text(patched(registry.read_text(encoding="utf-8"), block("diff")), encoding="utf-8")
    registry.with_name("readlog.py").write_text(block("python"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def company(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guide's export and configuration, on which its command was run with that code."""
    folder = tmp_path_factory.mktemp("company")
    (folder / "exports").mkdir()
    (folder / "exports" / "readlog_20260630.jsonl").write_text(block("json"), encoding="utf-8")
    (folder / "shortlist.toml").write_text(block("toml"), encoding="utf-8")
    _, *arguments = block("sh").split()
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(house)}
    command = [sys.executable, "-c", CODE, *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "answer.json").write_text(done.stdout, encoding="utf-8")
    return folder


def test_a_real_ingest_reads_the_guides_format(company: Path) -> None:
    """Two rows are in the lake with the guide's content ids; the third was refused, the fourth left out and counted."""
    lake = Lake.of(configuration.parse({"project": {"name": "intranet"}}, company / "shortlist.toml"))
    rows = lake.read("events", source="app", days=[date(2026, 6, 30)]).sort_by("ts")
    columns = ["content_id", "event", "dwell_seconds"]
    assert [list(row.values()) for row in rows.select(columns).to_pylist()] == [
        ["pricing", "view", 41.0],
        ["pricing", "save", None],
    ]
    (day,) = json.loads((company / "answer.json").read_text(encoding="utf-8"))["days"]
    assert day["quarantined"] == {"at is not a time in the form iso8601": 1}
    assert day["notes"] == {"personal_data_in_url": 1}


def test_the_guides_module_passes_our_own_checks(house: Path) -> None:
    """What a guide shows is written as we write."""
    code = house / "pipeline" / "sources" / "readlog.py"
    command = [sys.executable, "-m", "ruff", "check", "--config", str(HOUSE / "pyproject.toml"), str(code)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0


def test_the_guide_lists_every_format_as_it_is() -> None:
    """What each reads (its module's first line), the tables it fills, and its options."""
    listed = GUIDE[GUIDE.index("| format | reads") :].splitlines()[2:]
    assert listed == [_line(name) for name in FORMATS]


def _line(name: str) -> str:
    found = FORMATS[name]
    source = Source(name="any", format=name, path="export", table="events" if name == "table" else None)
    reads = (sys.modules[f"pipeline.sources.{name}"].__doc__ or "").splitlines()[0]
    return f"| `{name}` | {reads} | {', '.join(found.TABLES)} | {', '.join(sorted(found.known(source).options))} |"
