"""A company of one website, `WEB`, and how a day of its exports is loaded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipeline import ingest
from pipeline.config import Config
from tests.pipeline.small import House, events_csv, table_source

DAY = date(2026, 6, 30)
NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
WEB = table_source("web", "events")
CRM = table_source("crm", "customers", 'options = { attributes = "plan" }\n')


def days_before(count: int) -> date:
    """A day before the newest."""
    return DAY - timedelta(days=count)


def export(house: House, day: date = DAY, count: int = 12, **changes: object) -> Path:
    """The web's export of a day; `changes` go to its first row."""
    rows = list(events_csv(day, count))
    return house.write_csv(f"exports/web_{day:%Y%m%d}.csv", [{**rows[0], **changes}, *rows[1:]])


def load(config: Config, source: str = "web", day: date | None = DAY) -> ingest.IngestReport:
    """One unit, by itself."""
    return ingest.load({"source": source, "day": day.isoformat() if day else None}, NIGHT, config)
