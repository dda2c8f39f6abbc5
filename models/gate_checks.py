"""What a challenger is held to: one comparison a check, paired on identical rows, people drawn again and again.

A check that asks for proof holds the end of an interval against its bound, so that little data proves nothing. One
that looks for harm does so only where harm is beyond doubt, or where it is a figure of these very lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models import drift
from models.gate_rows import ByGoal, Check, Shown, TestRows
from models.metrics import SURE, Interval, bootstrap_difference, log_losses, ndcg_by_group
from models.resampling import Draws, interval

Array = NDArray[Any]
Floats = NDArray[np.float64]

NDCG_MARGIN = -0.002
"""A challenger may not have lost more NDCG than this. Held against the mean: it decides only where there is a reason to
replace the champion anyway, and of two equal models an interval over hundreds of people never proves as much."""

LOG_LOSS_MARGIN = 0.01
"""A challenger's log-loss may be worse by this part of the champion's; that of a goal with few engagements, as far as
anybody can tell."""

ECE_MARGIN, ECE_GOOD = 0.005, 0.02
"""A challenger's calibration error may be larger than the champion's by so much, or it is so small that all is well."""

OFF_MARGIN = 0.5
"""What came of a goal may be away from what was expected by this part of it: beyond that, probabilities mislead."""

GROUP_MARGIN = -0.02
"""No group of people may lose more NDCG than this beyond doubt."""

COVERAGE_MARGIN = -0.2
"""The first places may hold fewer contents than the champion's, by this part of them."""

PSI_MARGIN = 0.5
"""Relevance may be spread otherwise than the champion's by this much, or by more where that surely saves log-loss: what
replaces a model that knew next to nothing has to. Of the example's world a model of 2 % of the rows has 0.28."""

LEAST_PEOPLE = 30
"""A group of fewer people who engaged is not judged: so few drawn again and again say too little of how sure one is."""

LEAST_POSITIVES = 10
"""With fewer engagements expected and observed are not compared."""

LEAST_ENGAGEMENTS = 100
"""With fewer nobody can tell whether anything was learned; nor whether a goal's log-loss is worse, unless by much."""

SKILL_MARGIN = 0.01
"""By this part of it at the least log-loss must lie below that of the bare rates, beyond doubt. Of the example's world
an honest model reaches 0.15; of 208 simulated ones that learned shuffled labels (`make bench NAME=gate`) one reached
0.005 for certain, though four in ten had an AUC above 0.5 beyond doubt: with few features that matter, noise points
along some of them."""

SPREAD = 1e-9
"""Relevance that differs by less is one number, rounded."""


