"""Rows that are kept as their parts are the rows that they stand for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.factored import BLOCK, Dense, Factored
from tests.features.images import image

WIDTHS = (3, 2, 4)
"""Features of a person, of a content, of a pair."""


def parts(seed: int, rows: int) -> tuple[Dense, Dense, Dense, np.ndarray, np.ndarray, np.ndarray]:
    """People, contents, what connects them; and who meets what where, in any order and any number of times."""
    rng = np.random.default_rng(seed)
    people, contents, between = (
        rng.normal(size=(many, width)).astype(np.float32) for many, width in zip((7, 5, rows), WIDTHS, strict=True)
    )
    position = np.where(rng.random(rows) < 0.3, np.nan, rng.integers(1, 9, rows))
    return people, contents, between, rng.integers(0, 7, rows), rng.integers(0, 5, rows), position


def put_together(
    people: Dense, contents: Dense, between: Dense, person: np.ndarray, content: np.ndarray, position: np.ndarray
) -> np.ndarray:
    """The rows as anybody would write them."""
    return np.column_stack([people[person], contents[content], between, position]).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.data())
def test_rows_are_what_they_were_put_apart_from(seed: int, rows: int, data: st.DataObject) -> None:
    """All of them, and any of them."""
    made = parts(seed, rows)
    found, expected = Factored.of(*made), put_together(*made)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.dense(), expected)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), bool)
    np.testing.assert_array_equal(found[kept].dense(), expected[kept])
    np.testing.assert_array_equal(found[rows // 2 :].dense(), expected[rows // 2 :])


def test_many_rows_are_put_together_some_at_a_time() -> None:
    """More than are put together at once, and not a multiple of them."""
    made = parts(0, 2 * BLOCK + 3)
    np.testing.assert_array_equal(Factored.of(*made).dense(), put_together(*made))


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_nothing_is_kept_that_no_row_needs(seed: int, rows: int) -> None:
    """Nor after some of the rows are left: they are kept as if there had been no others."""
    people, contents, between, person, content, position = parts(seed, rows)
    found = Factored.of(people, contents, between, person, content, position)
    assert len(found.people) == len(set(person.tolist()))
    kept = content == content[0]
    alone = Factored.of(people, contents, between[kept], person[kept], content[kept], position[kept])
    assert image(found[kept]) == image(alone)
    assert len(alone.contents) == 1


def test_one_position_may_stand_for_all() -> None:
    """And what it was made of is left alone."""
    people, contents, between, person, content, _ = parts(1, 9)
    before = image([people, contents, between])
    found = Factored.of(people, contents, between, person, content, 1.0).dense()
    assert set(found[:, -1].tolist()) == {1.0}
    found[:] = 0
    assert image([people, contents, between]) == before
