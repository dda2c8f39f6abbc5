"""The features of a night: written for analysts and the drift check, built the same way for training and ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features import crm, rfm, spec
from features.contents import content_features
from features.crm import Vocabulary
from features.history import DAY, GoalRule, History
from features.order import ordered
from features.pair_night import PairsOfNight
from features.pairs import PairBlock, PairSpace
from features.people import person_features
from models import candidates, rules, scorer
from models.candidates import Candidates
from models.classifier import Bundle
from models.engagement import Engagement, Linear, Matrix, Ratio
from models.exploration import Exploration
from models.rules import Rules
from pipeline import feature_report
from pipeline.block import NightBlock
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.measuring import person_spec, wide_spec
from pipeline.night import NIGHT, Archive, Night
from pipeline.report import Report

Cuts = Mapping[str, list[float]]
NO_CRM = Vocabulary()
"""Without a model nothing of the CRM is read: nobody has learned how."""

_SHELF = 5_000
"""Contents that simple recommenders look at: a dense matrix of pairs of them is 100 MB."""

BLOCK_CELLS = 2_000_000
"""People x content in one block: what is dense at a time stays within some tens of MB."""


@dataclass(frozen=True)
class FeaturesReport(Report):
    """What was written for the night."""

    as_of: str
    people: int
    content: int
    events: int
    features: int
    without: tuple[str, ...]


@dataclass(frozen=True)
class NightFeatures:
    """One night as the models see it. `people` and `contents` are Arrow tables; `pairs` says what connects them."""

    night: Night
    history: History
    people: pa.Table
    contents: pa.Table
    pairs: PairsOfNight
    resting: Matrix | None = None
    """(people, contents): what may not be listed for whom because it has been, often enough (`pipeline.frequency`)."""

    @classmethod
    def of(cls, night: Night, config: Config) -> NightFeatures:
        """Everything that models are told about a night, from nothing but what was known then."""
        history = History.of(night.log, night.content, night.popularity, night.as_of, goal_rules(config))
        return cls(
            night,
            history,
            person_features(night.measured, history.people, person_spec(config)),
            content_features(history),
            PairsOfNight(night.log, night.content, night.as_of),
        )

    @cached_property
    def space(self) -> PairSpace:
        """What candidates are chosen by: of no interest to who only wants features of people and contents."""
        return PairSpace.of(self.history)

    def person_matrix(
        self, goals: tuple[str, ...], cuts: Cuts | None, vocabulary: Vocabulary = NO_CRM
    ) -> NDArray[np.float32]:
        """(people, Fp), with RFM scores by `cuts` and what `vocabulary` reads of the CRM.

        Scores are missing where the cut-points are yet to be learned.
        """
        missing = {name: np.full(self.people.num_rows, np.nan) for name in rfm.SCORES}
        scored = _columns(rfm.scores(self.people, cuts)) if cuts is not None else missing
        people = self.history.people
        said = _columns(crm.coded(self.crm(people), people, vocabulary)) if vocabulary.attributes else {}
        columns = {**_columns(self.people), **scored, **said}
        names = spec.names(goals, "person", vocabulary.attributes)
        return np.column_stack([columns[name] for name in names]).astype(np.float32)

    def crm(self, people: NDArray[np.int64]) -> pa.Table:
        """What the newest CRM snapshots as of the night say of these of its people (`features.crm.FACTS`)."""
        return crm.facts(self.night.customers, people)

    def content_matrix(self, goals: tuple[str, ...]) -> NDArray[np.float32]:
        """(content, Fc)."""
        columns = _columns(self.contents)
        return np.column_stack([columns[name] for name in spec.names(goals, "content")]).astype(np.float32)

    def between(self, block: NightBlock, person: NDArray[np.int64], content: NDArray[np.int64]) -> NDArray[np.float32]:
        """(pairs, Fx) of the pairs (`person[i]` of the block's people, `content[i]` of its contents: the night's)."""
        known, ids = self.history.people[person], self.history.catalogue.ids
        at = np.searchsorted(block.people, person), np.searchsorted(block.content, content)
        said = [np.broadcast_to(one, block.shape)[at] for one in block.said.values()]
        since = self.space.visits.since(person, content)
        return np.column_stack([self.pairs.features(known, ids.take(pa.array(content))), since, *said])

    def blocks(self, people: NDArray[np.int64] | None = None) -> Iterator[NightBlock]:
        """These people (sorted indices; by default all), some at a time, against everything that can be listed."""
        people = np.arange(len(self.history.people)) if people is None else people
        shared = _columns(self.contents)
        for pairs in self.pair_blocks(people):
            yield NightBlock(pairs, shared, self.personal, self.shelf)

    def pair_blocks(self, people: NDArray[np.int64]) -> Iterator[PairBlock]:
        """The same without what is learned from who turned to what: enough to say what may be listed for whom."""
        listed = np.flatnonzero(self.history.catalogue.listed)
        size = max(1, BLOCK_CELLS // max(len(listed), 1))
        for start in range(0, len(people), size):
            yield self.space.block(people[start : start + size], listed)

    @cached_property
    def personal(self) -> dict[str, Linear | Ratio]:
        """What is learned from who turned to what."""
        engagement = self.engagement
        ts, born = (self._busy(instants) for instants in (engagement.ts, engagement.born))
        return candidates.personal(engagement, replace(engagement, ts=ts, born=born))

    def _busy(self, ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Instants on the clock of what people do."""
        return np.asarray(self.history.as_of - self.history.busy_days(ts) * DAY, np.int64)

    @cached_property
    def shelf(self) -> NDArray[np.int64]:
        """What simple recommenders look at: the catalogue's contents, the latest touched, as sorted indices.

        What is bought or read beside the catalogue (a shop's products, where campaigns are ranked) is left out, and so
        is what nobody touched for longest: what is learned of pairs of contents has to fit into memory.
        """
        history = self.history
        known = np.flatnonzero(_among(history.catalogue.ids, self.night.content["content_id"]))
        last = history.catalogue.published.copy()
        np.maximum.at(last, history.content[history.active], history.ts[history.active])
        return np.sort(known[np.argsort(-last[known], kind="stable")[:_SHELF]])

    @property
    def engagement(self) -> Engagement:
        """Who turned to what, as simple recommenders read it; contents are places on the `shelf`.

        The same for all who ask while anybody holds it: it is as large as the log, and ranking goes on without it.
        """
        found = self._held.get("engagement")
        if found is None:
            found = self._held["engagement"] = self._engaged()
        return found

    @cached_property
    def _held(self) -> WeakValueDictionary[str, Engagement]:
        return WeakValueDictionary()

    def _engaged(self) -> Engagement:
        history = self.history
        place = np.full(max(history.catalogue.size, 1), -1)
        place[self.shelf] = np.arange(len(self.shelf))
        rows = np.flatnonzero(history.active & (place[history.content] >= 0))
        person, ts, content = (column[rows] for column in (history.person, history.ts, history.content))
        order = rows[ordered(person, ts, lambda some: np.lexsort((content[some], ts[some], person[some])))]
        return Engagement(
            as_of=history.as_of,
            people=len(history.people),
            contents=len(self.shelf),
            person=history.person[order],
            content=place[history.content[order]],
            ts=history.ts[order],
            born=history.catalogue.published[self.shelf],
        )

    def candidates(self, block: NightBlock, config: Config, rules: Rules = rules.NONE) -> Candidates:
        """The candidates of a block's people, as indices of the night; what rules pin comes on top of the limit."""
        limit, eligible = config.ranking.candidates, self.eligible(block.pairs, config)
        if rules.changes:
            eligible = eligible & rules.allowed(block.people, block.content)
        chosen = candidates.choose(block.proposals, eligible, limit, self._exploration(block, config))
        if rules.changes:
            chosen = candidates.added(chosen, eligible & rules.wanted(block.people, block.content))
        return Candidates(block.people[chosen.person], block.content[chosen.content], chosen.source)

    def _exploration(self, block: NightBlock, config: Config) -> Exploration | None:
        """What may be drawn by lot; None where nothing is to be, or nothing is unread."""
        share, limit, unread = config.ranking.explore, config.ranking.candidates, block.unread
        if not share or not len(unread):
            return None
        ids = self.history.catalogue.ids.take(pa.array(block.content[unread])).to_pylist()
        people = self.history.people[block.people]
        return Exploration.of(share, limit, unread, ids, people, self.history.as_of)

    def eligible(self, pairs: PairBlock, config: Config) -> NDArray[np.bool_]:
        """What may be listed for whom: good enough, by default not engaged with, not resting; (people, contents)."""
        good = ~(self.history.catalogue.quality[pairs.content] < config.ranking.min_quality)
        found: NDArray[np.bool_] = np.broadcast_to(good, (len(pairs.rows), len(pairs.content)))
        if config.ranking.hide_engaged:
            found = found & (pairs.seen() == 0)
        return found if self.resting is None else found & ~self.resting[pairs.rows][:, pairs.content].toarray()

    @property
    def position(self) -> float:
        """The position to score at: the top, or missing where nobody records positions and no model ever saw one."""
        recorded = self.night.log["position"].null_count < self.night.log.num_rows
        return scorer.TOP if recorded else float("nan")


