"""The past nights that a night's check looks at: each is built once, whoever asks for what of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.classifier import Bundle
from pipeline.build_features import NightFeatures
from pipeline.compared_nights import ComparedNights
from pipeline.config import Config
from pipeline.drift_evidence import Seen
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
        config: Config,
    ) -> LookedAt:
        """People of the nights that are compared by `drift`, answers on those that are by `performance`."""
        of_people, of_lists = (set() if one.note else set(one.all) for one in (drift, performance))
        log_days = (min(drift.reference, default=archive.until) - archive.first_ts()) / _DAY
        people, said = {}, {}
        nights = sorted(of_people | of_lists)
        archive.plan(nights)

        def look(night: datetime) -> None:  # a night in memory at a time: it is gone before the next one is built
            found = NightFeatures.of(archive.night(night), config)
            if night in of_people:
                people[night] = Seen.of(found, bundle, config, log_days)
            if night in of_lists:
                lists = lists_of(archive, found, config, config.retrain.dip_people)
                said[night] = answers(night, lists, bundle, predecessor, performance, config)

        for night in nights:
            look(night)
        return cls(people, said)
