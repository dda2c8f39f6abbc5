"""Tonight's lists: candidates, relevance, caps, reasons, and the fallbacks for whoever we do not know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from expectations import schemas
from features import rfm, spec
from models import exploration, reasons, rerank
from models.candidates import BY_RULE, NAMES
from models.classifier import Bundle
from models.exploration import mixed
from models.lottery import Lots
from models.rules import Rules
from models.scorer import Scorer
from pipeline import apply_rules, identify, tracking
from pipeline.build_features import NightFeatures, crm_of, fits
from pipeline.bundles import load_bundle
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.ranked import write_ranked
from pipeline.records import Tracker
from pipeline.report import Report

NO_MODEL = "none"
ANYBODY = "any"
_PAIR = spec.names((), "pair")
_SMALLEST_SEGMENT = 11
"""Fewer people than this make no segment: what a handful of people like is nobody else's business (science: k = 11)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RankReport(Report):
    """What was ranked for the night."""

    as_of: str
    people: int
    rows: int
    segments: int
    candidates: int
    model_version: str
    filtered: Mapping[str, int]


@dataclass(frozen=True)
class Model:
    """The bundle that serves tonight and its registry version; no bundle means that nothing was ever learned."""

    bundle: Bundle | None
    version: str

    @classmethod
    def serving(cls, as_of: datetime, config: Config, lake: Lake) -> Model:
        """The champion as of the night."""
        tracker = Tracker(lake.tracking, config.project.name)
        champion = tracking.champion(tracker, as_of)
        if champion is None:
            return cls(None, NO_MODEL)
        bundle = load_bundle(tracker, champion.version)
        if not fits(bundle, config):
            raise ShortlistError(
                f"model version {champion.version} was trained for other goals or features than {config.file} asks for "
                f"now ({', '.join(bundle.models)}). Train one for these: "
                f"`shortlist run --as-of {as_of.isoformat()} --retrain`."
            )
        return cls(bundle, champion.version)


@dataclass(frozen=True)
class Scored:
    """Every candidate of every person who may be ranked (N), with its relevance and probabilities by goal.

    `place` is where a rule pins it, 0 where none does; relevance is with what rules multiply it by.
    """

    person: NDArray[np.int64]
    content: NDArray[np.int64]
    source: NDArray[np.int64]
    relevance: Floats
    place: NDArray[np.int64]
    probabilities: Mapping[str, Floats]
    facts: Mapping[str, Floats]


@dataclass(frozen=True)
class Opened:
    """A night before anybody is ranked: who may be, by pseudonym (`people`, indices of the night) and own id."""

    found: NightFeatures
    model: Model
    native: pa.Table
    people: NDArray[np.int64]

    @classmethod
    def of(cls, as_of: datetime, config: Config, lake: Lake) -> Opened:
        """Of what the lake knows."""
        model = Model.serving(as_of, config, lake)
        archive = Archive.load(lake, config, as_of, config.training.history_days)
        found = NightFeatures.of(archive.night(as_of), config)
        native = identify.native_ids(lake, found.night.rankable(config))
        people = np.searchsorted(found.history.people, np.asarray(native["id"].combine_chunks()))
        return cls(found, model, native, people)


def run(as_of: datetime, config: Config) -> RankReport:
    """Rank the night and leave the three tables for `publish`."""
    lake = Lake.of(config)
    opened = Opened.of(as_of, config, lake)
    found, model, native, people = opened.found, opened.model, opened.native, opened.people
    scored = score(found, model.bundle, config, people)
    if not len(scored.person) and (len(people) or not _touched(found)):
        raise ShortlistError(
            f"nothing can be ranked for {as_of.isoformat()}: {len(people)} people may be ranked and "
            f"{int(found.history.catalogue.listed.sum())} contents are published. "
            "Check the catalogue's status and expiry."
        )
    tables = _Writer(found, scored, people, native, model, config).tables()
    write_ranked(lake, as_of, tables)
    return RankReport(
        as_of=as_of.isoformat(),
        people=len(np.unique(scored.person)),
        rows=tables["people"].num_rows,
        segments=len(tables["segments"]["segment"].unique()),
        candidates=len(scored.person),
        model_version=model.version,
        filtered=_filtered(found, len(found.night.rankable(config)), len(people), config),
    )


def score(found: NightFeatures, bundle: Bundle | None, config: Config, people: NDArray[np.int64]) -> Scored:
    """Candidates and their scores for `people` (sorted indices into the night's people), as the night's rules say."""
    return score_by(found, bundle, config, people, apply_rules.of_people(found, segments(found, bundle), config))


def score_by(
    found: NightFeatures, bundle: Bundle | None, config: Config, people: NDArray[np.int64], rules: Rules
) -> Scored:
    """The same by other rules, block by block."""
    return _joined(list(_blocks(found, bundle, config, people, rules)))


def segments(found: NightFeatures, bundle: Bundle | None) -> NDArray[Any]:
    """The RFM segment of every person of the night."""
    cuts = bundle.context["cuts"] if bundle else rfm.cut_points([found.people])
    return np.array(rfm.segments(found.people, rfm.scores(found.people, cuts)).to_pylist(), object)


def _blocks(
    found: NightFeatures, bundle: Bundle | None, config: Config, people: NDArray[np.int64], rules: Rules
) -> Iterator[Scored]:
    for block in _asked(found, bundle, config, people, rules):
        if rules.changes:
            relevance = block.relevance * rules.factor(block.person, block.content)
            place = rules.places(block.person, block.content, relevance, config.ranking.k)
            block = replace(block, relevance=relevance, place=place)  # noqa: PLW2901 - the same block, ruled
        yield block


