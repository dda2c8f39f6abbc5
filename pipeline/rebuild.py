"""Past nights as rows to learn from and to be judged on: the night's features, and what people then did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features import crm, rfm, spec
from features.crm import Vocabulary
from features.history import reached
from models import scorer
from pipeline.build_features import NO_CRM, Cuts, NightFeatures, goal_rules
from pipeline.config import Config
from pipeline.night import Archive

Integers = NDArray[np.int64]
Dense = NDArray[np.float32]
Keys = Mapping[str, Integers]

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Rows:
    """Pairs of people and content on past nights (N of them), sorted by night, person and content.

    `x` are the models' rows (N, F); `raw` the raw RFM values (N, 3) from which the scores in `x` are made; `labels` by
    goal 0 or 1 (N,); `person` pseudonyms; `group` one number a list (a person on a night); `popularity` the score that
    most-popular would give; `crm` what it said of the rows' people, as of their nights (`FACTS`, and the `group`).
    """

    x: Dense
    raw: NDArray[np.float64]
    labels: Mapping[str, NDArray[np.float32]]
    person: Integers
    group: Integers
    popularity: NDArray[np.float64]
    crm: pa.Table

    @property
    def size(self) -> int:
        """How many pairs there are."""
        return len(self.person)

    def scored(self, cuts: Cuts, goals: Sequence[str], vocabulary: Vocabulary = NO_CRM) -> Rows:
        """The same rows with RFM scores by `cuts`, and what `vocabulary` reads of the CRM, whatever one did before."""
        names = spec.names(goals)
        scores = rfm.scores(pa.table(list(self.raw.T), names=list(rfm.RAW)), cuts)
        x = self.x.copy()
        for name in rfm.SCORES:
            x[:, names.index(name)] = np.asarray(scores[name].combine_chunks())
        return replace(self, x=self._with_crm(x, goals, vocabulary))

    def _with_crm(self, x: Dense, goals: Sequence[str], vocabulary: Vocabulary) -> Dense:
        """The CRM's columns behind the person's others."""
        by_group = self.crm.select(["group", "attribute", "value"]).rename_columns(crm.FACTS.names)
        said = [np.asarray(column.combine_chunks()) for column in crm.coded(by_group, self.group, vocabulary).columns]
        before = len(spec.names(goals, "person"))
        after = len(spec.names(goals)) - before
        return np.column_stack([x[:, :before], *said, x[:, x.shape[1] - after :]]).astype(np.float32)


@dataclass(frozen=True)
class Rebuilt:
    """One past night: `shown` is what people could respond to, `lists` the whole candidate sets of people who came."""

    as_of: datetime
    people: pa.Table
    shown: Rows
    lists: Rows | None


@dataclass(frozen=True)
class _Pairs:
    """Indices of one night's people and content, sorted; `position` where it was shown, NaN where that is unknown."""

    person: Integers
    content: Integers
    position: NDArray[np.float64]


def rebuild(archive: Archive, nights: Sequence[datetime], config: Config, *, lists: bool) -> Iterator[Rebuilt]:
    """Rebuild each night with what was known then, joined to its outcome.

    Rows to learn from are the impressions of the following day where impressions are recorded: a probability is then
    one of engaging *if shown*. Otherwise they are the candidates of the people who did something on that day. RFM
    scores are left missing (see `Rows.scored`): their cut-points are learned from these very nights.

    People who by now object to personalization are not learned from, and not graded on.

    Args:
        lists: Also build the full candidate sets of active people, to grade rankings on.
    """
    archive.plan(nights)
    for as_of in nights:
        found = NightFeatures.of(archive.night(as_of), config)
        day = archive.outcome(as_of, max(_DAY, config.project.step))
        reached_by = hits(archive, as_of, found, config)
        usable = archive.usable(pa.array(found.history.people, pa.int64()))
        shown, graded = _shown(found, day, config), None
        if shown is None or lists:
            candidates = _of(_candidates(found, _active(found, day), config), usable)
            shown = candidates if shown is None else shown
            graded = _rows(found, candidates, reached_by, config) if lists else None
        yield Rebuilt(as_of, found.people.filter(usable), _rows(found, _of(shown, usable), reached_by, config), graded)


