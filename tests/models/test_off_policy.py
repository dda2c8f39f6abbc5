"""Values of a policy that listed nothing, where the truth is known: every list of a small universe is gone through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.off_policy import MIN_ESS, Logged, Tally, supports, told, values
from tests.examples import examples
from tests.models.universe import PLACES, READ, Law, logged, worth

LOGGING = Law({0: 0.5, 1: 0.4, 2: 0.3, 3: 0.2, 4: 0.4, 5: 0.1}, temperature=1.5, pins={2: 1}, most=(2, 2))
TARGET = Law({0: 0.2, 1: 0.1, 2: 0.3, 3: 0.6, 4: 0.2, 5: 0.5}, temperature=1.0, pins={2: 1}, most=(2, 1))
OTHER = Law({0: 0.5, 1: 0.4, 2: 0.3, 3: 0.2, 4: 0.4}, pins={1: 5})
"""Puts what `LOGGING` never has at the first place."""

LONG = Law({0: 0.5, 1: 0.4, 5: 0.2}, temperature=1.5)
SHORT = replace(LONG, temperature=1.0, most=(1, 1))
"""Ends after one place, or after two."""

ESTIMATORS = ("ips", "snips", "dr")
BAD = np.array([0.1, 0.9, 0.9, 0.05, 0.8, 0.2])
"""Guesses that are wrong about everything."""


def tally(target: Law, people: int, seed: int, value: np.ndarray = READ, law: Law = LOGGING) -> Tally:
    """One night's lists of `LOGGING`, as `target` sees them."""
    return Tally.of(logged(law, target, people, np.random.default_rng(seed), value))


def estimates(target: Law, logs: int, people: int, value: np.ndarray = READ) -> dict[str, np.ndarray]:
    """What each estimator says of whole lists on so many logs."""
    found = [values(tally(target, people, seed, value), draws=0)[-1] for seed in range(logs)]
    return {name: np.array([getattr(one, name).mean for one in found]) for name in (*ESTIMATORS, "logged")}


@pytest.mark.parametrize("value", [READ, BAD], ids=["good guesses", "bad guesses"])
def test_over_many_logs_the_estimates_are_right(value: np.ndarray) -> None:
    """IPS and DR to within the errors of 200 logs, whatever is guessed; logged lists are worth what they are."""
    found, true = estimates(TARGET, 200, 200, value), worth(TARGET)
    assert abs(worth(LOGGING) - true) > 0.02
    for name, truth in (("ips", true), ("dr", true), ("logged", worth(LOGGING))):
        error = found[name].std() / np.sqrt(len(found[name]))
        assert abs(found[name].mean() - truth) < 3.5 * error, name


def test_snips_comes_to_the_truth() -> None:
    """Its bias is gone where there are many lists."""
    one = tally(TARGET, 100_000, 1)
    (*_, whole) = values(one, draws=0)
    assert whole.snips.mean == pytest.approx(worth(TARGET), rel=0.02)
    assert whole.snips.mean != whole.ips.mean


def test_good_guesses_make_for_less_spread() -> None:
    """DR spreads less than IPS where what contents are worth is known, and bad guesses cost no more than spread."""
    good, bad = (estimates(TARGET, 100, 200, value) for value in (READ, BAD))
    assert good["dr"].std() < 0.9 * good["ips"].std()
    assert good["dr"].std() < bad["dr"].std()
    assert good["snips"].std() < good["ips"].std()


@pytest.mark.parametrize("places", [1, 2, 3])
def test_the_first_places_are_worth_what_they_are_alone(places: int) -> None:
    """What stands below does not count: the value down to a place is that of lists which end there."""
    found = values(tally(TARGET, 100_000, 2), draws=100)[places - 1]
    for name in ESTIMATORS:
        said = getattr(found, name)
        assert abs(said.mean - worth(TARGET, places)) < (said.high - said.low)
    assert found.places == places


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """In 95 of 100 logs, more or less: 100 logs of 400 people."""
    true = worth(TARGET)
    whole = [values(tally(TARGET, 400, seed), draws=60)[-1] for seed in range(100)]
    for name in ESTIMATORS:
        said = [getattr(one, name) for one in whole]
        assert 0.86 <= np.mean([one.low <= true <= one.high for one in said]) <= 1, name


