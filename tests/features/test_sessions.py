"""Sessions and their vectors, against cutting the log by hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings

from features.history import DAY
from features.sessions import category_mix, last_session_rows, sessionize
from tests.features.logs import CATEGORY, MINUTE, NOW, Row, history_of, logs

Session = list[Row]


def cut(rows: list[Row]) -> dict[int, list[Session]]:
    """Each person's sessions, oldest first: a new one after more than 30 silent minutes; refunds are nobody's doing."""
    found: dict[int, list[Session]] = defaultdict(list)
    for row in sorted((row for row in rows if row.event != "refund"), key=lambda row: (row.person, -row.age)):
        mine = found[row.person]
        if not mine or mine[-1][-1].age - row.age > 30 * MINUTE:
            mine.append([])
        mine[-1].append(row)
    return found


def weight(session: Session) -> float:
    """2^(-age / 7 days) at its last row."""
    return float(2 ** (-session[-1].age / DAY / 7))


def done(session: Session) -> int:
    """How many things the person did in it."""
    return sum(row.active for row in session)


def mean(sessions: list[Session], values: list[float]) -> float:
    """The mean of a value a session, weighed by age."""
    return float(np.average(values, weights=[weight(session) for session in sessions]))


@settings(max_examples=80, deadline=None)
@given(logs())
def test_sessions_are_those_cut_by_hand(rows: list[Row]) -> None:
    """Start, end, depth and dwell of every session, whatever ties, duplicates and gaps there are."""
    history = history_of(rows)
    found = sessionize(history)
    expected = [
        (person, NOW - session[0].age, NOW - session[-1].age, done(session), sum(row.dwell or 0 for row in session))
        for person, sessions in sorted(cut(rows).items())
        for session in sessions
    ]
    people = history.people[found.person]
    assert list(zip(people, found.start, found.end, found.events, strict=True)) == [row[:4] for row in expected]
    np.testing.assert_allclose(found.dwell, [row[4] for row in expected])


@settings(max_examples=80, deadline=None)
@given(logs())
def test_the_category_mix_is_the_one_counted_by_hand(rows: list[Row]) -> None:
    """Each category's share of what was done, in the last session and on weighed average; nothing else is listed."""
    history = history_of(rows)
    table = category_mix(history, sessionize(history))
    got = {(row["person_id"], row["category"]): row for row in table.to_pylist()}
    expected = dict(_category_shares(rows))
    assert list(got) == sorted(expected)
    for key, (average, last) in expected.items():
        assert got[key]["session_share"] == pytest.approx(average)
        assert got[key]["last_session_share"] == pytest.approx(last)


def _category_shares(rows: list[Row]) -> Iterator[tuple[tuple[int, str], tuple[float, float]]]:
    for person, sessions in cut(rows).items():
        done_in = {CATEGORY.get(row.content) for session in sessions for row in session if row.active}
        for category in done_in - {None}:
            assert category is not None
            shares = [
                sum(row.active and CATEGORY.get(row.content) == category for row in session) / max(done(session), 1)
                for session in sessions
            ]
            yield (person, category), (mean(sessions, shares), shares[-1])


@settings(max_examples=40, deadline=None)
@given(logs())
def test_the_last_session_is_marked_row_by_row(rows: list[Row]) -> None:
    """Exactly the rows of each person's last session are marked."""
    history = history_of(rows)
    marked = last_session_rows(history, sessionize(history))
    got = sorted(zip(history.people[history.person[marked]], history.ts[marked], strict=True))
    expected = [(person, NOW - row.age) for person, sessions in cut(rows).items() for row in sessions[-1]]
    assert got == sorted(expected)


@pytest.mark.parametrize(("gap", "sessions"), [(1799, 1), (1800, 1), (1801, 2)])
def test_exactly_thirty_minutes_are_one_session(gap: int, sessions: int) -> None:
    """A gap of 29:59 or 30:00 ends nothing; 30:01 does."""
    rows = [Row(age=DAY + gap * 1_000_000), Row(age=DAY)]
    assert sessionize(history_of(rows)).count == sessions


def test_midnight_ends_no_session() -> None:
    """A session from 23:50 to 00:10 is one of twenty minutes."""
    found = sessionize(history_of([Row(age=DAY + 10 * MINUTE), Row(age=DAY - 10 * MINUTE)]))
    assert ((found.end - found.start) / MINUTE).tolist() == [20.0]


def test_a_session_never_spans_two_people() -> None:
    """Two people at the same minute have a session each."""
    assert sessionize(history_of([Row(person=1), Row(person=2)])).count == 2


def test_impressions_prove_presence_but_are_nothing_done() -> None:
    """An impression bridges two views 40 minutes apart, and adds nothing to the session's depth."""
    rows = [Row(age=DAY), Row(age=DAY + 20 * MINUTE, event="impression"), Row(age=DAY + 40 * MINUTE)]
    found = sessionize(history_of(rows))
    assert found.events.tolist() == [2.0]


def test_a_refund_is_no_visit() -> None:
    """The shop's refund neither makes a session, nor joins two, nor hides the last one."""
    rows = [
        Row(age=DAY),
        Row(age=DAY + 20 * MINUTE, event="refund"),
        Row(age=DAY + 40 * MINUTE),
        Row(age=1, event="refund"),
    ]
    assert sessionize(history_of(rows)).count == 2


def test_of_somebody_with_nothing_but_refunds_no_session_is_invented() -> None:
    """They have none."""
    assert sessionize(history_of([Row(event="refund")])).count == 0


def test_shares_of_the_categories_add_up() -> None:
    """Where everything done has a category, the shares of a person's sessions are one in all."""
    rows = [Row(content=f"c{i % 2}", age=i * 50 * MINUTE + 1) for i in range(5)]
    history = history_of(rows)
    table = category_mix(history, sessionize(history))
    assert table["category"].to_pylist() == ["a", "b"]
    assert sum(table["session_share"].to_pylist()) == pytest.approx(1)
    assert table["last_session_share"].to_pylist() == [1.0, 0.0]


def test_no_log_is_no_sessions() -> None:
    """An empty log gives empty tables with all their columns."""
    history = history_of([])
    found = sessionize(history)
    assert found.count == 0
    assert category_mix(history, found).column_names[:2] == ["person_id", "category"]
