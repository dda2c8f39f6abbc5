"""Grid search, the alternative to the search of `models.tuning`: a few values a parameter, every combination tried.

It finds what a handful of corners can show and no more (Bergstra and Bengio, JMLR 13, 2012: random search does better),
but whoever has to say beforehand what will be tried can print it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from types import MappingProxyType

import numpy as np

from models.tuning import DEFAULTS

GRID: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "learning_rate": (0.05, 0.1),
        "max_depth": (2, 3, 5),
        "min_child_weight": (3.0, 30.0),
        "reg_lambda": (5.0, 50.0),
    }
)
"""What is tried, 24 combinations; all other parameters stay at `tuning.DEFAULTS`."""


def points(seed: int) -> tuple[dict[str, float], ...]:
    """Every combination, in an order drawn by `seed`: a budget that ends early has not seen one corner alone."""
    every = [{**DEFAULTS, **dict(zip(GRID, values, strict=True))} for values in product(*GRID.values())]
    return tuple(every[place] for place in np.random.default_rng(seed).permutation(len(every)))
