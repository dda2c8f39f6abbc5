"""What the door costs: a GA4 day against DuckDB's bare COPY, Shopify's orders, and Great Expectations' share.

Each figure is of a process of its own with all that it starts: CPU seconds are user and system time of all of them
(`wait4`), imports included; memory is the most that they held together, shared pages counted once. The bare COPY has
the columns that the lake gets of a GA4 event, one row an item, and a memory limit of 1 GB. Its parameters are unnested
and put into columns by one GROUP BY (scalar subqueries take 18 times as long), or picked by `list_filter`.
`QUICK=1` takes a fiftieth of the rows.
"""

from __future__ import annotations

import csv
import io
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import ga4_day, measure
from benchmarks.table import QUICK, Row, finish
from pipeline.simulation.shopify import HEADER

EVENTS = 200_000 if QUICK else 10_000_000
LINES = 20_000 if QUICK else 1_000_000
SMALL = 500
DAY = date(2026, 6, 30)
NIGHT = datetime(2026, 7, 8, tzinfo=UTC)
SETTINGS = """
[project]
name = "bench"
development_key = true
[[sources]]
name = "web"
format = "ga4"
path = "ga4/{date:%Y%m%d}.parquet"
[[sources]]
name = "shop"
format = "shopify"
path = "shopify/{date:%Y%m%d}.csv"
"""


def main() -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "shortlist.toml").write_text(SETTINGS, encoding="utf-8")
        day = _made(home, "ga4/{:%Y%m%d}.parquet", DAY)
        ga4_day.write(day, EVENTS)
        rows = _ga4(home, day)
        day.unlink()
        _orders(_made(home, "shopify/{:%Y%m%d}.csv", DAY), LINES)
        orders = measure.measured("ingest", "load", str(home), "shop", f"{DAY}")
        rows.append(
            Row("Shopify orders, million lines a minute and core", LINES / 1e6 / (orders.cpu / 60), 5, better="higher")
        )
        rows += _small(home)
    finish("ingest", rows)


def _ga4(home: Path, day: Path) -> list[Row]:
    unnest, pick = (measure.measured("ingest", f"copy_{how}", str(day)) for how in ("unnest", "pick"))
    ours = measure.measured("ingest", "load", str(home), "web", f"{DAY}")
    millions = EVENTS / 1e6
    return [
        Row(f"GA4 day of {millions:g} M events, CPU / COPY with UNNEST", ours.cpu / unnest.cpu, 2, 1, "lower"),
        Row("the same / COPY with list_filter", ours.cpu / pick.cpu, 2, 1, "lower"),
        Row("ingest, CPU s a million events", ours.cpu / millions, better="lower"),
        Row("COPY with UNNEST, CPU s a million events", unnest.cpu / millions, better="lower"),
        Row("COPY with list_filter, CPU s a million events", pick.cpu / millions, better="lower"),
        Row("ingest, peak memory, MB", ours.peak_mb, 1500, 1000, "lower"),
        Row("COPY with UNNEST, peak memory, MB", unnest.peak_mb, better="lower"),
        Row("ingest, wall s", ours.told["seconds"], better="lower"),
        Row("Great Expectations' share of its CPU time", ours.told["judging_cpu"] / ours.cpu, 0.25, 0.1, "lower"),
    ]


def _small(home: Path) -> list[Row]:
    """Days of some hundred events, loaded one after the other by one process; the first pays for the imports."""
    days = [DAY + timedelta(days=ahead) for ahead in (-1, 0, 1)]  # what is written is DAY's: not further than a day
    for seed, day in enumerate(days):
        ga4_day.write(_made(home, "ga4/{:%Y%m%d}.parquet", day), SMALL, seed)
    told = measure.measured("ingest", "load", str(home), "web", *(f"{day}" for day in days)).told
    return [
        Row(f"GA4 day of {SMALL} events, warm, ms", told["last_seconds"] * 1000, better="lower"),
        Row("Great Expectations' share of its time", told["last_judging"] / told["last_seconds"], 0.25, better="lower"),
    ]


def _made(home: Path, pattern: str, day: date) -> Path:
    path = home / pattern.format(day)
    path.parent.mkdir(exist_ok=True)
    return path


