"""All that a training's page says, gathered from the contest: figures with intervals, causes, groups, examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features import spec
from features.crm import Vocabulary
from features.spec import Feature
from models import learning, metrics, search_history, shap_summary
from models import slices as groups
from models.resampling import FIGURES, Draws, interval
from models.shap_summary import Effect
from models.slices import Slice
from pipeline import audit_groups, records
from pipeline.audit_groups import Groups
from pipeline.compare import Contest
from pipeline.lookup import Lookup
from pipeline.reports.search import Step
from pipeline.reports.slices import SliceRow
from pipeline.reports.swarm import EffectRow
from pipeline.reports.training import CheckRow, GoalResult, Measure, Training
from pipeline.tell_examples import Telling

EFFECTS = 12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What is worked out of a contest for people to look at. Nothing of it decides anything."""

    contest: Contest

    @cached_property
    def lookup(self) -> Lookup | None:
        """The lake around the test nights."""
        one = self.contest
        return Lookup.of(one.lake, one.config, one.as_of, one.data.split.test)

    @cached_property
    def probabilities(self) -> dict[str, Floats]:
        """By goal, of the test's rows (N,)."""
        return {goal: one.model.predict(self.contest.data.test.x) for goal, one in self.contest.learned.items()}

    @cached_property
    def effects(self) -> dict[str, list[Effect]]:
        """By goal, what moves its odds most."""
        x = self.contest.data.test.x
        x = x[shap_summary.spaced(len(x))]
        models = self.contest.bundle.models
        return {
            goal: shap_summary.effects(model.contributions(x), x, model.features, EFFECTS)
            for goal, model in models.items()
        }

    @cached_property
    def slices(self) -> dict[str, list[Slice]]:
        """By goal, how well each group of people is served."""
        data, goals = self.contest.data, tuple(self.contest.config.goals)
        found = Groups.of(data.test, data.lists, goals, data.vocabulary, self.lookup)
        return {goal: found.served(data.test, goal, p) for goal, p in self.probabilities.items()}

    @cached_property
    def draws(self) -> Draws:
        """The test's people, drawn again and again: the same draws for everybody who is compared."""
        return Draws.of(self.contest.data.test.person)

    @cached_property
    def telling(self) -> Telling:
        """Rows of the lists to tell in words."""
        one = self.contest
        return Telling.of(one.data.lists, one.bundle, tuple(one.config.goals), one.data.vocabulary, self.lookup)


def training_page(evidence: Evidence, skipped: Mapping[str, str]) -> Training:
    """The page; `skipped` says why other goals were not learned."""
    contest = evidence.contest
    return Training(
        project=contest.config.project.name,
        as_of=f"{records.short(contest.as_of)} UTC",
        verdict=contest.verdict.reason,
        facts=list(_facts(contest)),
        checks=[
            CheckRow(name=c.name, value=c.value, low=c.low, high=c.high, bound=c.bound, passed=c.passed)
            for c in contest.verdict.checks
        ],
        ranking=[(_spaced(name), *found) for name, found in contest.ndcg.items()],
        goals=[_goal_result(goal, evidence) for goal in contest.bundle.models],
        examples=list(evidence.telling.told()),
        examples_note=evidence.telling.note,
        skipped=list(skipped.items()),
        footer=_footer(contest),
    )


def _facts(contest: Contest) -> Iterator[tuple[str, object]]:
    data, config = contest.data, contest.config
    split = data.split
    last = split.test[-1] + max(config.horizon, timedelta(days=1))
    yield "Data until", f"{last:%Y-%m-%d %H:%M}" if last.hour or last.minute else f"{last.date()}"
    yield "Training nights", f"{split.train[0].date()} to {split.train[-1].date()} ({len(split.train)})"
    yield "Validation nights", _span(split.validation[0], split.validation[-1])
    yield "Test nights", _span(split.test[0], split.test[-1])
    yield "Rows", f"{data.train.size:,} + {data.validation.size:,} + {data.test.size:,}"
    yield "Graded lists", f"{len(np.unique(data.lists.group)):,} of {len(np.unique(data.lists.person)):,} people"
    yield "Features", len(spec.names(config.goals, crm=data.vocabulary.attributes))
    if contest.champion is not None:
        yield "Champion before", f"version {contest.champion.version}"
    yield from _crm(data.vocabulary)


