"""Rows that come in batches: XGBoost bins them while nobody holds a copy of all, nor has to hold all at once.

Cuts are sketched value by value, in the rows' order, so how the rows are split into batches changes no byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """Some rows: `x` (n, F), NaN where missing, `y` (n,), and how much each counts, `weight` (n,); None: all alike."""

    x: Array
    y: Array
    weight: Array | None = None

    def where(self, kept: NDArray[np.bool_]) -> Batch:
        """Some of these."""
        return Batch(self.x[kept], self.y[kept], None if self.weight is None else self.weight[kept])


@dataclass(frozen=True)
class Stream:
    """`rows` rows in batches. `batches` may be called any number of times, and gives the same rows every time.

    All of its batches have weights, or none has.
    """

    rows: int
    batches: Callable[[], Iterator[Batch]]

    def drawn(self, rows: int) -> Stream:
        """About so many of the rows, drawn by lot and held in memory; the same ones however the stream is split."""
        rng, share = np.random.default_rng(0), rows / self.rows
        found = [batch.where(rng.random(len(batch.y)) < share) for batch in self.batches()]
        found = [batch for batch in found if len(batch.y)]
        return Stream(sum(len(batch.y) for batch in found), lambda: iter(found))

    def whole(self) -> Batch:
        """All rows at once."""
        found = list(self.batches())
        weights = [batch.weight for batch in found if batch.weight is not None]
        x, y = np.concatenate([batch.x for batch in found]), np.concatenate([batch.y for batch in found])
        return Batch(x, y, np.concatenate(weights) if weights else None)


class Passes(xgb.DataIter):
    """A stream as XGBoost reads it to bin it: from the beginning, four times over (three with another's cuts).

    XGBoost may keep what it makes of them in files whose names begin with `pages`.
    """

    def __init__(self, stream: Stream, features: Sequence[str], pages: str | None = None) -> None:
        super().__init__(cache_prefix=pages)
        self._stream, self._features = stream, list(features)
        self._left = stream.batches()

    def reset(self) -> None:
        """Begin again."""
        self._left = self._stream.batches()

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand over the next batch; False: there was none left."""
        batch = next(self._left, None)
        if batch is None:
            return False
        check_width(batch.x, self._features, "matrix")
        x = np.asarray(batch.x, np.float32)
        input_data(data=x, label=batch.y, weight=batch.weight, feature_names=self._features)
        return True


def check_width(x: Array, features: Sequence[str], where: str) -> None:
    """Raise ValueError unless `x` is (N, F)."""
    if x.ndim != 2 or x.shape[1] != len(features):
        raise ValueError(f"{where}: rows of shape {x.shape}, expected (N, {len(features)}): {', '.join(features)}.")
