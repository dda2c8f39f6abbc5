"""Lists drawn by lot: as often as it is said, and said with the probability with which they were drawn."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.exploration import mixed
from models.likeness import Likeness
from models.lottery import Lots
from models.rerank import Limits, Listed

NIGHT = 1_782_864_000_000_000
K, CAP = 3, 1


def keys(many: int, seed: int = 0) -> np.ndarray:
    """Of so many people or contents."""
    return mixed(np.arange(many, dtype=np.uint64) + np.uint64(1000 * seed + 1))


def listed(
    lots: Lots, person: np.ndarray, content: np.ndarray, category: np.ndarray, place: np.ndarray, cap: int = CAP
) -> tuple[Listed, np.ndarray]:
    """The lists, and the propensities of their places; `category` is by content."""
    return lots.drawn(person, content, place, Limits(K, category[:, None], np.array([cap])))


def chances(
    relevance: list[float], category: list[int], pinned: int | None, temperature: float
) -> dict[tuple[int, ...], float]:
    """The probability of every list, by going through all of them: the definition, place by place."""
    rate = np.array(relevance) ** (1 / temperature)
    found: dict[tuple[int, ...], float] = {}

    def grow(shown: tuple[int, ...], chance: float) -> None:
        held = {*shown} | ({pinned} if pinned is not None else set())
        open_ = [
            c
            for c in range(len(rate))
            if c not in held and all(category[c] != category[o] or category[c] < 0 for o in held)
        ]
        if len(shown) == K or not (open_ or (pinned is not None and pinned not in shown)):
            found[shown] = found.get(shown, 0.0) + chance
        elif pinned is not None and pinned not in shown and (len(shown) == 1 or not open_):
            grow((*shown, pinned), chance)
        else:
            for one in open_:
                grow((*shown, one), chance * rate[one] / rate[open_].sum())

    grow((), 1.0)
    return found


@pytest.mark.parametrize("pinned", [None, 3])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_lists_come_as_often_as_the_law_says(temperature: float, pinned: int | None) -> None:
    """20,000 people with the same five candidates, two of a category that holds one; and a pin to place 2."""
    people, relevance, category = 20_000, [0.5, 0.3, 0.1, 0.05, 0.4], [0, 0, 1, -1, 2]
    person, content = np.repeat(np.arange(people), 5), np.tile(np.arange(5), people)
    place = np.where(content == pinned, 2, 0) if pinned is not None else np.zeros(len(person), np.int64)
    lots = Lots.of(np.tile(relevance, people), keys(people)[person], keys(5, 1)[content], NIGHT, temperature)
    found, propensity = listed(lots, person, content, np.array(category), place)
    shown = np.full((people, K), -1)
    shown[person[found.pair], found.rank - 1] = content[found.pair]
    counted = Counter(map(tuple, shown.tolist()))
    law = chances(relevance, category, pinned, temperature)
    said = np.ones(people)
    np.multiply.at(said, person[found.pair], propensity)
    for one, chance in law.items():
        error = 4 * np.sqrt(chance * (1 - chance) / people)
        assert abs(counted[one] / people - chance) < error + 1e-4, one
        told = said[(shown == one).all(axis=1)]
        np.testing.assert_allclose(told, chance, rtol=1e-9)
    assert set(counted) <= set(law)


@pytest.mark.parametrize("pinned", [None, 3])
def test_lists_that_spread_come_as_often_as_the_law_says(pinned: int | None) -> None:
    """The same where what is like one above loses relevance, with an author's cap beside: by trying all lists."""
    people, relevance, temperature = 20_000, np.array([0.5, 0.3, 0.1, 0.05, 0.4]), 0.7
    groups = np.array([[0, 0], [0, 1], [1, 0], [-1, -1], [2, 2]])
    likeness = Likeness.of(np.array([0, 0, 1, 1, 2, 3, 4, 4]), np.array([0, 1, 0, 2, 1, 2, 0, 1]), 5)
    limits = Limits(K, groups, np.array([1, 2]), 0.8, likeness)
    person, content = np.repeat(np.arange(people), 5), np.tile(np.arange(5), people)
    place = np.where(content == pinned, 2, 0) if pinned is not None else np.zeros(len(person), np.int64)
    lots = Lots.of(np.tile(relevance, people), keys(people)[person], keys(5, 1)[content], NIGHT, temperature)
    found, propensity = lots.drawn(person, content, place, limits)
    shown = np.full((people, K), -1)
    shown[person[found.pair], found.rank - 1] = content[found.pair]
    said = np.ones(people)
    np.multiply.at(said, person[found.pair], propensity)
    counted, law = Counter(map(tuple, shown.tolist())), _law(relevance, limits, temperature, pinned)
    assert set(counted) <= set(law)
    assert sum(law.values()) == pytest.approx(1)
    for one, chance in law.items():
        assert abs(counted[one] / people - chance) < 4 * np.sqrt(chance * (1 - chance) / people) + 1e-4, one
        np.testing.assert_allclose(said[(shown == one).all(axis=1)], chance, rtol=1e-9)


