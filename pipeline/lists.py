"""The lists of a night: who is shown what at which place, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.history import Catalogue
from models import exploration, rerank
from models import likeness as likeness_of
from models.candidates import BY_RULE
from models.classifier import Bundle
from models.exploration import Keys, mixed
from models.lottery import Lots
from models.rules import Rules
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.score import Floats, Scored, blocks
from pipeline.why import Teller

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Placed:
    """What stands in people's lists (M rows, by person and rank), and what is said of it.

    `source` is where it comes from: what is pinned stands there because of a rule, whoever proposed it too. `reasons`
    are columns of texts, the strongest first; there are none where nobody asked.
    """

    person: Ints
    content: Ints
    source: Ints
    rank: Ints
    relevance: Floats
    propensity: Floats
    probabilities: Mapping[str, Floats]
    reasons: tuple[pa.Array, ...]


def placed(
    found: NightFeatures,
    bundle: Bundle | None,
    config: Config,
    people: Ints,
    rules: Rules,
    *,
    teller: Teller | None = None,
    seen: Callable[[Scored], None] = lambda _: None,
) -> Iterator[Placed]:
    """The lists of `people` (sorted indices of the night's), some people at a time: nothing is kept.

    Args:
        teller: Says why, where that is wanted.
        seen: Is shown everything that is scored, listed or not.
    """
    lister = _Lister(found, limits_of(found, config), config.ranking.temperature)
    for block in blocks(found, bundle, config, people, rules, explained=teller is not None):
        seen(block.scored)
        listed, propensity = lister.drawn(block.scored)
        scored, pair = block.scored, listed.pair
        yield Placed(
            person=scored.person[pair],
            content=scored.content[pair],
            source=np.where(scored.place[pair] > 0, BY_RULE, scored.source[pair]),
            rank=listed.rank,
            relevance=scored.relevance[pair],
            propensity=propensity,
            probabilities={goal: p[pair] for goal, p in scored.probabilities.items()},
            reasons=teller.told(block, pair) if teller else (),
        )


def joined(parts: Sequence[Placed]) -> Placed:
    """One after the other, for whoever needs them all at once."""
    if not parts:
        nothing = np.zeros(0, np.int64)
        return Placed(nothing, nothing, nothing, nothing, np.zeros(0), np.zeros(0), {}, ())

    def together(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    columns = zip(*(part.reasons for part in parts), strict=True)
    goals = parts[0].probabilities
    return Placed(
        person=together("person"),
        content=together("content"),
        source=together("source"),
        rank=together("rank"),
        relevance=together("relevance"),
        propensity=together("propensity"),
        probabilities={goal: np.concatenate([part.probabilities[goal] for part in parts]) for goal in goals},
        reasons=tuple(pa.concat_arrays(column) for column in columns),
    )


@dataclass(frozen=True)
class _Lister:
    """Makes lists of a night's contents: the best first within `limits`, or drawn by lot."""

    found: NightFeatures
    limits: rerank.Limits
    temperature: float

    def drawn(self, scored: Scored) -> tuple[rerank.Listed, Floats]:
        """Which of the pairs stand at which rank, and with which probability, given those above them (M,)."""
        if not self.temperature:
            listed = rerank.top(scored.person, scored.content, scored.relevance, self.limits, place=scored.place)
            return listed, np.ones(len(listed.pair))
        people, night = self.found.history.people, self.found.history.as_of
        keys = mixed(people.astype(np.uint64))[scored.person], self.content_keys[scored.content]
        lots = Lots.of(scored.relevance, *keys, night, self.temperature)
        return lots.drawn(scored.person, scored.content, scored.place, self.limits)

    @cached_property
    def content_keys(self) -> Keys:
        """Of all contents."""
        return exploration.keys(self.found.history.catalogue.ids.to_pylist())


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
