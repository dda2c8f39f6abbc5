"""However a kernel is asked, to the last bit: nights together or alone, more rows or fewer, shards, ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.history import DAY
from features.kernel import advanced, kernel
from tests.features.images import image
from tests.features.logs import MINUTE
from tests.features.shards import EVERYTHING, Event, logs, many_rows, night, shard_of, some_nights

NIGHTS = [night(days, late) for days, late in [(-200, 0), (-1, 0), (0, 0), (0, 1), (0.5, 0), (1, 0), (6, 0), (300, 0)]]

TWO_OF_A_DAY = [Event(1, age, "impression", "c0", *[None] * 6) for age in (2 * DAY, DAY + 30 * MINUTE)]
"""Of which a window of two days that began at noon holds the later one only."""


@cache
def of_many() -> pa.Table:
    """The features of 300 people."""
    return kernel(shard_of(many_rows()), NIGHTS, EVERYTHING)


def on(table: pa.Table, instant: datetime) -> pa.Table:
    """The rows of one night."""
    return table.filter(pc.equal(table["night"], pa.scalar(instant, table["night"].type)))


def assert_each_night_stands_alone(together: pa.Table, rows: Sequence[Event], nights: Sequence[datetime]) -> None:
    """Every night asked for alone is the same bytes."""
    shard = shard_of(rows)
    for instant in nights:
        assert image(kernel(shard, [instant], EVERYTHING)) == image(on(together, instant))


@given(logs(), some_nights())
def test_many_nights_in_one_pass_are_each_night_alone(rows: list[Event], nights: list[datetime]) -> None:
    """Whatever came in between, arrived late or changed hands."""
    assert_each_night_stands_alone(kernel(shard_of(rows), nights, EVERYTHING), rows, nights)


def test_many_nights_of_many_people_are_each_night_alone() -> None:
    """The same of 300 people, who share one process's arrays."""
    assert_each_night_stands_alone(of_many(), many_rows(), NIGHTS)


@example(TWO_OF_A_DAY, [night(-1), night(0.5)])
@given(logs(), some_nights())
def test_a_state_remembers_no_nights(rows: list[Event], nights: list[datetime]) -> None:
    """The state after many nights is that of the last night alone."""
    shard = shard_of(rows)
    assert image(advanced(shard, nights, EVERYTHING)[1]) == image(advanced(shard, [max(nights)], EVERYTHING)[1])


@given(logs(), logs(), some_nights())
def test_what_is_not_known_changes_nothing(rows: list[Event], others: list[Event], nights: list[datetime]) -> None:
    """Rows that happen later, arrive later or are somebody else's by then can be left out, or be any others."""
    last = max(nights)
    first = [row for row in rows if row.is_known(last)]
    future = [row for row in others if not row.is_known(last)]
    truth = image(kernel(shard_of(first), [last], EVERYTHING))
    assert image(kernel(shard_of(rows), [last], EVERYTHING)) == truth
    assert image(kernel(shard_of(first + future), [last], EVERYTHING)) == truth


@pytest.mark.parametrize("instant", [night(-200), night(0), night(0.5)])
def test_what_is_not_known_of_many_changes_nothing(instant: datetime) -> None:
    """The same of 300 people."""
    known = [row for row in many_rows() if row.is_known(instant)]
    assert image(kernel(shard_of(known), [instant], EVERYTHING)) == image(on(of_many(), instant))


@given(logs(), some_nights(), st.integers(1, 99))
def test_ties_come_in_any_order(rows: list[Event], nights: list[datetime], order: int) -> None:
    """Rows of the same instant, twice the same row among them, are told apart by what they are."""
    assert image(kernel(shard_of(rows, order), nights, EVERYTHING)) == image(kernel(shard_of(rows), nights, EVERYTHING))


@given(logs(), some_nights(), st.randoms(use_true_random=False))
def test_rows_come_in_any_order(rows: list[Event], nights: list[datetime], random: Random) -> None:
    """By person and time or not."""
    shard = shard_of(rows)
    order = pa.array(random.sample(range(len(rows)), len(rows)), pa.int64())
    assert image(kernel(shard.take(order), nights, EVERYTHING)) == image(kernel(shard, nights, EVERYTHING))


@pytest.mark.parametrize("backwards", [False, True])
def test_rows_of_many_come_in_any_order(backwards: bool) -> None:
    """The same of 300 people; the oldest last, or one in seven at a time."""
    shard = shard_of(many_rows())
    rows = np.arange(shard.num_rows)
    order = rows[::-1] if backwards else np.concatenate([rows[at::7] for at in range(7)])
    assert image(kernel(shard.take(order), NIGHTS, EVERYTHING)) == image(of_many())


def test_a_shard_in_pieces_of_arrays_is_read() -> None:
    """What is missing is told by bits that begin in the middle of a byte."""
    shard = shard_of(many_rows())
    padded = pa.concat_tables([shard.slice(0, 3), shard]).combine_chunks().slice(3)
    assert image(kernel(padded, NIGHTS, EVERYTHING)) == image(of_many())


def test_ties_of_many_come_in_any_order() -> None:
    """The same of 300 people."""
    assert image(kernel(shard_of(many_rows(), 7), NIGHTS, EVERYTHING)) == image(of_many())


@pytest.mark.parametrize("shards", [2, 7, 50])
def test_people_are_split_into_any_number_of_shards(shards: int) -> None:
    """Nobody's features hang on who is in the same shard."""
    rows = many_rows()
    parts = [
        kernel(shard_of([row for row in rows if row.person % shards == part]), NIGHTS, EVERYTHING)
        for part in range(shards)
    ]
    whole = pa.concat_tables(parts).sort_by([("person_id", "ascending"), ("night", "ascending")])
    assert image(whole) == image(of_many())


def test_a_shard_is_read_however_arrow_holds_it() -> None:
    """In many chunks, with text that is dictionary-encoded chunk by chunk, with other columns, in another order."""
    shard = shard_of(many_rows())
    pieces = [shard.slice(at, 100) for at in range(0, shard.num_rows, 100)]
    for name in ("event", "channel", "content_id", "device"):
        place = shard.column_names.index(name)
        pieces = [piece.set_column(place, name, piece[name].dictionary_encode()) for piece in pieces]
    other = pa.concat_tables(pieces).select(shard.column_names[::-1]).append_column("shard", shard["person_id"])
    assert image(kernel(other, NIGHTS, EVERYTHING)) == image(of_many())


def test_features_are_the_same_whatever_else_is_asked_for() -> None:
    """A column does not hang on its neighbours, nor on its place."""
    some = replace(EVERYTHING, features=EVERYTHING.features[::-3])
    found = kernel(shard_of(many_rows()), NIGHTS, some)
    assert image(found) == image(of_many().select(found.column_names))