@given(st.integers(0, 2**32 - 1), st.sampled_from([LOGGING, replace(LOGGING, temperature=0.0), TARGET, OTHER]))
@settings(max_examples=examples(15))
def test_of_itself_a_policy_says_what_came(seed: int, law: Law) -> None:
    """The same policy: every weight is 1, and IPS and SNIPS are the mean of what was logged."""
    found = logged(law, law, 120, np.random.default_rng(seed))
    np.testing.assert_allclose(found.weights, 1, rtol=1e-12)
    found = replace(found, propensity=np.where(found.target > 0, found.target, 1.0))  # the same to the last bit
    assert (found.weights == 1).all()
    one = Tally.of(found)
    whole = values(one, draws=5)[-1]
    assert whole.ips == whole.snips == whole.logged
    assert whole.logged.mean == pytest.approx(found.reward.sum(axis=1).mean())
    assert whole.ips_difference == (0, 0, 0)
    for support in supports(one):
        assert (support.ess, support.mean, support.error, support.zero) == (120, 1, 0, 0)
        assert support.problem is None
    assert told(supports(one)) == PLACES


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=examples(15))
def test_the_order_of_the_lists_is_nothing(seed: int) -> None:
    """Permuted, every sum has the same bytes; nothing given is changed."""
    found = logged(LOGGING, TARGET, 50, np.random.default_rng(seed))
    before = {name: one.copy() for name, one in vars(found).items()}
    order = np.random.default_rng(seed).permutation(50)
    once = Tally.of(found)
    again = Tally.of(Logged(**{name: one[order] for name, one in vars(found).items()}))
    for name, one in vars(once).items():
        assert one.tobytes() == getattr(again, name).tobytes(), name
    for name, one in vars(found).items():
        np.testing.assert_array_equal(one, before[name])


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
@settings(max_examples=examples(15))
def test_nights_add_up(seed: int, nights: int) -> None:
    """Half of the people come every night: of the sum of tallies all is true that is of the lists together."""
    rng = np.random.default_rng(seed)
    parts = [logged(LOGGING, TARGET, 60, rng, first=30 * night) for night in range(nights)]
    found = reduce(add, map(Tally.of, parts))
    w = np.concatenate([one.weights for one in parts])
    reward = np.concatenate([one.reward for one in parts])
    assert found.total == 60 * nights
    assert len(found.people) == 30 * (nights + 1)
    whole = values(found, draws=0)[-1]
    assert whole.logged.mean == pytest.approx(reward.sum(axis=1).mean())
    assert whole.ips.mean == pytest.approx((w * reward).sum(axis=1).mean())
    assert whole.snips.mean == pytest.approx(((w * reward).sum(axis=0) / w.sum(axis=0)).sum())
    for at, one in enumerate(supports(found)):
        mine = w[:, at]
        assert one.ess == pytest.approx(mine.sum() ** 2 / (mine**2).sum())
        assert 1 <= one.ess <= len(mine) * (1 + 1e-9)
        assert one.mean == pytest.approx(mine.mean())
        assert one.error == pytest.approx(mine.std() / np.sqrt(len(mine)))
        assert one.zero == np.mean(mine == 0)
        assert one.largest == pytest.approx(mine.max() / mine.sum())


def test_the_effective_sample_size_by_hand() -> None:
    """Weights 2, 1, 1, 0: (4)^2 / 6; one of four is 0, the largest holds half."""
    (one,) = supports(Tally.of(by_hand([1.0, 0.5, 0.5, 0.0])))
    assert one.ess == pytest.approx(16 / 6)
    assert (one.mean, one.zero, one.largest) == (1.0, 0.25, 0.5)
    assert one.error == pytest.approx(np.sqrt(0.5) / 2)
    assert one.problem == f"down to place 1 the lists count for 3, fewer than {MIN_ESS:.0f}"


def test_doubly_robust_by_hand() -> None:
    """Each half's guesses are scaled by what makes for the least spread in the other: there w r + scale x control."""
    rng = np.random.default_rng(8)
    said = {name: rng.random(40).tolist() for name in ("reward", "shown", "expected")}
    said["guess"] = [0.001] * 40
    found = Tally.of(by_hand(rng.random(40).tolist(), **said))
    w = found.weight.ravel()
    control = np.array(said["expected"]) - w * said["shown"]  # of the first place there is nothing above
    np.testing.assert_allclose(found.control.ravel(), control)
    weighted, scaled = w * said["reward"], found.doubly_robust.ravel()
    scale = (scaled - weighted) / control
    one, other = np.unique(scale.round(9))
    first = scale.round(9) == one
    for mine, used in ((first, other), (~first, one)):
        spread = [np.var(weighted[mine] + more * control[mine]) for more in (used - 0.01, used, used + 0.01)]
        assert min(spread) == spread[1]


