"""A past night whose lists were drawn by lot: what stood in them, what came of it, and what another policy would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models import scorer
from models.engagement import Floats, Ints, entries
from models.off_policy import Logged
from models.policy import NOTHING, Flags, Policy
from pipeline import frequency, snapshot
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.grade import contents_of, wanted, whose
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.score import limits_of, score
from pipeline.serving import Model

GONE, NOTHING_LEFT = "not known that night, or object by now", "nothing to choose from"


def is_drawn(path: Path) -> bool:
    """Whether any place of a published snapshot's lists might have held something else."""
    rows = snapshot.table_of(path, "people", ["propensity"])
    return bool(pc.any(pc.less(rows["propensity"], 1.0)).as_py())


@dataclass(frozen=True)
class Target:
    """What lists are asked for: by which model, in which configuration, at which temperature."""

    model: Model
    config: Config
    temperature: float

    def policy(self, found: NightFeatures, people: Ints) -> Policy:
        """The same for these people (sorted places in the night), from what was known then."""
        bundle, config = self.model.bundle, self.config
        scored = score(found, bundle, config, people)
        weights = {goal: config.goals[goal].worth for goal in scored.probabilities}
        value = scorer.relevance(scored.probabilities, weights) if weights else scored.relevance
        pairs = scored.person, scored.content, scored.relevance, self.temperature, value, scored.place
        return Policy.of(*pairs, limits_of(found, config))


@dataclass(frozen=True)
class _Rows:
    """Published places (M,): whose (a place in the night), which, with what content and propensity."""

    person: Ints
    rank: Ints
    content: Ints
    propensity: Floats
    native: pa.Table

    @classmethod
    def of(cls, table: pa.Table, found: NightFeatures, person: Ints) -> _Rows:
        propensity = pc.fill_null(table["propensity"].combine_chunks(), 1.0)
        native = pa.table({"native_id": table["person_id"], "id_type": table["id_type"]})
        rank = np.asarray(table["rank"].combine_chunks()).astype(np.int64)
        return cls(person, rank, contents_of(table, found), np.asarray(propensity), native)

    def where(self, kept: Flags) -> _Rows:
        """Some of them."""
        native = self.native.filter(pa.array(kept))
        return _Rows(self.person[kept], self.rank[kept], self.content[kept], self.propensity[kept], native)

    @property
    def people(self) -> Ints:
        """Whose they are, each once, sorted."""
        return np.unique(self.person)

    def resting(self, found: NightFeatures, config: Config, lake: Lake) -> NightFeatures:
        """The night with what rested for these people then."""
        people, first = np.unique(self.person, return_index=True)
        native = self.native.take(pa.array(first))
        return replace(found, resting=frequency.resting(found, native, people, config, lake))


def opened(
    path: Path, night: datetime, archive: Archive, target: Target, lake: Lake, places: int
) -> tuple[Logged, Mapping[str, int]]:
    """The first `places` of a snapshot's lists beside the target, and how many people were left out, by why.

    The night is rebuilt with what was known then. Who has nothing to choose from would have the default list, which no
    model and no temperature changes much.
    """
    config = target.config
    found = NightFeatures.of(archive.night(night), config)
    every, whole = _rows(path, found, config, places)
    usable = np.asarray(archive.usable(pa.array(found.history.people, pa.int64())), bool)
    rows = every.where((every.person >= 0) & usable[every.person])
    found = rows.resting(found, config, lake)
    policy = target.policy(found, rows.people)
    asked = rows.where(np.isin(rows.person, policy.person))
    left_out = {GONE: whole - len(rows.people), NOTHING_LEFT: len(rows.people) - len(asked.people)}
    return _logged(asked, found, policy, archive, config, places), left_out


def _rows(path: Path, found: NightFeatures, config: Config, places: int) -> tuple[_Rows, int]:
    """The first places of all lists, and of how many people; -1 is who is not of the night."""
    table = snapshot.table_of(path, "people", ["person_id", "id_type", "rank", "content_id", "propensity"])
    table = table.filter(pc.less_equal(table["rank"], places))
    ids, known = whose(table, config), found.history.people
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return _Rows.of(table, found, np.where(known[at] == ids, at, -1)), len(np.unique(ids))


def _logged(rows: _Rows, found: NightFeatures, policy: Policy, archive: Archive, config: Config, places: int) -> Logged:
    """What came of the lists is what `grade` counts, in whatever list it could have stood."""
    people = rows.people
    at = np.searchsorted(people, rows.person), rows.rank - 1
    lists, propensity = np.full((len(people), places), NOTHING), np.ones((len(people), places))
    lists[at], propensity[at] = rows.content, rows.propensity
    anywhere = config.model_copy(update={"ranking": config.ranking.model_copy(update={"hide_engaged": False})})
    row, place = np.nonzero(lists >= 0)
    reward = np.zeros(lists.shape)
    reward[row, place] = entries(wanted(found, archive, anywhere), people[row], lists[row, place])
    unseen = ~np.isin(np.arange(found.history.catalogue.size), lists)
    traced = policy.traced(people, lists, unseen)
    return Logged(person=found.history.people[people], reward=reward, propensity=propensity, **vars(traced))
