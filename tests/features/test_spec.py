"""The list of features: what it names exists, and what exists is named."""

from __future__ import annotations

import pytest

from features.contents import content_features
from features.kernel import kernel
from features.pair_spec import PAIRS
from features.people import person_features
from features.rfm import SCORES
from features.rows import SHARD
from features.spec import SAID, SINCE, Group, Spec, features, names
from tests.features.logs import GOALS, Row, history_of

NOT_FOR_THE_MODEL = {"person_id", "content_id", "listed"}


def test_names_are_unique_and_every_feature_says_its_unit_and_meaning() -> None:
    """A name means one thing, and nobody has to read code to learn which."""
    found = features(GOALS)
    assert len({feature.name for feature in found}) == len(found)
    assert [feature.name for feature in found if not (feature.unit and feature.meaning)] == []


def test_groups_come_in_the_order_in_which_rows_are_put_together() -> None:
    """Person, content, pair, context: `models.scorer.rows` stacks them like this."""
    order: tuple[Group, ...] = ("person", "content", "pair", "context")
    assert names(GOALS) == tuple(name for group in order for name in names(GOALS, group))
    assert names(GOALS, "context") == ("position",)


def test_every_goal_has_its_features() -> None:
    """A goal that the configuration adds brings a count, and a rate each of the person and the content."""
    added = set(names((*GOALS, "subscribe"))) - set(names(GOALS))
    assert added == {"subscribe_7d", "subscribe_30d", "subscribe_per_shown_30d", "content_subscribe_rate_30d"}


@pytest.mark.parametrize("group", ["person", "content", "pair"])
def test_every_column_that_is_computed_is_described_and_the_other_way_round(group: str) -> None:
    """The tables have the columns that are named, and no others but ids."""
    history, spec = history_of([Row()]), Spec(GOALS)
    computed = {
        "person": {*person_features(kernel(SHARD.empty_table(), [], spec), history.people, spec).column_names, *SCORES},
        "content": set(content_features(history).column_names),
        "pair": {*(f.name for f in PAIRS), *SINCE, *SAID},
    }[group]
    described = {feature.name for feature in features(GOALS) if feature.group == group}
    assert computed - NOT_FOR_THE_MODEL == described
