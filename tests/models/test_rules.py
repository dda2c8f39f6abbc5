"""Rules: whom and what they are about, and what they do, in the order that is promised."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rerank import Limits, top
from models.rules import NONE, Facts, Field, Rule, Rules

NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PEOPLE = Facts(3, {"segment": Field.of(["new", "loyal", None]), "crm.plan": Field.of([None, "Pro", "free"])})
CONTENTS = Facts(
    4,
    {"category": Field.of(["pricing", "news", "news", None]), "tag": Field.of([["a", "b"], ["b"], [], None])},
    age_days=np.array([1.0, 5.0, np.nan, 9.0]),
)
EVERYBODY, EVERYTHING = np.arange(3), np.arange(4)


def night(*rules: Rule) -> Rules:
    """The rules on the night."""
    return Rules.of(rules, NIGHT, PEOPLE, CONTENTS)


def about(rule: Rule) -> tuple[list[bool], list[bool]]:
    """Whom and what a rule is about."""
    (one,) = night(rule).matched
    return one.people.tolist(), one.content.tolist()


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ({}, [True, True, True]),
        ({"segment": ("new", "loyal")}, [True, True, False]),
        ({"crm.plan": ("pro",)}, [False, True, False]),
        ({"segment": ("loyal",), "crm.plan": ("free",)}, [False, False, False]),
        ({"country": ("DE",)}, [False, False, False]),
    ],
)
def test_people_have_to_meet_every_condition(people: dict[str, tuple[str, ...]], expected: list[bool]) -> None:
    """One of the values of each field, whatever their case; nobody has a value where none is known."""
    assert about(Rule("r", "exclude", people, {"category": ("news",)}))[0] == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("r", "boost", content={"category": ("News",)}), [False, True, True, False]),
        (Rule("r", "boost", content={"tag": ("b", "c")}), [True, True, False, False]),
        (Rule("r", "boost", max_age_days=5), [True, True, False, False]),
        (Rule("r", "boost", min_age_days=5), [False, True, False, True]),
        (Rule("r", "boost", content={"category": ("news",)}, max_age_days=5), [False, True, False, False]),
    ],
)
def test_contents_are_chosen_by_what_they_are_and_how_old(rule: Rule, expected: list[bool]) -> None:
    """Of several tags one is enough; what has no known age is neither young nor old."""
    assert about(rule)[1] == expected


@pytest.mark.parametrize(
    ("since", "until", "counts"),
    [
        (None, None, True),
        (NIGHT, NIGHT + DAY, True),
        (NIGHT + DAY, None, False),
        (None, NIGHT, False),
        (NIGHT - DAY, NIGHT, False),
    ],
)
def test_a_rule_counts_from_its_first_instant_until_its_last(
    since: datetime | None, until: datetime | None, *, counts: bool
) -> None:
    """The first is in it, the last is not."""
    assert bool(night(Rule("r", "pin", since=since, until=until)).matched) == counts


def test_what_is_excluded_is_gone_and_what_is_required_is_all_there_is() -> None:
    """For those whom the rules are about, and nobody else; two of them are met both."""
    rules = night(
        Rule("no news", "exclude", {"segment": ("new",)}, {"category": ("news",)}),
        Rule("b only", "require", {"segment": ("new", "loyal")}, {"tag": ("b",)}),
    )
    expected = [[True, False, False, False], [True, True, False, False], [True, True, True, True]]
    assert rules.allowed(EVERYBODY, EVERYTHING).tolist() == expected
    assert rules.allowed(np.array([2, 0]), np.array([1, 3])).tolist() == [[True, True], [False, False]]


def test_factors_multiply() -> None:
    """All that are about a pair, in any order."""
    rules = night(
        Rule("up", "boost", content={"category": ("news",)}, factor=2.0),
        Rule("down", "bury", {"segment": ("new",)}, {"tag": ("b",)}, factor=0.25),
    )
    assert rules.factor(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 3])).tolist() == [0.25, 0.5, 2.0, 1.0]


def pinned(rules: Rules, relevance: list[float], k: int = 3) -> dict[int, int]:
    """Place by content of person 0, whose candidates are all contents."""
    place = rules.places(np.zeros(4, np.int64), EVERYTHING, np.array(relevance), k)
    return {content: int(at) for content, at in enumerate(place) if at}


def test_the_best_of_what_a_pin_is_about_gets_its_places() -> None:
    """As many as it says, one after the other."""
    assert pinned(night(Rule("p", "pin", content={"category": ("news",)})), [9, 1, 2, 0]) == {2: 1}
    assert pinned(night(Rule("p", "pin", content={"tag": ("b",)}, place=2, count=2)), [1, 2, 3, 4]) == {1: 2, 0: 3}


def test_who_comes_second_to_a_place_takes_the_next() -> None:
    """First by priority, then as they stand in the file; a content has one place; beyond the last there is none."""
    first = Rule("first", "pin", content={"category": ("news",)})
    second = Rule("second", "pin", content={"tag": ("b",)}, count=2)
    assert pinned(night(first, second), [3, 2, 1, 0]) == {1: 1, 0: 2}
    assert pinned(night(first, replace(second, priority=1)), [3, 2, 1, 0]) == {0: 1, 1: 2, 2: 3}
    assert pinned(night(first, replace(second, priority=1)), [3, 2, 1, 0], k=2) == {0: 1, 1: 2}


def test_rules_change_something_only_where_they_are_about_something() -> None:
    """Nobody and nothing leaves lists as they are; so does being left out."""
    one = Rule("r", "boost", {"segment": ("nobody",)}, {"category": ("news",)})
    assert not night(one).changes
    assert not NONE.changes
    assert night(replace(one, people={})).changes
    assert not night(replace(one, people={})).without("r").changes


def test_the_nearest_word_is_offered() -> None:
    """Of what is there, where nobody has the one that was written."""
    assert CONTENTS.nearest("category", "pricng") == "pricing"
    assert CONTENTS.nearest("category", "News") is None
    assert CONTENTS.nearest("author", "anybody") is None


@given(st.data())
def test_pins_stand_where_they_were_put_and_the_rest_is_as_it_was(data: st.DataObject) -> None:
    """Whatever is pinned where: no place twice, each at its place while the list is long enough, others in order."""
    candidates, k = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 8))
    relevance = np.array(
        data.draw(st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=candidates, max_size=candidates))
    )
    contents = Facts(candidates, {"content_id": Field.of([str(at) for at in range(candidates)])})
    rules = tuple(
        Rule(
            str(number),
            "pin",
            content={"content_id": tuple(data.draw(st.lists(st.sampled_from([str(at) for at in range(candidates)]))))},
            place=data.draw(st.integers(1, k)),
            count=data.draw(st.integers(1, 3)),
            priority=data.draw(st.integers(0, 1)),
        )
        for number in range(data.draw(st.integers(0, 3)))
    )
    rules = tuple(rule for rule in rules if rule.content["content_id"])
    person, content = np.zeros(candidates, np.int64), np.arange(candidates)
    place = Rules.of(rules, NIGHT, Facts(1, {}), contents).places(person, content, relevance, k)
    given_ = place[place > 0]
    assert len(set(given_.tolist())) == len(given_)
    assert given_.size == 0 or given_.max() <= k
    listed = top(person, content, relevance, Limits(k, content[:, None] % 3, np.array([2])), place=place)
    assert listed.rank.tolist() == list(range(1, len(listed.pair) + 1))
    shown = listed.pair.tolist()
    assert set(np.flatnonzero(place).tolist()) <= set(shown)
    if len(shown) == k:
        assert all(shown[at - 1] == pair for pair, at in enumerate(place.tolist()) if at)
    free = [pair for pair in shown if not place[pair]]
    assert free == sorted(free, key=lambda pair: (-relevance[pair], pair))
