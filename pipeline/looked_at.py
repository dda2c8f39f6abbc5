"""The past nights that a night's check looks at: each is built once, whoever asks for what of it, or not at all.

What was seen of a night is kept (`pipeline.looks`), so that a night is built for the first check that looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from models.classifier import Bundle
from pipeline.build_features import NightFeatures
from pipeline.compared_nights import ComparedNights
from pipeline.config import Config
from pipeline.drift_evidence import Seen, looked_for
from pipeline.looks import Looks
from pipeline.night import Archive
from pipeline.performance_evidence import Answers, answers
from pipeline.rebuild import lists_of

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class LookedAt:
    """A sample of each night's people as the model sees them, and what models say of some who came on the day after."""

    people: Mapping[datetime, Seen]
    answers: Mapping[datetime, Answers]

    @classmethod
    def of(
        cls,
        archive: Archive,
        bundle: Bundle,
        predecessor: Bundle | None,
        drift: ComparedNights,
        performance: ComparedNights,
        looks: Looks,
        config: Config,
    ) -> LookedAt:
        """People of the nights that are compared by `drift`, answers on those that are by `performance`."""
        of_people, of_lists = (set() if one.note else set(one.all) for one in (drift, performance))
        log_days = (min(drift.reference, default=archive.until) - archive.first_ts()) / _DAY
        features = ["people", *looked_for(bundle, config, log_days)]

        def asked(night: datetime) -> list[str]:
            return ["answers", "as judged" if night in performance.reference else "as it serves"]

        people = {
            night: Seen.from_arrays(kept)
            for night in sorted(of_people)
            if (kept := looks.read(night, night, features)) is not None
        }
        said = {
            night: found
            for night in sorted(of_lists)
            if (kept := looks.read(night, night + config.outcome_after, asked(night))) is not None
            and _usable(archive, found := Answers.from_arrays(kept))
        }

        def look(night: datetime) -> None:  # a night in memory at a time: it is gone before the next one is built
            found = NightFeatures.of(archive.night(night), config)
            if night in of_people - people.keys():
                people[night] = Seen.of(found, bundle, config, log_days)
                looks.keep(night, night, features, people[night].arrays)
            if night in of_lists - said.keys():
                lists = lists_of(archive, found, config, config.retrain.dip_people)
                said[night] = answers(night, lists, bundle, predecessor, performance, config)
                looks.keep(night, night + config.outcome_after, asked(night), said[night].arrays)

        nights = sorted((of_people - people.keys()) | (of_lists - said.keys()))
        archive.plan(nights)
        for night in nights:
            look(night)
        looks.forget_others()
        return cls(people, said)


def _usable(archive: Archive, found: Answers) -> bool:
    """Whether nobody among them has objected since."""
    return bool(np.all(archive.usable(pa.array(found.champion.people, pa.int64()))))
