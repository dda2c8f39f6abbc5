"""By when a night must be published: what Airflow's deadline alert of `personalize` asks, and calls when it is missed.

The DAG file and Airflow's triggerer import it, so it imports nothing that takes time.
"""

from __future__ import annotations

import asyncio
import os
import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HOURS = 6.0
"""What `[alerts] deadline_hours` is when nothing is said."""


def interval() -> timedelta:
    """`[alerts] deadline_hours` of the configuration that the tasks read, else `HOURS`.

    A configuration that cannot be read is no reason why a DAG cannot be parsed: the first task says what is wrong.
    """
    file = Path(os.environ.get("SHORTLIST_CONFIG") or "shortlist.toml")
    try:
        alerts = tomllib.loads(file.read_text(encoding="utf-8")).get("alerts", {})
        return timedelta(hours=float(alerts.get("deadline_hours", HOURS)))
    except (OSError, ValueError, TypeError, AttributeError, OverflowError):
        return timedelta(hours=HOURS)


async def missed(context: Mapping[str, Any]) -> str:
    """What the triggerer calls: an alert, unless the night is published after all. Returns what it came to, in a line.

    In a thread: other triggers go on meanwhile.
    """
    return await asyncio.to_thread(_tell, context["dag_run"])


def _tell(dag_run: Mapping[str, Any]) -> str:
    from pipeline import alert, clock, config

    settings = config.load()
    as_of = clock.as_of({"dag_run": _run(dag_run)}, settings)
    report = alert.run(as_of, settings, overdue=True)
    return f"{len(report.opened)} opened, {report.sent} messages sent, {report.waiting} waiting"


def _run(dag_run: Mapping[str, Any]) -> SimpleNamespace:
    """The run as `clock.as_of` wants it, from the JSON that Airflow hands to the callback of a deadline."""
    instants = {
        name: datetime.fromisoformat(text) for name in ("logical_date", "run_after") if (text := dag_run.get(name))
    }
    return SimpleNamespace(**{**dag_run, "logical_date": None, "run_after": None, **instants})
