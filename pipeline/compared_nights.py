"""Which nights a champion's nights are compared with: on the same weekdays where that is possible, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.classifier import Bundle
from pipeline.build_features import fits
from pipeline.config import Config
from pipeline.records import ModelVersion

Nights = tuple[datetime, ...]

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class ComparedNights:
    """Nights of the past and nights of now; `note` says why they are not compared, where they are not."""

    reference: Nights = ()
    current: Nights = ()
    note: str = ""

    @property
    def all(self) -> Nights:
        """Both, the reference first."""
        return (*self.reference, *self.current)


def for_drift(bundle: Bundle, champion: ModelVersion, as_of: datetime, config: Config) -> ComparedNights:
    """The newest nights since the champion was trained, and those of its training nights that they are held against."""
    learned = nights_of(bundle, "nights")
    since = tuple(night for night in newest(as_of, config.drift.nights, config) if night > champion.as_of)
    reference = same_weekdays(learned, since, config.drift.nights)
    if not fits(bundle, config):
        return ComparedNights(reference, since, "the champion was trained for other goals or features")
    if len(since) < config.drift.nights:
        few = f"{len(since)} nights since the champion was trained; {config.drift.nights} are needed"
        return ComparedNights(reference, since, few)
    return ComparedNights(reference, since)


def for_performance(bundle: Bundle, champion: ModelVersion, as_of: datetime, config: Config) -> ComparedNights:
    """The newest nights of the champion's whose outcome is known, and nights that it was tested on."""
    count = config.retrain.dip_nights
    tested = nights_of(bundle, "tested")[-2 * count :]
    latest = newest(as_of - ripe_after(config), count, config)
    current = tuple(night for night in latest if night >= champion.as_of)
    if not tested:
        return ComparedNights(tested, current, "the champion does not say on which nights it was tested")
    if not fits(bundle, config):
        return ComparedNights(tested, current, "the champion was trained for other goals or features")
    if not current:
        return ComparedNights(tested, current, "no night has matured since the champion was trained")
    return ComparedNights(tested, current)


def newest(until: datetime, count: int, config: Config) -> Nights:
    """The last `count` nights that are not after `until`, a day apart or more, oldest first."""
    return tuple(until - back * day_or_step(config) for back in range(count)[::-1])


def day_or_step(config: Config) -> timedelta:
    """From one look at the data to the next: a day, or a night where nights are further apart."""
    return max(config.project.step, _DAY)


def ripe_after(config: Config) -> timedelta:
    """How long after a night all of its outcome is known, in whole nights of the comparison."""
    step = day_or_step(config)
    return -(-config.known_after // step) * step


def nights_of(bundle: Bundle, kind: str) -> Nights:
    """The nights that a model learned from ("nights") or was tested on ("tested"); none where it does not say."""
    return tuple(datetime.fromisoformat(night) for night in bundle.context.get(kind, ()))


def same_weekdays(among: Sequence[datetime], nights: Sequence[datetime], count: int) -> Nights:
    """For each of `nights` the newest of `among` on the same weekday; the `count` newest where one of them has none.

    What people do differs between a Tuesday and a Sunday more than between most months.
    """
    found = [max((one for one in among if _days_apart(one, night) % 7 == 0), default=None) for night in nights]
    matched = tuple(sorted({one for one in found if one is not None}))
    return matched if len(matched) == len(nights) == count else tuple(among[-count:])


def _days_apart(one: datetime, other: datetime) -> int:
    return round((other - one) / _DAY)
