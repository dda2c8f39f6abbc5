"""Rank a night: everybody's lists and the fallbacks, left for `publish`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import frequency, identify
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.ranked import write_ranked
from pipeline.ranked_tables import Writer
from pipeline.report import Report
from pipeline.score import score
from pipeline.serving import Model


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


@dataclass(frozen=True)
class Opened:
    """A night before anybody is ranked: who may be, by pseudonym (`people`, indices of the night) and own id."""

    found: NightFeatures
    model: Model
    native: pa.Table
    people: NDArray[np.int64]

    @classmethod
    def of(cls, as_of: datetime, config: Config, lake: Lake) -> Opened:
        """Of what the lake knows."""
        model = Model.serving(as_of, config, lake)
        archive = Archive.load(lake, config, as_of, config.training.history_days)
        found = NightFeatures.of(archive.night(as_of), config)
        native = identify.native_ids(lake, found.night.rankable(config))
        people = np.searchsorted(found.history.people, np.asarray(native["id"].combine_chunks()))
        resting = frequency.resting(found, native, people, config, lake)
        return cls(replace(found, resting=resting), model, native, people)


def run(as_of: datetime, config: Config) -> RankReport:
    """Rank the night and leave the three tables for `publish`."""
    lake = Lake.of(config)
    opened = Opened.of(as_of, config, lake)
    found, model, native, people = opened.found, opened.model, opened.native, opened.people
    scored = score(found, model.bundle, config, people)
    if not len(scored.person) and (len(people) or not _touched(found)):
        raise ShortlistError(
            f"nothing can be ranked for {as_of.isoformat()}: {len(people)} people may be ranked and "
            f"{int(found.history.catalogue.listed.sum())} contents are published. "
            "Check the catalogue's status and expiry."
        )
    tables = Writer(found, scored, people, native, model, config).tables()
    write_ranked(lake, as_of, tables)
    return RankReport(
        as_of=as_of.isoformat(),
        people=len(np.unique(scored.person)),
        rows=tables["people"].num_rows,
        segments=len(tables["segments"]["segment"].unique()),
        candidates=len(scored.person),
        model_version=model.version,
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