def goal_rules(config: Config) -> dict[str, GoalRule]:
    """The configuration's goals as features understand them."""
    return dict(person_spec(config).goals)


def goals_of(config: Config) -> dict[str, Any]:
    """What a model depends on of the goals: everything but their weights and values, which only ranking uses."""
    return {name: goal.model_dump(mode="json", exclude={"weight", "value"}) for name, goal in config.goals.items()}


def crm_of(bundle: Bundle | None) -> Vocabulary:
    """How the model reads the CRM: as it was learned, whatever the CRM has by now."""
    return Vocabulary.from_json(bundle.context.get("crm")) if bundle else NO_CRM


def fits(bundle: Bundle, config: Config) -> bool:
    """Whether the model was trained for the configuration's goals and reads the features that we have now."""
    names = spec.names(config.goals, crm=crm_of(bundle).attributes)
    return bundle.context.get("goals") == goals_of(config) and all(m.features == names for m in bundle.models.values())


def run(as_of: datetime, config: Config, *, on_slice: Callable[[int, int], None] | None = None) -> FeaturesReport:
    """Build the night's features, replace that night in the lake, and keep a report on them in MLflow.

    `person_features` and `content_features` are wide; `person_affinities` has a row for each category, tag, author,
    format and channel that a person did something in, with the decayed affinities.
    """
    lake = Lake.of(config)
    days = config.training.history_days
    night = Archive.load(lake, config, as_of, days, on_slice, columns=NIGHT).night(as_of)
    found, without = NightFeatures.of(night, config), tuple(_without(night, lake))
    wide = person_features(night.measured, found.history.people, wide_spec(config, night.content))
    lake.replace_night("person_features", wide, as_of)
    lake.replace_night("content_features", found.contents, as_of)
    lake.replace_night("person_affinities", found.pairs.tastes(), as_of)
    feature_report.run(
        as_of, wide, found.contents, config, missing=[f"The night was built with {lack}." for lack in without]
    )
    return FeaturesReport(
        as_of=as_of.isoformat(),
        people=found.people.num_rows,
        content=found.contents.num_rows,
        events=night.log.num_rows,
        features=len(spec.names(config.goals)),
        without=without,
    )


