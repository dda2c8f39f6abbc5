"""A simulation on disk, for the tests that look into one."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from pipeline import simulate

END = date(2026, 6, 30)
DAYS, PEOPLE, CONTENT = 12, 600, 150


@dataclass(frozen=True)
class Made:
    """A simulation on disk, and ways to look into it."""

    report: simulate.SimulateReport

    @property
    def out(self) -> Path:
        """The folder."""
        return self.report.out

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query over `events` (with `day`, the file's), `people` and `engagement`."""
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute(
                f"CREATE VIEW events AS SELECT *, regexp_extract(filename, '(\\d{{8}})', 1) AS day "
                f"FROM read_parquet('{self.out}/ga4/*.parquet', filename=true)"
            )
            db.execute(f"CREATE VIEW people AS FROM read_parquet('{self.out}/truth/people.parquet')")
            db.execute(f"CREATE VIEW engagement AS FROM read_parquet('{self.out}/truth/engagement.parquet')")
            return db.execute(query).fetchall()

    def table(self, folder: str) -> list[tuple[date, dict[str, str]]]:
        """Every row of a folder's CSV files with the file's day."""
        rows = []
        for path in sorted((self.out / folder).glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                rows += [(day_of(path), row) for row in csv.DictReader(file)]
        return rows

    def orders(self) -> dict[tuple[str, date], list[dict[str, str]]]:
        """The lines of each order by its name and the day of the file, in file order."""
        orders: dict[tuple[str, date], list[dict[str, str]]] = defaultdict(list)
        for day, row in self.table("shopify"):
            orders[row["Name"], day].append(row)
        return orders

    def posts(self) -> dict[date, list[dict[str, Any]]]:
        """Each day's posts."""
        files = sorted((self.out / "wordpress").glob("*.json"))
        return {day_of(path): json.loads(path.read_text(encoding="utf-8")) for path in files}


def simulated(out: Path) -> Made:
    """Twelve days of a small company, written under `out`."""
    return Made(simulate.run(out, days=DAYS, people=PEOPLE, content=CONTENT, seed=7, end=END))


def day_of(path: Path) -> date:
    """The day that a file's name ends with."""
    return datetime.strptime(path.stem[-8:], "%Y%m%d").replace(tzinfo=UTC).date()
