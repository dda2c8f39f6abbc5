"""What candidates are worth to people on one night, as the model and the rules say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xgboost import Booster

from features import rfm, spec
from models import contributions, reasons
from models.candidates import Candidates
from models.classifier import Bundle
from models.contributions import Contributions
from models.rules import Rules
from models.scorer import Scorer, rows
from pipeline import apply_rules
from pipeline.build_features import NightFeatures, crm_of
from pipeline.config import Config

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


@dataclass(frozen=True)
class Block:
    """Some people's candidates, scored, with what scoring knew of them: `between` (N, Fx) is what connects the pairs.

    `strength` says of some of them (places, M,) what each theme of `models.reasons` adds to their relevance
    (M, themes); None where no model was asked, or nobody wants to know. It holds until the next block is asked for.
    """

    scored: Scored
    between: NDArray[np.float32]
    strength: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None


def score(found: NightFeatures, bundle: Bundle | None, config: Config, people: NDArray[np.int64]) -> Scored:
    """Candidates and their scores for `people` (sorted indices into the night's people), as the night's rules say."""
    rules = apply_rules.of_people(found, segments(found, bundle), config)
    return _joined([block.scored for block in blocks(found, bundle, config, people, rules)])


def segments(found: NightFeatures, bundle: Bundle | None) -> NDArray[Any]:
    """The RFM segment of every person of the night."""
    cuts = bundle.context["cuts"] if bundle else rfm.cut_points([found.people])
    return np.array(rfm.segments(found.people, rfm.scores(found.people, cuts)).to_pylist(), object)


def blocks(
    found: NightFeatures,
    bundle: Bundle | None,
    config: Config,
    people: NDArray[np.int64],
    rules: Rules,
    *,
    explained: bool = False,
) -> Iterator[Block]:
    """The same by these rules, some people at a time; `explained` where somebody wants to know why."""
    for block in _asked(found, bundle, config, people, rules, explained):
        if rules.changes:
            scored = block.scored
            relevance = scored.relevance * rules.factor(scored.person, scored.content)
            place = rules.places(scored.person, scored.content, relevance, config.ranking.k)
            block = replace(block, scored=replace(scored, relevance=relevance, place=place))  # noqa: PLW2901 - ruled
        yield block


def _asked(
    found: NightFeatures,
    bundle: Bundle | None,
    config: Config,
    people: NDArray[np.int64],
    rules: Rules,
    explained: bool,
) -> Iterator[Block]:
    """Every block as the model sees it; in parts of which the leaves are not many, where those are wanted."""
    asked = _Asked.of(found, bundle, config, explained) if bundle else None
    for block in found.blocks(people):
        chosen = found.candidates(block, config, rules)
        if not len(chosen.person):
            continue
        between = found.between(block, chosen.person, chosen.content)
        if asked is None:
            yield Block(_scored(chosen, gravity(found)[chosen.content], {}), between, None)
        else:
            for part in asked.scorer.parts(chosen.person) if explained else [slice(None)]:
                own = Candidates(chosen.person[part], chosen.content[part], chosen.source[part])
                yield asked.block(own, between[part])


def _scored(chosen: Candidates, relevance: Floats, probabilities: Mapping[str, Floats]) -> Scored:
    """Before any rule."""
    nowhere = np.zeros(len(chosen.person), np.int64)
    return Scored(chosen.person, chosen.content, chosen.source, relevance, nowhere, probabilities)


@dataclass
class _Asked:
    """A model, asked about a night: the leaves that a block's pairs came to are written over the last block's."""

    scorer: Scorer
    position: float
    weights: Mapping[str, float]
    modelled: NDArray[np.bool_]
    gravity: Floats
    theme: NDArray[np.int64]
    explained: bool
    leaves: NDArray[Any] | None = None

    @classmethod
    def of(cls, found: NightFeatures, bundle: Bundle, config: Config, explained: bool) -> _Asked:
        """Compiled for the night."""
        goals = tuple(config.goals)
        by_person = found.person_matrix(goals, bundle.context["cuts"], crm_of(bundle))
        asked = Scorer.of(bundle.serving, by_person, found.content_matrix(goals), config.engine.threads)
        names = spec.names(goals, "content") + spec.names((), "pair")
        theme = np.concatenate([np.full(by_person.shape[1], -1), reasons.themes(names), [-1]])
        weights = {goal: config.goals[goal].worth for goal in bundle.models}  # tonight's, not those of the training
        everybody = np.ones(len(found.history.people), bool)
        people = modelled(segments(found, bundle), bundle, config) if config.ranking.model_for else everybody
        return cls(asked, found.position, weights, people, gravity(found), theme, explained)

    @cached_property
    def contributions(self) -> Contributions | None:
        """What each leaf says of each theme; None where models are asked themselves."""
        if self.scorer.forest is None:
            return None
        return Contributions.of(self._boosters, self.theme, len(reasons.THEMES))

    @property
    def _boosters(self) -> list[Booster]:
        return [model.booster for model in self.scorer.models.values()]

    def block(self, chosen: Candidates, between: NDArray[np.float32]) -> Block:
        """Score a block."""
        if self.explained and (self.leaves is None or self.leaves.shape[1] < len(between)):
            self.leaves = self.scorer.room(len(between))
        pairs = between, chosen.person, chosen.content, self.position
        one = self.scorer.score(self.weights, *pairs, leaves=self.leaves)
        relevance = np.where(self.modelled[chosen.person], one.relevance, self.gravity[chosen.content])
        scored = _scored(chosen, relevance, one.probabilities)
        return Block(scored, between, partial(self._strength, scored, between) if self.explained else None)

    def _strength(self, scored: Scored, between: NDArray[np.float32], pair: NDArray[np.int64]) -> NDArray[np.float32]:
        """(M, themes): in relevance, as if it were straight where each pair is: d(p) = p (1 - p) d(log-odds)."""
        if self.contributions is None or self.leaves is None:
            place = scored.person[pair], scored.content[pair]
            x = rows(self.scorer.people, self.scorer.contents, between[pair], *place, self.position)
            by_goal = contributions.by_xgboost(self._boosters, x, self.theme, len(reasons.THEMES))
        else:
            by_goal = self.contributions.by_theme(self.leaves, pair, self.scorer.workers)
        found = np.zeros(by_goal.shape[1:], np.float32)
        for goal, added in zip(self.scorer.models, by_goal, strict=True):
            p = scored.probabilities[goal][pair]
            found += added * (self.weights[goal] * p * (1 - p)).astype(np.float32)[:, None]
        found[~self.modelled[scored.person[pair]]] = np.arange(len(reasons.THEMES), 0, -1)  # in their own order
        return found


def modelled(segment: NDArray[Any], bundle: Bundle | None, config: Config) -> NDArray[np.bool_]:
    """(P,): whose lists the model orders, of people of these segments."""
    wanted = config.ranking.model_for
    everybody = np.full(len(segment), bundle is not None)
    return everybody & np.isin(segment.astype(str), wanted) if wanted else everybody


def gravity(found: NightFeatures) -> Floats:
    """What stands in for relevance where nothing was learned, in 0..1: for every content how many read it of late."""
    gravity = np.asarray(found.contents["gravity"].combine_chunks())
    relevance: Floats = gravity / (1 + gravity)
    return relevance


def _joined(parts: list[Scored]) -> Scored:
    if not parts:
        nothing = np.zeros(0, np.int64)
        return Scored(nothing, nothing, nothing, np.zeros(0), nothing, {})

    def together(columns: list[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(columns)

    return Scored(
        person=together([p.person for p in parts]),
        content=together([p.content for p in parts]),
        source=together([p.source for p in parts]),
        relevance=together([p.relevance for p in parts]),
        place=together([p.place for p in parts]),
        probabilities={g: together([p.probabilities[g] for p in parts]) for g in parts[0].probabilities},
    )