def _asked(
    found: NightFeatures, bundle: Bundle | None, config: Config, people: NDArray[np.int64], rules: Rules
) -> Iterator[Scored]:
    """Every block as the model sees it."""
    goals = tuple(config.goals)
    by_content = found.content_matrix(goals)
    by_person = found.person_matrix(goals, bundle.context["cuts"] if bundle else None, crm_of(bundle))
    asked = Scorer.of(bundle.serving, by_person, by_content, config.engine.threads) if bundle else None
    for block in found.blocks(people):
        chosen = found.candidates(block, config, rules)
        if not len(chosen.person):
            continue
        person, between = chosen.person, found.between(block, chosen.person, chosen.content)
        facts = _facts(between, by_content[chosen.content, spec.names(goals, "content").index("age_days")])
        if bundle is None or asked is None:
            gravity, nowhere = _gravity(found)[chosen.content], np.zeros(len(person), np.int64)
            yield Scored(person, chosen.content, chosen.source, gravity, nowhere, {}, facts)
            continue
        weights = {goal: config.goals[goal].worth for goal in bundle.models}  # tonight's, not those of the training
        one = asked.score(weights, between, person, chosen.content, found.position)
        nowhere = np.zeros(len(person), np.int64)
        yield Scored(person, chosen.content, chosen.source, one.relevance, nowhere, one.probabilities, facts)


def _gravity(found: NightFeatures) -> Floats:
    """What stands in for relevance where nothing was learned, in 0..1: for every content how many read it of late."""
    gravity = np.asarray(found.contents["gravity"].combine_chunks())
    relevance: Floats = gravity / (1 + gravity)
    return relevance


def _facts(between: NDArray[np.float32], age_days: NDArray[np.float32]) -> dict[str, Floats]:
    def of(name: str) -> Floats:
        return between[:, _PAIR.index(name)].astype(np.float64)

    return {
        "affinity_category": np.nan_to_num(of("affinity_category_30d")),
        "affinity_author": np.nan_to_num(of("affinity_author")),
        "covisit": of("covisit"),
        "age_days": age_days.astype(np.float64),
    }


def _joined(parts: list[Scored]) -> Scored:
    if not parts:
        nothing = np.zeros(0, np.int64)
        facts = _facts(np.zeros((0, len(_PAIR)), np.float32), np.zeros(0, np.float32))
        return Scored(nothing, nothing, nothing, np.zeros(0), nothing, {}, facts)

    def together(columns: list[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(columns)

    return Scored(
        person=together([p.person for p in parts]),
        content=together([p.content for p in parts]),
        source=together([p.source for p in parts]),
        relevance=together([p.relevance for p in parts]),
        place=together([p.place for p in parts]),
        probabilities={g: together([p.probabilities[g] for p in parts]) for g in parts[0].probabilities},
        facts={f: together([p.facts[f] for p in parts]) for f in parts[0].facts},
    )


def _touched(found: NightFeatures) -> int:
    """How often anybody, of whom we may know nothing, did anything: enough for the default list."""
    return int(found.night.popularity.num_rows + found.night.log.num_rows)


def _filtered(found: NightFeatures, rankable: int, named: int, config: Config) -> dict[str, int]:
    catalogue = found.history.catalogue
    return {
        "people suppressed": len(found.history.people) - rankable,
        "people without an id of yours": rankable - named,
        "content unpublished or expired": found.night.content.num_rows - int(catalogue.listed.sum()),
        "content below quality": int((catalogue.listed & (catalogue.quality < config.ranking.min_quality)).sum()),
        "pairs already engaged": int(found.space.seen.nnz) if config.ranking.hide_engaged else 0,
    }


def listed_of(found: NightFeatures, scored: Scored, config: Config) -> rerank.Listed:
    """The lists of everybody who was scored: the best first, or drawn by lot."""
    return drawn(found, scored, config)[0]


def drawn(found: NightFeatures, scored: Scored, config: Config) -> tuple[rerank.Listed, Floats]:
    """The same, and with which probability each of its places holds what it does, given those above it (M,)."""
    if not config.ranking.temperature:
        listed = _top(found, scored.person, scored.content, scored.relevance, scored.place, config)
        return listed, np.ones(len(listed.pair))
    people = mixed(found.history.people.astype(np.uint64))
    contents = exploration.keys(found.history.catalogue.ids.to_pylist())
    lots = Lots.of(
        scored.relevance,
        people[scored.person],
        contents[scored.content],
        found.history.as_of,
        config.ranking.temperature,
    )
    listed = _top(found, scored.person, scored.content, lots.worth, scored.place, config)
    category, most = found.history.catalogue.category[scored.content], config.ranking.max_per_category
    pairs = scored.person, scored.content, category, scored.place
    return listed, lots.propensities(listed, *pairs, max_per_category=most)


def _top(
    found: NightFeatures,
    person: NDArray[np.int64],
    content: NDArray[np.int64],
    relevance: Floats,
    place: NDArray[np.int64],
    config: Config,
) -> rerank.Listed:
    category, limits = found.history.catalogue.category[content], config.ranking
    return rerank.top(
        person, content, relevance, category, k=limits.k, max_per_category=limits.max_per_category, place=place
    )


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class _Writer:
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
        score = np.where(good, _gravity(self.found), 0.0)
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
        listed = _top(self.found, code, content, score, place, self.config)
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
