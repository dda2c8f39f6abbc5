"""Whether the contenders of `benchmarks.features` agree, before anything is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import (
    event_log,
    features_contenders,
    features_in_duckdb,
    features_in_pandas,
    features_ours,
    impressions_in_pandas,
)
from benchmarks.features_ours import CONNECTIONS, NIGHT


def agree(home: Path) -> None:
    """Everybody's values of a small log are the same, to a millionth.

    Raises:
        SystemExit: They are not.
    """
    spec, catalogue, files = features_ours.spec_of(home), home / event_log.CATALOGUE, features_contenders.files(home)
    ours = pa.concat_tables(features_ours.measured(features_ours.log_of(home, [NIGHT]), [NIGHT], spec)).sort_by(
        "person_id"
    )
    night = home / "night.parquet"
    features_in_duckdb.write(files, catalogue, NIGHT, event_log.CATEGORIES, night)
    pandas = pa.Table.from_pandas(features_in_pandas.features(files, catalogue, NIGHT), preserve_index=False)
    for who, theirs in (("DuckDB", pq.read_table(night).sort_by("person_id")), ("pandas", pandas)):
        if not ours["person_id"].equals(theirs["person_id"]):
            raise SystemExit(f"{who} and the kernel find different people")
        if wrong := [name for name in spec.names if not _same(ours[name], theirs[name])]:
            raise SystemExit(f"{who} and the kernel disagree on {', '.join(wrong)}")


def agree_on_impressions(home: Path, impressions: Path) -> None:
    """The same of the impressions, but for people of whom a row arrived late: pandas looks at when things happened.

    Raises:
        SystemExit: They do not.
    """
    files = features_contenders.files(home)
    pandas = impressions_in_pandas.as_of(files, home / event_log.CATALOGUE, impressions)
    asked = pq.read_table(impressions)
    theirs = asked.select(["person_id", "as_of", "content_id"])
    for name in CONNECTIONS:
        theirs = theirs.append_column(name, pa.array(pandas[name].to_numpy()))
    log = pa.concat_tables([pq.read_table(path, partitioning=None) for path in files])
    late = pc.unique(log.filter(pc.greater(log["available_at"], log["ts"]))["person_id"])
    keys = [(name, "ascending") for name in ("person_id", "as_of")]
    ours, theirs = (
        table.filter(pc.invert(pc.is_in(table["person_id"], value_set=late))).sort_by(keys)
        for table in (
            pa.concat_tables(features_ours.connected(home, impressions), promote_options="permissive"),
            theirs,
        )
    )
    if wrong := [name for name in CONNECTIONS if not _same(ours[name], theirs[name])]:
        raise SystemExit(f"pandas and the pair kernel disagree on {', '.join(wrong)}")


def _same(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> bool:
    a, b = (np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan)) for column in (ours, theirs))
    return len(a) == len(b) and np.allclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True)
