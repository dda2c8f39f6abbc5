"""What a job costs, run in a process of its own: CPU seconds with all that it starts, imports included, and memory.

A benchmark's module is what is run: `python -m benchmarks.<name> <job> <arguments>` prints what the job told, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pipeline  # noqa: F401 - it sets what has to be set before libraries load, so for whoever is measured

Job = Callable[..., Mapping[str, float]]


class Cost(NamedTuple):
    """What a process and its children took, and what it told."""

    cpu: float
    peak_mb: float
    told: Mapping[str, float]


def shortlist(home: Path, *arguments: str) -> Any:
    """What `shortlist <arguments> --json` answers in a company's folder, run as a person would."""
    command = [str(Path(sys.executable).with_name("shortlist")), *arguments, "--json"]
    return json.loads(subprocess.run(command, cwd=home, check=True, stdout=subprocess.PIPE).stdout)


def measured(benchmark: str, job: str, *arguments: str) -> Cost:
    """Run a job of a benchmark in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", job, *arguments]
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=told)
        peak, ended = 0.0, 0
        while not ended:
            time.sleep(0.1)
            peak = max(peak, sum(map(_held_mb, _with_children(process.pid))))
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed")
        told.seek(0)
        return Cost(usage.ru_utime + usage.ru_stime, peak, json.load(told))


def main(jobs: Mapping[str, Job], benchmark: Callable[[], None] | None = None) -> None:
    """Run the job that the command line names; without one, the benchmark."""
    if len(sys.argv) > 1:
        sys.stdout.write(json.dumps(jobs[sys.argv[1]](*sys.argv[2:])))
    elif benchmark:
        benchmark()


def _with_children(pid: int) -> list[int]:
    found = [pid]
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _read(listed).split():
            found += _with_children(int(child))
    return found


def _held_mb(pid: int) -> float:
    """A process' share of the memory in use; of one that hides it (another user's view of the parser), all it maps."""
    for file, name in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        for line in _read(Path(f"/proc/{pid}/{file}")).splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return 0.0


def _read(path: Path) -> str:
    """What /proc says; nothing, of a process that has just ended."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
