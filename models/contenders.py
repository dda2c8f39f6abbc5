"""The simple rankings that a model has to beat, each with the settings that are tried on earlier nights.

A weak baseline proves nothing: most published gains are over rivals that nobody tuned (Ferrari Dacrema et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from models import factors, neighbours, popularity
from models.engagement import Blend, Engagement, Scores

Knobs = Mapping[str, float]


@dataclass(frozen=True)
class Contender:
    """A ranking by name: what makes its scores of one night, and the values of its settings to choose among."""

    name: str
    make: Callable[..., Scores]
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def settings(self) -> Iterator[dict[str, float]]:
        """Every combination of the grid."""
        for values in product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))

    def scores(self, engagement: Engagement, knobs: Knobs) -> Scores:
        """The scores of a night."""
        return self.make(engagement, **knobs)


def _als(engagement: Engagement, memory_days: float, regularisation: float) -> Scores:
    return factors.als(engagement, 16, memory_days=memory_days, confidence=40.0, regularisation=regularisation)


def _blend(engagement: Engagement, share: float, **knobs: Any) -> Scores:
    votes = neighbours.user_knn(engagement, knobs["half_life_hours"])
    pull = popularity.gravity(engagement, knobs["power"], knobs["offset_hours"])
    return Blend(((1 - share, pull), (share, votes)))


CONTENDERS = (
    Contender("most_popular", popularity.most_popular),
    Contender("newest", popularity.newest),
    Contender("trending", popularity.trending, {"half_life_hours": (3.0, 3.5, 4.0, 4.8, 6.0, 8.0, 24.0, 72.0, 336.0)}),
    Contender("gravity", popularity.gravity, {"power": (1.0, 1.5, 2.2, 3.0), "offset_hours": (2.0, 12.0, 24.0)}),
    Contender("item_to_item", neighbours.item_to_item, {"half_life_days": (30.0,), "vote_hours": (12.0, 48.0, 336.0)}),
    Contender("als", _als, {"memory_days": (0.5, 2.0), "regularisation": (10.0, 100.0)}),
    Contender("ease", factors.ease, {"regularisation": (100.0, 500.0, 2000.0), "memory_days": (0.5, 1.5, 4.0)}),
    Contender("user_knn", neighbours.user_knn, {"half_life_hours": (6.0, 12.0, 24.0, 72.0, 336.0)}),
)
"""All but the blend, which takes the settings of two of them."""

BLEND = "gravity_user_knn"


def blend(gravity: Knobs, user_knn: Knobs) -> Contender:
    """Gravity and user-kNN, each as z-scores over a person's list, mixed: the strongest simple ranker on a real log."""
    fixed = {name: (value,) for name, value in {**gravity, **user_knn}.items()}
    return Contender(BLEND, _blend, {"share": (0.2, 0.35, 0.5, 0.65, 0.8), **fixed})
