"""A challenger against its rivals on the same test rows: what is simple, and the champion; and the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import rfm, spec
from models import gate, learning, listing, metrics, scorer
from models.challengers import CHALLENGERS
from models.classifier import Bundle
from models.gate_rows import Shown, TestRows
from models.learning import Learned
from pipeline import registry
from pipeline.build_features import crm_of, fits
from pipeline.bundles import load_bundle
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.records import ModelVersion, Tracker
from pipeline.rows import Rows
from pipeline.training_rows import TrainingRows, sample

K = 10
Probabilities = Mapping[str, NDArray[np.float64]]
Figures = Mapping[str, float | None]


class Said(NamedTuple):
    """What a model says: its probabilities by goal of the lists' rows (N,), and of the test's (M,)."""

    listed: Probabilities
    tested: Probabilities


@dataclass(frozen=True)
class Contest:
    """The challenger, its rivals on the same test rows, and the gate's verdict.

    `listed` are the challenger's probabilities of the lists' rows, `tested` those of the test's.
    """

    bundle: Bundle
    learned: Mapping[str, Learned]
    data: TrainingRows
    as_of: datetime
    config: Config
    lake: Lake
    rivals: Sequence[Rival]
    listed: Probabilities
    tested: Probabilities
    goals: Mapping[str, Mapping[str, Figures]]
    ndcg: Mapping[str, metrics.Interval]
    verdict: gate.Verdict
    champion: ModelVersion | None

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        learned: Mapping[str, Learned],
        data: TrainingRows,
        as_of: datetime,
        config: Config,
        lake: Lake,
        *,
        champion_dipping: bool = False,
    ) -> Contest:
        """Grade everybody on the test nights, and ask the gate whether the challenger may serve from `as_of`."""
        tracker = Tracker(lake.tracking, config.project.name)
        champion = registry.champion(tracker, as_of)
        ours = said(bundle, data)
        theirs = champion_said(_champion_bundle(champion, config, lake), bundle, data, config)
        rivals = rivals_of(bundle, data, config)
        rows = gate_rows(data.lists, bundle)
        goals, ndcg = judged(rows, data, rivals, *ours, theirs.listed if theirs else None)
        stale = is_stale(champion.as_of if champion else None, as_of, config)
        found = verdict_of(bundle, data, ours, theirs, config, stale=stale, dipping=champion_dipping)
        verdict = _unless_rolled_back(found, registry.rolled_back(tracker, as_of))
        return cls(bundle, learned, data, as_of, config, lake, rivals, *ours, goals, ndcg, verdict, champion)


def _unless_rolled_back(verdict: gate.Verdict, why: str | None) -> gate.Verdict:
    """A night that is run again trains the model again that somebody went back from: it does not come back so."""
    if why is None or not verdict.promote:
        return verdict
    told = f"champion kept: this night's model was promoted before and gone back from ({why}). {verdict.reason}"
    return replace(verdict, promote=False, reason=told)


def judged(
    rows: TestRows,
    data: TrainingRows,
    rivals: Sequence[Rival],
    ours: Probabilities,
    tested: Probabilities,
    theirs: Probabilities | None = None,
) -> tuple[dict[str, dict[str, Figures]], dict[str, metrics.Interval]]:
    """The model beside its rivals on the test nights: figures by goal and name, and NDCG@10 of the lists by name.

    `ours` and `theirs`, the champion's, are probabilities of the lists' rows (`rows`); `tested` are ours of the test's.
    """
    scores = {
        "model": scorer.relevance(ours, rows.weights),
        **{rival.name: rival.lists for rival in rivals},
        "most_popular": data.lists.popularity,
        **({"champion": scorer.relevance(theirs, rows.weights)} if theirs else {}),
    }
    goals = {goal: _measured(goal, p, data.test, rivals) for goal, p in tested.items()}
    return goals, {name: _interval(rows, score) for name, score in scores.items()}


@dataclass(frozen=True)
class Rival:
    """A challenger's answers: `test` (T,) by goal for the test's rows, `lists` (N,) to sort the lists' rows by."""

    name: str
    test: Mapping[str, NDArray[np.float64]]
    lists: NDArray[np.float64]
    probabilities: bool


def rivals_of(bundle: Bundle, data: TrainingRows, config: Config) -> list[Rival]:
    """Every challenger of `training.challengers`, learned from the rows that our model learned from.

    One that gives probabilities learns each goal, as ours does; one that gives scores learns once, from what the goals
    are worth together, and is asked for every goal how it sorts.
    """
    return [_rival(name, bundle, data, config.training.seed) for name in config.training.challengers]


