"""Co-visitation: cosine of decayed vectors of people."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from features.covisits import NEIGHBOURS, covisits
from features.history import DAY
from tests.features.logs import Row, history_of, logs


def by_hand(rows: list[Row], ids: list[str]) -> list[list[float]]:
    """The cosine of every two contents, over the latest engagement of each person in 30 days."""
    latest: dict[tuple[str, int], int] = {}
    for row in rows:
        if row.active and row.age <= 30 * DAY:
            key = row.content, row.person
            latest[key] = min(row.age, latest.get(key, row.age))
    people = sorted({row.person for row in rows})
    vectors = [
        np.array([2 ** (-latest[name, person] / DAY / 7) if (name, person) in latest else 0.0 for person in people])
        for name in ids
    ]
    return [[0.0 if i == j else _cosine(a, b) for j, b in enumerate(vectors)] for i, a in enumerate(vectors)]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm else 0.0


@given(logs())
def test_it_is_the_cosine_computed_by_hand(rows: list[Row]) -> None:
    """Of every two contents: a person counts once a content, impressions and refunds not at all."""
    history = history_of(rows)
    ids = history.catalogue.ids.to_pylist()
    expected = np.array(by_hand(rows, ids)).reshape(len(ids), len(ids))
    np.testing.assert_allclose(covisits(history).toarray(), expected, atol=1e-9)


def test_only_the_strongest_neighbours_are_kept() -> None:
    """A content read together with 120 others keeps the 100 most alike, which are those of the fewest other readers."""
    names = [f"n{i:03d}" for i in range(120)]
    together = [Row(person=1, content=name) for name in ("hub", *names)]
    others = [Row(person=100 + j, content=name) for i, name in enumerate(names) for j in range(i)]
    history = history_of(together + others, content=())
    ids = history.catalogue.ids.to_pylist()
    kept = [ids[at] for at in covisits(history)[ids.index("hub")].indices]
    assert kept == names[:NEIGHBOURS]


def test_of_equals_the_first_are_kept() -> None:
    """Where all neighbours are equally alike, the smaller ids stay."""
    names = [f"n{i:03d}" for i in range(NEIGHBOURS + 5)]
    history = history_of([Row(content=name) for name in names], content=())
    kept = [names[at] for at in covisits(history)[0].indices]
    assert kept == names[1 : NEIGHBOURS + 1]
