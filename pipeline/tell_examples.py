"""Three rows of the test lists in words: what was thought likely and why, and what then happened."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import phrases, spec, words
from features.crm import Vocabulary
from features.spec import Feature
from models import examples, listing, scorer, shap_summary
from models.classifier import Bundle
from models.examples import Kind
from pipeline.compare import Probabilities
from pipeline.lookup import Content, Lookup
from pipeline.reports.examples import Example, Reason
from pipeline.rows import Rows

MOST_ROWS = 40_000
"""Rows of lists that are looked through; whole lists, evenly spaced."""

_REASONS = 5


@dataclass(frozen=True)
class Telling:
    """Lists that were looked through, how they were judged for one goal, and what is needed to say so in words."""

    rows: Rows
    goal: str
    bundle: Bundle
    features: Sequence[Feature]
    p: NDArray[np.float64]
    place: NDArray[np.int64]
    lookup: Lookup | None

    @classmethod
    def of(
        cls,
        lists: Rows,
        listed: Probabilities,
        bundle: Bundle,
        goals: Sequence[str],
        vocabulary: Vocabulary,
        lookup: Lookup | None,
    ) -> Telling:
        """Of the goal that brought most, by its weight; `listed` are the bundle's probabilities of the lists' rows."""
        kept = _some_lists(lists.group)
        rows, by_goal = lists.where(kept), {goal: p[kept] for goal, p in listed.items()}
        place = examples.places(rows.group, scorer.relevance(by_goal, bundle.weights))
        goal = max(bundle.models, key=lambda one: (bundle.weights[one] * float(rows.labels[one].sum()), one))
        features = [one for one in spec.features(goals, crm=vocabulary.attributes) if one.modelled]
        return cls(rows, goal, bundle, features, by_goal[goal], place, lookup)

    @property
    def note(self) -> str:
        """Which rows they are."""
        return (
            f"Of {self.rows.size:,} rows of the test nights' lists, judged by {self.goal}: the likeliest of those on "
            f"the first {examples.HIGH} places that came true, the likeliest that did not, and the one that came true "
            "from the lowest place. Below each, what moved the odds most."
        )

    def told(self) -> Iterator[Example]:
        """Those of the three kinds that there are."""
        for kind in examples.kinds(self.place, self.rows.labels[self.goal], self.p, listed=10):
            if len(kind.rows):
                yield self._example(kind)

    def _example(self, kind: Kind) -> Example:
        row = int(kind.rows[0])
        content = self._content(row)
        reasons, summing = self._reasons(row)
        example = Example(
            title=kind.title,
            content=content.title or content.content_id,
            facts=list(self._facts(row, content)),
            happened=self._happened(row),
            reasons=reasons,
            summing=summing,
        )
        if content.title:
            example["content_id"] = content.content_id
        return example

    def _content(self, row: int) -> Content:
        content_id = self.rows.content_id(row)
        return self.lookup.content(self.rows.night(row), content_id) if self.lookup else Content(content_id)

    def _column(self, name: str) -> int:
        return next(place for place, one in enumerate(self.features) if one.name == name)

    def _facts(self, row: int, content: Content) -> Iterator[tuple[str, str]]:
        yield "Night", f"{self.rows.night(row).date()}"
        size = int((self.rows.group == self.rows.group[row]).sum())
        yield "Place", f"{int(self.place[row])} of {size}"
        yield "Person", self._kind_of_person(row)
        yield f"P({self.goal})", phrases.percent(float(self.p[row]))
        if content.category:
            yield "Category", content.category

    def _kind_of_person(self, row: int) -> str:
        """No pseudonym, however short: a page outlives who is forgotten."""
        columns = [self._column(name) for name in ("events_30d", "mobile_share")]
        events, mobile = self.rows.x[row : row + 1, columns].astype(np.float64).T
        kinds = listing.segments(events, mobile, np.array([""], object))
        return ", ".join(str(kinds[kind][0]) for kind in ("activity", "device") if kinds[kind][0] != "unknown")

    def _happened(self, row: int) -> str:
        reached = [goal for goal in self.rows.labels if self.rows.labels[goal][row] > 0]
        if not reached:
            return "What happened: nothing."
        return f"What happened: {' and '.join(reached)}."

    def _reasons(self, row: int) -> tuple[list[Reason], str]:
        x = self.rows.x[row : row + 1]
        moved = self.bundle.models[self.goal].contributions(x)[0]
        best = shap_summary.strongest(moved, _REASONS)
        reasons = [Reason(words=worded(self.features[i], float(x[0, i])), factor=math.exp(moved[i])) for i in best]
        rest = float(moved[:-1].sum() - moved[best].sum())
        return reasons, _summing(float(moved[-1]), rest, float(self.p[row]))


def worded(feature: Feature, value: float) -> str:
    """What a feature's value says, in one line; what is missing is said with what it would have been."""
    if feature.name == scorer.POSITION:
        place = "a place that is not known" if math.isnan(value) else f"place {value:.0f}"
        return f"seen at {place}: lists are judged as if everything stood at the top"
    if feature.measure is None and math.isnan(value):
        return f"{feature.meaning}: not known"
    return words.in_words(feature, value).replace(" %: of ", " % of ", 1)


def _some_lists(group: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows of whole lists, evenly spaced, some `MOST_ROWS` in all."""
    lists, code = np.unique(group, return_inverse=True)
    every = max(1, math.ceil(len(group) / MOST_ROWS))
    kept = np.zeros(len(lists), bool)
    kept[::every] = True
    return np.asarray(kept[code])


def _summing(base: float, rest: float, p: float) -> str:
    return (
        f"The odds begin at {_odds(base)}, all other features together multiply them by {_factor(math.exp(rest))}; "
        f"calibrated, that is {phrases.percent(p)}."
    )


def _odds(log_odds: float) -> str:
    return f"1 to {_factor(math.exp(-log_odds))}" if log_odds < 0 else f"{_factor(math.exp(log_odds))} to 1"


def _factor(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
