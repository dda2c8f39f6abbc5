"""The decisions of past nights, as the drift check wrote them down in the lake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipeline.lake import Lake

TABLE = "decisions"


def write(lake: Lake, as_of: datetime, record: Mapping[str, Any]) -> None:
    """Put a night's decision in the place of what was decided before for it."""
    lake.replace_night(TABLE, pa.table({"decision": [json.dumps(record, sort_keys=True)]}), as_of)


def of_night(lake: Lake, as_of: datetime) -> Mapping[str, Any] | None:
    """What was decided for a night; None where nobody has."""
    if as_of not in lake.nights(TABLE):
        return None
    found: dict[str, Any] = json.loads(lake.read_night(TABLE, as_of)["decision"][0].as_py())
    return found


def between(lake: Lake, since: datetime, until: datetime) -> dict[datetime, Mapping[str, Any]]:
    """What was decided for the nights from `since` until before `until`, by night."""
    nights = [night for night in lake.nights(TABLE) if since <= night < until]
    return {row["night"]: json.loads(row["decision"]) for row in lake.read_nights(TABLE, nights).to_pylist()}


def dipping(lake: Lake, as_of: datetime) -> bool:
    """Whether the night's decision found that the champion does worse than it did."""
    arms = (of_night(lake, as_of) or {}).get("arms", ())
    return any(arm["name"] == "performance" and arm["state"] == "fires" for arm in arms)
