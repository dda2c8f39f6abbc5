"""The person kernel on other people's data: Snowplow's own sessions, and a grocery study against plain pandas."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.kernel import kernel
from features.measures import Count
from features.rows import SHARD
from features.spec import Feature, Spec
from tests.features.shards import UTC_ONLY

DATA = Path(__file__).parents[3] / "shared" / "data"


def real(name: str) -> Path:
    """A file that somebody else made, or a skip where there is none."""
    if not DATA.exists():
        pytest.skip(f"needs the shared data folder ({name}), which only development machines have")
    return DATA / name


def snowplow(name: str) -> list[dict[str, str]]:
    """A table of Snowplow's test data."""
    with real(f"snowplow_web/snowplow_web_{name}.csv").open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


TRACKER_WENT_ON = "the tracker kept one session over days of silence"
CUT_AFTER_3_DAYS = "Snowplow's model reads no event more than 3 days after its session began; we keep what happened"
AT_ONCE = "made-up sessions that begin within the same nine seconds; the tracker would not do that"
KNOWN = {
    "12c98e1f5869e3f298fef62699ad9bbe5410d1685e8344a1a1f86e92029685f0": (1, 2, CUT_AFTER_3_DAYS),
    "4f011c929234934761dfff0bca3b5509a1b6d139560439e894a8d26a363654ad": (1, 4, TRACKER_WENT_ON),
    "24837eb265f7e3f2e82196a3c3a05bf028135683819ab8ded7b8b79753bd52dd": (2, 1, AT_ONCE),
    "066d5a7eecd5792fc6700998b72e58da69e690d9a6fb23c3b70f2bdb41230a70": (2, 1, AT_ONCE),
}
"""Visitor -> sessions as Snowplow has them, as we have them, and why that is so."""


def test_sessions_are_snowplows() -> None:
    """As many for every visitor of Snowplow's own table, but for those in `KNOWN`, by page views and pings."""
    visitors = [user["domain_userid"] for user in snowplow("users_expected")]
    rows = [
        {"person_id": visitors.index(event["domain_userid"]), "ts": _instant(event["derived_tstamp"]), "event": "view"}
        for event in snowplow("events")
        if event["domain_userid"] in visitors and event["event_name"] in {"page_view", "page_ping"}
    ]
    shard = pa.Table.from_pylist(rows, SHARD).sort_by([("person_id", "ascending"), ("ts", "ascending")])
    sessions = Feature("sessions", "person", "count", "sessions", Count("session", 365))
    found = kernel(shard, [datetime(2021, 4, 1, tzinfo=UTC)], Spec({}, features=(sessions,)))
    ours = dict(zip(visitors, found["sessions"].to_pylist(), strict=True))
    theirs = {user["domain_userid"]: int(user["sessions"]) for user in snowplow("users_expected")}
    assert len(theirs) == 11
    different = {visitor: (theirs[visitor], ours[visitor]) for visitor in theirs if ours[visitor] != theirs[visitor]}
    assert different == {visitor: (snowplows, our_own) for visitor, (snowplows, our_own, _) in KNOWN.items()}


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(name="lines", scope="module")
def read_lines() -> pd.DataFrame:
    """The transaction lines of the grocery study."""
    lines = pd.read_parquet(real("completejourney/transactions_sample.parquet"))
    return lines.assign(
        person=lines["household_id"].astype("int64"),
        ts=lines["transaction_timestamp"],
        day=lines["transaction_timestamp"].dt.floor("D"),
    )


def shard_of(lines: pd.DataFrame) -> pa.Table:
    """The lines as purchases."""
    placed = lines.sort_values(["person", "ts"], kind="stable")
    columns: dict[str, Any] = {
        "person_id": pa.array(placed["person"]),
        "ts": pa.array(placed["ts"]).cast(SHARD.field("ts").type),
        "event": pa.array(np.full(len(placed), "purchase")),
        "content_id": pa.array(placed["product_id"].astype(str), pa.string()),
        "value": pa.array(placed["sales_value"]),
    }
    return pa.table({field.name: columns.get(field.name, pa.nulls(len(placed), field.type)) for field in SHARD})


@pytest.mark.parametrize("night", ["2017-03-01", "2017-09-15 12:00", "2018-01-02"])
def test_rfm_is_what_plain_pandas_says(lines: pd.DataFrame, night: str) -> None:
    """Recency, active days, money and purchases of 2,377 households over four windows, and their BTYD summary."""
    at = pd.Timestamp(night)
    found = (
        kernel(shard_of(lines), [at.tz_localize("UTC").to_pydatetime()], UTC_ONLY).to_pandas().set_index("person_id")
    )
    past = lines[lines["ts"] < at]
    expected = pd.DataFrame({"rfm_recency_days": (at - past.groupby("person")["ts"].max()) / pd.Timedelta(days=1)})
    for days in (7, 30, 90, 365):
        window = past[past["ts"] >= at - pd.Timedelta(days=days)].groupby("person")
        expected[f"rfm_frequency_{days}d"] = window["day"].nunique()
        expected[f"rfm_monetary_{days}d"] = window["sales_value"].sum()
        expected[f"purchases_{days}d"] = window.size()
    expected = expected.fillna(0.0)
    daily = past.groupby(["person", "day"])["sales_value"].sum().reset_index()
    people = daily.groupby("person")
    expected["btyd_frequency"] = people.size() - 1
    expected["btyd_recency_days"] = (people["day"].max() - people["day"].min()).dt.days
    expected["btyd_age_days"] = ((at - pd.Timedelta(microseconds=1)).floor("D") - people["day"].min()).dt.days
    later = daily[daily["day"] > daily["person"].map(people["day"].min())]
    expected["btyd_monetary"] = later.groupby("person")["sales_value"].mean().reindex(expected.index).fillna(0.0)
    assert len(expected) > 1500
    pd.testing.assert_frame_equal(
        found[list(expected)], expected, check_dtype=False, check_names=False, rtol=1e-12, atol=1e-9
    )
