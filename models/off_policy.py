"""What lists of another policy would have been worth, estimated from lists that were drawn by lot.

The lists were shown by a policy that says with which probability each place came to hold what it does, given those
above it; a target policy says with which probability it would have placed the same there. The ratio of the two, down to
a place, is how much more often the target would have come to that beginning of a list (McInerney et al. 2020,
"Counterfactual evaluation of slate recommendations with sequential reward interactions", KDD):

    w_k = product over j <= k of  target(a_j | a_1 .. a_(j-1)) / logged(a_j | a_1 .. a_(j-1))

The assumption, which is theirs: what a person does with place k may depend on what stands above it, never on what
stands below. Another one: people do not act on each other, and no night's list changes what another's is worth.

With rewards r_k, the mean over lists, and the sum over places of

    IPS     w_k r_k                          unbiased; spreads widely where the policies differ
    SNIPS   w_k r_k / mean(w_k)              consistent: a bit of bias, less spread (Swaminathan & Joachims 2015)
    DR      w_k (r_k - q_k) + w_(k-1) (E q_k - g_k) + g_k

DR is the cascade form of the doubly robust estimator (Kiyohara et al. 2022, "Doubly robust off-policy evaluation for
ranking policies under the cascade behavior model", WSDM). In their terms the value of place k and of all below it is
guessed as q_k + g_(k+1) + g_(k+2) + ..: `q_k` is what the content at k is expected to be worth there, `E q_k` the
target's expectation of it given what stands above, and `g_k` a guess of that which knows nothing of the list. Whatever
the guesses, DR is unbiased as IPS is, for w_k q_k and w_(k-1) E q_k have the same expectation, and so have w_(k-1) g_k
and g_k; the better they are, the less it spreads. What stands further down is worth less than at the top: q, E q and g
are multiplied by one number a place, the one with which DR spreads least (as Farajtabar et al. 2018 choose all of a
model's, "More robust doubly robust off-policy evaluation", ICML) among the other half of the people (cross-fitting): no
guess is fitted to whom it is used for. Guesses that tell nothing are multiplied by next to nothing; none is made larger
than the largest reward, or one odd list could decide.

Weights are not clipped: that would trade a spread that one sees for a bias that one does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.exploration import mixed
from models.metrics import Interval
from models.resampling import Draws, interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MIN_ESS = 100.0
"""Lists that the weighted ones have to count for, down to a place: with fewer no interval can be trusted."""

MAX_UNSHOWN = 0.05
"""The share of what the target would place at a place that nobody was shown there or elsewhere, beyond which
nothing of the sort is known: the logged lists may not have been able to hold it."""

ERRORS = 3.0
"""Standard errors that the mean weight may lie away from 1."""

DRAWS = 1000

_EXACT = 1e-9


@dataclass(frozen=True)
class Logged:
    """Lists (L) by place (K), one a person, as they were shown and as another policy sees them.

    `person` is (L,), all others are (L, K): `reward` and `propensity` as logged, the rest as in `models.policy.Traced`.
    Where a list has ended, its reward is 0 and its propensity 1.
    """

    person: Integers
    reward: Floats
    propensity: Floats
    target: Floats
    open: Flags
    shown: Floats
    expected: Floats
    guess: Floats
    unshown: Floats

    def __post_init__(self) -> None:
        """Refuse what is no probability, and a person twice."""
        if not ((self.propensity > 0) & (self.propensity <= 1)).all():
            raise ValueError(
                "off-policy: a logged propensity outside (0, 1]: what was shown cannot have been impossible."
            )
        if not ((self.target >= 0) & (self.target <= 1 + _EXACT)).all():
            raise ValueError("off-policy: a target probability outside [0, 1].")
        if len(np.unique(self.person)) < len(self.person):
            raise ValueError("off-policy: a person with two lists; tally night by night.")

    @property
    def weights(self) -> Floats:
        """w_k (L, K). Where the target has ended its list nothing is to be known, and the weight stays."""
        ratios: Floats = np.where(self.open, self.target / self.propensity, 1.0)
        return ratios.cumprod(axis=1)


@dataclass(frozen=True)
class Tally:
    """Sums over lists: all that the estimators need, however many nights are added up.

    `people` (P,) are sorted, `lists` (P,) is how many each had. `reward`, `weighted`, `weight` and `control` (P, K) are
    their sums of r, of w r, of w, and of what DR adds to w r where guesses are as given. `product` and `power` (2, K)
    are sums of w r times that, and of its square, over each half of the people, `best` (2, K) is the half's largest
    reward, and `guess` (K,) the largest guess. The rest, (K,), is of the weights: the sum of their squares, the
    largest, how many are 0, the sum of w_(k-1), and that of w_(k-1) x the probability of placing what nobody was shown.
    """

    people: Integers
    lists: Integers
    reward: Floats
    weighted: Floats
    weight: Floats
    control: Floats
    product: Floats
    power: Floats
    best: Floats
    guess: Floats
    squares: Floats
    largest: Floats
    zeros: Integers
    above: Floats
    unshown: Floats

    @classmethod
    def of(cls, logged: Logged) -> Tally:
        """Of one night's lists, in any order: the same bytes."""
        order = np.argsort(logged.person)
        logged = Logged(**{name: values[order] for name, values in vars(logged).items()})
        w, half = logged.weights, _half(logged.person)
        above = np.column_stack([np.ones(len(w)), w[:, :-1]])
        weighted = w * np.where(logged.open, logged.reward, 0.0)
        shown = w * np.where(logged.open, logged.shown, 0.0)
        control = logged.guess + above * (logged.expected - logged.guess) - shown
        return cls(
            people=logged.person,
            lists=np.ones(len(w), np.int64),
            reward=logged.reward,
            weighted=weighted,
            weight=w,
            control=control,
            product=_by_half(weighted * control, half),
            power=_by_half(control * control, half),
            best=np.stack([logged.reward[half == one].max(axis=0, initial=0.0) for one in (0, 1)]),
            guess=logged.guess.max(axis=0, initial=0.0),
            squares=(w * w).sum(axis=0),
            largest=w.max(axis=0, initial=0.0),
            zeros=(w == 0).sum(axis=0),
            above=above.sum(axis=0),
            unshown=(above * logged.unshown).sum(axis=0),
        )

    def __add__(self, other: Tally) -> Tally:
        """Of the lists of both."""
        people = np.union1d(self.people, other.people)
        at = [np.searchsorted(people, one.people) for one in (self, other)]

        def of_people(name: str) -> NDArray[Any]:
            mine, theirs = getattr(self, name), getattr(other, name)
            found = np.zeros((len(people), *mine.shape[1:]), mine.dtype)
            found[at[0]] += mine
            found[at[1]] += theirs
            return found

        def summed(name: str) -> NDArray[Any]:
            return np.asarray(getattr(self, name) + getattr(other, name))

        by_person = {name: of_people(name) for name in ("lists", "reward", "weighted", "weight", "control")}
        sums = {name: summed(name) for name in ("product", "power", "squares", "zeros", "above", "unshown")}
        most = {name: np.maximum(getattr(self, name), getattr(other, name)) for name in ("best", "guess", "largest")}
        return Tally(people=people, **by_person, **sums, **most)

    @property
    def places(self) -> int:
        """How many places lists have (K)."""
        return int(self.reward.shape[1])

    @property
    def total(self) -> int:
        """How many lists there are."""
        return int(self.lists.sum())

    @property
    def doubly_robust(self) -> Floats:
        """DR's sums (P, K): guesses of each half's people by the scale with which the other half's spread least."""
        half = _half(self.people)
        lists = np.maximum(_by_half(self.lists[:, None].astype(np.float64), half), 1.0)
        weighted, control = _by_half(self.weighted, half), _by_half(self.control, half)
        together, alone = self.product - weighted * control / lists, self.power - control**2 / lists
        told = alone > _EXACT * self.power  # else all are alike: nothing could be learned of their scale
        scale = -np.divide(together, alone, out=np.zeros_like(together), where=told)
        limit = np.divide(self.best, self.guess, out=np.zeros_like(self.best), where=self.guess > 0)
        return self.weighted + np.clip(scale, -limit, limit)[1 - half] * self.control


