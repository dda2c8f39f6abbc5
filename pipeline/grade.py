"""How the published tables did: each snapshot whose outcome has matured, graded once, beside most-popular.

Of several snapshots of one night the last published is graded. Whether it served, and for how long, is not known:
CURRENT says who serves, and nobody keeps what it said before, so `shortlist rollback` leaves a grade that few saw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models import listing
from models.engagement import Ints
from models.outcomes import Figure, Lists, Promises
from pipeline import snapshot, snapshot_names, tracking
from pipeline.build_features import BLOCK_CELLS, NightFeatures
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.pseudonyms import Pseudonyms
from pipeline.rebuild import acted_on, active, hits
from pipeline.records import Grade, Tracker
from pipeline.report import Report

GRADES = pa.schema(
    [
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("segment", pa.string()),
    ]
)
"""The rows of `grades`: a figure each, of everybody where `segment` is null. Older nights have only the first two."""


@dataclass(frozen=True)
class SnapshotGrade:
    """One snapshot: how many could be graded, NDCG@10 of our lists and of most-popular, and their paired difference.

    `figures` are all that is kept of it, by segment and goal too.
    """

    as_of: str
    people: int
    ndcg_10: float
    most_popular: float
    difference: tuple[float, float, float]
    hit_rate_10: float
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class GradeReport(Report):
    """What was graded tonight, and why nothing was, if nothing was."""

    as_of: str
    graded: tuple[SnapshotGrade, ...]
    note: str


def run(as_of: datetime, config: Config) -> GradeReport:
    """Grade every matured snapshot that was not graded yet.

    Never before the longest goal's horizon has passed, and the longest `delay_minutes` of a source.
    """
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
    done, mature = lake.nights("grades"), as_of - config.known_after
    published = snapshot_names.by_night(lake.rankings)
    return [(path, night) for night, path in published.items() if night <= mature and night not in done]


def _grade(path: Path, night: datetime, archive: Archive, config: Config) -> SnapshotGrade | None:
    """NDCG@10 over the people who did something that a list could have held; None where there is nobody."""
    found = NightFeatures.of(archive.night(night), config)
    worth = wanted(found, archive, config)
    if not worth.getnnz():
        return None
    people = np.flatnonzero(np.diff(worth.indptr))
    published = Published.of(path, found, config)
    ours = listing.measures(published.lists(people), worth[people])
    theirs = listing.measures(_most_popular(found, people, config), worth[people])["ndcg_10"]
    lists = Lists(people, published.segments[people], {name: ours[name] for name in ("ndcg_10", "hit_rate_10")}, theirs)
    figures = (*lists.figures(), *(figure for one in published.promises(archive, config) for figure in one.figures()))
    (difference,) = [one for one in figures if one.metric == "ndcg_10.difference" and one.segment is None]
    return SnapshotGrade(
        as_of=night.isoformat(),
        people=len(people),
        ndcg_10=float(ours["ndcg_10"].mean()),
        most_popular=float(theirs.mean()),
        difference=(difference.value, difference.low, difference.high),
        hit_rate_10=float(ours["hit_rate_10"].mean()),
        figures=figures,
    )


@dataclass(frozen=True)
class Published:
    """The rows of a snapshot's `people` (N,): whose, as places among the night's people, and what, as its contents.

    -1 is somebody or something that the night does not know.
    """

    rows: pa.Table
    found: NightFeatures
    person: Ints
    content: Ints

    @classmethod
    def of(cls, path: Path, found: NightFeatures, config: Config) -> Published:
        """Read from where it was published."""
        rows = snapshot.table_of(path, "people")
        known, ids = found.history.people, whose(rows, config)
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return cls(rows, found, np.where(known[at] == ids, at, -1), contents_of(rows, found))

    def lists(self, people: Ints) -> Ints:
        """The first places of people's lists (L, 10), as contents of the night."""
        place = np.asarray(self.rows["rank"].combine_chunks())
        return listing.of_pairs(people, self.person, self.content, place)

    @property
    def segments(self) -> NDArray[Any]:
        """The published segment of each of the night's people, "" of whoever has no list."""
        names = np.full(len(self.found.history.people) + 1, "", object)
        names[self.person] = self.rows["segment"].to_pylist()
        return names[:-1]  # the last is who the night does not know

    def promises(self, archive: Archive, config: Config) -> Iterator[Promises]:
        """What `p_<goal>` promised of each published row whose person did something on the day after, goal by goal.

        Where impressions are logged a probability is one of engaging if shown, so only rows count that were shown, or
        acted on. Rows of lists that no model made promise nothing and are left out.
        """
        size, as_of = self.found.history.catalogue.size, self.found.night.as_of
        day = archive.outcome(as_of, config.outcome_after)
        known = (self.person >= 0) & (self.content >= 0)
        keys = np.where(known, self.person * size + self.content, -1)
        asked = known & active(self.found, day)[self.person]
        if archive.logs_impressions:
            asked &= np.isin(keys, acted_on(self.found, day))
        reached, segments = hits(archive, as_of, self.found, config), self.segments
        for goal in config.goals:
            p = np.asarray(self.rows[f"p_{goal}"].combine_chunks().cast(pa.float64()).fill_null(np.nan))
            mine = asked & np.isfinite(p)
            whose_row = self.person[mine]
            yield Promises(goal, whose_row, segments[whose_row], p[mine], np.isin(keys[mine], reached[goal]))


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
        total = total - total.multiply(found.history.seen > 0)
    total.eliminate_zeros()
    return sparse.csr_matrix(total)


def whose(rows: pa.Table, config: Config) -> Ints:
    """The pseudonyms of the people of published rows (N,)."""
    ids, kinds = Pseudonyms.of(config), rows["id_type"]
    found = np.zeros(rows.num_rows, np.int64)
    for kind in pc.unique(kinds).to_pylist():
        theirs = pc.equal(kinds, kind)
        found[np.asarray(theirs)] = ids.column(rows["person_id"].filter(theirs), kind)
    return found


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
    unread: NDArray[np.bool_] = found.history.seen[people][:, content].toarray() == 0
    return unread


def _keep(one: SnapshotGrade, config: Config, lake: Lake) -> None:
    """In the lake a row a figure, in MLflow a line: those of segments as `segment/<name>/<metric>`.

    MLflow first: it takes a point once only, and a night that the lake has is not graded again.
    """
    night = datetime.fromisoformat(one.as_of)
    people = Figure("people", float(one.people), math.nan, math.nan, one.people)
    figures = [people, *one.figures]
    table = pa.Table.from_pylist([asdict(figure) for figure in figures], schema=GRADES)
    tracker = Tracker(lake.tracking, config.project.name)
    tracking.log_grades(tracker, [Grade(night, _charted(figure), figure.value) for figure in figures])
    lake.replace_night("grades", table, night)


def _charted(figure: Figure) -> str:
    return figure.metric if figure.segment is None else f"segment/{figure.segment}/{figure.metric}"