def _of(pairs: _Pairs, usable: pa.Array) -> _Pairs:
    """The pairs of the people who may be used; `usable` is by the night's people."""
    kept = np.asarray(usable)[pairs.person]
    return _Pairs(pairs.person[kept], pairs.content[kept], pairs.position[kept])


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of several nights as one, in the order given.

    Raises:
        ValueError: There are none.
    """
    if not sum(part.size for part in parts):
        raise ValueError("nobody was active on the replayed nights, so there is nothing to learn from")
    offsets = np.cumsum([0, *(int(part.group.max()) + 1 if part.size else 0 for part in parts)])
    return Rows(
        x=np.concatenate([part.x for part in parts]),
        raw=np.concatenate([part.raw for part in parts]),
        labels={goal: np.concatenate([part.labels[goal] for part in parts]) for goal in parts[0].labels},
        person=np.concatenate([part.person for part in parts]),
        group=np.concatenate([part.group + offset for part, offset in zip(parts, offsets, strict=False)]),
        popularity=np.concatenate([part.popularity for part in parts]),
        crm=pa.concat_tables([_moved(part.crm, int(offset)) for part, offset in zip(parts, offsets, strict=False)]),
    )


def _moved(said: pa.Table, offset: int) -> pa.Table:
    at = said.column_names.index("group")
    return said.set_column(at, "group", pc.add(said["group"], pa.scalar(offset, pa.int64())))


def _rows(found: NightFeatures, pairs: _Pairs, hits: Keys, config: Config) -> Rows:
    goals = tuple(config.goals)
    history = found.history
    keys = pairs.person * history.catalogue.size + pairs.content
    people, contents = found.person_matrix(goals, None), found.content_matrix(goals)
    parts = []
    for rows, block in found.blocks():
        inside = slice(*np.searchsorted(pairs.person, [rows.start, rows.stop]))
        person, content = pairs.person[inside], pairs.content[inside]
        if not len(person):
            continue
        between = found.between(block, person - rows.start, content)
        parts.append(scorer.rows(people, contents, between, person, content, pairs.position[inside]))
    raw = [np.asarray(found.people[name].combine_chunks(), dtype=np.float64)[pairs.person] for name in rfm.RAW]
    popularity = np.asarray(found.contents["popularity_7d"].combine_chunks())
    return Rows(
        x=np.concatenate(parts) if parts else np.zeros((0, len(spec.names(goals))), np.float32),
        raw=np.column_stack(raw),
        labels={goal: np.isin(keys, hits[goal]).astype(np.float32) for goal in goals},
        person=history.people[pairs.person],
        group=pairs.person,
        popularity=popularity[pairs.content],
        crm=_said(found, history.people[np.unique(pairs.person)]),
    )


def _said(found: NightFeatures, people: Integers) -> pa.Table:
    """What the CRM says of these people, with their place among the night's."""
    said = found.crm(people)
    group = np.searchsorted(found.history.people, np.asarray(said["person_id"].combine_chunks()))
    return said.append_column("group", pa.array(group, pa.int64()))


def hits(archive: Archive, as_of: datetime, found: NightFeatures, config: Config) -> Keys:
    """For each goal the keys (person x size + content) that reached it within its horizon."""
    found_for = {}
    for goal, rule in goal_rules(config).items():
        log = archive.outcome(as_of, config.goals[goal].horizon)
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
    position = np.asarray(impressions["position"].combine_chunks().cast(pa.float64()).fill_null(np.nan))[known]
    order = np.lexsort((position, keys))
    pairs, first = np.unique(keys[order], return_index=True)
    person, content = pairs // history.catalogue.size, pairs % history.catalogue.size
    fair = history.catalogue.listed[content]
    if config.ranking.hide_engaged and len(person):  # scipy gives no array for no pairs
        fair &= np.asarray(found.space.seen[person, content]).ravel() == 0
    return _Pairs(person[fair], content[fair], position[order][first][fair])


def _active(found: NightFeatures, day: pa.Table) -> Integers:
    """Indices of the people known at the night who did something (more than being shown things) on the day after."""
    acted = day.filter(pc.invert(pc.is_in(day["event"], value_set=pa.array(["impression", "refund"]))))
    ids = np.unique(np.asarray(acted["person_id"].combine_chunks()))
    return np.flatnonzero(np.isin(found.history.people, ids))


def _candidates(found: NightFeatures, people: Integers, config: Config) -> _Pairs:
    """The full candidate sets of these people."""
    persons, contents = [], []
    for rows, block in found.blocks():
        chosen = found.candidates(block, config)
        wanted = np.isin(chosen.person + rows.start, people)
        persons.append(chosen.person[wanted] + rows.start)
        contents.append(chosen.content[wanted])
    person, content = np.concatenate(persons), np.concatenate(contents)
    return _Pairs(person, content, np.full(len(person), found.position))
