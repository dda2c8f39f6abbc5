"""What candidates are worth to people on one night, as the model and the rules say; and the lists that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import rfm, spec
from features.history import Catalogue
from models import exploration, rerank
from models import likeness as likeness_of
from models.classifier import Bundle
from models.exploration import mixed
from models.lottery import Lots
from models.rules import Rules
from models.scorer import Scorer
from pipeline import apply_rules
from pipeline.build_features import NightFeatures, crm_of
from pipeline.config import Config

_PAIR = spec.names((), "pair")

Floats = NDArray[np.float64]


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
            worth, nowhere = gravity(found)[chosen.content], np.zeros(len(person), np.int64)
            yield Scored(person, chosen.content, chosen.source, worth, nowhere, {}, facts)
            continue
        weights = {goal: config.goals[goal].worth for goal in bundle.models}  # tonight's, not those of the training
        one = asked.score(weights, between, person, chosen.content, found.position)
        nowhere = np.zeros(len(person), np.int64)
        yield Scored(person, chosen.content, chosen.source, one.relevance, nowhere, one.probabilities, facts)


def gravity(found: NightFeatures) -> Floats:
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


def listed_of(found: NightFeatures, scored: Scored, config: Config) -> rerank.Listed:
    """The lists of everybody who was scored: the best first, or drawn by lot."""
    return drawn(found, scored, config)[0]


def drawn(found: NightFeatures, scored: Scored, config: Config) -> tuple[rerank.Listed, Floats]:
    """The same, and with which probability each of its places holds what it does, given those above it (M,)."""
    limits, pairs = limits_of(found, config), (scored.person, scored.content)
    if not config.ranking.temperature:
        listed = rerank.top(*pairs, scored.relevance, limits, place=scored.place)
        return listed, np.ones(len(listed.pair))
    people = mixed(found.history.people.astype(np.uint64))[scored.person]
    contents = exploration.keys(found.history.catalogue.ids.to_pylist())[scored.content]
    lots = Lots.of(scored.relevance, people, contents, found.history.as_of, config.ranking.temperature)
    return lots.drawn(*pairs, scored.place, limits)


def limits_of(found: NightFeatures, config: Config) -> rerank.Limits:
    """What the configuration wants of lists of the night's contents."""
    catalogue, wanted = found.history.catalogue, config.ranking
    groups = np.column_stack([catalogue.category, catalogue.author]).astype(np.int64)
    most = np.array([wanted.max_per_category, wanted.max_per_author or wanted.k])
    likeness = _likeness(catalogue) if wanted.diversity else likeness_of.NOTHING
    return rerank.Limits(wanted.k, groups, most, wanted.diversity, likeness)


def _likeness(catalogue: Catalogue) -> likeness_of.Likeness:
    """By category, author and tags."""
    everything = np.arange(catalogue.size)
    authors, tags = len(catalogue.categories), len(catalogue.categories) + len(catalogue.authors)
    rows = np.concatenate(
        [
            np.column_stack([everything, catalogue.category])[catalogue.category >= 0],
            np.column_stack([everything, catalogue.author + authors])[catalogue.author >= 0],
            np.column_stack([catalogue.tag_content, catalogue.tag + tags]),
        ]
    )
    return likeness_of.Likeness.of(rows[:, 0], rows[:, 1], catalogue.size)
