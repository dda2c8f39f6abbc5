"""What `benchmarks.features` holds ours against, a process each: pandas, DuckDB's SQL, and a mere scan with pyarrow.

Nothing is imported here that a contender does not need.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import measure

TEXT = ["event", "content_id", "device", "channel"]
COLUMNS = ["shard", "person_id", "ts", "available_at", "dwell_seconds", "value", *TEXT]


def files(home: Path) -> list[Path]:
    """The lake's files of events, a day each, in order."""
    return sorted((home / "lake" / "events").glob("source=*/day=*/*.parquet"))


def _scan(home: str) -> Mapping[str, float]:
    """Read the columns, file by file: text as codes, which is the fastest way."""
    rows = 0
    for path in files(Path(home)):
        with pq.ParquetFile(path, read_dictionary=TEXT) as file:
            rows += file.read(columns=COLUMNS, use_threads=False).num_rows
    return {"rows": rows}


def _pandas(home: str, catalogue: str, night: str) -> Mapping[str, float]:
    from benchmarks import features_in_pandas

    found = features_in_pandas.features(files(Path(home)), Path(catalogue), datetime.fromisoformat(night))
    with tempfile.TemporaryDirectory() as folder:
        found.to_parquet(Path(folder) / "night.parquet", compression="zstd", index=False)
    return {"columns": found.shape[1] - 1}


def _duckdb(home: str, catalogue: str, night: str, categories: str) -> Mapping[str, float]:
    from benchmarks import features_in_duckdb

    with tempfile.TemporaryDirectory() as folder:
        path, as_of = Path(folder) / "night.parquet", datetime.fromisoformat(night)
        features_in_duckdb.write(files(Path(home)), Path(catalogue), as_of, categories.split(","), path)
        return {"columns": pq.ParquetFile(path).metadata.num_columns - 1}


def _start(contender: str) -> Mapping[str, float]:
    """All that a contender's process does before it sees rows."""
    import_module(f"benchmarks.features_in_{contender}")
    return {"rows": 0}


def _as_of(home: str, catalogue: str, impressions: str) -> Mapping[str, float]:
    from benchmarks import impressions_in_pandas

    return {"rows": len(impressions_in_pandas.as_of(files(Path(home)), Path(catalogue), Path(impressions)))}


JOBS: Mapping[str, measure.Job] = {
    "start": _start,
    "scan": _scan,
    "pandas": _pandas,
    "duckdb": _duckdb,
    "as_of": _as_of,
}

if __name__ == "__main__":
    measure.main(JOBS)
