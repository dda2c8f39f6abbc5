"""The simulated world: what published lists are truly worth, as a share of what the best possible lists would be.

The default world goes through the real commands, which cannot read the truth. A list is worth the sum of its first ten
places' true probabilities by the goals' weights. The oracle lists by the truth, from what may be listed for the person
and under the same cap a category, and so do the other lists. What is lost on the way is told place by place:

- candidates: the oracle's lists from nothing but our candidates;
- the laws: lists of who knows the world's laws and reads the same log (`benchmarks.quality_world_laws`): what is lost
  to them nobody can know; what we lose beyond them, a better model could find;
- people by how often they were shown anything.

A probability of ours is of a day on which the content stands at the top; the truth is of one showing. Who comes twice
sees it twice: places are calibrated against what the truth makes of as many showings as such a day had.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.measure import shortlist
from benchmarks.quality_world_laws import Told, expected
from benchmarks.table import Row
from models import listing, popularity, rerank
from pipeline import config as configuration
from pipeline import identify
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.simulation import world as worlds

ROOT = Path(__file__).resolve().parents[1]
NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
PLACES = listing.K
DRAWN = {"days": 30, "content": 300, "seed": 7}
FIRST_DAY = int((NIGHT - timedelta(days=DRAWN["days"])).timestamp()) * 1_000_000
SHOWN = (0, 30, 100, 200, 400)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Grid = NDArray[Any]


def rows(*, quick: bool) -> list[Row]:
    """The table's lines."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copy(ROOT / "shortlist.toml", home)
        size = {**DRAWN, "people": 300 if quick else 2000, "end": f"{NIGHT - timedelta(days=1):%Y-%m-%d}"}
        shortlist(home, "simulate", "--out", "exports", *(text for k, v in size.items() for text in (f"--{k}", str(v))))
        for step in ("ingest", "train", "rank", "publish"):
            shortlist(home, step, "--as-of", f"{NIGHT:%Y-%m-%d}")
        return told(home)


def told(home: Path) -> list[Row]:
    """The lines of a company's folder, of which the night is published."""
    world = World.read(home)
    published = pq.read_table(home / "published/rankings/current/people")
    return [*_shares(world, published), *_calibration(world, published)]