@dataclass(frozen=True)
class Comparison:
    """A challenger's answers, and the champion's where there is one, on the test rows; NDCG down to place `k`."""

    rows: TestRows
    shown: Shown
    challenger: ByGoal
    champion: ByGoal | None
    k: int
    resamples: int
    seed: int

    @cached_property
    def truth(self) -> Floats:
        """What each row was worth to its person (N,)."""
        return self.rows.relevance(self.rows.labels)

    @cached_property
    def ours(self) -> Floats:
        """The challenger's relevance (N,)."""
        return self.rows.relevance(self.challenger)

    @cached_property
    def theirs(self) -> Floats:
        """The champion's relevance (N,)."""
        return self.rows.relevance(self.champion or {})

    def sound(self) -> Iterator[Check]:
        """Whether the challenger says anything: probabilities of every goal, and not one relevance for everything.

        One goal of several may have one probability for all rows: a rare one, of which nothing could be learned. So may
        all, where so little came of them that nobody could tell any better.
        """
        for goal in self._goals:
            said = np.concatenate(
                [np.asarray(one[goal], np.float64) for one in (self.challenger, self.shown.challenger)]
            )
            share = float(((said >= 0) & (said <= 1)).mean()) if len(said) else 1.0  # NaN is neither
            yield _plain(f"share of the probabilities of {goal} that are between 0 and 1", share, 1.0, share == 1.0)
        if self._told:
            spread = float(np.ptp(self.ours))
            yield _plain("relevance, from the least to the greatest", spread, SPREAD, spread > SPREAD)

    def skill(self) -> Iterator[Check]:
        """Whether the challenger knows more than the goals' rates; nothing where too little came of any to tell.

        Its probabilities are first put right for the rates of the test nights, as the bare rates are: what is asked is
        whether it tells rows apart. An AUC above 0.5 beyond doubt would not do: see `SKILL_MARGIN`.
        """
        if not self._told:
            return
        gain, bare = np.zeros(len(self.shown.person)), 0.0
        for goal in self._goals:
            y = np.asarray(self.shown.labels[goal], np.float64)
            losses = log_losses(y, np.full(len(y), y.mean()))
            gain += losses - log_losses(y, _at_rate(self.shown.challenger[goal], float(y.mean())))
            bare += float(losses.mean())
        found = interval(self._draws.means(gain / bare))
        name = "known beyond the goals' rates (log-loss saved), relative"
        yield Check(name, *found, SKILL_MARGIN, found.low > SKILL_MARGIN, held="low")

    def popular(self) -> Iterator[Check]:
        """Not surely worse than most-popular, where that is known."""
        if self.rows.popularity is not None:
            found = self._difference((self._ndcg(self.ours), self._ndcg(self.rows.popularity)), self._people)
            yield Check(f"NDCG@{self.k} against most-popular", *found, 0.0, found.high >= 0, held="high")

    def ndcg(self) -> tuple[Check, Check]:
        """Not worse, and better: both of the same interval."""
        found, name = self._difference(self._by_list, self._people), f"NDCG@{self.k} against the champion"
        worse = Check(f"{name}, not worse", *found, NDCG_MARGIN, found.mean > NDCG_MARGIN)
        return worse, Check(f"{name}, better", *found, 0.0, found.low > 0, held="low")

    def others(self) -> Iterator[Check]:
        """What must not become worse for the sake of it."""
        for goal in self._goals:
            yield self._log_loss(goal)
            yield self._ece(goal)
            yield from self._expected(goal)
        yield from self._groups()
        if self.rows.content is not None:
            yield self._coverage(self.rows.content)
        yield self._distribution()

    def unjudged(self) -> Iterator[str]:
        """What could not be held to anything, and why."""
        if not self._told:
            yield f"whether anything was learned: {self._engagements} of the {LEAST_ENGAGEMENTS} engagements needed"
        if self.champion is None:
            return
        for goal in self._goals:
            if (found := self._positives(goal)) < LEAST_POSITIVES:
                yield f"{goal} observed against expected: {found} of the {LEAST_POSITIVES} engagements needed"
        for kind, name, mine in self._members:
            if (people := self._engaged(mine)) < LEAST_PEOPLE:
                told = "fewer than 11" if people < 11 else people
                yield f"{kind} {name}: {told} of the {LEAST_PEOPLE} people needed engaged"

    @property
    def _goals(self) -> list[str]:
        return sorted(self.rows.weights)

    # ------------------------------------------------------------ lists

    @cached_property
    def _first(self) -> Array:
        """Where each list begins; lists are in the order of their numbers."""
        return np.unique(self.rows.group, return_index=True)[1]

    @property
    def _people(self) -> Array:
        return self.rows.person[self._first]

    @cached_property
    def _by_list(self) -> tuple[Floats, Floats]:
        """NDCG of our lists and of theirs, NaN where nothing was relevant."""
        return self._ndcg(self.ours), self._ndcg(self.theirs)

    def _ndcg(self, score: Floats) -> Floats:
        return ndcg_by_group(self.rows.group, score, self.truth, self.k)

    def _difference(self, values: tuple[Floats, Floats], people: Array) -> Interval:
        return bootstrap_difference(*values, people, self.resamples, self.seed)

    @cached_property
    def _members(self) -> list[tuple[str, str, Array]]:
        """Kind, name and lists (mask) of every group of people."""
        groups = sorted(self.rows.groups.items())
        return [(kind, name, names == name) for kind, names in groups for name in sorted(set(names.tolist()))]

    def _engaged(self, mine: Array) -> int:
        return len(np.unique(self._people[mine & ~np.isnan(self._by_list[0])]))

    def _groups(self) -> Iterator[Check]:
        for kind, name, mine in self._members:
            if self._engaged(mine) >= LEAST_PEOPLE:
                ours, theirs = self._by_list
                found = self._difference((ours[mine], theirs[mine]), self._people[mine])
                passed = found.high >= GROUP_MARGIN
                yield Check(f"NDCG@{self.k} of {kind} {name}", *found, GROUP_MARGIN, passed, held="high")

    def _coverage(self, content: Array) -> Check:
        """Contents in the first places of all lists, as a part of the champion's."""
        ours, theirs = (self._distinct(content, score) for score in (self.ours, self.theirs))
        found = interval(ours / theirs - 1)
        name = f"different contents in the first {self.k} places, relative"
        return Check(name, *found, COVERAGE_MARGIN, found.mean >= COVERAGE_MARGIN)

    def _distinct(self, content: Array, score: Floats) -> Floats:
        order = np.lexsort((content, -score, self.rows.group))
        group = self.rows.group[order]
        begins = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
        place = np.arange(len(group)) - np.repeat(begins, np.diff(np.append(begins, len(group))))
        listed = order[place < self.k]
        return Draws.of(self.rows.person[listed], self.resamples, self.seed).distinct(content[listed])

    def _distribution(self) -> Check:
        """How differently relevance is spread: the index of stability over the champion's tenths."""
        draws, edges = Draws.of(self.rows.person, self.resamples, self.seed), drift.quantile_edges(self.theirs)
        counts = [
            draws.cells(np.ones(len(score)), np.searchsorted(edges, score), len(edges) + 1)
            for score in (self.theirs, self.ours)
        ]
        found, saved = (
            interval(drift.psi(*counts)),
            interval(self._draws.means(np.sum(list(self._lost.values()), axis=0))),
        )
        note = f"log-loss of all goals {saved.mean:+.4f} ({saved.low:+.4f} to {saved.high:+.4f}); more may pass below 0"
        passed = found.mean <= PSI_MARGIN or saved.high < 0
        name = "relevance against the champion's, population stability index"
        return Check(name, *found, PSI_MARGIN, passed, note=note)

    # ------------------------------------------------------------ probabilities

    @cached_property
    def _draws(self) -> Draws:
        return Draws.of(self.shown.person, self.resamples, self.seed)

    def _both(self, goal: str) -> tuple[Array, Array]:
        champion = self.shown.champion or {}
        return self.shown.challenger[goal], champion[goal]

    @property
    def _told(self) -> bool:
        """Whether enough was engaged in to tell whether anything was learned."""
        return self._engagements >= LEAST_ENGAGEMENTS

    @property
    def _engagements(self) -> int:
        return sum(self._positives(goal) for goal in self._goals)

    def _positives(self, goal: str) -> int:
        return int((np.asarray(self.shown.labels[goal]) > 0).sum())

    @cached_property
    def _lost(self) -> dict[str, Floats]:
        """By goal how much more log-loss we have than the champion (M,)."""
        losses = {goal: [log_losses(self.shown.labels[goal], p) for p in self._both(goal)] for goal in self._goals}
        return {goal: ours - theirs for goal, (ours, theirs) in losses.items()}

    def _log_loss(self, goal: str) -> Check:
        """The difference as a part of the champion's log-loss."""
        whole = float(log_losses(self.shown.labels[goal], self._both(goal)[1]).mean())
        found = interval(self._draws.means(self._lost[goal] / whole))
        held: Literal["low", "value"] = "value" if self._positives(goal) >= LEAST_ENGAGEMENTS else "low"
        passed = (found.mean if held == "value" else found.low) <= LOG_LOSS_MARGIN
        return Check(f"log-loss of {goal}, relative", *found, LOG_LOSS_MARGIN, passed, held)

    def _ece(self, goal: str) -> Check:
        y = self.shown.labels[goal]
        ours, theirs = (self._draws.ece(y, p) for p in self._both(goal))
        found, itself = interval(ours - theirs), float(ours[0])
        passed = found.mean <= ECE_MARGIN or itself <= ECE_GOOD
        note = f"the challenger's is {itself:.4f}; up to {ECE_GOOD:g} is good, whatever the champion's"
        return Check(f"calibration error (ECE) of {goal}", *found, ECE_MARGIN, passed, note=note)

    def _expected(self, goal: str) -> Iterator[Check]:
        """What came of a goal as a part of what was expected, less 1."""
        if self._positives(goal) < LEAST_POSITIVES:
            return
        observed = self._draws.means(np.asarray(self.shown.labels[goal]) > 0)
        ours, theirs = (interval(observed / self._draws.means(p) - 1) for p in self._both(goal))
        surely = max(ours.low, -ours.high)  # above 0 where the interval does not hold 0: how far off it is at least
        passed = surely <= OFF_MARGIN or abs(ours.mean) <= abs(theirs.mean)
        note = f"the champion's is {theirs.mean:+.4f}; either way up to {OFF_MARGIN:g}, or no further than that"
        held: Literal["low", "high"] = "low" if ours.mean > 0 else "high"
        bound = OFF_MARGIN if ours.mean > 0 else -OFF_MARGIN
        yield Check(f"{goal} observed against expected, relative", *ours, bound, passed, held, note)


def _at_rate(p: Array, rate: float) -> Floats:
    """The same with all odds multiplied by one number, so that the mean is about `rate`."""
    p = np.clip(np.asarray(p, np.float64), SURE, 1 - SURE)
    odds = p / (1 - p) * rate / p.mean()
    return np.asarray(odds / (1 + odds))


def _plain(name: str, value: float, bound: float, passed: bool) -> Check:
    return Check(name, value, float("nan"), float("nan"), bound, passed)
