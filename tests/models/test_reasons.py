"""Why a content stands in a list, in words."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reasons import reasons


def reason(
    category: str = "",
    author: str = "",
    *,
    liked: float = 0.0,
    read: float = 0.0,
    covisit: float = 0.0,
    age: float = 9.0,
) -> str:
    """The reason of one pair."""
    facts = {"affinity_category": liked, "affinity_author": read, "covisit": covisit, "age_days": age}
    arrays = {name: np.array([value]) for name, value in facts.items()}
    return reasons(arrays, np.array([category], object), np.array([author], object))[0]


@pytest.mark.parametrize(
    ("given_facts", "said"),
    [
        ({"category": "jazz", "liked": 0.2, "age": 1.9}, "New in jazz, which you follow closely"),
        ({"category": "jazz", "liked": 0.2, "read": 0.9, "author": "ann"}, "Because you like jazz"),
        ({"author": "ann", "read": 0.2, "covisit": 1.0}, "More by ann, whom you often read"),
        ({"covisit": 0.01, "age": 0.1}, "Popular with people who read what you read"),
        ({"age": 1.9}, "New and being noticed"),
        ({"age": 2.0}, "Popular right now"),
        ({"category": "jazz", "liked": 0.19, "age": 3.0}, "Popular right now"),
        ({"liked": 0.9, "age": 3.0}, "Popular right now"),
        ({"read": 0.9, "age": 3.0}, "Popular right now"),
    ],
)
def test_the_strongest_plain_fact_is_said(given_facts: dict[str, float], said: str) -> None:
    """Taste before author before company before freshness; what has no name is not named."""
    assert reason(**given_facts) == said  # type: ignore[arg-type]


def test_every_row_has_its_own_reason() -> None:
    """Names come from their own row, not from the first one."""
    facts = {
        "affinity_category": np.array([0.5, 0.5, 0.0]),
        "affinity_author": np.zeros(3),
        "covisit": np.zeros(3),
        "age_days": np.full(3, 9.0),
    }
    said = reasons(facts, np.array(["jazz", "soul", "folk"], object), np.array(["", "", ""], object))
    assert said == ["Because you like jazz", "Because you like soul", "Popular right now"]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 5), st.floats(0, 99), st.sampled_from(["", "jazz"]))
def test_no_reason_is_empty_or_half_said(liked: float, read: float, covisit: float, age: float, name: str) -> None:
    """Whatever the facts, there is a sentence without a gap where a name should be, and without a score."""
    said = reason(name, name, liked=liked, read=read, covisit=covisit, age=age)
    assert said
    assert said == re.sub(r"\s{2,}| ,|\d", "", said).strip()


def test_nothing_to_explain() -> None:
    """No rows, no reasons."""
    facts = dict.fromkeys(("affinity_category", "affinity_author", "covisit", "age_days"), np.zeros(0))
    assert reasons(facts, np.zeros(0, object), np.zeros(0, object)) == []
