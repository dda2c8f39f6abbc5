"""Some people of a night against all that can be listed: every source's opinion, opened once for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.pairs import PairBlock
from models.engagement import Linear, Ratio, standardised

Dense = NDArray[Any]

NEW_DAYS = 30.0
"""A younger content is new: all who ever turned to it did so in the time for which people are counted."""

KNOWN = 3
"""People who turned to a content until it is one that somebody knows."""


@dataclass(frozen=True)
class NightBlock:
    """`shared` are scores by content of the night (contents,), `personal` what they are made of by person and content.

    `shelf` are the contents (sorted indices of the night) that the personal ones know; of others they say nothing, 0.
    Whatever it says is (people of the block, contents of the block), or (contents,) where it is the same for all.
    """

    pairs: PairBlock
    shared: Mapping[str, Dense]
    personal: Mapping[str, Linear | Ratio]
    shelf: NDArray[np.int64]

    @property
    def people(self) -> NDArray[np.int64]:
        """Whose block it is, as sorted indices of the night."""
        return self.pairs.rows

    @property
    def content(self) -> NDArray[np.int64]:
        """The contents, as sorted indices of the night."""
        return self.pairs.content

    @property
    def shape(self) -> tuple[int, int]:
        """People, contents."""
        return len(self.people), len(self.content)

    @cached_property
    def said(self) -> dict[str, Dense]:
        """What models read of pairs, beside the pair kernel's: in the order of `features.spec.SAID`."""
        found = {"covisit": self.pairs.covisit, **self._personal}
        for name in ("gravity", "popularity_3h"):
            found[f"{name}_z"] = standardised(self.shared[name][None, self.content].astype(np.float32))
        for name in ("neighbours_12h", "neighbours_3d"):
            found[f"{name}_z"] = standardised(found[name])
        return found

    @cached_property
    def _personal(self) -> dict[str, Dense]:
        _, there, place = np.intersect1d(self.content, self.shelf, assume_unique=True, return_indices=True)
        return {name: self._placed(one.scores(self.people, place), there) for name, one in self.personal.items()}

    def _placed(self, scores: Dense, there: NDArray[np.int64]) -> Dense:
        """Scores of some of the block's contents among all of them."""
        if len(there) == len(self.content):
            return scores
        found = np.zeros(self.shape, np.float32)
        found[:, there] = scores
        return found

    @property
    def unread(self) -> NDArray[np.int64]:
        """Contents that are new and that next to nobody turned to yet, as places in the block."""
        new = self.shared["age_days"][self.content] < NEW_DAYS
        return np.flatnonzero(new & (self.shared["people_30d"][self.content] < KNOWN))

    @property
    def proposals(self) -> dict[str, Dense]:
        """How much each source of candidates would like to see each pair."""
        columns = {name: values[self.content] for name, values in self.shared.items()}
        return {
            "trending": columns["popularity_1d"] + columns["popularity_7d"] / 100,
            "rising": columns["popularity_3h"],
            "fresh": 1 / (1 + columns["age_days"]),
            "affinity": self.pairs.liked() * (1 + columns["popularity_7d"]).astype(np.float32),
            "covisit": self.pairs.covisit,
            "beside": self.said["beside"],
            "neighbours": self.said["neighbours_12h"],
            "followed": self.said["followed"],
            "sessions": self.said["sessions"],
            "factors": self.said["factors"],
        }