def _law(relevance: np.ndarray, limits: Limits, temperature: float, pinned: int | None) -> dict[tuple[int, ...], float]:
    """The probability of every list of K (padded with -1), the pin being at place 2, by the definition."""
    found: dict[tuple[int, ...], float] = {}

    def grow(shown: tuple[int, ...], chance: float) -> None:
        held = {*shown} | ({pinned} if pinned is not None else set())
        fit = [
            one
            for one in range(len(relevance))
            if one not in held
            and all(
                code < 0 or sum(limits.groups[other, group] == code for other in held) < limits.most[group]
                for group, code in enumerate(limits.groups[one])
            )
        ]
        waits = pinned is not None and pinned not in shown
        if len(shown) == K or not (fit or waits):
            padded = (*shown, *[-1] * (K - len(shown)))
            found[padded] = found.get(padded, 0.0) + chance
        elif waits and (len(shown) == 1 or not fit):
            grow((*shown, int(pinned or 0)), chance)
        else:
            lost = [1 - limits.spread * max([limits.likeness.between(c, o) for o in held], default=0.0) for c in fit]
            rate = (relevance[fit] * lost) ** (1 / temperature)
            for one, share in zip(fit, rate / rate.sum(), strict=True):
                grow((*shown, one), chance * share)

    grow((), 1.0)
    return found


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.3, 5.0]))
def test_lots_are_the_same_in_any_order_and_company(seed: int, temperature: float) -> None:
    """Shuffled, and with some people gone: each list, and its propensities, to the last bit."""
    rng = np.random.default_rng(seed)
    person, content = (found.ravel() for found in np.meshgrid(np.arange(6), np.arange(7), indexing="ij"))
    relevance, category = rng.random(42) ** 8, rng.integers(-1, 3, 7)

    def lists(rows: np.ndarray) -> dict[tuple[int, int], tuple[int, float]]:
        lots = Lots.of(relevance[rows], keys(6)[person[rows]], keys(7, 1)[content[rows]], NIGHT, temperature)
        nowhere = np.zeros(len(rows), np.int64)
        found, p = listed(lots, person[rows], content[rows], category, nowhere, cap=2)
        pairs = rows[found.pair].tolist()
        return {
            (int(person[one]), int(content[one])): (int(r), float(q))
            for one, r, q in zip(pairs, found.rank, p, strict=True)
        }

    whole = lists(np.arange(42))
    assert lists(rng.permutation(42)) == whole
    some = np.flatnonzero(person % 2 == 0)
    assert lists(some) == {pair: said for pair, said in whole.items() if pair[0] % 2 == 0}
    assert all(0 < p <= 1 for _, p in whole.values())


def test_another_night_draws_other_lots() -> None:
    """And the colder it is, the more it is the best first."""
    person, content = np.repeat(np.arange(300), 5), np.tile(np.arange(5), 300)
    relevance = np.tile([0.5, 0.4, 0.3, 0.2, 0.1], 300)

    def firsts(night: int, temperature: float) -> np.ndarray:
        lots = Lots.of(relevance, keys(300)[person], keys(5, 1)[content], night, temperature)
        nowhere = np.zeros(len(person), np.int64)
        found, _ = listed(lots, person, content, np.full(5, -1), nowhere)
        return content[found.pair[found.rank == 1]]

    assert 0.2 < np.mean(firsts(NIGHT, 1.0) == firsts(NIGHT + 86_400_000_000, 1.0)) < 0.5
    share = [np.mean(firsts(NIGHT, temperature) == 0) for temperature in (100.0, 1.0, 0.2, 0.01)]
    assert share == sorted(share)
    assert share[0] < 0.3
    assert share[-1] == 1


def test_there_is_no_lot_without_warmth() -> None:
    """At 0 nothing is drawn: that is for the caller to leave out."""
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="expected more than 0"):
            Lots.of(np.ones(1), keys(1), keys(1), NIGHT, temperature)


def test_what_hardly_anybody_wants_still_has_a_chance() -> None:
    """However cold: the last of a short list is certain, where every other is gone."""
    person, content = np.zeros(3, np.int64), np.arange(3)
    lots = Lots.of(np.array([0.9, 1e-9, 0.0]), keys(1)[person], keys(3)[content], NIGHT, 0.02)
    found, propensity = listed(lots, person, content, np.full(3, -1), np.zeros(3, np.int64))
    assert found.pair.tolist() == [0, 1, 2]
    np.testing.assert_allclose(propensity, 1.0)
    assert list(itertools.accumulate(propensity))[-1] == pytest.approx(3)
