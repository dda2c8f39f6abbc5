"""Runs the real DAG files over stand-in steps, night after night in one process, and prints as JSON what came of each.

Usage: python run_nights.py <world> <nights as JSON>; a night is {"name", "as_of", "retrain", "plan"}; see `steps.py`.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import local_airflow


def lived(world: Path, night: dict[str, Any]) -> dict[str, Any]:
    """One night, and all that can be seen of it from outside."""
    told: list[tuple[str, str, int, str]] = []
    (world / "plan.json").write_text(json.dumps(night["plan"]))
    (world / "journal.jsonl").write_text("")
    raised, results = None, {}
    try:
        results = local_airflow.run_dags(
            world / "shortlist.toml",
            datetime.fromisoformat(night["as_of"]),
            night["retrain"],
            lambda *event: told.append(event),
        )
    except BaseException as error:  # noqa: BLE001  an interrupt is one of the nights
        raised = [type(error).__qualname__, str(error)]
    journal = [json.loads(line) for line in (world / "journal.jsonl").read_text().splitlines()]
    return {"raised": raised, "told": told, "journal": journal, "results": results}


world = Path(sys.argv[1])
nights = {night["name"]: lived(world, night) for night in json.loads(sys.argv[2])}
(world / "nights.json").write_text(json.dumps(nights))
