"""All that a training's page says, gathered from the contest: figures with intervals, causes, groups, examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features import spec
from features.crm import Vocabulary
from features.spec import Feature
from models import learning, metrics, search_history, shap_summary
from models import slices as groups
from models.goal_weights import NDCG, VALUE, Suggestion
from models.resampling import FIGURES, Draws, interval
from models.shap_summary import Effect
from models.slices import Slice
from pipeline import audit_groups, records, suggest_weights
from pipeline.audit_groups import Groups
from pipeline.compare import Contest
from pipeline.lookup import Lookup
from pipeline.reports.search import Step
from pipeline.reports.slices import SliceRow
from pipeline.reports.swarm import EffectRow
from pipeline.reports.training import GoalResult, Measure, Training
from pipeline.reports.weights import WeightsRow, in_words
from pipeline.sections import Goal
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
        return {goal: found.served(data.test, goal, p) for goal, p in self.contest.tested.items()}

    @cached_property
    def draws(self) -> Draws:
        """The test's people, drawn again and again: the same draws for everybody who is compared."""
        return Draws.of(self.contest.data.test.person)

    @cached_property
    def suggestions(self) -> tuple[Suggestion, ...]:
        """Weights of the goals that would rank better by some measure."""
        return suggest_weights.suggestions(self.contest)

    @cached_property
    def telling(self) -> Telling:
        """Rows of the lists to tell in words."""
        one = self.contest
        goals, vocabulary = tuple(one.config.goals), one.data.vocabulary
        return Telling.of(one.data.lists, one.listed, one.bundle, goals, vocabulary, self.lookup)


def training_page(evidence: Evidence, skipped: Mapping[str, str]) -> Training:
    """The page; `skipped` says why other goals were not learned."""
    contest = evidence.contest
    return Training(
        project=contest.config.project.name,
        as_of=f"{records.short(contest.as_of)} UTC",
        verdict=contest.verdict.reason,
        facts=list(_facts(contest)),
        checks=contest.verdict.checks,
        unjudged=contest.verdict.unjudged,
        ranking=[(_spaced(name), *found) for name, found in contest.ndcg.items()],
        goals=[_goal_result(goal, evidence) for goal in contest.bundle.models],
        serves=_serves(contest),
        weights=[_weights_row(one) for one in evidence.suggestions],
        weights_note=_weights_note(contest),
        examples=list(evidence.telling.told()),
        examples_note=evidence.telling.note,
        skipped=list(skipped.items()),
        footer=_footer(contest),
    )


def _facts(contest: Contest) -> Iterator[tuple[str, object]]:
    data, config = contest.data, contest.config
    split = data.split
    last = split.test[-1] + config.outcome_after
    yield "Data until", f"{last:%Y-%m-%d %H:%M}" if last.hour or last.minute else f"{last.date()}"
    yield "Training nights", f"{split.train[0].date()} to {split.train[-1].date()} ({len(split.train)})"
    yield "Validation nights", _span(split.validation[0], split.validation[-1])
    yield "Test nights", _span(split.test[0], split.test[-1])
    yield "Rows", f"{data.train.size:,} + {data.validation.size:,} + {data.test.size:,}"
    yield "Graded lists", f"{len(np.unique(data.lists.group)):,} of {len(np.unique(data.lists.person)):,} people"
    yield "Features", len(spec.names(config.goals, crm=data.vocabulary.attributes))
    yield "Graded rows (sha256)", contest.verdict.rows[:12]
    if contest.champion is not None:
        yield "Champion before", f"version {contest.champion.version}"
    yield from _crm(data.vocabulary)


def _serves(contest: Contest) -> str:
    """Nothing where the very trees that are judged would serve."""
    if not contest.bundle.anew:
        return ""
    newest = contest.data.split.test[-1]
    return (
        "The trees that are judged here grew on the training nights alone; those that make lists, once promoted, were "
        f"grown anew with the same recipe on all nights up to {newest:%Y-%m-%d}."
    )


def _weights_note(contest: Contest) -> str:
    today = {goal: contest.config.goals[goal].weight for goal in sorted(contest.bundle.models)}
    shown = "" if contest.data.test is contest.data.lists else " (what people were shown, sorted among itself)"
    return (
        f"Today: {in_words(today)}; only what they are to each other matters. The others were looked for on the lists "
        f"of the validation nights{shown}, and judged on those of the test nights, with 95 % intervals over people. "
        "They are never used by themselves: shortlist.toml says what a goal is worth to you."
    )


def _weights_row(one: Suggestion) -> WeightsRow:
    return WeightsRow(
        measure=_measure_name(one.metric),
        weights=one.weights,
        today=one.today,
        suggested=one.suggested,
        difference=one.difference,
        better=one.better,
    )


def _measure_name(metric: str) -> str:
    if metric == VALUE:
        return "value of what is reached in the first ten places"
    goal = metric.removeprefix(NDCG).removeprefix(".")
    return f"NDCG@10 of {goal or 'all goals as weighted today'}"


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
    y, p = contest.data.test.labels[goal], contest.tested[goal]
    drawn = learning.curves(y, p)
    models, lead = _measured(goal, evidence)
    found = evidence.slices[goal]
    return GoalResult(
        name=goal,
        models=models,
        note=f"{len(y):,} test rows, {y.mean():.2%} engaged, {_weight(contest.config.goals[goal])}{lead}",
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
    """Every rival's figures with intervals, all of the same draws; and how far ours leads most-popular."""
    contest, draws = evidence.contest, evidence.draws
    test = contest.data.test
    y, p = test.labels[goal], contest.tested[goal]
    scores = {"model": p, **{one.name: one.test[goal] for one in contest.rivals}, "most_popular": test.popularity}
    honest = {"model", *(one.name for one in contest.rivals if one.probabilities)}
    drawn = {name: draws.figures(y, score) for name, score in scores.items()}
    measures: dict[str, dict[str, Measure]] = {name: dict(found) for name, found in contest.goals[goal].items()}
    for name, figures in drawn.items():
        measures[name] |= {figure: _known(interval(figures[figure])) for figure in FIGURES}
    for name in honest:
        measures[name]["log_loss"] = _known(interval(draws.means(metrics.log_losses(y, scores[name]))))
    lead = _lead(drawn["model"]["auc"] - drawn["most_popular"]["auc"])
    return {_spaced(name): found for name, found in measures.items()}, lead


def _weight(goal: Goal) -> str:
    return f"weight {goal.weight:g}" + (f" at a value of {goal.value:g}" if goal.value != 1 else "")


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
