"""The contender: what connected a person with a content at the moment of each impression, by three `merge_asof`.

Running sums of what each person did, looked up strictly before the impression and seven days before it; and decayed
activity by person and category, kept as a plain running sum by forward decay.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.features_in_pandas import STRENGTH

_TEXT = ["event", "content_id"]
_COLUMNS = ["person_id", "ts", "dwell_seconds", *_TEXT]
_HALF_LIFE = pd.Timedelta(days=7)
_WEEK = pd.Timedelta(days=7)
_BY = ["person_id", "category"]


def as_of(files: Sequence[Path], catalogue: Path, impressions: Path) -> pd.DataFrame:
    """The impressions in their order, with a column a feature."""
    categories = pq.read_table(catalogue).to_pandas().set_index("content_id")["category"].astype("category")
    tables = [pq.read_table(file, columns=_COLUMNS, read_dictionary=_TEXT, partitioning=None) for file in files]
    log = pa.concat_tables(tables).unify_dictionaries().to_pandas().sort_values("ts", kind="stable", ignore_index=True)
    asked = pq.read_table(impressions).to_pandas()
    for frame in (log, asked):
        frame["category"] = frame["content_id"].map(categories).astype(categories.dtype)
    asked = asked.rename_axis("place").reset_index().sort_values("as_of", kind="stable")
    anchor = log["ts"].iloc[0]
    by_person = _by_person(log, anchor)
    then = pd.merge_asof(asked, by_person, left_on="as_of", right_on="ts", by="person_id", allow_exact_matches=False)
    week = asked[["place", "person_id"]].assign(before=asked["as_of"] - _WEEK)
    earlier = by_person[["person_id", "ts", "rows"]]
    ago = pd.merge_asof(week, earlier, left_on="before", right_on="ts", by="person_id", allow_exact_matches=False)
    decayed = _by_category(log)
    taste = pd.merge_asof(asked, decayed, left_on="as_of", right_on="ts", by=_BY, allow_exact_matches=False)
    faded = 0.5 ** ((asked["as_of"] - anchor) / _HALF_LIFE).to_numpy()
    rows = then["rows"].fillna(0.0)
    found = pd.DataFrame(
        {
            "place": then["place"],
            "events_so_far": rows,
            "events_so_far_7d": rows - ago["rows"].fillna(0.0),
            "dwell_so_far_seconds": then["dwell"].fillna(0.0),
            "event_days_ago": (then["as_of"] - then["ts"]) / pd.Timedelta(days=1),
            "affinity_category_7d": taste["here"].fillna(0.0) * faded / (then["all"].fillna(0.0) * faded + 1),
        }
    )
    return found.set_index("place").sort_index()


def _by_person(log: pd.DataFrame, anchor: pd.Timestamp) -> pd.DataFrame:
    """Running sums of each person; `all` decays forward from the anchor."""
    dwell = log["dwell_seconds"].fillna(0.0)
    log["dwell"] = dwell
    log["here"] = (log["event"].map(lambda name: STRENGTH.get(name, 1)).astype(float) + 2.0 * (dwell >= 30)) * 2.0 ** (
        (log["ts"] - anchor) / _HALF_LIFE
    )
    log.loc[log["event"].isin(["impression", "refund"]), "here"] = 0.0
    people = log.groupby("person_id")
    return pd.DataFrame(
        {
            "person_id": log["person_id"],
            "ts": log["ts"],
            "rows": people.cumcount() + 1.0,
            "dwell": people["dwell"].cumsum(),
            "all": people["here"].cumsum(),
        }
    )


def _by_category(log: pd.DataFrame) -> pd.DataFrame:
    """Running sums of each person and category."""
    active = log.loc[log["here"] > 0, [*_BY, "ts", "here"]]
    return active.assign(here=active.groupby(_BY, observed=True)["here"].cumsum())
