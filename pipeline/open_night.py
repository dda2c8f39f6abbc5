"""A night whose outcome is known: what could be listed to whom, and what they then turned to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models import candidates, listing
from models.engagement import Engagement, Floats, Ints, Matrix, Scores, entries
from models.neighbours import cosines
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.grade import wanted
from pipeline.log import last_known
from pipeline.night import Archive
from pipeline.rebuild import active

_FRESH_HOURS = 24.0


@dataclass(frozen=True)
class OpenNight:
    """`people` (L,) are the people to be graded, as indices of the night; `wanted` (L, contents) what they turned to.

    `content` (C,) is what could be listed at all, `allowed` (L, C) what could be listed to whom. `came` are all who did
    anything, and `worth` (people of the night, contents) what all of them turned to that could have been listed.
    `engagement` is what rivals learn from, and candidates too.
    """

    found: NightFeatures
    engagement: Engagement
    came: Ints
    worth: Matrix
    people: Ints
    wanted: Matrix
    content: Ints
    allowed: NDArray[np.bool_]

    @classmethod
    def of(cls, found: NightFeatures, archive: Archive, config: Config, window: timedelta) -> OpenNight | None:
        """The people of the night who then turned to something that they could have been shown; None without any."""
        worth = wanted(found, archive, config, window)
        usable = np.asarray(archive.usable(pa.array(found.history.people, pa.int64())), bool)
        people = np.flatnonzero((np.diff(worth.indptr) > 0) & usable)
        if not len(people):
            return None
        content = np.flatnonzero(found.history.catalogue.listed)
        allowed = np.concatenate([found.eligible(pairs, config) for pairs in found.pair_blocks(people)])
        came = np.flatnonzero(active(found, archive.outcome(found.night.as_of, window)) & usable)
        return cls(found, found.engagement, np.union1d(came, people), worth, people, worth[people], content, allowed)

    def reached(self, person: Ints, content: Ints) -> Floats:
        """What pairs were worth."""
        return entries(self.worth, person, content)

    def lists(self, scores: Scores) -> Ints:
        """Everybody's list (L, K) by some scores."""
        _, there, place = np.intersect1d(self.content, self.found.shelf, assume_unique=True, return_indices=True)
        return listing.top(scores.scores(self.people, place), self.allowed[:, there], self.content[there])

    def proposed(self, config: Config) -> dict[str, int]:
        """How many of the wanted pairs each source of candidates has among its first ones; and all of them together."""
        limit, keys = config.ranking.candidates, self._wanted_keys
        found = dict.fromkeys((*candidates.SOURCES, "union"), 0)
        for block in self.found.blocks(self.people):
            eligible = self.found.eligible(block.pairs, config)
            for source, score in block.proposals.items():
                person, content = np.nonzero(candidates.proposed(score, eligible, limit))
                found[source] += self._hit(block.people[person], block.content[content], keys)
            chosen = self.found.candidates(block, config)
            found["union"] += self._hit(chosen.person, chosen.content, keys)
            drawn = chosen.source == candidates.EXPLORE
            found["explore"] += self._hit(chosen.person[drawn], chosen.content[drawn], keys)
        return found

    def readings(self, archive: Archive, window: timedelta) -> int:
        """How many contents that were new to them the night's people did something with in all, reachable or not."""
        history, log = self.found.history, archive.outcome(self.found.night.as_of, window)
        log = log.filter(pc.invert(pc.is_in(log["event"], value_set=pa.array(["impression", "refund"]))))
        ids = np.asarray(log["person_id"].combine_chunks())
        at = np.minimum(np.searchsorted(history.people, ids), len(history.people) - 1)
        known = history.people[at] == ids
        names = log["content_id"].combine_chunks()
        code = np.asarray(pc.fill_null(pc.index_in(names, value_set=history.catalogue.ids), -1)).astype(np.int64)
        seen = np.asarray(self.found.space.seen[at, np.maximum(code, 0)]).ravel() > 0
        new = known & ~(seen & (code >= 0))
        pairs = pa.table({"person": pa.array(ids[new]), "content": names.filter(pa.array(new))})
        return int(pairs.group_by(["person", "content"]).aggregate([]).num_rows)

    def groups(self) -> dict[str, NDArray[Any]]:
        """The segments that each person belongs to, by kind."""
        table, log = self.found.people, self.found.night.log
        events, mobile = (
            np.asarray(table[name].combine_chunks())[self.people] for name in ("events_30d", "mobile_share")
        )
        return dict(listing.segments(events, mobile, _countries(log, self.found.history.people[self.people])))

    @cached_property
    def _character(self) -> dict[str, Any]:
        engagement = self.engagement
        return {
            "listed": self.content,
            "readers": engagement.readers,
            "fresh": engagement.age_hours < _FRESH_HOURS,
            "alike": cosines(engagement),
        }

    def graded(self, lists: Ints) -> dict[str, Floats]:
        """What the lists were worth, and what they are like: (L,) by metric."""
        return {**listing.measures(lists, self.wanted), **listing.character(self._placed(lists), **self._character)}

    def _placed(self, lists: Ints) -> Ints:
        """The lists as places on the shelf; what does not stand there is left out."""
        shelf = self.found.shelf
        at = np.minimum(np.searchsorted(shelf, lists), max(len(shelf) - 1, 0))
        return np.where((lists >= 0) & (shelf[at] == lists), at, -1)

    @cached_property
    def _wanted_keys(self) -> Ints:
        row = np.repeat(self.people, np.diff(self.wanted.indptr))
        return np.sort(row * self.wanted.shape[1] + self.wanted.indices)

    def _hit(self, person: Ints, content: Ints, keys: Ints) -> int:
        return int(np.isin(person * self.wanted.shape[1] + content, keys).sum())


def _countries(log: pa.Table, people: Ints) -> NDArray[Any]:
    """Where each person (sorted ids) was seen last."""
    last = last_known(log.filter(pc.is_in(log["person_id"], value_set=pa.array(people))), "country")
    names = dict(zip(last["person_id"].to_pylist(), last["country"].to_pylist(), strict=True))
    return np.array([names.get(person, "unknown") for person in people.tolist()], object)
