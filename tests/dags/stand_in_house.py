"""A house in which every step is a stand-in. Nights run in a process of their own: Airflow is set up once a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
STAND_INS = Path(__file__).with_name("stand_ins")
REAL = ("__init__", "airflow_environment", "causes", "clock", "config", "deadline", "errors", "lake", "local_airflow")
STEPS = ("build_features", "grade", "train", "rank", "publish", "housekeep")

STEP = """
from pipeline.steps import Report, called


def run(as_of, config):
    called("{verb}", as_of, config)
    return Report("{verb}")
"""

CHECK_DRIFT = """
from pipeline.steps import Report, called


def run(as_of, config, *, retrain=False):
    plan = called("check_drift", as_of, config, retrain=retrain)
    return Report("check_drift", retrain or plan.get("drifted", False))
"""

ALERT = """
from pipeline.steps import Report, called


def run(as_of, config, *, ran=None, overdue=False):
    called("alert", as_of, config, ran=ran, overdue=overdue)
    return Report("alert")
"""

INGEST = """
from pipeline.steps import Report, called


def plan(as_of, config, start=None, end=None):
    return called("plan", as_of, config, start=start and str(start), end=end and str(end))["units"]


def load(unit, as_of, config):
    called("load", as_of, config, unit=unit)
    return Report(f"load {unit['source']}")


def finish(as_of, config, reports):
    called("finish", as_of, config, reports=reports)
    return Report("finish")
"""


WHERE_ASKED = """
import pathlib

if not pathlib.Path({switch!r}).exists():
    __path__ = [{real!r}]
"""


class StandIns:
    """A copy of the house in which every step is a stand-in: what is tested is the order, not the steps.

    Of a running Airflow's `world`, the steps are stand-ins in processes that begin while the file `switch` is there,
    and the real ones in all others.
    """

    def __init__(self, folder: Path, world: Path | None = None) -> None:
        self.folder, self.world = folder, world or folder / "world"
        self.switch = folder / "switch"
        package = folder / "pipeline"
        package.mkdir()
        for name in REAL:
            shutil.copy(REPOSITORY / "pipeline" / f"{name}.py", package)
        shutil.copy(STAND_INS / "steps.py", package)
        steps = {verb: STEP.format(verb=verb) for verb in STEPS}
        steps |= {"alert": ALERT, "check_drift": CHECK_DRIFT, "ingest": INGEST}
        for verb, text in steps.items():
            (package / f"{verb}.py").write_text(text)
        for shared in ("dags", "expectations"):
            (folder / shared).symlink_to(REPOSITORY / shared)
        if world is not None:
            with (package / "__init__.py").open("a") as file:
                file.write(WHERE_ASKED.format(switch=str(self.switch), real=str(REPOSITORY / "pipeline")))
        else:
            self.world.mkdir()
            (self.world / "shortlist.toml").write_text('[project]\nname = "stand-in"\n')

    def journal(self) -> list[dict[str, Any]]:
        """The calls of steps so far, as `stand_ins/steps.py` wrote them down."""
        return [json.loads(line) for line in (self.world / "journal.jsonl").read_text().splitlines()]

    def run(self, nights: list[dict[str, Any]]) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
        """What came of each night, by name; and the process, with what it wrote to the terminal."""
        command = [sys.executable, str(STAND_INS / "run_nights.py"), str(self.world), json.dumps(nights)]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads((self.world / "nights.json").read_text()), done
