"""The published tables' rows: people's own lists, some people's at a time, and the fallbacks for all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations import schemas
from expectations.schemas import REASONS
from models import rerank
from models.candidates import BY_RULE, NAMES
from pipeline import apply_rules
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.fallbacks import BETWEEN, SMALLEST, Cells, Sums
from pipeline.lists import Placed, limits_of, placed
from pipeline.opened import Opened
from pipeline.score import Floats, gravity, modelled, segments
from pipeline.serving import Model
from pipeline.why import Teller

ANYBODY = "any"

Piece: TypeAlias = tuple[str, pa.Table]
"""A published table's name, and some of its rows."""


@dataclass(frozen=True)
class Writer:
    """Turns a night's lists into the published tables, piece by piece: no more than a piece is held.

    `ranked` are the places in the night of those who may be ranked, in the order of `native`; `segment` (P,) is
    everybody's. `sums` are made of all that was scored so far, and `served` (P,) says whose lists were made.
    """

    found: NightFeatures
    sums: Sums
    served: NDArray[np.bool_]
    segment: NDArray[Any]
    ranked: NDArray[np.int64]
    native: pa.Table
    model: Model
    config: Config

    @classmethod
    def of(cls, opened: Opened, config: Config) -> Writer:
        """For everybody who may be ranked."""
        found = opened.found
        segment = segments(found, opened.model.bundle)
        sums = Sums(Cells.of(found, segment, config), found.history.catalogue.size)
        served = np.zeros(len(segment), bool)
        return cls(found, sums, served, segment, opened.people, opened.native, opened.model, config)

    def own(self) -> Iterator[Piece]:
        """People's own lists; at least one piece of `people`."""
        found, bundle = self.found, self.model.bundle
        rules, teller = apply_rules.of_people(found, self.segment, self.config), Teller.of(found, self.config)
        yield "people", self._form("people").schema.empty_table()
        for listed in placed(found, bundle, self.config, self.ranked, rules, teller=teller, seen=self.sums.add):
            self.served[listed.person] = True
            yield "people", self._people(listed)

    def fallbacks(self) -> Iterator[Piece]:
        """`default` and `segments`, made of all that was scored: so after everybody's `own`; and lists made of them."""
        default = self._default() if self.sums.people else self._most_popular()
        groups = self._groups()
        yield "segments", groups
        yield "default", default
        for rows in self._unserved(groups, default):
            yield "people", rows

    def _people(self, listed: Placed) -> pa.Table:
        at = pa.array(np.searchsorted(self.ranked, listed.person))
        rows = {
            "person_id": self.native["native_id"].take(at),
            "id_type": self.native["id_type"].take(at),
            "rank": pa.array(listed.rank, pa.int32()),
            "score": pa.array(listed.relevance),
            **{f"p_{goal}": self._probability(goal, listed) for goal in self.config.goals},
            "strategy": _named((self._without_model, "model"), self._modelled[listed.person]),
            "candidate_source": _named(NAMES, listed.source),
            **dict(zip(REASONS, listed.reasons or [_constant("", 0)] * len(REASONS), strict=True)),
            "segment": pa.array(self.segment[listed.person].tolist(), pa.string()),
            "propensity": pa.array(listed.propensity),
        }
        return self._finished("people", rows, listed.content)

    def _unserved(self, groups: pa.Table, default: pa.Table) -> Iterator[pa.Table]:
        """For people for whom no candidate is left the list of their group, or the default one."""
        missing = self.ranked[~self.served[self.ranked]]
        group = self.sums.cells.finest(set(groups["segment"].unique().to_pylist()))
        of = np.array([group[cell] or "" for cell in self.sums.cells.cell[missing]], object)
        for name in np.unique(of.astype(str)):
            rows = groups.filter(pc.equal(groups["segment"], name)) if name else default
            yield self._repeated(missing[of == name], rows)

    def _repeated(self, people: NDArray[np.int64], rows: pa.Table) -> pa.Table:
        """The same list for each of these people."""
        who = np.repeat(people, rows.num_rows)
        at = pa.array(np.searchsorted(self.ranked, who))
        repeated = rows.take(pa.array(np.tile(np.arange(rows.num_rows), len(people))))
        columns = {name: repeated[name] for name in rows.column_names}
        columns["person_id"], columns["id_type"] = self.native["native_id"].take(at), self.native["id_type"].take(at)
        columns["segment"] = pa.array(self.segment[who].tolist(), pa.string())
        schema = self._form("people").schema
        return pa.table([columns[name] for name in schema.names], schema=schema)

    def _form(self, table: str) -> schemas.Table:
        return schemas.published(tuple(self.config.goals))[table]

    @property
    def _without_model(self) -> str:
        """How lists are made that no model orders."""
        return "rules" if self.config.rules else "default"

    @cached_property
    def _modelled(self) -> NDArray[np.bool_]:
        return modelled(self.segment, self.model.bundle, self.config)

    def _probability(self, goal: str, listed: Placed) -> pa.Array:
        """Of what the model ordered."""
        values = listed.probabilities.get(goal, np.zeros(len(listed.person)))
        return pa.array(values, pa.float64(), mask=~self._modelled[listed.person])

    def _groups(self) -> pa.Table:
        """The lists of all groups with enough people."""
        sizes = self.sums.sizes()
        large = [(name, cells, sizes[cells].sum()) for name, cells in self.sums.cells.groups()]
        large = [one for one in large if one[2] >= SMALLEST]
        means = self.sums.means([cells for _, cells, _ in large], np.array([people for *_, people in large]))
        names = np.array([name for name, *_ in large], object)
        return self._lists("segment", names, means or {"score": np.zeros((0, self.sums.contents))})

    def _default(self) -> pa.Table:
        """The list for anybody, however few people it is made of."""
        ordered = self._by_model(np.array([parts[0] for parts in self.sums.cells.parts], object))
        cells = np.flatnonzero(ordered if ordered.any() else ~ordered)  # what is worth how much is not to be mixed
        people = np.array([max(self.sums.sizes()[cells].sum(), SMALLEST)])
        return self._lists("default", np.array([ANYBODY], object), self.sums.means([cells], people))

    def _by_model(self, segment: NDArray[Any]) -> NDArray[np.bool_]:
        """Of which groups, by their segment (or of anybody), the model ordered the lists."""
        anybody: NDArray[np.bool_] = segment.astype(str) == ANYBODY
        return modelled(segment, self.model.bundle, self.config) | anybody

    def _most_popular(self) -> pa.Table:
        """The default list where nobody's relevance can be averaged."""
        catalogue = self.found.history.catalogue
        good = catalogue.listed & ~(catalogue.quality < self.config.ranking.min_quality)
        score = np.where(good, gravity(self.found), 0.0)
        return self._lists("default", np.array([ANYBODY]), {"score": score[None, :]})

    def _lists(self, strategy: str, names: NDArray[Any], means: Mapping[str, Floats]) -> pa.Table:
        """The best contents of each named group; `means` are (groups, content)."""
        segment = np.array([name.split(BETWEEN)[0] for name in names], object)
        rules = apply_rules.of_groups(self.found, segment, self.config)
        every = np.arange(len(names)), np.arange(means["score"].shape[1])
        code, content = np.nonzero(
            (means["score"] > 0) & rules.allowed(*every) if rules.changes else means["score"] > 0
        )
        score = means["score"][code, content]
        place = rules.places(code, content, score, self.config.ranking.k)
        listed = rerank.top(code, content, score, limits_of(self.found, self.config), place=place)
        code, content, words = code[listed.pair], content[listed.pair], self.config.reasons.words
        by_model = self._by_model(segment)
        rows = {
            "segment": pa.array(names[code].tolist(), pa.string()),
            "rank": pa.array(listed.rank, pa.int32()),
            "score": pa.array(means["score"][code, content]),
            **{f"p_{goal}": self._mean(means, goal, code, content, ~by_model[code]) for goal in self.config.goals},
            "strategy": _constant(strategy, len(code)),
            "candidate_source": _named(("trending", NAMES[BY_RULE]), place[listed.pair] > 0),
            "reason": _named([words[kind] or words["other"] for kind in ("popular", "rule")], place[listed.pair] > 0),
        }
        return self._finished("segments" if strategy == "segment" else "default", rows, content)

    @staticmethod
    def _mean(
        means: Mapping[str, Floats], goal: str, code: NDArray[Any], content: NDArray[Any], unknown: NDArray[np.bool_]
    ) -> pa.Array:
        if goal not in means:
            return pa.nulls(len(code), pa.float64())
        return pa.array(means[goal][code, content], pa.float64(), mask=unknown)

    def _finished(self, table: str, rows: Mapping[str, pa.Array], content: NDArray[np.int64]) -> pa.Table:
        n = len(content)
        complete = {
            "propensity": pa.array(np.ones(n)),
            **dict.fromkeys(REASONS[1:], pa.nulls(n, pa.string())),
            **rows,
            "content_id": self.found.history.catalogue.ids.take(pa.array(content)),
            "model_version": _constant(self.model.version, n),
            "as_of": pa.array([self.found.night.as_of] * n, schemas.TIMESTAMP),
        }
        schema = self._form(table).schema
        return pa.table([complete[name] for name in schema.names], schema=schema)


def _constant(text: str, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), n)


def _named(names: Sequence[str], code: NDArray[Any]) -> pa.Array:
    """A name a row."""
    return pa.array(names, pa.string()).take(pa.array(code.astype(np.int64)))