def _rival(name: str, bundle: Bundle, data: TrainingRows, seed: int) -> Rival:
    challenger, goals = CHALLENGERS[name], tuple(bundle.models)
    rows = [data.test.x] if data.test is data.lists else [data.test.x, data.lists.x]
    if challenger.probabilities:
        found = {goal: challenger.answers(sample(data.train, goal), *rows, seed=seed) for goal in goals}
        lists = scorer.relevance({goal: answers[-1] for goal, answers in found.items()}, bundle.weights)
        return Rival(name, {goal: answers[0] for goal, answers in found.items()}, lists, probabilities=True)
    worth = scorer.relevance({goal: data.train.labels[goal].astype(np.float64) for goal in goals}, bundle.weights)
    together = replace(sample(data.train, goals[0]), y=worth)
    answers = challenger.answers(together, *rows, seed=seed)
    return Rival(name, dict.fromkeys(goals, answers[0]), answers[-1], probabilities=False)


def _measured(goal: str, p: NDArray[np.float64], test: Rows, rivals: Sequence[Rival]) -> dict[str, Figures]:
    y = test.labels[goal]
    return {
        "model": learning.measures(y, p, probabilities=True),
        **{one.name: learning.measures(y, one.test[goal], probabilities=one.probabilities) for one in rivals},
        "most_popular": learning.measures(y, test.popularity, probabilities=False),
    }


def predictions(bundle: Bundle, x: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Probabilities by goal."""
    return {goal: model.predict(x) for goal, model in bundle.models.items()}


def tested_predictions(bundle: Bundle, data: TrainingRows, listed: Probabilities) -> Probabilities:
    """Probabilities by goal of the test's rows: `listed`, those of the lists' rows, where they are the same rows."""
    return listed if data.test is data.lists else predictions(bundle, data.test.x)


def said(bundle: Bundle, data: TrainingRows) -> Said:
    """What a challenger says of the rows that it is judged on."""
    listed = predictions(bundle, data.lists.x)
    return Said(listed, tested_predictions(bundle, data, listed))


def champion_said(champion: Bundle | None, challenger: Bundle, data: TrainingRows, config: Config) -> Said | None:
    """What the champion says of the same rows; None where it cannot be compared (other goals or features)."""
    if champion is None or not fits(champion, config) or set(champion.models) != set(challenger.models):
        return None
    cuts, vocabulary = champion.context["cuts"], crm_of(champion)
    listed = predictions(champion, data.lists.scored(cuts, tuple(config.goals), vocabulary).x)
    if data.test is data.lists:
        return Said(listed, listed)
    return Said(listed, predictions(champion, data.test.scored(cuts, tuple(config.goals), vocabulary).x))


def gate_rows(lists: Rows, bundle: Bundle) -> TestRows:
    """What lists are judged by, of the goals that were learned."""
    labels = {goal: lists.labels[goal] for goal in bundle.models}
    return TestRows(lists.person, lists.group, labels, dict(bundle.weights), lists.popularity)


def verdict_of(
    bundle: Bundle,
    data: TrainingRows,
    ours: Said,
    theirs: Said | None,
    config: Config,
    *,
    stale: bool,
    dipping: bool = False,
) -> gate.Verdict:
    """The gate's, on whole lists and, for what probabilities are worth, on what people could respond to."""
    rows = replace(gate_rows(data.lists, bundle), content=data.lists.content, groups=_groups(data, config))
    labels = {goal: data.test.labels[goal] for goal in bundle.models}
    shown = Shown(data.test.person, labels, ours.tested, theirs.tested if theirs else None)
    return gate.promote(
        rows,
        ours.listed,
        theirs.listed if theirs else None,
        shown=shown,
        champion_stale=stale,
        champion_dipping=dipping,
        k=K,
    )


def _groups(data: TrainingRows, config: Config) -> dict[str, NDArray[Any]]:
    """By kind the group that each list's person is in (L,), as of the list's night and with the challenger's scores."""
    names = spec.names(tuple(config.goals), crm=data.vocabulary.attributes)
    first = np.unique(data.lists.group, return_index=True)[1]
    wanted = ("tenure_days", "events_30d", *rfm.SCORES)
    heads = pa.table({name: data.lists.x[first, names.index(name)].astype(np.float64) for name in wanted})
    segments = rfm.segments(heads, heads).to_pylist()
    return {
        "segment": np.array(segments, object),
        "activity": listing.activity(np.asarray(heads["events_30d"].combine_chunks())).astype(object),
    }


def is_stale(promoted: datetime | None, as_of: datetime, config: Config) -> bool:
    """Whether a champion promoted then has become too old."""
    return promoted is not None and (as_of - promoted).days >= config.retrain.max_age_days


def _champion_bundle(champion: ModelVersion | None, config: Config, lake: Lake) -> Bundle | None:
    if champion is None:
        return None
    return load_bundle(Tracker(lake.tracking, config.project.name), champion.version)


def _interval(rows: TestRows, score: NDArray[np.float64]) -> metrics.Interval:
    """Mean NDCG@10 over lists in which something was relevant, with its interval over people."""
    values = metrics.ndcg_by_group(rows.group, score, rows.relevance(rows.labels), K)
    people = rows.person[np.unique(rows.group, return_index=True)[1]]
    known = ~np.isnan(values)
    if not known.any():
        return metrics.Interval(float("nan"), float("nan"), float("nan"))
    return metrics.bootstrap_difference(values[known], np.zeros(int(known.sum())), people[known])
