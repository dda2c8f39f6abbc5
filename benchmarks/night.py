"""The spine's claims: how long a newcomer's first night takes, step by step, and what its lists are truly worth.

Simulates the default world, runs the real commands (each a process of its own, as a person would), and compares the
published lists with most-popular's by the simulator's hidden truth. `QUICK=1` takes a tenth of the people.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.measure import shortlist
from benchmarks.table import QUICK, Row, finish
from pipeline.simulation import truth

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = {"p_click": 0.2, "p_read": 0.5, "p_purchase": 1.0}
"""Those of the example configuration's goals."""
STEPS = ("ingest", "features", "grade", "drift", "train", "rank", "publish")
NIGHT = "2026-07-01"


def main() -> None:
    """Measure, print, write."""
    people = 200 if QUICK else 2000
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copy(ROOT / "shortlist.toml", home)
        rows = [Row("simulate the world, s", _simulate(home, people, 30, 300), better="lower")]
        seconds = _shortlist(home, "run", "--as-of", NIGHT)
        rows.append(Row("run, first night: all history, training, s", seconds, 240, 120, "lower"))
        rows.append(Row("run, the same night again, s", _shortlist(home, "run", "--as-of", NIGHT), better="lower"))
        rows += _worth(home)
        for made in ("lake", "state"):
            shutil.rmtree(home / made)
        rows += [
            Row(f"shortlist {step}, s", _shortlist(home, step, "--as-of", NIGHT), better="lower") for step in STEPS
        ]
    with tempfile.TemporaryDirectory() as folder:
        size = (1000, 6, 100) if QUICK else (10_000, 60, 1000)
        rows.append(Row("simulate 10,000 people x 60 days, s", _simulate(Path(folder), *size), 60, 30, "lower"))
    finish("night", rows)


def _simulate(home: Path, people: int, days: int, content: int) -> float:
    size = ("--people", str(people), "--days", str(days), "--content", str(content))
    return _shortlist(home, "simulate", "--out", "exports", *size, "--seed", "7", "--end", "2026-06-30")


def _shortlist(home: Path, *arguments: str) -> float:
    """Wall seconds of one command."""
    started = time.perf_counter()
    shortlist(home, *arguments)
    return time.perf_counter() - started


def _worth(home: Path) -> list[Row]:
    """True expected engagement of the published lists, of most-popular's, and of the best lists there could be."""
    published = pq.read_table(home / "published/rankings/current/people")
    oracle = home / "exports/truth"
    ours = truth.expected_engagement(oracle, published, WEIGHTS)
    popular = truth.expected_engagement(oracle, _most_popular(home, published), WEIGHTS)
    return [
        Row("true engagement of the published lists / most-popular's", ours / popular, 1.5, 2.0),
        Row("true engagement of the published lists, a list", ours),
        Row("true engagement of most-popular's lists, a list", popular),
    ]


def _most_popular(home: Path, published: pa.Table) -> pa.Table:
    """The same people, each with the content that had most clicks in the exports' last seven days and can be shown."""
    clicks = pa.concat_tables([_clicked(path) for path in sorted((home / "exports/ga4").glob("*.parquet"))[-7:]])
    counts = clicks.group_by("content_id").aggregate([("content_id", "count")])
    listed = pc.unique(pq.read_table(home / "exports/truth/engagement.parquet", columns=["content_id"])["content_id"])
    counts = counts.filter(pc.is_in(counts["content_id"], value_set=listed))
    best = counts.sort_by([("content_id_count", "descending"), ("content_id", "ascending")])["content_id"].to_pylist()
    ranks = published["rank"].to_pylist()
    content = pa.array([best[rank - 1] for rank in ranks], pa.string())
    return published.select(["person_id", "id_type", "rank"]).append_column("content_id", content)


def _clicked(path: Path) -> pa.Table:
    """The content ids of a GA4 day's clicks."""
    import duckdb

    query = """
        SELECT list_filter(event_params, lambda x: x.key = 'content_id')[1].value.string_value AS content_id
        FROM read_parquet(?) WHERE event_name = 'select_content'
    """
    with duckdb.connect() as connection:
        return connection.sql(query, params=[str(path)]).to_arrow_table()


if __name__ == "__main__":
    main()
