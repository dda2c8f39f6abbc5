"""The oracle itself: what it is asked, and that its answer hangs on nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.history import GoalRule
from features.kernel import kernel
from features.measures import Count, Session, Share
from features.rows import SHARD
from features.spec import Feature, Spec
from tests.features.shards import EVERYTHING, Event, assert_same, many_rows, night, oracle, shard_of, spec_of

NIGHTS = [night(-3), night()]


def test_rows_and_columns_come_in_any_order() -> None:
    """The oracle needs no sorting: it sorts where order matters."""
    rows = many_rows(40)
    shard = shard_of(rows)
    shuffled = shard.take(np.random.default_rng(3).permutation(len(rows))).select(shard.column_names[::-1])
    spec = replace(EVERYTHING, features=EVERYTHING.features[::5])
    assert_same(oracle(shuffled, NIGHTS, spec), oracle(shard, NIGHTS, spec), spec)


def test_names_may_be_any_text() -> None:
    """Quotes of both kinds, blanks and semicolons in goals, categories, channels, contents and features."""
    odd = """it's; "x" -- """
    features = tuple(
        Feature(f"{odd}{at}", "person", "any", "any", measure)
        for at, measure in enumerate(
            [
                Count(f"goal:{odd}", 7),
                Share(f"goal:{odd}", "view", 7),
                Session(f"category:{odd}"),
                Session(f"entry:{odd}"),
            ]
        )
    )
    spec = Spec({odd: GoalRule((odd,), 5.0)}, {odd: odd}, (odd,), (odd,), features=features)
    shard = shard_of([Event(content=odd, channel=odd, dwell=6.0), Event(event=odd), Event(age=1)])
    assert_same(kernel(shard, NIGHTS, spec), oracle(shard, NIGHTS, spec), spec)
    assert [*oracle(shard, NIGHTS, spec).to_pylist()[-1].values()][2:] == [2, 0.5, 0, 0]


@pytest.mark.parametrize(
    "spec", [Spec({}), Spec({}, features=(Feature("n", "person", "", "", Count("any", 7)),)), spec_of()]
)
def test_what_is_empty_is_no_special_case(spec: Spec) -> None:
    """No rows, no nights, no goals, no contents, hardly any features."""
    for shard, nights in [(SHARD.empty_table(), NIGHTS), (shard_of([Event()]), []), (shard_of([Event()]), NIGHTS)]:
        assert_same(kernel(shard, nights, spec), oracle(shard, nights, spec), spec)
