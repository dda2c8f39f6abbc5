"""The kernel's answer completed: one row for each of a night's people, and rates smoothed with everybody's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from features.kernel import kernel
from features.people import person_features
from features.spec import PRIOR_SHOWN, counts_of_rates
from tests.features.images import image
from tests.features.shards import AS_OF, Event, logs, shard_of, spec_of

SPEC = spec_of()
SHOWN, CLICKED = "impression", "click"


def night_of(*rows: Event) -> pa.Table:
    """What the kernel says of one night."""
    return kernel(shard_of(rows), [AS_OF], SPEC)


def test_people_come_in_the_order_asked_for_with_their_own_values() -> None:
    """The measured may come in any order, and be more than a night's people."""
    measured = night_of(Event(person=1), Event(person=2), Event(person=2), *[Event(person=3)] * 3)
    shuffled = measured.take([2, 0, 1])
    found = person_features(shuffled, np.array([1, 3]), SPEC)
    assert found["person_id"].to_pylist() == [1, 3]
    assert found["events_7d"].to_pylist() == [1.0, 3.0]


def test_of_whom_nothing_was_measured_there_are_no_values() -> None:
    """Missing, not zero; and a night on which nobody was measured has all columns."""
    found = person_features(night_of(Event(person=2)), np.array([1, 2, 3]), SPEC)
    np.testing.assert_array_equal(np.asarray(found["events_7d"]), [np.nan, 1.0, np.nan])
    nobody = person_features(night_of(), np.array([7]), SPEC)
    assert nobody.column_names == found.column_names
    assert np.isnan(nobody["tenure_days"][0].as_py())


def test_columns_are_all_that_can_be_known_without_learning_in_the_order_of_the_spec() -> None:
    """Scores wait for their cut-points."""
    found = person_features(night_of(Event()), np.array([1]), SPEC)
    listed = [feature.name for feature in SPEC.listed if feature.name not in {"r_score", "f_score", "m_score"}]
    assert found.column_names == ["person_id", *listed]


def test_rates_are_smoothed_with_everybodys() -> None:
    """One clicked 1 of 2, another 0 of 8: everybody 0.1, which weighs like 20 impressions."""
    rows = [*[Event(1, event=SHOWN)] * 2, Event(1, event=CLICKED), *[Event(2, event=SHOWN)] * 8]
    found = person_features(night_of(*rows), np.array([1, 2]), SPEC)
    prior = PRIOR_SHOWN * 0.1
    expected = [(1 + prior) / (2 + PRIOR_SHOWN), (0 + prior) / (8 + PRIOR_SHOWN)]
    assert found["click_per_shown_30d"].to_pylist() == pytest.approx(expected)


def test_everybody_is_a_nights_people_and_nobody_else() -> None:
    """Who is not asked for does not weigh in the rate of all."""
    rows = [Event(1, event=SHOWN), *[Event(2, event=SHOWN), Event(2, event=CLICKED)]]
    alone = person_features(night_of(*rows), np.array([1]), SPEC)
    assert alone["click_per_shown_30d"].to_pylist() == [0.0]


def test_without_impressions_rates_are_zero_not_missing() -> None:
    """Nobody was shown anything, so nobody's rate is known to be any other than everybody's."""
    found = person_features(night_of(Event(1, event="view")), np.array([1]), SPEC)
    assert found["click_per_shown_30d"].to_pylist() == [0.0]


@given(logs(settled=True))
def test_only_rates_lean_on_what_others_did(rows: list[Event]) -> None:
    """A person's other features are the same bytes when nobody else ever did anything."""
    people = np.unique(np.array([row.person for row in rows], np.int64))
    among = person_features(night_of(*rows), people, SPEC).drop_columns(list(counts_of_rates(SPEC.goals)))
    for place, person in enumerate(people.tolist()):
        alone = person_features(night_of(*(row for row in rows if row.person == person)), people[[place]], SPEC)
        assert image(alone.select(among.column_names)) == image(among.take([place]))


def test_a_rate_is_made_of_its_counts() -> None:
    """Each by the name that the spec gives it."""
    assert counts_of_rates(["click"]) == {"click_per_shown_30d": ("click_30d", "shown_30d")}
