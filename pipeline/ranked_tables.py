"""The published tables' columns: people's own lists, and the fallbacks for whoever we do not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from expectations import schemas
from models import reasons, rerank
from models.candidates import BY_RULE, NAMES
from pipeline import apply_rules
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.score import Floats, Scored, drawn, gravity, limits_of, segments
from pipeline.serving import Model

ANYBODY = "any"
_SMALLEST_SEGMENT = 11
"""Fewer people than this make no segment: what a handful of people like is nobody else's business (science: k = 11)."""


@dataclass(frozen=True)
class Writer:
    """Turns scored candidates into the published tables' columns."""

    found: NightFeatures
    scored: Scored
    ranked: NDArray[np.int64]
    native: pa.Table
    model: Model
    config: Config

    def tables(self) -> dict[str, pa.Table]:
        """`people`, `segments` and `default`; only the last has rows where nobody may have a list of their own."""
        segment = segments(self.found, self.model.bundle)
        anybody = np.full(len(self.found.history.people), ANYBODY, object)
        default = self._fallback(anybody, "default") if len(self.scored.person) else self._most_popular()
        people = pa.concat_tables([self._people(segment), self._unserved(segment, default)])
        return {"people": people, "segments": self._fallback(segment, "segment"), "default": default}

    def _people(self, segment: NDArray[Any]) -> pa.Table:
        scored = self.scored
        listed, propensity = drawn(self.found, scored, self.config)
        person, content = scored.person[listed.pair], scored.content[listed.pair]
        at = pa.array(np.searchsorted(self.ranked, person))
        rows = {
            "person_id": self.native["native_id"].take(at),
            "id_type": self.native["id_type"].take(at),
            "rank": pa.array(listed.rank, pa.int32()),
            "score": pa.array(scored.relevance[listed.pair]),
            **{f"p_{goal}": self._probability(goal, listed.pair) for goal in self.config.goals},
            "strategy": self._constant(self._strategy, len(person)),
            "candidate_source": pa.array([NAMES[i] for i in self._source(listed.pair)], pa.string()),
            "reason": pa.array(self._reasons(listed.pair), pa.string()),
            "segment": pa.array(segment[person].tolist(), pa.string()),
            "propensity": pa.array(propensity),
        }
        return self._finished("people", rows, content)

    def _unserved(self, segment: NDArray[Any], default: pa.Table) -> pa.Table:
        """The default list for people for whom no candidate is left: whoever has seen everything still gets a list."""
        missing = np.setdiff1d(self.ranked, self.scored.person)
        who = np.repeat(missing, default.num_rows)
        at = pa.array(np.searchsorted(self.ranked, who))
        repeated = default.take(pa.array(np.tile(np.arange(default.num_rows), len(missing))))
        columns = {name: repeated[name] for name in default.column_names}
        columns["person_id"], columns["id_type"] = self.native["native_id"].take(at), self.native["id_type"].take(at)
        columns["segment"] = pa.array(segment[who].tolist(), pa.string())
        schema = schemas.published(tuple(self.config.goals))["people"].schema
        return pa.table([columns[name] for name in schema.names], schema=schema)

    @property
    def _strategy(self) -> str:
        """How people's own lists were made."""
        if self.model.bundle:
            return "model"
        return "rules" if self.config.rules else "default"

    def _source(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where pairs come from: what is pinned stands where it does because of a rule, whoever proposed it too."""
        return np.where(self.scored.place[pairs] > 0, BY_RULE, self.scored.source[pairs])

    def _probability(self, goal: str, pairs: NDArray[np.int64]) -> pa.Array:
        if goal not in self.scored.probabilities:
            return pa.nulls(len(pairs), pa.float64())
        return pa.array(self.scored.probabilities[goal][pairs])

    def _reasons(self, pairs: NDArray[np.int64]) -> list[str]:
        catalogue, content = self.found.history.catalogue, self.scored.content[pairs]
        facts = {name: values[pairs] for name, values in self.scored.facts.items()}
        return reasons.reasons(
            facts,
            _names(catalogue.categories, catalogue.category[content]),
            _names(catalogue.authors, catalogue.author[content]),
        )

    def _fallback(self, group: NDArray[Any], strategy: str) -> pa.Table:
        """The mean relevance of every content over a group's people; groups of fewer than 11 people are left out."""
        scored, size = self.scored, self.found.history.catalogue.size
        ranked = np.unique(scored.person)
        names, codes, people = np.unique(group[ranked].astype(str), return_inverse=True, return_counts=True)
        if strategy == "default":
            people = np.maximum(people, _SMALLEST_SEGMENT)  # there is always a default, however few people there are
        of_row = codes[np.searchsorted(ranked, scored.person)]
        means = {
            name: _group_mean(of_row, scored.content, values, people, size) for name, values in self._values().items()
        }
        means["score"][people < _SMALLEST_SEGMENT] = 0.0
        return self._lists(strategy, names, means)

    def _most_popular(self) -> pa.Table:
        """The default list where nobody's relevance can be averaged."""
        catalogue = self.found.history.catalogue
        good = catalogue.listed & ~(catalogue.quality < self.config.ranking.min_quality)
        score = np.where(good, gravity(self.found), 0.0)
        return self._lists("default", np.array([ANYBODY]), {"score": score[None, :]})

    def _lists(self, strategy: str, names: NDArray[Any], means: Mapping[str, Floats]) -> pa.Table:
        """The best contents of each named group; `means` are (groups, content)."""
        rules = apply_rules.of_groups(self.found, names, self.config)
        every = np.arange(len(names)), np.arange(means["score"].shape[1])
        code, content = np.nonzero(
            (means["score"] > 0) & rules.allowed(*every) if rules.changes else means["score"] > 0
        )
        score = means["score"][code, content]
        place = rules.places(code, content, score, self.config.ranking.k)
        listed = rerank.top(code, content, score, limits_of(self.found, self.config), place=place)
        code, content = code[listed.pair], content[listed.pair]
        rows = {
            "segment": pa.array(names[code].tolist(), pa.string()),
            "rank": pa.array(listed.rank, pa.int32()),
            "score": pa.array(means["score"][code, content]),
            **{f"p_{goal}": self._mean_probability(means, goal, code, content) for goal in self.config.goals},
            "strategy": self._constant(strategy, len(code)),
            "candidate_source": pa.array(np.where(place[listed.pair] > 0, NAMES[BY_RULE], "trending"), pa.string()),
            "reason": self._constant("Popular right now", len(code)),
        }
        return self._finished("segments" if strategy == "segment" else "default", rows, content)

    def _values(self) -> dict[str, Floats]:
        return {"score": self.scored.relevance, **self.scored.probabilities}

    @staticmethod
    def _mean_probability(
        means: Mapping[str, Floats], goal: str, code: NDArray[Any], content: NDArray[Any]
    ) -> pa.Array:
        return pa.array(means[goal][code, content]) if goal in means else pa.nulls(len(code), pa.float64())

    def _finished(self, table: str, rows: Mapping[str, pa.Array], content: NDArray[np.int64]) -> pa.Table:
        n = len(content)
        complete = {
            "propensity": pa.array(np.ones(n)),
            **rows,
            "content_id": self.found.history.catalogue.ids.take(pa.array(content)),
            "model_version": self._constant(self.model.version, n),
            "as_of": pa.array([self.found.night.as_of] * n, schemas.TIMESTAMP),
        }
        schema = schemas.published(tuple(self.config.goals))[table].schema
        return pa.table([complete[name] for name in schema.names], schema=schema)

    @staticmethod
    def _constant(text: str, n: int) -> pa.Array:
        return pa.array([text] * n, pa.string())


def _group_mean(
    group: NDArray[Any], content: NDArray[np.int64], values: Floats, people: NDArray[Any], size: int
) -> Floats:
    """(groups, content): the sum of `values` over the group's people by their number; no candidate counts zero."""
    total = np.bincount(group * size + content, weights=values, minlength=len(people) * size)
    mean: Floats = total.reshape(len(people), size) / people[:, None]
    return mean


def _names(names: tuple[str, ...], codes: NDArray[Any]) -> NDArray[Any]:
    named: NDArray[Any] = np.array([*names, ""], object)[codes]
    return named