@dataclass(frozen=True)
class World:
    """Who may be ranked (L,) and what may be listed (C,), as indices of the night, and the truth about them.

    `ids` (C,) are the contents', `place` says where each person stands by native id, `truly` (L,) who they are among
    the `drawn` people of the world; `true` (L, C) are probabilities by goal, `allowed` (L, C) says what may be listed.
    """

    config: Config
    found: NightFeatures
    people: Ints
    content: Ints
    ids: list[str]
    place: Mapping[tuple[str, str], int]
    drawn: int
    truly: Ints
    allowed: Grid
    true: Mapping[str, Grid]

    @classmethod
    def read(cls, home: Path) -> World:
        """From the lake, and from the truth that nobody but us may read."""
        config = configuration.load(home / "shortlist.toml")
        lake = Lake.of(config)
        night = Archive.load(lake, config, NIGHT, config.training.history_days).night(NIGHT)
        found = NightFeatures.of(night, config)
        native = identify.native_ids(lake, night.rankable(config))
        people = np.searchsorted(found.history.people, np.asarray(native["id"].combine_chunks()))
        content = np.flatnonzero(found.history.catalogue.listed)
        allowed = np.concatenate([found.eligible(pairs, config) for pairs in found.pair_blocks(people)])
        names = list(zip(native["native_id"].to_pylist(), native["id_type"].to_pylist(), strict=True))
        ids = found.history.catalogue.ids.take(pa.array(content)).to_pylist()
        place = {name: row for row, name in enumerate(names)}
        drawn, truly = _people(home / "exports/truth/people.parquet", names)
        true = _truth(home / "exports/truth/engagement.parquet", truly, ids, config)
        return cls(config, found, people, content, ids, place, drawn, truly, allowed, true)

    @cached_property
    def worth(self) -> Floats:
        """(L, C): what each pair would bring."""
        goals = self.config.goals
        return np.asarray(sum(goals[goal].worth * p for goal, p in self.true.items()), np.float64)

    def lists(self, scores: Grid, among: Grid) -> Ints:
        """The best places (L, PLACES) by (L, C) scores among some pairs, as places in `content`; -1 where one ends."""
        row, column = np.nonzero(among)
        category = self.found.history.catalogue.category[self.content].astype(np.int64)
        limits = rerank.Limits(PLACES, category[:, None], np.array([self.config.ranking.max_per_category]))
        best = rerank.top(row, column, scores[row, column], limits)
        return listing.of_pairs(np.arange(len(self.people)), row[best.pair], column[best.pair], best.rank)

    def brings(self, lists: Ints) -> Floats:
        """(L,): what each list is worth."""
        values = np.take_along_axis(self.worth, np.maximum(lists, 0), axis=1)
        return np.asarray(np.where(lists >= 0, values, 0.0).sum(axis=1))

    def published(self, table: pa.Table) -> Ints:
        """Our lists."""
        return listing.of_pairs(np.arange(len(self.people)), *self.listed(table))

    def listed(self, table: pa.Table) -> tuple[Ints, Ints, Ints]:
        """Whose, what and at which rank: of each row of the published table that is within the first places."""
        table = table.filter(pc.less_equal(table["rank"], PLACES))
        names = zip(table["person_id"].to_pylist(), table["id_type"].to_pylist(), strict=True)
        at = {one: column for column, one in enumerate(self.ids)}
        row = np.array([self.place[name] for name in names])
        return row, np.array([at[one] for one in table["content_id"].to_pylist()]), np.asarray(table["rank"], np.int64)

    def candidates(self) -> Grid:
        """(L, C): what is scored."""
        chosen = np.zeros(self.allowed.shape, bool)
        for block in self.found.blocks(self.people):
            one = self.found.candidates(block, self.config)
            chosen[np.searchsorted(self.people, one.person), np.searchsorted(self.content, one.content)] = True
        return chosen

    def laws(self) -> Floats:
        """(L, C): what the pairs are worth to who knows the laws of the world, and the log."""
        whole = worlds.build(**DRAWN, people=self.drawn, start_us=FIRST_DAY)
        at = {one: row for row, one in enumerate(whole.catalogue.ids)}
        log, history = self.found.night.log, self.found.history
        place = np.full(len(history.people), -1)
        place[self.people] = np.arange(len(self.people))
        person = place[np.searchsorted(history.people, np.asarray(log["person_id"]))]
        told = Told.of(log, person, np.array([at.get(one, -1) for one in log["content_id"].to_pylist()]))
        content = np.array([at[one] for one in self.ids])
        weights = {goal: one.worth for goal, one in self.config.goals.items()}
        contact = whole.people.contact_from[self.truly] < whole.days
        return expected(whole, told, len(self.people), content, contact, weights)

    def shown(self) -> Ints:
        """(L,): how often each was shown anything."""
        log = self.found.night.log
        ids = np.asarray(log.filter(pc.equal(log["event"], "impression"))["person_id"])
        every = np.bincount(np.searchsorted(self.found.history.people, ids), minlength=len(self.found.history.people))
        return every[self.people]

    def showings(self) -> Floats:
        """How often, in showings at the top, what once stood there was shown to the same person on the same day."""
        log = self.found.night.log
        log = log.filter(pc.and_(pc.equal(log["event"], "impression"), pc.is_valid(log["position"])))
        days = pc.floor_temporal(log["ts"], unit="day")
        table = pa.table({"person": log["person_id"], "content": log["content_id"], "day": days})
        table = table.append_column("best", log["position"]).append_column("sum", pc.power(log["position"], -0.5))
        grouped = table.group_by(["person", "content", "day"]).aggregate([("best", "min"), ("sum", "sum")])
        return np.asarray(grouped.filter(pc.equal(grouped["best_min"], 1))["sum_sum"], np.float64)