def _half(people: Integers) -> Integers:
    """0 or 1 for each person: the same on every night."""
    return np.asarray(mixed(people.astype(np.uint64)) & np.uint64(1), np.int64)


def _by_half(values: Floats, half: Integers) -> Floats:
    return np.stack([values[half == one].sum(axis=0) for one in (0, 1)])


@dataclass(frozen=True)
class Support:
    """Whether the logged lists can tell of the target's, down to a place.

    `ess` is the effective sample size, (sum w)^2 / sum w^2 (Kish 1965); `mean` the mean weight, which has to be 1 where
    the logged policy could show all that the target would, and `error` its standard error; `zero` the share of lists
    that the target would never have made; `largest` the share of all weight that lies on one list; `unshown` the share
    of what the target would place there that nobody was shown.
    """

    place: int
    ess: float
    mean: float
    error: float
    zero: float
    largest: float
    unshown: float

    @property
    def problem(self) -> str | None:
        """Why nothing can be told, in words; None where something can."""
        if self.unshown > MAX_UNSHOWN:
            return f"{self.unshown:.0%} of what would stand at place {self.place} was shown to nobody"
        if self.ess < MIN_ESS:
            return f"down to place {self.place} the lists count for {self.ess:.0f}, fewer than {MIN_ESS:.0f}"
        if abs(self.mean - 1) > ERRORS * self.error + _EXACT:
            return (
                f"the mean weight down to place {self.place} is {self.mean:.3f} (standard error {self.error:.3f}), "
                "not 1: the target places what the logged lists could not, or too rarely, hold"
            )
        return None


