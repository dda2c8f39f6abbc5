"""Rank a night: everybody's lists and the fallbacks, left for `publish`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow.parquet as pq

from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.opened import Opened
from pipeline.ranked import ranked_files, write_ranked
from pipeline.ranked_tables import Piece, Writer
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
    writer = Writer.of(opened, config)
    write_ranked(lake, as_of, _pieces(writer))
    files = {name: path for name, (path,) in ranked_files(lake, as_of).items()}
    found = opened.found
    return RankReport(
        as_of=as_of.isoformat(),
        people=writer.sums.people,
        rows=pq.read_metadata(files["people"]).num_rows,
        segments=len(pq.read_table(files["segments"], columns=["segment"])["segment"].unique()),
        candidates=writer.sums.candidates,
        model_version=opened.model.version,
        filtered=_filtered(found, len(found.night.rankable(config)), len(opened.people), config),
    )


def _pieces(writer: Writer) -> Iterator[Piece]:
    yield from writer.own()
    found, people = writer.found, len(writer.ranked)
    if not writer.sums.people and (people or not _touched(found)):
        raise ShortlistError(
            f"nothing can be ranked for {found.night.as_of.isoformat()}: {people} people may be ranked and "
            f"{int(found.history.catalogue.listed.sum())} contents are published. "
            "Check the catalogue's status and expiry."
        )
    yield from writer.fallbacks()


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
