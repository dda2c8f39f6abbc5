"""What every benchmark ends with: a table for people, and the same as JSON in benchmarks/results/."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

QUICK = os.environ.get("QUICK") == "1"
"""A smaller size, for a look; its figures do not count."""


RESULTS = Path(__file__).parent / "results"

LIBRARIES = ("pyarrow", "duckdb", "deltalake", "xgboost")
"""Whose versions matter to most."""


@dataclass(frozen=True)
class Row:
    """One line of an issue's table; `must` and `moonshot` are None where none is set."""

    what: str
    value: float
    must: float | None = None
    moonshot: float | None = None
    better: Literal["higher", "lower"] = "higher"

    @property
    def verdict(self) -> str:
        """Which of the two was reached."""
        for name, bound in (("moonshot", self.moonshot), ("reached", self.must)):
            if bound is not None and (self.value >= bound if self.better == "higher" else self.value <= bound):
                return name
        return "" if self.must is None else "MISSED"


def finish(name: str, rows: list[Row], libraries: Sequence[str] = LIBRARIES, beside: str = "") -> None:
    """Print the table and write benchmarks/results/<name>.json; `beside` the processor something else did the work."""
    table = Table("what", "value", "must", "moonshot", "", title=f"{name}{' (QUICK)' if QUICK else ''}")
    for row in rows:
        bounds = ["" if bound is None else f"{bound:g}" for bound in (row.must, row.moonshot)]
        table.add_row(row.what, f"{row.value:.3g}", *bounds, row.verdict)
    console = Console()
    console.print(table)
    hardware = machine(libraries, beside)
    console.print(hardware)
    RESULTS.mkdir(exist_ok=True)
    report = {"machine": hardware, "quick": QUICK, "rows": [asdict(row) for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def machine(libraries: Sequence[str] = LIBRARIES, beside: str = "") -> str:
    """Processor, cores, memory, what stands beside them, and the versions that matter."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    hardware = f"{_processor()}, {os.cpu_count()} cores, {gigabytes:.0f} GiB{beside and f'; {beside}'}"
    return f"{hardware}; Python {platform.python_version()}, {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()
