"""Models as they would have come and gone: trained on nights whose outcome was known, promoted if the gate agreed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from models import gate, learning
from models.classifier import Bundle
from models.learning import Learned, Sample
from models.split import split_nights
from pipeline import compare
from pipeline.build_features import NightFeatures, replayed_nights
from pipeline.config import Config
from pipeline.night import Archive
from pipeline.rebuild import Rebuilt, of_night
from pipeline.train import budget_of, bundle_of, each_goal, served
from pipeline.training_rows import TrainingRows, grouped

_DAY = timedelta(days=1)


class Retraining:
    """The champion of each night of a replay. Nothing of it is registered.

    A night's outcome is what was known of it when it was first learned from: what arrived later still is left out.
    The first training searches as the configuration says; later ones train anew with what it found, as an old night's
    best settings are a new night's too, and a search a night would cost what it saves.
    """

    def __init__(self, archive: Archive, config: Config) -> None:
        """Nothing was trained yet."""
        self.champion: Bundle | None = None
        self._archive, self._config = archive, config
        self._nights: dict[datetime, Rebuilt] = {}
        self._waiting: dict[datetime, NightFeatures] = {}
        self._trained: datetime | None = None
        self._promoted: datetime | None = None
        self._params: dict[str, dict[str, object]] = {}

    def needs(self, nights: Sequence[datetime]) -> list[datetime]:
        """Every night whose features somebody will ask for, in the order in which they will."""
        before = replayed_nights(self._archive, self._config, nights[0])
        return sorted({*before, *nights})

    def decide(self, as_of: datetime) -> str:
        """Train if the policy says so; what came of it in a word, empty where nothing was trained."""
        self._settle(as_of)
        if not self._due(as_of):
            return ""
        data = self._rows(as_of)
        if isinstance(data, str):
            return ""
        bundle = self._learned(data, as_of)
        if bundle is None:
            return ""
        self._trained = as_of
        verdict = self._verdict(bundle, data, as_of)
        if verdict.promote:
            self.champion, self._promoted = served(bundle, data, self._config), as_of
        return "promoted" if verdict.promote else "kept"

    def seen(self, found: NightFeatures) -> None:
        """The features of this night, from which later ones learn when its outcome is known."""
        self._waiting[found.night.as_of] = found

    def _settle(self, as_of: datetime) -> None:
        """Turn nights whose outcome is known by now into rows: a night's features are much larger than its rows."""
        ripe = [night for night in self._waiting if night + self._config.known_after <= as_of]
        known = self._archive.known_at(as_of) if ripe else self._archive
        for night in ripe:
            self._nights[night] = of_night(known, self._waiting.pop(night), self._config, lists=True)

    def _due(self, as_of: datetime) -> bool:
        if self.champion is None:
            return True
        if self._config.retrain.when == "never" or (self._trained and as_of - self._trained < _DAY):
            return False
        return self._config.retrain.when == "always" or compare.is_stale(self._promoted, as_of, self._config)

    def _rows(self, as_of: datetime) -> TrainingRows | str:
        nights = replayed_nights(self._archive, self._config, as_of)
        try:
            split = split_nights(nights, self._config.horizon)
        except ValueError as error:
            return str(error)
        for night in [night for night in self._nights if night < nights[0]]:
            del self._nights[night]
        known, learned_from = self._archive.known_at(as_of), set(split.train)
        for night in nights:
            thin = night in learned_from
            if night not in self._nights:
                found = NightFeatures.of(self._archive.night(night), self._config)
                self._nights[night] = of_night(known, found, self._config, lists=not thin, thinned=thin)
            elif thin and self._nights[night].lists is not None:
                self._nights[night] = self._nights[night].thinned
        train, validation, test = (
            [self._nights[night] for night in group] for group in (split.train, split.validation, split.test)
        )
        return grouped(split, train, validation, test, self._config)

    def _learned(self, data: TrainingRows, as_of: datetime) -> Bundle | None:
        learned, _ = each_goal(data, self._config, self._learn)
        self._params.update({goal: dict(one.model.params) for goal, one in learned.items()})
        return bundle_of(learned, data, as_of, self._config) if learned else None

    def _learn(self, goal: str, names: tuple[str, ...], training: Sample, validation: Sample) -> Learned:
        if goal in self._params:
            seed, device = self._config.training.seed, self._config.training.device
            return learning.relearn(goal, names, training, validation, self._params[goal], seed, device)
        return learning.learn(goal, names, training, validation, budget_of(self._config))

    def _verdict(self, challenger: Bundle, data: TrainingRows, as_of: datetime) -> gate.Verdict:
        ours = compare.said(challenger, data)
        theirs = compare.champion_said(self.champion, challenger, data, self._config)
        stale = compare.is_stale(self._promoted, as_of, self._config)
        return compare.verdict_of(challenger, data, ours, theirs, self._config, stale=stale)
