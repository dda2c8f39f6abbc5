"""Real data, which nobody in this project wrote, through the format `table`."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.sources import read_export

DATA = Path(__file__).parents[4] / "shared" / "data"


def data(name: str) -> Path:
    """A file of the shared data, or a skip where there is none."""
    path = DATA / name
    if not DATA.exists():
        pytest.skip(f"needs the shared data folder ({name}), which only development machines have")
    return path


def test_deskdrop_is_read_as_the_design_says(setting: Callable[..., Any]) -> None:
    """All 56,340 rows of the article log are events or exact repeats; quoted user agents do not disturb."""
    source = setting(
        name="reading-log",
        table="events",
        timestamp="unix_seconds",
        columns={
            "ts": "timestamp",
            "visitor_id": "personId",
            "content_id": "contentId",
            "event": "eventType",
            "session_id": "sessionId",
        },
        values={"event": {"VIEW": "view", "LIKE": "like", "COMMENT CREATED": "comment"}},
    )
    path = data("deskdrop/users_interactions.csv.gz")
    with gzip.open(path, "rt", newline="") as text:
        different = {tuple(row[theirs] for theirs in source.columns.values()) for row in csv.DictReader(text)}
    parsed = read_export(path, source)
    events = parsed.tables["events"]
    assert parsed.rejected.num_rows == 0
    assert events.num_rows == len(different)
    assert events.num_rows + parsed.duplicates["events"] == 56_340
    assert set(events["event"].to_pylist()) == {"view", "like", "comment", "custom:bookmark", "custom:follow"}
    assert min(events["ts"].to_pylist()).date().isoformat() == "2016-03-14"


def test_complete_journey_fills_all_four_tables(setting: Callable[..., Any]) -> None:
    """Transactions, demographics, exposures, redemptions and campaigns come through without a refused row."""
    household = {"customer_id": "household_id"}
    campaign = {**household, "content_id": "campaign_id"}
    sources = {
        "transactions_sample": setting(
            table="transactions",
            columns={**household, "order_id": "basket_id", "ts": "transaction_timestamp", "content_id": "product_id"}
            | {"amount": "sales_value"},
            options={"currency": "USD"},
        ),
        "demographics": setting(table="customers", columns=household, options={"attributes": "age, income"}),
        "exposures": setting(table="events", columns=campaign),
        "redemptions": setting(
            table="events", columns={**campaign, "event_id": "coupon_upc"}, values={"event": {"redeem": "click"}}
        ),
        "campaign_catalogue": setting(
            table="content",
            columns={"content_id": "campaign_id", "category": "department", "published_at": "start_date"},
            options={"status": "published"},
        ),
    }
    parsed = {name: read_export(data(f"completejourney/{name}.parquet"), source) for name, source in sources.items()}
    assert all(p.rejected.num_rows == 0 for p in parsed.values())
    assert parsed["transactions_sample"].tables["transactions"].num_rows == 75_000
    assert parsed["demographics"].tables["customers"].num_rows == 801
    assert parsed["demographics"].tables["customers"]["attributes"][0].as_py() == [("age", "65+"), ("income", "35-49K")]
    assert parsed["demographics"].notes == {"columns_not_read": 5}
    assert Counter(parsed["exposures"].tables["events"]["event"].to_pylist()) == {"impression": 6_589}
    assert set(parsed["redemptions"].tables["events"]["event"].to_pylist()) == {"click"}
    assert parsed["campaign_catalogue"].tables["content"].num_rows == 27