def supports(tally: Tally) -> list[Support]:
    """Of every place, from 1 on.

    What the logged policy could have shown is not known for sure: its candidates are not kept. But what nobody was
    shown it hardly could; and wherever the target places what it could not, weights are missing, and their mean lies
    below 1. A high effective sample size alone says nothing: it rises where support is missing.
    """
    n, weight = tally.total, tally.weight.sum(axis=0)
    mean = weight / n
    error = np.sqrt(np.maximum(tally.squares / n - mean * mean, 0.0) / n)
    return [
        Support(
            place=at + 1,
            ess=_ratio(weight[at] ** 2, tally.squares[at]),
            mean=float(mean[at]),
            error=float(error[at]),
            zero=float(tally.zeros[at] / n),
            largest=_ratio(tally.largest[at], weight[at]),
            unshown=_ratio(tally.unshown[at], tally.above[at]),
        )
        for at in range(tally.places)
    ]


def _ratio(one: float, other: float) -> float:
    return float(one / other) if other > 0 else 0.0


def told(found: Sequence[Support]) -> int:
    """Of how many places, from the first on, something can be told."""
    return next((one.place - 1 for one in found if one.problem), len(found))


@dataclass(frozen=True)
class Values:
    """What a list's first `places` places were worth, and would have been worth, with 95 % intervals over people."""

    places: int
    logged: Interval
    ips: Interval
    snips: Interval
    dr: Interval
    ips_difference: Interval
    snips_difference: Interval
    dr_difference: Interval


def values(tally: Tally, draws: int = DRAWS, seed: int = 0) -> list[Values]:
    """Of the first place, the first two, and so on: what stands below a place does not count for those above.

    People are drawn again with replacement, each with all of their lists: the same draws for every estimator, so that
    differences to the logged lists are paired. Guesses are not fitted again for every draw.

    Raises:
        ValueError: There are no lists.
    """
    if not tally.total:
        raise ValueError("off-policy: no lists to estimate from.")
    sums = np.column_stack([tally.reward, tally.weighted, tally.weight, tally.doubly_robust, tally.lists])
    drawn = Draws.of(tally.people, draws, seed).totals(sums)
    logged, ips, weight, dr, lists = np.split(drawn, [tally.places * part for part in range(1, 5)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        snips = np.cumsum(ips / weight, axis=1)
    logged, ips, dr = (np.cumsum(part / lists, axis=1) for part in (logged, ips, dr))
    return [
        Values(
            at + 1,
            *(interval(one[:, at]) for one in (logged, ips, snips, dr)),
            *(interval(one[:, at] - logged[:, at]) for one in (ips, snips, dr)),
        )
        for at in range(tally.places)
    ]