def replayed_nights(archive: Archive, config: Config, until: datetime | None = None) -> list[datetime]:
    """The past nights whose outcome is mature at `until`, by default the archive's end, oldest first.

    At most `training.nights`, a day apart, none with less than `training.warm_up_days` of history.
    """
    step = max(config.project.step, timedelta(days=1))
    earliest = archive.first_ts() + timedelta(days=config.training.warm_up_days)
    newest = (until or archive.until) - config.horizon
    nights = [newest - i * step for i in range(config.training.nights)]
    return sorted(n for n in nights if n >= earliest)


def _among(ids: pa.Array, some: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(ids, value_set=some.combine_chunks()), bool)


def _columns(table: pa.Table) -> dict[str, NDArray[np.float64]]:
    return {
        f.name: np.asarray(table[f.name].combine_chunks(), dtype=np.float64)
        for f in table.schema
        if pa.types.is_floating(f.type)
    }


def _without(night: Night, lake: Lake) -> list[str]:
    """What this night had to do without, in words."""
    events = set(night.log["event"].unique().to_pylist())
    missing = [("impression", "impressions"), ("purchase", "purchases")]
    found = [f"no {name}" for event, name in missing if event not in events]
    if not night.customers.num_rows:
        found.append("no CRM")
    if not lake.exists("content"):
        found.append("no content catalogue")
    return found