def test_one_odd_list_does_not_decide() -> None:
    """Guesses of next to nothing that would have to be multiplied by much, and one that then would be far too large."""
    target, low = np.random.default_rng(9).random(400), np.full(400, 1e-4)
    low[7] = 0.5
    said = {"shown": low.tolist(), "expected": low.tolist(), "guess": low.tolist(), "reward": [1.0, 0.0] * 200}
    found = Tally.of(by_hand(target.tolist(), **said))
    assert abs(found.doubly_robust - found.weighted).max() <= 2


def by_hand(target: list[float], **said: list[float]) -> Logged:
    """Lists of one place that were shown with a probability of one half."""
    size = (len(target), 1)
    columns = {name: np.zeros(size) for name in ("reward", "shown", "expected", "guess", "unshown")}
    columns |= {name: np.array(one).reshape(size) for name, one in said.items()}
    return Logged(
        person=np.arange(len(target)),
        propensity=np.full(size, 0.5),
        target=np.array(target).reshape(size),
        open=np.ones(size, bool),
        **columns,
    )


# ---------------------------------------------------------------- what cannot be told


def test_what_nobody_was_shown_is_flagged() -> None:
    """The target's first place is always what no logged list holds: nothing is told, however many lists there are."""
    logging = replace(LOGGING, relevance=dict.fromkeys((0, 1, 2, 3), 0.3))
    found = supports(tally(OTHER, 50_000, 3, law=logging))
    assert found[0].unshown == 1
    assert found[0].problem == "100% of what would stand at place 1 was shown to nobody"
    assert (found[0].zero, told(found)) == (1, 0)


def test_what_is_shown_elsewhere_but_not_here_is_flagged() -> None:
    """Others were shown it, at other places: the mean weight tells that these lists could not hold it."""
    pinned = Law(LOGGING.relevance, temperature=1.5, pins={1: 0})
    found = supports(tally(replace(LOGGING, pins={2: 0}), 50_000, 4, law=pinned))
    assert found[0].unshown == 0
    assert found[0].mean == 0
    partly = supports(tally(replace(LOGGING, pins={}), 50_000, 4))
    assert partly[0].ess > 1000
    assert 0.5 < partly[0].mean < 0.9  # what is pinned to place 2 never comes first
    assert partly[0].problem is not None
    assert "the mean weight down to place 1 is 0." in partly[0].problem


def test_lists_too_few_for_their_weights_are_flagged() -> None:
    """Down to the place where they count for fewer than a hundred, and no further."""
    sharp = Law({**LOGGING.relevance, 5: 2.0}, temperature=0.3, pins={2: 1})
    found = supports(tally(sharp, 1000, 5))
    assert [one.ess for one in found] == sorted((one.ess for one in found), reverse=True)
    assert told(found) in (1, 2)
    assert "fewer than 100" in str(found[-1].problem)


def test_a_target_that_lists_less_has_support() -> None:
    """What it would leave empty is worth nothing, and nothing has to be known of it."""
    assert min(map(len, SHORT.lists())) == 1
    found = tally(SHORT, 100_000, 6, law=LONG)
    assert [one.problem for one in supports(found)] == [None] * PLACES
    (*_, whole) = values(found, draws=100)
    for name in ESTIMATORS:
        said = getattr(whole, name)
        assert abs(said.mean - worth(SHORT)) < said.high - said.low


def test_a_target_that_lists_more_has_none() -> None:
    """Where the logged lists had ended nobody knows what one more place would have brought."""
    found = supports(tally(LONG, 20_000, 7, law=SHORT))
    assert found[0].problem is None
    assert told(found) == 1
    assert found[-1].zero > 0.05


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda one: {"propensity": one.propensity * 0}, "a logged propensity outside"),
        (lambda one: {"propensity": one.propensity * 3}, "a logged propensity outside"),
        (lambda one: {"propensity": one.propensity * np.nan}, "a logged propensity outside"),
        (lambda one: {"target": one.target - 1}, "a target probability outside"),
        (lambda one: {"person": one.person * 0}, "a person with two lists"),
    ],
)
def test_what_is_no_log_is_refused(change: Callable[[Logged], dict[str, np.ndarray]], complaint: str) -> None:
    """Before anything is worked out."""
    one = by_hand([0.5, 0.5])
    with pytest.raises(ValueError, match=complaint):
        replace(one, **change(one))


def test_without_lists_there_is_no_value() -> None:
    """And it is said so."""
    with pytest.raises(ValueError, match="no lists to estimate from"):
        values(Tally.of(by_hand([])))
