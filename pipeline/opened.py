"""A night before anybody is ranked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import frequency, identify
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.night import NIGHT, Archive
from pipeline.serving import Model


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
        night = Archive.load(lake, config, as_of, config.training.history_days, columns=NIGHT).night(as_of)
        found = NightFeatures.of(night, config)
        native = identify.native_ids(lake, found.night.rankable(config))
        people = np.searchsorted(found.history.people, np.asarray(native["id"].combine_chunks()))
        resting = frequency.resting(found, native, people, config, lake)
        return cls(replace(found, resting=resting), model, native, people)
