"""Small engagements with much in common, and what is known of them in plain Python."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from models.engagement import DAY, HOUR, SESSION_GAP, Engagement, Scores

AS_OF = 1_000 * DAY
STEP = HOUR // 6

Row = tuple[int, int, int]
"""Person, content, and how many STEPs ago."""

AGES = st.one_of(st.integers(1, 9), st.integers(1, 600), st.integers(1, 6_000))
"""In steps: a session, four days, six weeks."""


def engagement(rows: list[Row], people: int, contents: int, born: list[int] | None = None) -> Engagement:
    """Rows in any order, and in which step before AS_OF each content was born; nobody can write into its arrays."""
    at = sorted((person, AS_OF - ago * STEP, content) for person, content, ago in rows)
    births = [10_000] * contents if born is None else born
    columns = [[row[i] for row in at] for i in (0, 2, 1)]
    person, content, ts, since = (
        np.array(values, np.int64) for values in (*columns, [AS_OF - ago * STEP for ago in births])
    )
    for values in (person, content, ts, since):
        values.flags.writeable = False
    return Engagement(AS_OF, people, contents, person, content, ts, since)


@st.composite
def engagements(draw: st.DrawFn, least: int = 0, most: int = 25) -> Engagement:
    """Up to five people and six contents, either of which may be none; nights without any event are among them."""
    people, contents = draw(st.integers(min(least, 1), 5)), draw(st.integers(min(least, 1), 6))
    if not people or not contents:
        return engagement([], people, contents)
    row = st.tuples(st.integers(0, people - 1), st.integers(0, contents - 1), AGES)
    born = st.lists(st.one_of(AGES, st.integers(-100, 10_000)), min_size=contents, max_size=contents)
    return engagement(draw(st.lists(row, min_size=least, max_size=most)), people, contents, draw(born))


def events(one: Engagement) -> Iterator[Row]:
    """Person, content and instant, one by one."""
    yield from zip(one.person.tolist(), one.content.tolist(), one.ts.tolist(), strict=True)


def last(one: Engagement) -> dict[tuple[int, int], int]:
    """When each person turned to each content last."""
    found: dict[tuple[int, int], int] = {}
    for person, content, ts in events(one):
        found[person, content] = max(ts, found.get((person, content), ts))
    return found


def readers(one: Engagement, content: int) -> int:
    """How many people turned to it."""
    return len({person for person, what, _ in events(one) if what == content})


def rarity(one: Engagement, content: int) -> float:
    """Inverse document frequency."""
    return math.log(1 + one.people / max(readers(one, content), 1))


def fading(one: Engagement, ts: int, half_life: float) -> float:
    """What is left of an instant's weight; `half_life` in microseconds."""
    return float(2.0 ** ((ts - one.as_of) / half_life))


def sessions(one: Engagement) -> list[list[Row]]:
    """The events of each session, session by session."""
    found: list[list[Row]] = []
    for row in events(one):
        same = found and found[-1][-1][0] == row[0] and row[2] - found[-1][-1][2] <= SESSION_GAP
        if same:
            found[-1].append(row)
        else:
            found.append([row])
    return found


def dot(a: dict[int, float], b: dict[int, float]) -> float:
    """Of two sparse vectors."""
    return sum(value * b.get(at, 0.0) for at, value in a.items())


def cosine(a: dict[int, float], b: dict[int, float]) -> float:
    """Of two sparse vectors; 0 where there is nothing."""
    length = math.sqrt(dot(a, a) * dot(b, b))
    return dot(a, b) / length if length else 0.0


def all_scores(one: Engagement, scores: Scores) -> Any:
    """Everybody's scores of everything (people, contents)."""
    found = scores.scores(np.arange(one.people), np.arange(one.contents))
    return np.broadcast_to(found, (one.people, one.contents))


def grid(one: Engagement, cell: Any) -> Any:
    """`cell(person, content)` of everybody and everything (people, contents)."""
    values = [[float(cell(u, i)) for i in range(one.contents)] for u in range(one.people)]
    return np.array(values, float).reshape(one.people, one.contents)


def assert_same(found: Any, expected: Any) -> None:
    """Equal but for what single precision rounds away."""
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
