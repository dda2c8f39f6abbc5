"""Past nights as rows to learn from and to be judged on: the night's features, and what people then did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features import rfm, spec
from features.history import reached
from models.factored import Factored
from pipeline.build_features import NightFeatures, goal_rules
from pipeline.config import Config
from pipeline.night import Archive
from pipeline.rows import Dense, Integers, Rows
from pipeline.shards import shard_of

Keys = Mapping[str, Integers]

_DAY = timedelta(days=1)
_NOBODY = np.zeros(0, np.int64)
_DRAWS, _GOLDEN = 1 << 14, 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Rebuilt:
    """One past night: `shown` is what people could respond to, `lists` the whole candidate sets of people who came.

    `people` are everybody's `person_id` and raw RFM values: cut-points are learned from all, not from who came.
    """

    as_of: datetime
    people: pa.Table
    shown: Rows
    lists: Rows | None

    @property
    def thinned(self) -> Rebuilt:
        """The same with what is learned from alone."""
        return replace(self, shown=self.shown.thinned, lists=None)


@dataclass(frozen=True)
class _Pairs:
    """Indices of one night's people and content, sorted; `position` where it was shown, NaN where that is unknown.

    `between` (pairs, Fx) is what connects them, where that is known already; `propensity` as in `Rows`.
    """

    person: Integers
    content: Integers
    position: NDArray[np.float64]
    between: Dense | None = None
    propensity: NDArray[np.float64] | None = None

    def where(self, kept: NDArray[np.bool_]) -> _Pairs:
        """Some of the pairs that were shown."""
        propensity = None if self.propensity is None else self.propensity[kept]
        return _Pairs(self.person[kept], self.content[kept], self.position[kept], propensity=propensity)


def rebuild(
    archive: Archive, nights: Sequence[datetime], config: Config, *, lists: bool, thinned: bool = False
) -> Iterator[Rebuilt]:
    """Rebuild each night with what was known then, joined to its outcome.

    Rows to learn from are the impressions of the following day where impressions are recorded: a probability is then
    one of engaging *if shown*. Otherwise they are the candidates of the people who did something on that day. RFM
    scores are left missing (see `Rows.scored`): their cut-points are learned from these very nights.

    People who by now object to personalization are not learned from, and not graded on.

    Args:
        lists: Also build the full candidate sets of active people, to grade rankings on.
        thinned: Leave out the negatives that nothing is learned from (see `sections.Training.negatives`).
    """
    archive.plan(nights)
    for as_of in nights:
        yield of_night(archive, NightFeatures.of(archive.night(as_of), config), config, lists=lists, thinned=thinned)


def of_night(archive: Archive, found: NightFeatures, config: Config, *, lists: bool, thinned: bool = False) -> Rebuilt:
    """The same of one night. Where no impressions are logged, `shown` and `lists` are the same rows."""
    as_of, negatives = found.night.as_of, 1.0 if archive.logs_impressions else config.training.negatives
    day = archive.outcome(as_of, max(_DAY, config.project.step))
    labels = hits(archive, as_of, found, config)
    usable = np.asarray(archive.usable(pa.array(found.history.people, pa.int64())))
    people = found.people.select(["person_id", *rfm.RAW]).filter(pa.array(usable))
    pairs = _shown(found, day, config)
    shown = None if pairs is None else _rows(found, pairs.where(usable[pairs.person]), labels, config)
    if shown is not None and not lists:
        return Rebuilt(as_of, people, shown, None)
    draw = _Draw(found, labels, negatives) if thinned and not lists else None
    every = _rows(found, _candidates(found, active(found, day) & usable, config, draw), labels, config, negatives)
    return Rebuilt(as_of, people, every if shown is None else shown, every if lists else None)


def lists_of(archive: Archive, found: NightFeatures, config: Config, most: int) -> Rows:
    """The whole candidate sets, labelled, of `most` of the people who came on the day after: the same every time."""
    day = archive.outcome(found.night.as_of, max(_DAY, config.project.step))
    usable = np.asarray(archive.usable(pa.array(found.history.people, pa.int64())))
    came = np.flatnonzero(active(found, day) & usable)
    wanted = np.zeros(len(usable), bool)
    wanted[came[stable_sample(found.history.people[came], most)]] = True
    labels = hits(archive, found.night.as_of, found, config)
    return _rows(found, _candidates(found, wanted, config, None), labels, config)


def stable_sample(people: Integers, most: int) -> Integers:
    """Sorted places of at most `most` of `people`: the same ones every night, whoever else is there."""
    order = np.lexsort((people, shard_of(people, _DRAWS)))
    return np.sort(order[:most])


@dataclass(frozen=True)
class _Draw:
    """Which pairs of a night are learned from: those that reached any goal, and those drawn."""

    found: NightFeatures
    labels: Keys
    negatives: float

    def __call__(self, person: Integers, content: Integers) -> NDArray[np.bool_]:
        keys = person * self.found.history.catalogue.size + content
        kept = _drawn(self.found.history.people[person], content, self.negatives)
        for reached_by in self.labels.values():
            kept |= np.isin(keys, reached_by)
        return kept


def _drawn(person: Integers, content: Integers, share: float) -> NDArray[np.bool_]:
    """A share of the pairs, by their ids alone: the same ones whoever else there is."""
    if share >= 1:
        return np.ones(len(person), bool)
    mixed = person.astype(np.uint64) ^ ((content.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))
    return shard_of(mixed, _DRAWS) < share * _DRAWS


def _rows(found: NightFeatures, pairs: _Pairs, hits: Keys, config: Config, negatives: float = 1.0) -> Rows:
    goals = tuple(config.goals)
    history = found.history
    keys = pairs.person * history.catalogue.size + pairs.content
    people, contents = found.person_matrix(goals, None), found.content_matrix(goals)
    between = _between(found, pairs) if pairs.between is None else pairs.between
    said = Factored.of(people, contents, between, pairs.person, pairs.content, pairs.position)
    raw = [np.asarray(found.people[name].combine_chunks(), dtype=np.float64)[pairs.person] for name in rfm.RAW]
    popularity = np.asarray(found.contents["popularity_7d"].combine_chunks())
    return Rows(
        said=said,
        raw=np.column_stack(raw),
        labels={goal: np.isin(keys, hits[goal]).astype(np.float32) for goal in goals},
        person=history.people[pairs.person],
        content=pairs.content.astype(np.int32),
        ids=history.catalogue.ids,
        group=pairs.person,
        nights=((0, found.night.as_of),),
        popularity=popularity[pairs.content],
        drawn=_drawn(history.people[pairs.person], pairs.content, negatives),
        negatives=negatives,
        propensity=pairs.propensity,
        crm=_said(found, history.people[np.unique(pairs.person)]),
    )


def _said(found: NightFeatures, people: Integers) -> pa.Table:
    """What the CRM says of these people, with their place among the night's."""
    said = found.crm(people)
    group = np.searchsorted(found.history.people, np.asarray(said["person_id"].combine_chunks()))
    return said.append_column("group", pa.array(group, pa.int64()))


