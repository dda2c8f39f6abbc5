"""What is not kept: how many snapshots and how long is in the configuration."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline import housekeep, snapshot
from pipeline.sections import Housekeeping
from tests.pipeline.nights import publish
from tests.pipeline.small import House

NIGHT = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(("hours", "removed"), [("", 0), ("snapshot_hours = 2.5", 1), ("snapshot_hours = 0", 2)])
def test_snapshots_are_kept_by_number_and_by_hours(tmp_path: Path, hours: str, removed: int) -> None:
    """Of three, published three and two hours ago and now, one is asked for; a day's are kept unless set otherwise."""
    house = House(tmp_path)
    config = house.configure(f"[housekeeping]\nsnapshots = 1\n{hours}\n")
    root = house.lake.rankings
    names = [publish(root, night).name for night in range(3)]
    for name, ago in zip(names, (3, 2), strict=False):
        moment = (datetime.now(UTC) - timedelta(hours=ago)).timestamp()
        os.utime(root / "snapshots" / name, (moment, moment))
    assert housekeep.run(NIGHT, config).snapshots == tuple(names[:removed])
    assert snapshot.snapshots(root) == tuple(names[removed:])


def test_a_day_unless_set_otherwise() -> None:
    """Fourteen nights, and whatever was published within a day."""
    assert (Housekeeping().snapshots, Housekeeping().snapshot_hours) == (14, 24)
