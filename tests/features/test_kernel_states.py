"""Going on from a state: the same bytes as all nights in one pass, or an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.history import DAY
from features.kernel import State, advanced, kernel, resumed
from features.measures import Count, Days, Share, Total
from features.rows import micros
from features.spec import Spec
from tests.features.images import image
from tests.features.logs import MINUTE
from tests.features.shards import EVERYTHING, Event, logs, many_rows, night, shard_of, some_nights

ONE_DAY = timedelta(days=1)


def windows(spec: Spec) -> set[int]:
    """All windows, in days."""
    return {measure.days for measure in spec.measures if isinstance(measure, Count | Days | Share | Total)}


def promised(rows: Iterable[Event], begun: datetime, last: datetime, of: set[int]) -> Iterator[Event]:
    """The rows that `advanced` asks for: known since, changed hands since, or what left a window since."""
    for row in rows:
        stays = row.is_known(begun) and row.is_known(last) and row.person in of
        if not stays or any(_leaves(row.ts, begun, last, timedelta(days=days)) for days in windows(EVERYTHING)):
            yield row


def _leaves(ts: datetime, begun: datetime, last: datetime, window: timedelta) -> bool:
    midnight = (last - window).replace(hour=0, minute=0, second=0, microsecond=0)
    end = midnight if midnight == last - window else midnight + ONE_DAY
    return begun - window <= ts < end


def people_of(rows: Iterable[Event]) -> dict[int, list[Event]]:
    """Everybody's rows."""
    found: dict[int, list[Event]] = {}
    for row in rows:
        found.setdefault(row.person, []).append(row)
    return found


def goes_on(mine: Sequence[Event], begun: datetime, nights: Sequence[datetime]) -> bool:
    """Whether every night knows what the one before knew, and beyond that only what happened later."""
    instants = [begun, *sorted(nights)]
    for before, after in pairwise(instants):
        first, then = ([at for at, row in enumerate(mine) if row.is_known(instant)] for instant in (before, after))
        new = [mine[at].ts for at in {*then} - {*first}]
        if not {*first} <= {*then} or (first and new and min(new) <= max(mine[at].ts for at in first)):
            return False
    return not any(_came_and_went(row, instants) for row in mine)


def _came_and_went(row: Event, instants: Sequence[datetime]) -> bool:
    return row.until is not None and not any(row.is_known(instant) for instant in instants)


def has_to_be_folded_anew(mine: Sequence[Event], begun: datetime, nights: Sequence[datetime]) -> bool:
    """Whether a night forgets what one before it knew, or learns of what happened before that."""
    for before, after in pairwise([begun, *sorted(nights)]):
        first = [row for row in mine if row.is_known(before)]
        new = [row for row in mine if row.is_known(after) and not row.is_known(before)]
        if any(not row.is_known(after) or any(late.ts < row.ts for late in new) for row in first):
            return True
    return False


def later(begun: datetime, nights: Sequence[datetime]) -> list[datetime]:
    """The nights that are not before the state's, and that one again."""
    return [begun, *(instant for instant in nights if instant > begun)]


@given(logs(), st.sampled_from([night(-1), night(0), night(0.5)]), some_nights(), st.booleans())
def test_people_go_on_from_a_state_or_are_named(
    rows: list[Event], begun: datetime, nights: list[datetime], least: bool
) -> None:
    """With those who are named folded anew, rows are the bytes of one pass; who is named has to be, or ties."""
    nights, by_person = later(begun, nights), people_of(rows)
    _, state = advanced(shard_of([row for row in rows if row.is_known(begun)]), [begun], EVERYTHING)
    there = {*state.people.tolist()}
    rest = [*promised(rows, begun, max(nights), there)] if least else rows
    found, then, anew = resumed(shard_of(rest, 3), nights, EVERYTHING, state)
    assert {p for p in there if has_to_be_folded_anew(by_person[p], begun, nights)} <= {*anew.tolist()}
    assert not {p for p in by_person if goes_on(by_person[p], begun, nights)} & {*anew.tolist()}
    assert not {*anew.tolist()} & {*then.people.tolist()}
    others = kernel(shard_of([row for row in rows if row.person in anew]), nights, EVERYTHING)
    truth, end = advanced(shard_of(rows), nights, EVERYTHING)
    assert image(by_key(pa.concat_tables([found, others]))) == image(truth)
    kept = np.isin(end.people, then.people)
    assert image(then) == image(State(end.night, end.people[kept], end.ints[kept], end.floats[kept]))


def by_key(table: pa.Table) -> pa.Table:
    """Sorted as a kernel sorts."""
    return table.sort_by([("person_id", "ascending"), ("night", "ascending")])


def test_who_has_to_be_folded_anew_is_an_error_where_nobody_asks_for_names() -> None:
    """A row that arrived late, or that is somebody else's after all, is never left out or put last in silence."""
    late = [Event(person=1), Event(person=2, age=2 * DAY), Event(person=2, age=3 * DAY, late=4 * DAY)]
    handed_over = [Event(person=1), Event(person=2, age=2 * DAY, until=3 * DAY)]
    for rows in (late, handed_over):
        state = state_of([row for row in rows if row.is_known(night())], night())
        with pytest.raises(ValueError, match=r"person 2 has a row .* has to be folded anew"):
            advanced(shard_of(rows), [night(2)], EVERYTHING, state)


