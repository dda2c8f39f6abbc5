"""How the published tables did: each snapshot whose outcome has matured, graded once, beside most-popular."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models import listing, metrics
from models.engagement import Ints
from pipeline import snapshot, snapshot_names, tracking
from pipeline.build_features import BLOCK_CELLS, NightFeatures
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.pseudonyms import Pseudonyms
from pipeline.rebuild import hits
from pipeline.records import Grade, Tracker
from pipeline.report import Report


@dataclass(frozen=True)
class SnapshotGrade:
    """One snapshot: how many could be graded, NDCG@10 of our lists and of most-popular, and their paired difference."""

    as_of: str
    people: int
    ndcg_10: float
    most_popular: float
    difference: tuple[float, float, float]
    hit_rate_10: float


@dataclass(frozen=True)
class GradeReport(Report):
    """What was graded tonight, and why nothing was, if nothing was."""

    as_of: str
    graded: tuple[SnapshotGrade, ...]
    note: str


def run(as_of: datetime, config: Config) -> GradeReport:
    """Grade every matured snapshot that was not graded yet. Never before the longest goal's horizon has passed."""
    lake = Lake.of(config)
    due = _due(as_of, config, lake)
    if not due:
        return GradeReport(
            as_of.isoformat(), (), "no published table has an outcome that matured and was not graded yet"
        )
    archive = Archive.load(lake, config, as_of)
    graded = [grade for path, night in due if (grade := _grade(path, night, archive, config))]
    for one in graded:
        _keep(one, config, lake)
    return GradeReport(
        as_of.isoformat(), tuple(graded), f"{len(graded)} of {len(due)} matured tables had somebody to grade them on"
    )


def _due(as_of: datetime, config: Config, lake: Lake) -> list[tuple[Path, datetime]]:
    """Snapshots and nights to grade: of several snapshots of one night the one that was published last."""
    done, mature = lake.nights("grades"), as_of - config.outcome_after
    published = snapshot_names.by_night(lake.rankings)
    return [(path, night) for night, path in published.items() if night <= mature and night not in done]


def _grade(path: Path, night: datetime, archive: Archive, config: Config) -> SnapshotGrade | None:
    """NDCG@10 over the people who did something that a list could have held; None where there is nobody."""
    found = NightFeatures.of(archive.night(night), config)
    worth = wanted(found, archive, config)
    if not worth.getnnz():
        return None
    people = np.flatnonzero(np.diff(worth.indptr))
    ours = listing.measures(_published(path, found, people, config), worth[people])
    theirs = listing.measures(_most_popular(found, people, config), worth[people])
    return SnapshotGrade(
        as_of=night.isoformat(),
        people=len(people),
        ndcg_10=float(ours["ndcg_10"].mean()),
        most_popular=float(theirs["ndcg_10"].mean()),
        difference=metrics.bootstrap_difference(ours["ndcg_10"], theirs["ndcg_10"], people),
        hit_rate_10=float(ours["hit_rate_10"].mean()),
    )


def wanted(found: NightFeatures, archive: Archive, config: Config, window: timedelta | None = None) -> Any:
    """People x content: summed worth of the goals that each reached in time, of what a list could have held.

    In time is within the goal's horizon, or within `window`.
    """
    from scipy import sparse

    history, catalogue = found.history, found.history.catalogue
    total = sparse.csr_matrix((len(history.people), catalogue.size))
    for goal, keys in hits(archive, found.night.as_of, found, config, window).items():
        person, content = keys // catalogue.size, keys % catalogue.size
        could = catalogue.listed[content]
        weights = np.full(int(could.sum()), config.goals[goal].worth)
        total = total + sparse.csr_matrix((weights, (person[could], content[could])), shape=total.shape)
    if config.ranking.hide_engaged:
        total = total - total.multiply(found.space.seen > 0)
    total.eliminate_zeros()
    return sparse.csr_matrix(total)


def _published(path: Path, found: NightFeatures, people: Ints, config: Config) -> Ints:
    """The published lists of `people`, as contents of the night; what it does not know of is no content."""
    rows = snapshot.table_of(path, "people")
    rows = rows.filter(pc.less_equal(rows["rank"], listing.K))
    place = np.asarray(rows["rank"].combine_chunks())
    return listing.of_pairs(found.history.people[people], whose(rows, config), contents_of(rows, found), place)


def whose(rows: pa.Table, config: Config) -> Ints:
    """The pseudonyms of the people of published rows (N,)."""
    ids, kinds = Pseudonyms.of(config), rows["id_type"].to_pylist()
    natives = rows["person_id"].to_pylist()
    known = {key: ids.one(key[0], key[1]) for key in set(zip(natives, kinds, strict=True))}
    return np.array([known[key] for key in zip(natives, kinds, strict=True)], np.int64)


def contents_of(rows: pa.Table, found: NightFeatures) -> Ints:
    """The contents of published rows (N,), as the night numbers them; -1: it knows none such."""
    content = pc.index_in(rows["content_id"].combine_chunks(), value_set=found.history.catalogue.ids)
    return np.asarray(pc.fill_null(content, -1)).astype(np.int64)


def _most_popular(found: NightFeatures, people: Ints, config: Config) -> Ints:
    """The most popular content of seven days that the person has not engaged with yet."""
    content = np.flatnonzero(found.history.catalogue.listed)
    popularity = np.asarray(found.contents["popularity_7d"].combine_chunks())[content]
    size = max(1, BLOCK_CELLS // max(len(content), 1))
    slices = [people[start : start + size] for start in range(0, len(people), size)]
    return np.concatenate(
        [listing.top(popularity[None, :], _allowed(found, some, content, config), content) for some in slices]
    )


def _allowed(found: NightFeatures, people: Ints, content: Ints, config: Config) -> NDArray[np.bool_]:
    """What may be listed for whom, whatever its quality: (people, contents)."""
    if not config.ranking.hide_engaged:
        return np.ones((len(people), len(content)), bool)
    unread: NDArray[np.bool_] = found.space.block(people, content).seen() == 0
    return unread


def _keep(one: SnapshotGrade, config: Config, lake: Lake) -> None:
    night = datetime.fromisoformat(one.as_of)
    figures = {
        "ndcg_10": one.ndcg_10,
        "ndcg_10.most_popular": one.most_popular,
        "hit_rate_10": one.hit_rate_10,
        "people": float(one.people),
    }
    table = pa.table({"metric": list(figures), "value": list(figures.values())})
    lake.replace_night("grades", table, night)
    tracker = Tracker(lake.tracking, config.project.name)
    tracking.log_grades(tracker, [Grade(night, metric, value) for metric, value in figures.items()])
