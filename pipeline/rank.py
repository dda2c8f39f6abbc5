"""Rank a night: everybody's lists and the fallbacks, left for `publish`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.opened import Opened
from pipeline.ranked import write_ranked
from pipeline.ranked_tables import Writer
from pipeline.report import Report


@dataclass(frozen=True)
class RankReport(Report):
    """What was ranked for the night."""

    as_of: str
    people: int
    rows: int
    segments: int
    candidates: int
    model_version: str
    filtered: Mapping[str, int]


def run(as_of: datetime, config: Config) -> RankReport:
    """Rank the night and leave the three tables for `publish`."""
    lake = Lake.of(config)
    opened = Opened.of(as_of, config, lake)
    found, people = opened.found, opened.people
    writer = Writer.of(opened, config)
    if not writer.sums.people and (len(people) or not _touched(found)):
        raise ShortlistError(
            f"nothing can be ranked for {as_of.isoformat()}: {len(people)} people may be ranked and "
            f"{int(found.history.catalogue.listed.sum())} contents are published. "
            "Check the catalogue's status and expiry."
        )
    tables = writer.tables()
    write_ranked(lake, as_of, tables)
    return RankReport(
        as_of=as_of.isoformat(),
        people=len(writer.sums.people),
        rows=tables["people"].num_rows,
        segments=len(tables["segments"]["segment"].unique()),
        candidates=writer.sums.candidates,
        model_version=opened.model.version,
        filtered=_filtered(found, len(found.night.rankable(config)), len(people), config),
    )


def _touched(found: NightFeatures) -> int:
    """How often anybody, of whom we may know nothing, did anything: enough for the default list."""
    return int(found.night.popularity.num_rows + found.night.log.num_rows)


def _filtered(found: NightFeatures, rankable: int, named: int, config: Config) -> dict[str, int]:
    catalogue = found.history.catalogue
    return {
        "people suppressed": len(found.history.people) - rankable,
        "people without an id of yours": rankable - named,
        "content unpublished or expired": found.night.content.num_rows - int(catalogue.listed.sum()),
        "content below quality": int((catalogue.listed & (catalogue.quality < config.ranking.min_quality)).sum()),
        "pairs already engaged": int(found.space.seen.nnz) if config.ranking.hide_engaged else 0,
        "pairs resting": 0 if found.resting is None else int(found.resting.nnz),
    }
