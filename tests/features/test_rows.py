"""A shard's rows as whole numbers."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from features.rows import FOREVER, SHARD, Codes, Rows, encoded, micros
from tests.features.images import image
from tests.features.logs import MINUTE
from tests.features.shards import CATEGORY_OF, GOALS, Event, many_rows, night, shard_of

CODES = Codes(GOALS, CATEGORY_OF, ("a", "b"), ("web", "app"))


def rows_of(*rows: Event) -> Rows:
    """Rows, encoded."""
    return encoded(shard_of(rows), CODES)


def classes(row: Event) -> set[str]:
    """The classes of a row."""
    (mask,) = rows_of(row).mask.tolist()
    return {name for bit, name in enumerate(CODES.classes) if mask >> bit & 1}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Event(), {"any", "active", "view"}),
        (Event(event="impression", device="mobile"), {"any", "impression"}),
        (Event(event="click", device="mobile"), {"any", "active", "click", "goal:click", "mobile"}),
        (Event(event="like"), {"any", "active", "like", "social", "goal:read"}),
        (Event(event="follow"), {"any", "active", "follow", "social"}),
        (Event(dwell=30.0), {"any", "active", "view", "goal:read"}),
        (Event(dwell=29.9996), {"any", "active", "view", "goal:read"}),  # 30,000 ms
        (Event(dwell=29.9994), {"any", "active", "view"}),
        (Event(event="click", dwell=30.0), {"any", "active", "click", "goal:click"}),
        (Event(event="purchase"), {"any", "active", "purchase", "money"}),
        (Event(event="refund", device="mobile"), {"any", "refund", "money"}),
        (Event(event="custom:a"), {"any", "active", "other"}),
        (Event(event="other"), {"any", "active", "other"}),
    ],
)
def test_classes(row: Event, expected: set[str]) -> None:
    """Each row belongs to these, and to no others; `session` is said by who cuts sessions."""
    assert classes(row) == expected


def test_people_begin_where_they_begin() -> None:
    """And the last of them ends with the rows."""
    found = rows_of(Event(person=9), Event(person=-7), Event(person=9, age=5))
    assert (found.people.tolist(), found.starts.tolist()) == ([-7, 9], [0, 1, 3])


def test_nobody_has_no_rows() -> None:
    """An empty shard, in whatever pieces, has nobody in it."""
    for shard in (SHARD.empty_table(), shard_of([]), pa.Table.from_batches([], SHARD)):
        found = encoded(shard, CODES)
        assert (found.people.tolist(), found.starts.tolist()) == ([], [0])


def test_when_a_row_is_known_and_until_when() -> None:
    """Never before it happened; as it happened, and for ever, where nothing is said."""
    found = rows_of(Event(), Event(person=2, late=-5), Event(person=3, late=5, until=7))
    assert (found.known - found.ts).tolist() == [0, 0, 5]
    assert [found.until[0], found.until[2] - found.ts[2]] == [FOREVER, 7]


def test_amounts_are_whole() -> None:
    """Milliseconds and millionths, to the nearest, nothing for what is missing or no number."""
    found = rows_of(Event(dwell=1.0005, value=0.1), Event(person=2), Event(person=3, dwell=float("nan"), value=-19.99))
    assert found.dwell_ms.tolist() == [1000, 0, 0]
    assert found.micros.tolist() == [100_000, 0, -19_990_000]


def test_codes_are_places_and_minus_one_is_none() -> None:
    """Content of a category that has no place, of none, or unknown; channels that have no place, or missing."""
    contents, channels = ("c0", "c1", "c3", "c4", "unknown", None), ("web", "app", "fax", None, "web", "app")
    found = rows_of(*(Event(person=at, content=contents[at], channel=channels[at]) for at in range(6)))
    assert found.category.tolist() == [0, 1, -1, -1, -1, -1]
    assert found.channel.tolist() == [0, 1, -1, -1, 0, 1]


def test_strength_is_what_an_event_says_about_taste() -> None:
    """And two more from half a minute of engaged time on."""
    rows = [Event(event=event, dwell=dwell) for event, dwell in [("view", None), ("like", 30.0), ("refund", 0.0)]]
    found = [float(rows_of(row).strength[0]) for row in rows]
    assert found == [1.0, 5.0, 0.0]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_order_of_ties_is_settled(order: int) -> None:
    """All columns are the same bytes, in whatever order the rows of an instant came."""
    assert image(encoded(shard_of(many_rows(), order), CODES)) == image(encoded(shard_of(many_rows()), CODES))


def test_only_ties_are_put_in_another_order() -> None:
    """Rows of other instants, and of other people at the same one, stay where they are."""
    rows = [
        Event(person=1, age=MINUTE, dwell=2.0),
        Event(person=1, age=MINUTE, dwell=1.0),
        Event(person=1, age=1, dwell=0.5),
        Event(person=2, age=1, dwell=0.3),
    ]
    assert rows_of(*rows).dwell_ms.tolist() == [1000, 2000, 500, 300]


def test_instants_are_microseconds_whatever_their_time_zone() -> None:
    """Since 1970 in UTC."""
    assert micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
    assert micros(night()) == int(np.datetime64("2026-03-30T00:00:00", "us").astype(np.int64))
