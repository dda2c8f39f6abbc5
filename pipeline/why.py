"""Why contents stand in the lists of a night: what is true of each place, and what the model made of it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import spec
from features.habits import Habits
from models.reasons import Facts, Words
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.reason_settings import FIELDS
from pipeline.score import Block, Floats

_COLUMNS = {name: at for at, name in enumerate(spec.names((), "pair"))}
_READERS = ("covisit", "neighbours_3d", "followed")
_POPULAR = ("popularity_3h_z", "gravity_z")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Teller:
    """What reasons are made of on one night; `unnamed` says of each category, tag and author if it may not be named."""

    habits: Habits
    age_days: Floats
    words: Words
    unnamed: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def of(cls, found: NightFeatures, config: Config) -> Teller:
        """In the configuration's words."""
        catalogue = found.history.catalogue
        names = dict(zip(FIELDS, (catalogue.categories, catalogue.tags, catalogue.authors), strict=True))
        unnamed = {
            field: np.array([config.reasons.unnamed(field, name) for name in some], bool)
            for field, some in names.items()
        }
        age_days = np.asarray(found.contents["age_days"].combine_chunks(), np.float64)
        return cls(Habits.of(found.history), age_days, Words(names, config.reasons.words), unnamed)

    def told(self, block: Block, pair: Ints) -> tuple[pa.Array, ...]:
        """The reasons for some of a block's pairs (places, M): columns of M texts, the strongest first."""
        strength = block.strength(pair) if block.strength else None
        return tuple(self.words.reasons(self._facts(block, pair), strength))

    def _facts(self, block: Block, pair: Ints) -> Facts:
        scored, between, catalogue = block.scored, block.between[pair], self.habits.catalogue
        person, content = scored.person[pair], scored.content[pair]
        category, author = catalogue.category[content].astype(np.int64), catalogue.author[content].astype(np.int64)

        def has(*columns: str) -> NDArray[np.bool_]:
            return np.asarray(np.any([between[:, _COLUMNS[name]] > 0 for name in columns], axis=0))

        return Facts(
            category=self._named("category", category, has("affinity_category_30d")),
            count=self.habits.in_category(person, content),
            tag=self.habits.favourite_tag(person, content, self.unnamed["tag"]),
            author=self._named("author", author, has("affinity_author")),
            readers=has(*_READERS),
            age_days=self.age_days[content],
            missed=has("born_after_days"),
            popular=has(*_POPULAR),
            ruled=scored.place[pair] > 0,
        )

    def _named(self, field: str, code: Ints, true: NDArray[np.bool_]) -> Ints:
        """The codes of what is true and may be named."""
        known = np.append(~self.unnamed[field], False)  # the code of nothing, -1, is the last
        return np.where(true & known[code], code, -1)