def _shares(world: World, table: pa.Table) -> list[Row]:
    """Of the oracle's worth: ours, simple lists', and where the rest is lost."""
    oracle = world.brings(world.lists(world.worth, world.allowed))
    ours, laws = world.brings(world.published(table)), world.brings(world.lists(world.laws(), world.allowed))
    readers = np.zeros(len(world.content))
    _, there, place = np.intersect1d(world.content, world.found.shelf, assume_unique=True, return_indices=True)
    readers[there] = popularity.most_popular(world.found.engagement).content[place]

    def share(scores: Grid, among: Grid) -> float:
        lists = world.lists(np.broadcast_to(scores, world.allowed.shape), among)
        return float(world.brings(lists).sum() / oracle.sum())

    found = [
        Row("world: true worth of the first ten places, share of the oracle's", ours.sum() / oracle.sum(), 0.85),
        Row("world: most-popular's share", share(readers, world.allowed)),
        Row("world: a random list's share", share(np.random.default_rng(0).random(world.allowed.shape), world.allowed)),
        Row("world: the oracle's share from our candidates alone", share(world.worth, world.candidates())),
        Row("world: the share of who knows the world's laws and the log", laws.sum() / oracle.sum()),
        Row("world: ours, times theirs", ours.sum() / laws.sum()),
    ]
    group = np.searchsorted(SHOWN, world.shown(), side="right") - 1
    for at, least in enumerate(SHOWN):
        rows = group == at
        most = f" to {SHOWN[at + 1] - 1}" if at + 1 < len(SHOWN) else " or more"
        what = f"world: people with {least}{most} impressions"
        for name, one in (("share of them", np.ones(len(rows))), ("ours", ours), ("the laws'", laws)):
            whole = oracle[rows].sum() if name != "share of them" else len(rows)
            found.append(Row(f"{what}: {name}", float(one[rows].sum() / max(whole, 1e-12))))
    return found


def _calibration(world: World, table: pa.Table) -> list[Row]:
    """Of the listed places: the mean probability said, less the true one."""
    row, column, rank = world.listed(table)
    listed, showings = table.filter(pc.less_equal(table["rank"], PLACES)), world.showings()
    found = []
    for goal, true in world.true.items():
        if listed[f"p_{goal}"].null_count == len(rank):
            continue  # too few ever did: there is no model of it
        said, once = np.asarray(listed[f"p_{goal}"]).mean(), true[row, column]
        many = np.unique(showings.round(1), return_counts=True)
        daily = sum(n * (1 - (1 - once) ** times).mean() for times, n in zip(*many, strict=True)) / len(showings)
        off = abs(said - daily)
        found += [
            Row(f"world: listed places, {goal}: expected minus true of a day", off, 0.02, better="lower"),
            Row(f"world: the same, true of one showing: {goal}", abs(said - once.mean()), 0.02, better="lower"),
            Row(f"world: listed places, {goal}: expected", said),
            Row(f"world: listed places, {goal}: true of a day", daily),
            Row(f"world: listed places, {goal}: true of one showing", once.mean()),
        ]
    return found


def _people(file: Path, names: list[tuple[str, str]]) -> tuple[int, Ints]:
    """How many people there really are, and which of them those are."""
    people = pq.read_table(file).to_pylist()
    known = {(one["customer_id"], "customer"): one["person"] for one in people}
    known |= {(visitor, "visitor"): one["person"] for one in people for visitor in one["visitor_ids"]}
    return len(people), np.array([known[name] for name in names])


def _truth(file: Path, truly: Ints, ids: list[str], config: Config) -> dict[str, Grid]:
    """(L, C) probabilities by goal: of those people, and of those contents."""
    table = pq.read_table(file)
    who, what = np.asarray(table["person"]), table["content_id"].to_pylist()
    columns = {one: at for at, one in enumerate(what[: int((who == who[0]).sum())])}
    place, found = np.array([columns.get(one, -1) for one in ids]), {}
    for goal in config.goals:
        grid = np.asarray(table[f"p_{goal}"], np.float64).reshape(-1, len(columns))
        found[goal] = np.where(place >= 0, grid[truly][:, place], 0.0)
    return found
