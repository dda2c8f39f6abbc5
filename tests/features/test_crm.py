"""What is read of a CRM: attributes that are learned to be features, codes that stay, and nothing of a handful."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import crm, definitions, spec, words
from features.crm import Vocabulary, coded, facts, vocabulary
from features.measures import Attribute
from tests.features.crm_cases import DAY, Said, contacts_of, facts_of
from tests.features.images import image
from tests.features.logs import GOALS

NAN = float("nan")

values = st.sampled_from(["red", "green", "blue", "Ä ö", "1", "2.5", "-3e2", "1,5", "nan", "inf", "1e200", " ", ""])
said = st.dictionaries(st.sampled_from(["colour", "Colour", "x[0] <", "größe"]), st.none() | values, max_size=4)
crms = st.lists(st.tuples(st.integers(1, 60), said), max_size=60, unique_by=lambda row: row[0])


def people(count: int, value: str, start: int = 0, name: str = "plan") -> list[tuple[int, Said]]:
    """So many people with one value."""
    return [(person, {name: value}) for person in range(start, start + count)]


def column(rows: Iterable[tuple[int, Said]], wanted: list[int], learned: Vocabulary) -> list[float]:
    """What the only attribute is for these people."""
    (found,) = coded(facts_of(rows), np.array(wanted), learned).columns
    return list(found.to_pylist())


def of_values(counts: Mapping[str, int]) -> Vocabulary:
    """Learned from one attribute of which so many people have each value."""
    rows: list[tuple[int, Said]] = []
    for value, count in counts.items():
        rows += people(count, value, len(rows))
    return vocabulary([facts_of(rows)])


# ---------------------------------------------------------------- what is learned


def test_values_have_codes_by_frequency_then_name_and_all_else_is_other() -> None:
    """Ties go by name; what fewer than eleven people have has no code of its own."""
    learned = of_values({"free": 11, "team": 30, "pro": 11, "secret": 10})
    assert learned.attributes == (Attribute("crm_plan", "plan", ("team", "free", "pro")),)
    rows = [(1, {"plan": "team"}), (2, {"plan": "pro"}), (3, {"plan": "secret"}), (4, {"plan": "new"}), (5, {})]
    assert column(rows, [1, 2, 3, 4], learned) == [0, 2, 3, 3]
    assert "secret" not in json.dumps(learned.to_json())


def test_missing_is_missing_and_never_a_code() -> None:
    """Blank, null, another attribute only, no such contact, nobody at all: all the same."""
    learned = of_values({"free": 20, "pro": 12})
    rows: list[tuple[int, Said]] = [
        (1, {"plan": " "}),
        (2, {"plan": None}),
        (3, {"Plan": "pro"}),
        (4, {"plan": " pro "}),
    ]
    np.testing.assert_array_equal(column(rows, [9, 4, 3, 2, 1, 4], learned), [NAN, 1, NAN, NAN, NAN, 1])
    np.testing.assert_array_equal(column([], [1, 2], learned), [NAN, NAN])


@pytest.mark.parametrize("count", [crm.K - 1, crm.K])
def test_eleven_people_share_what_is_learned(count: int) -> None:
    """On however many nights fewer had it."""
    rare = people(count, "rare", 100)
    learned = vocabulary([facts_of(people(20, "usual") + rare)] * 9)
    (found,) = learned.attributes
    assert found.values == ("usual", "rare")[: 1 + (count == crm.K)]


@pytest.mark.parametrize("count", [crm.K - 1, crm.K])
def test_eleven_people_have_an_attribute(count: int) -> None:
    """A number that a handful of people have would be about them."""
    learned = vocabulary([facts_of((person, {"seats": str(person // 2)}) for person in range(count))])
    assert bool(learned.attributes) == (count == crm.K)
    assert count == crm.K or learned.left_out == {"seats": "fewer than 11 people have it"}


def test_at_most_twenty_values_have_codes() -> None:
    """The most frequent ones."""
    (found,) = of_values({f"v{number:02d}": 60 - number for number in range(25)}).attributes
    assert found.values == tuple(f"v{number:02d}" for number in range(20))


def test_at_most_thirty_attributes_are_features() -> None:
    """Those that most people have, ties by name; the others are named."""
    names = [f"a{number:02d}" for number in range(35)]
    rows = [
        (person, {name: str(person % 2) for at, name in enumerate(names) if person < 40 - (at < 3)})
        for person in range(40)
    ]
    learned = vocabulary([facts_of(rows)])
    assert [one.name for one in learned.attributes] == names[3:33]
    assert learned.left_out == dict.fromkeys([*names[:3], *names[33:]], "30 others are known of more people")


def test_numbers_are_numbers_for_95_of_100() -> None:
    """The unreadable ones are missing; with more of them it is a category."""
    rows = [(person, {"seats": str(person % 30 - 3)}) for person in range(95)]
    learned = vocabulary([facts_of(rows + people(5, "many", 95, "seats"))])
    assert learned.attributes == (Attribute("crm_seats", "seats", None),)
    asked = [(1, "-2.50"), (2, "many"), (3, "1e3"), (4, "1e39"), (5, "1,5"), (6, "nan"), (7, "007")]
    found = column([(person, {"seats": text}) for person, text in asked], list(range(1, 9)), learned)
    np.testing.assert_array_equal(found, [-2.5, NAN, 1000, NAN, NAN, NAN, 7, NAN])
    learned = vocabulary([facts_of(rows + people(16, "many", 95, "seats"))])
    assert learned.attributes[0].values == ("many",)


def test_two_numbers_are_a_category() -> None:
    """A flag, however it is written."""
    assert of_values({"0": 30, "1": 20}).attributes[0].values == ("0", "1")


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["same"] * 40, "all who have it have the same"),
        ([f"2026-05-{day:02d} 10:{day}" for day in range(40)], "almost each person has another"),
        ([str(1000 + number) for number in range(40)], "a number of almost each person's own, like an id"),
        ([f"v{number % 10}" for number in range(40)], "no value is shared by 11 people"),
    ],
)
def test_what_tells_nothing_or_everything_is_left_out(texts: list[str], why: str) -> None:
    """And it is said why."""
    learned = vocabulary([facts_of((person, {"plan": text}) for person, text in enumerate(texts))])
    assert (learned.attributes, learned.left_out) == ((), {"plan": why})


def test_a_measurement_of_each_persons_own_is_no_id() -> None:
    """Money spent, say."""
    rows = [(person, {"spent": f"{person}.{person:02d}"}) for person in range(40)]
    assert vocabulary([facts_of(rows)]).attributes == (Attribute("crm_spent", "spent", None),)


def test_nothing_is_learned_from_nobody() -> None:
    """No nights, or a CRM without attributes."""
    assert vocabulary([]) == vocabulary([facts_of([(1, {})])]) == Vocabulary()
    assert coded(facts_of([]), np.array([1]), Vocabulary()).num_columns == 0


def test_columns_are_safe_in_any_system_and_unique() -> None:
    """Whatever the CRM calls its attributes."""
    names = ["Größe", "x[0] <", "x 0", "日本", "", "L" * 300]
    rows = [(person, dict.fromkeys(names, f"v{person % 2}")) for person in range(30)]
    learned = vocabulary([facts_of(rows)])
    columns = {one.name: one.column for one in learned.attributes}
    assert columns["Größe"] == "crm_groe"
    assert {columns["x 0"], columns["x[0] <"]} == {"crm_x_0", "crm_x_0__2"}
    assert len(set(columns.values())) == len(names)
    assert all(re.fullmatch(r"crm_[a-z0-9_]{1,64}", one) for one in columns.values())


@given(crms, st.integers(0, 99))
def test_the_order_of_rows_and_nights_means_nothing(rows: list[tuple[int, Said]], seed: int) -> None:
    """The same vocabulary, and the same codes person by person."""
    contacts = contacts_of(rows)
    mixed = contacts.take(pa.array(np.random.default_rng(seed).permutation(len(rows)), pa.int64()))
    ids = np.arange(70)
    before, after = facts(contacts, ids), facts(mixed, ids[::-1])
    assert before.equals(after)
    learned = vocabulary([before, before.slice(2)])
    assert vocabulary([after.slice(2), after]) == learned
    expected = coded(before, ids, learned)
    assert coded(before.take(pa.array(np.arange(before.num_rows)[::-1])), ids, learned).equals(expected)
    assert coded(before, ids[::-1], learned).equals(expected.take(pa.array(ids[::-1])))


@given(crms, crms)
def test_codes_are_told_apart_and_of_known_range(rows: list[tuple[int, Said]], tonight: list[tuple[int, Said]]) -> None:
    """Numbers are finite, codes count from 0 to "other", and who has nothing to say is missing."""
    learned = vocabulary([facts_of(rows + [(person + 100, about) for person, about in rows])])
    ids = np.arange(61)
    before = image(list(learned.to_json().items()))
    found = coded(facts_of(tonight), ids, learned)
    has = dict(tonight)
    for one in learned.attributes:
        for person, value in enumerate(found[one.column].to_pylist()):
            text = (has.get(person, {}).get(one.name) or "").strip()
            if one.values is None:
                assert np.isnan(value) or np.isfinite(np.float32(value))
            elif not text:
                assert np.isnan(value)
            else:
                assert value == (one.values.index(text) if text in one.values else len(one.values))
    assert image(list(learned.to_json().items())) == before


@given(st.lists(st.integers(0, crm.K - 1), max_size=8))
def test_rare_values_come_and_go_and_codes_stay(rare: list[int]) -> None:
    """Of whatever fewer than eleven people say."""
    counts = {f"rare{number}": count for number, count in enumerate(rare) if count}
    (usual,) = of_values({"free": 40, "pro": 25}).attributes
    assert of_values({**counts, "free": 40, "pro": 25}).attributes == (usual,)


@given(crms)
def test_a_vocabulary_is_json(rows: list[tuple[int, Said]]) -> None:
    """It is kept with the model, and read again as it was."""
    learned = vocabulary([facts_of(rows + [(person + 100, about) for person, about in rows])])
    assert Vocabulary.from_json(json.loads(json.dumps(learned.to_json()))) == learned
    assert Vocabulary.from_json(None) == Vocabulary()


# ---------------------------------------------------------------- what a CRM says


def test_of_several_contacts_the_newest_that_knows_says_it() -> None:
    """Of two as new the first source by name, then the smallest id."""
    old, new = DAY - timedelta(days=9), DAY
    contacts = pa.concat_tables(
        [
            contacts_of([(1, {"plan": "old", "seats": "3"})], day=old, source="a", customer_id=11),
            contacts_of([(1, {"plan": "b"})], day=new, source="b", customer_id=12),
            contacts_of([(1, {"plan": "a2"})], day=new, source="a", customer_id=14),
            contacts_of([(1, {"plan": "a", "seats": ""})], day=new, source="a", customer_id=13),
            contacts_of([(2, {"plan": "somebody else's"})]),
        ]
    )
    found = facts(contacts, np.array([1, 7]))
    assert [tuple(row.values()) for row in found.to_pylist()] == [(1, "plan", "a"), (1, "seats", "3")]


# ---------------------------------------------------------------- the list of features


def test_attributes_come_behind_the_persons_other_features() -> None:
    """In the list that the model reads and in the group; without a vocabulary there are none."""
    attributes = (Attribute("crm_plan", "plan", ("free", "pro")), Attribute("crm_seats", "seats", None))
    names, person = spec.names(GOALS), spec.names(GOALS, "person")
    assert spec.names(GOALS, "person", attributes) == (*person, "crm_plan", "crm_seats")
    assert spec.names(GOALS, crm=attributes) == (*person, "crm_plan", "crm_seats", *names[len(person) :])


def test_attributes_have_words() -> None:
    """The value, not its code."""
    plan, seats = (
        one
        for one in spec.features(
            GOALS, crm=(Attribute("crm_plan", "plan", ("free", "pro")), Attribute("crm_seats", "seats", None))
        )
        if one.name.startswith("crm_")
    )
    assert [words.in_words(plan, value) for value in (1.0, 2.0, NAN)] == [
        "plan: pro",
        "plan: another value",
        "plan: the CRM does not say",
    ]
    assert words.in_words(seats, 1250.0) == "seats: 1,250"
    assert definitions.measured_in_words(plan) == "a code of the training nights: 0 free, 1 pro, 2 any other"
    assert definitions.measured_in_words(seats) == "the number that the CRM has as of the night"
    assert definitions.memory_in_words(plan) == "does not grow with the log"
    assert definitions.topic(seats) == "From the CRM"
    assert (plan.memory_days, plan.unit, seats.unit) == (0, "code", "number")
