"""Groups of people: a planted bias is found and chance is not called bias; nobody is in a group of a handful."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from models import slices
from models.slices import OTHER, K, Slice, Worst

GROUPS = ("north", "south", "east", "west")


def served(biased: str | None, seed: int = 0) -> tuple[list[Slice], Worst | None]:
    """Four groups of 60 people with 25 rows each, ranked equally well; but for `biased`, of whom nothing is known."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(240), 25)
    names = np.array([GROUPS[person % 4] for person in people.tolist()], object)
    log_odds = rng.normal(size=len(people)) - 2
    y = rng.random(len(people)) < expit(log_odds)
    p = np.where(names == biased, expit(rng.permutation(log_odds)), expit(log_odds))
    kinds = {"region": names, "coin": np.array(["heads", "tails"], object)[people % 7 % 2]}
    found = [slices.slice_of(one, y, p, 1.0) for one in slices.members(kinds, people)]
    return found, slices.worst(found)


@pytest.mark.parametrize("group", GROUPS)
def test_a_planted_bias_is_found(group: str) -> None:
    """The group that is ranked at random is the worst, surely so, and its interval lies below the others'."""
    found, worst = served(group)
    assert worst is not None
    assert (worst.slice.kind, worst.slice.name) == ("region", group)
    assert worst.sure
    assert worst.slice.auc.high < worst.others
    assert worst.compared == len(found) == 6


def test_chance_is_not_called_bias() -> None:
    """Where all are served alike, the worst of the groups is sure about as seldom as it says: 1 in 20."""
    judged = [served(None, seed)[1] for seed in range(6)]
    assert sum(one is not None and one.sure for one in judged) <= 1


def test_probabilities_that_are_off_are_told_from_those_that_hold() -> None:
    """A group that is promised twice as much as it gets is off; one with what it gets is not."""
    rng = np.random.default_rng(2)
    people = np.repeat(np.arange(80), 30)
    names = np.where(people < 40, "promised", "kept").astype(object)
    y = rng.random(len(people)) < 0.1
    p = np.where(names == "promised", 0.2, 0.1)
    off = {one.name: slices.slice_of(one, y, p, 1.0).off for one in slices.members({"who": names}, people)}
    assert off == {"kept": False, "promised": True}


MEMBERS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), min_size=1, max_size=200)
"""Group and person of a row."""


@given(MEMBERS)
def test_a_handful_of_people_is_no_group(rows: list[tuple[int, int]]) -> None:
    """Every group keeps its name exactly if it is 11 people; all others are together under one name."""
    names, people = np.array([f"g{group}" for group, _ in rows], object), np.array([person for _, person in rows])
    members = defaultdict(set)
    for name, person in zip(names.tolist(), people.tolist(), strict=True):
        members[name].add(person)
    kept = slices.merged(names, people)
    assert kept.tolist() == [name if len(members[name]) >= K else OTHER for name in names.tolist()]
    assert all(one.draws.people >= K for one in slices.members({"kind": kept}, people))


@given(MEMBERS)
def test_exposure_is_fair_on_average(rows: list[tuple[int, int]]) -> None:
    """Weighted by its people, exposure is 1; and where everybody has one list of ten places, it is 1 for each group."""
    names, people = np.array([f"g{group}" for group, _ in rows], object), np.array([person for _, person in rows])
    found = slices.exposures(names, people, np.full(len(rows), 10))
    members = {name: len(set(people[names == name].tolist())) for name in found}
    total = sum(members.values())
    assert sum(found[name] * members[name] / total for name in found) == pytest.approx(1)
    alone = slices.exposures(names, np.arange(len(rows)), np.full(len(rows), 10))
    assert list(alone.values()) == pytest.approx([1] * len(alone))


def test_groups_are_compared_within_their_kind() -> None:
    """One group of a kind has nobody to be compared with, and with too few engaged there is no comparison."""
    people = np.repeat(np.arange(30), 4)
    one = slices.members({"all": np.full(120, "everybody", object)}, people)
    y = (np.arange(120) % 3 == 0).astype(float)
    assert slices.worst([slices.slice_of(m, y, np.linspace(0, 1, 120), 1.0) for m in one]) is None
    assert slices.typical([slices.slice_of(m, np.zeros(120), np.linspace(0, 1, 120), 1.0) for m in one]) == {}