def _orders(path: Path, lines: int) -> None:
    """Orders of three lines in all of Shopify's columns."""
    times = f"{DAY} 08:00:00 +0000"
    order = {
        "Financial Status": "paid",
        "Paid at": times,
        "Created at": times,
        "Currency": "EUR",
        "Billing Name": "A B",
    }
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(_line(HEADER))
        for number in range(lines):
            first = number % 3 == 0
            line = {
                "Name": f"#{1000 + number // 3}",
                "Email": f"person-{number // 3 % 400_000}@example.com",
                **(order if first else {}),
                "Lineitem quantity": 1 + number % 4,
                "Lineitem name": f"How to do it well, part {number % 5000}",
                "Lineitem price": f"{number % 90}.90",
                "Lineitem sku": f"content-{number % 5000}",
                "Lineitem discount": "0.00",
            }
            file.write(_line([line.get(name, "") for name in HEADER]))


def _line(cells: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


# ---------------------------------------------------------------- what is measured


def _load(home: str, source: str, *days: str) -> Mapping[str, float]:
    """Load the days; how long it took, and how much of it the judging."""
    from pipeline import config, ingest, validate

    judged = _Watch(validate.check)
    validate.check = judged
    configuration = config.load(Path(home) / "shortlist.toml")
    begun = last = time.perf_counter()
    for day in days:
        judged.seconds, last = 0.0, time.perf_counter()
        ingest.load({"source": source, "day": day}, NIGHT, configuration)
    ended = time.perf_counter()
    return {
        "seconds": ended - begun,
        "judging_cpu": judged.cpu,
        "last_seconds": ended - last,
        "last_judging": judged.seconds,
    }


class _Watch:
    """A function, and how long it took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = self.cpu = 0.0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        seconds, cpu = time.perf_counter(), time.process_time()
        try:
            return self._function(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - seconds
            self.cpu += time.process_time() - cpu


_PARAMETERS = {
    "ga_session_id": "int_value",
    "content_id": "string_value",
    "engagement_time_msec": "int_value",
    "page_location": "string_value",
}
_PLAIN = """event_timestamp, event_name, user_pseudo_id, user_id, stream_id, platform, device.category AS device,
    geo.country AS country, ecommerce.transaction_id AS order_id,
    unnest(CASE WHEN len(items) > 0 THEN items ELSE [NULL] END) AS item"""
_ITEM = "item.item_id, item.price, item.quantity, item.index"


def _copy_unnest(path: str) -> Mapping[str, float]:
    """COPY with parameters unnested, then one row an event again."""
    columns = ", ".join(f"max(p.value.{kind}) FILTER (p.key = '{key}') AS {key}" for key, kind in _PARAMETERS.items())
    rows = f"read_parquet('{path}', file_row_number = true)"
    return _copied(f"""
        SELECT * EXCLUDE (n, item), {_ITEM}
        FROM (SELECT file_row_number AS n, {_PLAIN} FROM {rows})
        JOIN (SELECT n, {columns} FROM (SELECT file_row_number AS n, unnest(event_params) AS p FROM {rows}) GROUP BY n)
        USING (n)
    """)


def _copy_pick(path: str) -> Mapping[str, float]:
    """COPY with parameters picked from their list."""
    columns = ", ".join(
        f"list_filter(event_params, lambda p: p.key = '{key}')[1].value.{kind} AS {key}"
        for key, kind in _PARAMETERS.items()
    )
    return _copied(f"SELECT * EXCLUDE (item), {_ITEM} FROM (SELECT {columns}, {_PLAIN} FROM read_parquet('{path}'))")


def _copied(query: str) -> Mapping[str, float]:
    import duckdb

    with (
        tempfile.TemporaryDirectory() as scratch,
        duckdb.connect(config={"memory_limit": "1GB", "temp_directory": scratch}) as con,
    ):
        con.execute(f"COPY ({query}) TO '{scratch}/copy.parquet'")
    return {}


JOBS: Mapping[str, measure.Job] = {
    "load": _load,
    "copy_unnest": _copy_unnest,
    "copy_pick": _copy_pick,
}

if __name__ == "__main__":
    measure.main(JOBS, main)