def _span(first: object, last: object) -> str:
    ends = [f"{one:%Y-%m-%d}" for one in (first, last)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _crm(vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    """What is learned from of the CRM, and why the rest is not."""
    if vocabulary.attributes:
        yield "CRM attributes", ", ".join(one.name for one in vocabulary.attributes)
    if vocabulary.left_out:
        yield "CRM attributes left out", "; ".join(f"{name}: {why}" for name, why in vocabulary.left_out.items())


def _footer(contest: Contest) -> str:
    versions = ", ".join(f"{table} {version}" for table, version in contest.lake.versions().items())
    return f"Configuration {contest.config.sha256[:12]}. Versions of the lake's tables: {versions}."


# ---------------------------------------------------------------- a goal


def _goal_result(goal: str, evidence: Evidence) -> GoalResult:
    contest, one = evidence.contest, evidence.contest.learned[goal]
    y, p = contest.data.test.labels[goal], evidence.probabilities[goal]
    drawn = learning.curves(y, p)
    models, lead = _measured(goal, evidence)
    found = evidence.slices[goal]
    return GoalResult(
        name=goal,
        models=models,
        note=f"{len(y):,} test rows, {y.mean():.2%} engaged, weight {contest.bundle.weights[goal]:g}{lead}",
        reliability=drawn["reliability"],
        roc=drawn["roc"],
        precision_recall=drawn["precision_recall"],
        learning={"validation": one.curve},
        best_round=one.model.best_iteration,
        importance=learning.importance(one.model),
        effects=_effects(evidence.effects[goal], contest),
        slices=_slices(found),
        audit=audit_groups.said(found, groups.worst(found)),
        trials=[
            {"number": t.number, "params": t.params, "value": t.value, "state": t.state.upper(), "seconds": t.seconds}
            for t in one.trials
        ],
        history=[
            Step(number=s.number, value=s.value, whole=s.whole, best=s.best) for s in search_history.history(one.trials)
        ],
        settings=search_history.importances(one.trials) if one.trials else {},
    )


def _measured(goal: str, evidence: Evidence) -> tuple[dict[str, dict[str, Measure]], str]:
    """Every rival's figures, with intervals where its scores are at hand; and how far ours leads most-popular."""
    contest, draws = evidence.contest, evidence.draws
    y, p = contest.data.test.labels[goal], evidence.probabilities[goal]
    ours, popular = draws.figures(y, p), draws.figures(y, contest.data.test.popularity)
    measures: dict[str, dict[str, Measure]] = {_spaced(name): dict(m) for name, m in contest.goals[goal].items()}
    for name, drawn in (("model", ours), ("most popular", popular)):
        if name in measures:
            measures[name] |= {figure: _known(interval(drawn[figure])) for figure in FIGURES}
    losses = draws.means(metrics.log_losses(y, p))
    measures["model"]["log_loss"] = _known(interval(losses))
    return measures, _lead(ours["auc"] - popular["auc"])


def _lead(difference: Floats) -> str:
    found = interval(difference)
    if not all(map(math.isfinite, found)):
        return ""
    return f"; AUC {found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}) against most popular"


def _known(found: metrics.Interval) -> Measure:
    """Without its interval where there is none."""
    if not math.isfinite(found.mean):
        return None
    return found if math.isfinite(found.low) and math.isfinite(found.high) else found.mean


def _effects(effects: Sequence[Effect], contest: Contest) -> list[EffectRow]:
    every = spec.features(tuple(contest.config.goals), crm=contest.data.vocabulary.attributes)
    meaning = {one.name: _meaning(one) for one in every}
    return [
        EffectRow(
            name=one.name,
            meaning=meaning.get(one.name, ""),
            mean=one.mean,
            contributions=one.contributions.tolist(),
            levels=[None if math.isnan(level) else level for level in one.levels.tolist()],
        )
        for one in effects
    ]


def _meaning(feature: Feature) -> str:
    """Some meanings go on from their unit: "days" "since publication"."""
    begun = feature.meaning.startswith(("of ", "since ", "from "))
    return f"{feature.unit} {feature.meaning}" if begun else feature.meaning


def _slices(found: Sequence[Slice]) -> list[SliceRow]:
    typical = groups.typical(found)
    return [
        SliceRow(
            kind=one.kind,
            name=one.name,
            people=one.people,
            rows=one.rows,
            auc=one.auc,
            typical=typical.get(one.kind, math.nan),
            expected=one.expected,
            observed=one.observed,
            exposure=one.exposure,
            off=one.off,
        )
        for one in found
    ]


def _spaced(name: str) -> str:
    return name.replace("_", " ")
