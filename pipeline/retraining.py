"""Models as they would have come and gone: trained on nights whose outcome was known, promoted if the gate agreed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from features import spec
from models import gate, learning
from models.classifier import Bundle
from models.learning import Budget
from models.split import split_nights
from pipeline.build_features import NightFeatures, crm_of, replayed_nights
from pipeline.config import Config
from pipeline.night import Archive
from pipeline.rebuild import Rebuilt, of_night
from pipeline.train import bundle_of
from pipeline.training_rows import TrainingRows, grouped, sample

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
        self.trainings = 0
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
        """Train if the policy says so; what came of it in a word or two, empty where nothing was trained."""
        if not self._due(as_of):
            return ""
        data = self._rows(as_of)
        if isinstance(data, str):
            return ""
        bundle = self._learned(data, as_of)
        if bundle is None:
            return ""
        self.trainings += 1
        self._trained = as_of
        verdict = self._verdict(bundle, data, as_of)
        if verdict.promote:
            self.champion, self._promoted = bundle, as_of
        return "promoted" if verdict.promote else "kept"

    def seen(self, found: NightFeatures) -> None:
        """The features of this night, from which later ones learn when its outcome is known."""
        self._waiting[found.night.as_of] = found

    def _due(self, as_of: datetime) -> bool:
        if self.champion is None:
            return True
        if self._config.retrain.when == "never" or (self._trained and as_of - self._trained < _DAY):
            return False
        old = self._promoted is not None and as_of - self._promoted >= timedelta(days=self._config.retrain.max_age_days)
        return self._config.retrain.when == "always" or old

    def _rows(self, as_of: datetime) -> TrainingRows | str:
        horizon = max(goal.horizon for goal in self._config.goals.values())
        nights = replayed_nights(self._archive, self._config, as_of)
        try:
            split = split_nights(nights, horizon)
        except ValueError as error:
            return str(error)
        for night in [night for night in self._nights if night < nights[0]]:
            del self._nights[night]
        known, learned_from = self._archive.known_at(as_of), set(split.train)
        for night in nights:
            thin = night in learned_from
            if night not in self._nights:
                found = self._waiting.pop(night, None) or NightFeatures.of(self._archive.night(night), self._config)
                self._nights[night] = of_night(known, found, self._config, lists=not thin, thinned=thin)
            elif thin and self._nights[night].lists is not None:
                self._nights[night] = self._nights[night].thinned
        train, validation, test = (
            [self._nights[night] for night in group] for group in (split.train, split.validation, split.test)
        )
        return grouped(split, train, validation, test, self._config)

    def _learned(self, data: TrainingRows, as_of: datetime) -> Bundle | None:
        learned, training = {}, self._config.training
        names = spec.names(self._config.goals, crm=data.vocabulary.attributes)
        for goal in self._config.goals:
            parts = sample(data.train, goal), sample(data.validation, goal)
            if min(int(part.y.sum()) for part in parts) < training.min_positives:
                continue
            if goal in self._params:
                learned[goal] = learning.relearn(goal, names, *parts, self._params[goal], training.seed)
            else:
                budget = Budget(
                    training.trials, training.seconds / len(self._config.goals), training.seed, training.device
                )
                learned[goal] = learning.learn(goal, names, *parts, budget)
                self._params[goal] = dict(learned[goal].model.params)
        return bundle_of(learned, data, as_of, self._config) if learned else None

    def _verdict(self, bundle: Bundle, data: TrainingRows, as_of: datetime) -> gate.Verdict:
        lists = data.lists
        labels = {goal: lists.labels[goal] for goal in bundle.models}
        rows = gate.TestRows(lists.person, lists.group, labels, dict(bundle.weights), lists.popularity)
        ours = {goal: model.predict(lists.x) for goal, model in bundle.models.items()}
        theirs = None
        if self.champion is not None and set(self.champion.models) == set(bundle.models):
            old = lists.scored(self.champion.context["cuts"], tuple(self._config.goals), crm_of(self.champion))
            theirs = {goal: model.predict(old.x) for goal, model in self.champion.models.items()}
        stale = self._promoted is not None and (as_of - self._promoted).days >= self._config.retrain.max_age_days
        return gate.promote(rows, ours, theirs, champion_stale=stale)
