"""What need not be kept: old snapshots and versions of the lake's tables, exports nobody asks for, and leftovers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline import exports, lake_history, snapshot, stores
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.ranked import forget_ranked
from pipeline.report import Report
from pipeline.stores import Followed


@dataclass(frozen=True)
class HousekeepReport(Report):
    """What was removed; `exports` are formats that are not asked for any more."""

    as_of: str
    snapshots: tuple[str, ...]
    leftovers: tuple[str, ...]
    exports: tuple[str, ...]
    ranked: tuple[str, ...]
    files: Mapping[str, int]
    stores: tuple[Followed, ...] = ()


def run(as_of: datetime, config: Config) -> HousekeepReport:
    """Keep what the configuration says; the snapshot that serves is always kept."""
    lake, keep = Lake.of(config), config.housekeeping
    since = datetime.now(UTC) - timedelta(hours=keep.snapshot_hours)
    published = lake.rankings.is_dir()
    return HousekeepReport(
        as_of=as_of.isoformat(),
        snapshots=snapshot.collect_garbage(lake.rankings, keep.snapshots, since) if published else (),
        leftovers=snapshot.heal(lake.rankings) if published else (),
        exports=exports.tidy(config),
        ranked=forget_ranked(lake, before=as_of),
        files=lake_history.vacuum(lake, timedelta(hours=keep.lake_versions_hours)),
        stores=stores.tidy(config) if published else (),
    )
