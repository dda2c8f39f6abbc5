"""What every stand-in step does: write down that it was called, and fail where the night's plan says so.

`plan.json` beside the configuration: `units` for `ingest.plan`; `drifted`; `fail` = {step: "ours", "theirs", "ctrl-c"}.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pipeline.config import Config
from pipeline.errors import ShortlistError


@dataclass(frozen=True)
class Report:
    """What every stand-in returns."""

    step: str
    retrain: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the real reports."""
        return asdict(self)


def called(step: str, as_of: datetime, config: Config, **more: Any) -> dict[str, Any]:
    """Write the call down and return the night's plan."""
    folder = config.file.parent
    plan: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps({"step": step, "as_of": as_of.isoformat(), **more}) + "\n")
    errors = {"ours": ShortlistError, "theirs": ZeroDivisionError, "ctrl-c": KeyboardInterrupt}
    if kind := plan.get("fail", {}).get(step):
        raise errors[kind](f"{step} failed")
    return plan