def hits(
    archive: Archive, as_of: datetime, found: NightFeatures, config: Config, window: timedelta | None = None
) -> Keys:
    """For each goal the keys (person x size + content) that reached it within its horizon, or within `window`."""
    found_for = {}
    for goal, rule in goal_rules(config).items():
        log = archive.outcome(as_of, window or config.goals[goal].horizon)
        found_for[goal] = np.unique(_keys(found, log.filter(reached(log, rule)))[0])
    return found_for


def _keys(found: NightFeatures, log: pa.Table) -> tuple[Integers, NDArray[np.bool_]]:
    """Keys of the log's rows whose person and content the night knew, and which rows those are."""
    history = found.history
    ids = np.asarray(log["person_id"].combine_chunks())
    at = np.searchsorted(history.people, ids)
    at = np.minimum(at, len(history.people) - 1)
    content = pc.fill_null(pc.index_in(log["content_id"].combine_chunks(), value_set=history.catalogue.ids), -1)
    codes = np.asarray(content).astype(np.int64)
    known = (history.people[at] == ids) & (codes >= 0)
    return at[known] * history.catalogue.size + codes[known], known


def _shown(found: NightFeatures, day: pa.Table, config: Config) -> _Pairs | None:
    """The pairs shown in `day` that a list of this night could have held; None where impressions are not recorded."""
    impressions = day.filter(pc.equal(day["event"], "impression"))
    if not impressions.num_rows:
        return None
    history = found.history
    keys, known = _keys(found, impressions)
    position, propensity = (
        np.asarray(impressions[name].combine_chunks().cast(pa.float64()).fill_null(np.nan))[known]
        for name in ("position", "propensity")
    )
    order = np.lexsort((propensity, position, keys))
    pairs, first = np.unique(keys[order], return_index=True)
    person, content = pairs // history.catalogue.size, pairs % history.catalogue.size
    fair = history.catalogue.listed[content]
    if config.ranking.hide_engaged and len(person):  # scipy gives no array for no pairs
        fair &= np.asarray(found.history.seen[person, content]).ravel() == 0
    logged = None if np.isnan(propensity).all() else propensity[order][first]
    return _Pairs(person, content, position[order][first], propensity=logged).where(fair)


def acted_on(found: NightFeatures, log: pa.Table) -> Integers:
    """The keys (person x size + content) that the log has anything of, impressions too."""
    return np.unique(_keys(found, log)[0])


def active(found: NightFeatures, day: pa.Table) -> NDArray[np.bool_]:
    """Which people of the night did something (more than being shown things) on the day after."""
    acted = day.filter(pc.invert(pc.is_in(day["event"], value_set=pa.array(["impression", "refund"]))))
    ids = np.unique(np.asarray(acted["person_id"].combine_chunks()))
    return np.isin(found.history.people, ids)


def _candidates(found: NightFeatures, wanted: NDArray[np.bool_], config: Config, draw: _Draw | None) -> _Pairs:
    """The full candidate sets of these people, or what is drawn of them."""
    persons, contents, between = [_NOBODY], [_NOBODY], [np.zeros((0, len(spec.names((), "pair"))), np.float32)]
    for block in found.blocks(np.flatnonzero(wanted)):
        chosen = found.candidates(block, config)
        kept = slice(None) if draw is None else draw(chosen.person, chosen.content)
        persons.append(chosen.person[kept])
        contents.append(chosen.content[kept])
        between.append(found.between(block, persons[-1], contents[-1]))
    person, content = np.concatenate(persons), np.concatenate(contents)
    return _Pairs(person, content, np.full(len(person), found.position), np.concatenate(between))


def _between(found: NightFeatures, pairs: _Pairs) -> Dense:
    """What connects the pairs, block by block."""
    parts = [np.zeros((0, len(spec.names((), "pair"))), np.float32)]
    for block in found.blocks(np.unique(pairs.person)):
        inside = slice(*np.searchsorted(pairs.person, [block.people[0], block.people[-1] + 1]))
        parts.append(found.between(block, pairs.person[inside], pairs.content[inside]))
    return np.concatenate(parts)