@cache
def settled() -> tuple[Event, ...]:
    """Rows of 60 people that become known as they happen."""
    return tuple(row._replace(late=None, until=None) for row in many_rows(60, seed=6))


def test_a_chain_of_nights_is_one_pass() -> None:
    """From state to state over two weeks, a day or half a day at a time, and then a month at once."""
    nights = [night(-12 + days) for days in (0, 1, 2, 2.5, 3, 4, 5, 5.5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 44)]
    truth = kernel(shard_of(settled()), nights, EVERYTHING)
    parts, state = [], None
    for before, after in pairwise([None, *nights]):
        assert after is not None
        of = set() if state is None else {*state.people.tolist()}
        rest = settled() if before is None else tuple(promised(settled(), before, after, of))
        rest = tuple(row for row in rest if row.is_known(after))
        part, state = advanced(shard_of(rest), [after], EVERYTHING, state)
        parts.append(part)
    assert image(by_key(pa.concat_tables(parts))) == image(truth)
    assert image(state) == image(advanced(shard_of(settled()), nights, EVERYTHING)[1])


def state_of(rows: Sequence[Event], at: datetime) -> State:
    """The state at a night."""
    return advanced(shard_of(rows), [at], EVERYTHING)[1]


def test_people_of_the_state_need_no_rows() -> None:
    """Who did nothing and whose rows left no window is shown as time goes by."""
    rows = [Event(person=1, age=100 * DAY), Event(person=2, age=95 * DAY, event="purchase", value=3.0)]
    found, _ = advanced(shard_of([]), [night(1)], EVERYTHING, state_of(rows, night()))
    assert found.num_rows == 2
    assert image(found) == image(kernel(shard_of(rows), [night(1)], EVERYTHING))


def test_people_who_are_new_are_folded_from_the_start() -> None:
    """Beside somebody in the state, somebody whose rows were all known before it, but not to it."""
    rows = [Event(person=1, age=100 * DAY), Event(person=2, age=3 * DAY), Event(person=2, age=-1)]
    found, then = advanced(shard_of(rows[1:]), [night(1)], EVERYTHING, state_of(rows[:1], night()))
    assert image(found) == image(kernel(shard_of(rows), [night(1)], EVERYTHING))
    assert then.people.tolist() == [1, 2]


def test_a_session_goes_on_over_a_state() -> None:
    """It was open at the state's night, and its next row is half an hour after its last."""
    rows = [Event(age=20 * MINUTE), Event(age=-10 * MINUTE), Event(age=-40 * MINUTE - 1)]
    found, _ = advanced(shard_of(rows), [night(1)], EVERYTHING, state_of(rows[:1], night()))
    assert found["sessions_7d"].to_pylist() == [2]
    assert image(found) == image(kernel(shard_of(rows), [night(1)], EVERYTHING))


def test_a_late_row_is_refused_even_where_the_shard_shows_no_later_one() -> None:
    """What the state holds of the last hundred days is not in the shard; the late row is older still."""
    held, late = Event(age=100 * DAY), Event(age=150 * DAY, late=151 * DAY)
    with pytest.raises(ValueError, match="has to be folded anew"):
        advanced(shard_of([late]), [night(2)], EVERYTHING, state_of([held], night()))
    found, _ = advanced(shard_of([late]), [night(1)], EVERYTHING, state_of([held], night()))
    assert found.num_rows == 1  # it is not known on that night


def test_a_row_that_ties_with_the_state_needs_those_it_ties_with() -> None:
    """Which of two rows of an instant comes first hangs on both."""
    held, tied = Event(age=100 * DAY), Event(age=100 * DAY, event="impression", late=101 * DAY)
    state = state_of([held], night())
    for rest in ([tied], [held, tied]):
        with pytest.raises(ValueError, match="has to be folded anew"):
            advanced(shard_of(rest), [night(2)], EVERYTHING, state)


def test_a_state_of_a_later_night_is_refused() -> None:
    """Nobody goes back in time."""
    with pytest.raises(ValueError, match="later than the first night"):
        advanced(shard_of([]), [night(-1), night(1)], EVERYTHING, state_of([Event()], night()))


def test_no_night_leaves_a_state_as_it_was() -> None:
    """Nothing is folded in; without a state, there is still nobody in it."""
    state = state_of([Event()], night())
    found, then = advanced(shard_of([Event(person=2)]), [], EVERYTHING, state)
    assert (found.num_rows, image(then)) == (0, image(state))
    _, nothing = advanced(shard_of([Event()]), [], EVERYTHING)
    found, _ = advanced(shard_of([Event()]), [night()], EVERYTHING, nothing)
    assert image(found) == image(kernel(shard_of([Event()]), [night()], EVERYTHING))


def test_a_state_stays_as_it_was() -> None:
    """It can be gone on from twice."""
    state = state_of([Event()], night())
    before = image(state)
    first, second = (advanced(shard_of([Event(age=-1)]), [night(2)], EVERYTHING, state)[0] for _ in range(2))
    assert image(state) == before
    assert image(first) == image(second)
    assert state.night == micros(night())
