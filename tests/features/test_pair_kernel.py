"""The pair kernel against counting by hand, and its rules one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.history import DAY
from features.pair_kernel import REQUESTS, pair_kernel
from features.pair_measures import Affinity, Count, Groups, Unanswered
from features.pair_spec import PAIRS, PairFeature, PairSpec
from tests.features.logs import MINUTE
from tests.features.pair_oracle import SPEC, Request, answer, many_requests, requests, requests_of
from tests.features.shards import HOUR, Event, logs, many_rows, shard_of

NAN = float("nan")


def answered(rows: Sequence[Event], *asked: Request) -> list[dict[str, float]]:
    """What the kernel answers, by name."""
    return list(pair_kernel(shard_of(rows), requests_of(asked), SPEC).drop_columns(REQUESTS.names).to_pylist())


def assert_by_hand(rows: Sequence[Event], asked: Sequence[Request]) -> None:
    """Every answer is the one by hand; what has halved 400 times is nothing."""
    for request, found in zip(asked, answered(rows, *asked), strict=True):
        assert found == pytest.approx(answer(rows, request), rel=1e-9, abs=1e-120, nan_ok=True), request


@given(st.data())
def test_answers_are_those_counted_by_hand(data: st.DataObject) -> None:
    """Whatever happened, was known when and whose it was, whoever is asked about, when, and about which content."""
    rows = data.draw(logs())
    assert_by_hand(rows, data.draw(requests(rows)))


def test_answers_about_many_are_those_counted_by_hand() -> None:
    """120 people with up to 40 rows each: late ones, tied ones, and some that change hands."""
    rows = many_rows(people=120)
    assert_by_hand(rows, many_requests(rows, 1200))


def test_nothing_asked_where_nothing_is_known_is_no_answer() -> None:
    """On a log's first night there is no content yet to ask about: no rows, and the columns all the same."""
    nothing = PairSpec(Groups.of(pa.table({"content_id": pa.array([], pa.string())})))
    found = pair_kernel(shard_of([]), requests_of([]), nothing)
    assert found.num_rows == 0
    assert found.column_names == [*REQUESTS.names, *nothing.names]


# ---------------------------------------------------------------- what is known, and whose it is


def test_the_instant_itself_is_not_known() -> None:
    """A row counts from the first microsecond after it on."""
    at, after = answered([Event(age=DAY, event="click")], Request(age=DAY), Request(age=DAY - 1))
    assert (at["seen"], after["seen"]) == (0, 1)
    assert np.isnan(at["engaged_days_ago"])
    assert after["engaged_days_ago"] * DAY == pytest.approx(1)


@pytest.mark.parametrize("request_", [Request(person=99), Request(age=900 * DAY), Request(content="never heard of")])
def test_of_whom_nothing_is_known_there_is_nothing(request_: Request) -> None:
    """A stranger, an instant before everything, and a content in no group that nobody ever saw."""
    (found,) = answered([Event(event="click")], request_)
    assert (found["seen"], found["shown"], found["shown_unanswered"], found["affinity_tags"]) == (0, 0, 0, 0)
    assert np.isnan(found["shown_days_ago"])
    known = request_.content != "never heard of"
    assert found["affinity_category_7d"] == pytest.approx(0.0 if known else NAN, nan_ok=True)
    assert found["category_shown_30d"] == pytest.approx(0.0 if known else NAN, nan_ok=True)


def test_a_row_counts_once_it_is_known() -> None:
    """It arrived three days late, after a later one: it is in the place where it belongs, from then on."""
    rows = [Event(age=5 * DAY, late=3 * DAY), Event(age=4 * DAY, event="click")]
    before, after = answered(rows, Request(age=2 * DAY), Request(age=2 * DAY - 1))
    assert (before["events_so_far"], after["events_so_far"]) == (1, 2)
    assert before["event_days_ago"] == 2
    assert after["event_days_ago"] == pytest.approx(2, abs=1e-9)


def test_a_row_counts_until_it_is_somebody_elses() -> None:
    """To the microsecond."""
    mine, theirs = answered([Event(age=5 * DAY, until=3 * DAY)], Request(age=2 * DAY), Request(age=2 * DAY - 1))
    assert (mine["seen"], theirs["seen"]) == (1, 0)


def test_a_row_arrives_while_an_older_one_leaves() -> None:
    """To go back to before the one that arrives is not enough: the one that left is still in there."""
    rows = [Event(age=10 * DAY, until=5 * DAY, content="c1"), Event(age=9 * DAY, late=5 * DAY), Event(age=8 * DAY)]
    asked = [Request(age=7 * DAY, content=content) for content in ("c0", "c1")]
    asked += [Request(age=3 * DAY, content=content) for content in ("c0", "c1")]
    found = answered(rows, *asked)
    assert [one["seen"] for one in found] == [1, 1, 2, 0]
    assert [one["events_so_far"] for one in found] == [2, 2, 2, 2]


def test_a_window_is_closed_at_its_old_end() -> None:
    """What was shown exactly 30 days ago counts, and what was shown a microsecond earlier does not."""
    rows = [Event(age=30 * DAY, event="impression"), Event(age=30 * DAY + 1, event="impression")]
    now, later = answered(rows, Request(), Request(age=-1))
    assert (now["shown"], now["category_shown_30d"], now["shown_days_ago"]) == (1, 1, 30)
    assert (later["shown"], later["shown_unanswered"]) == (0, 2)
    assert np.isnan(later["shown_days_ago"])


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(("age", "unanswered"), [(DAY + 1, 1), (DAY, 0), (DAY - 1, 0)])
def test_what_was_shown_up_to_an_engagement_is_answered(age: int, unanswered: int) -> None:
    """An impression of the very instant of the click is the one that was clicked."""
    found = answered([Event(age=DAY, event="impression"), Event(age=age, event="click")], Request())
    assert found[0]["shown_unanswered"] == unanswered


def test_a_recent_taste_is_stronger_at_a_short_half_life() -> None:
    """Who turned from `a` to `b` an hour ago is a person of `b` by the hour, and still one of `a` by the month."""
    rows = [Event(content="c0", age=20 * DAY + i) for i in range(30)] + [Event(content="c1", age=HOUR)] * 4
    old, new = answered(rows, Request(content="c0"), Request(content="c1"))
    assert old["affinity_category_1h"] < 1e-9 < new["affinity_category_1h"]
    assert old["affinity_category_30d"] > new["affinity_category_30d"]


def test_an_hours_half_life_outlasts_a_year() -> None:
    """After 9000 half-lives a click still weighs what it weighs."""
    rows = [Event(age=day * DAY, event="click") for day in range(1, 380)]
    (found,) = answered(rows, Request())
    assert found["affinity_category_1h"] == pytest.approx(2**-24 / (2**-24 + 1), rel=1e-6)


def test_one_click_is_no_passion() -> None:
    """A single fresh click has a share of a half, not of one."""
    assert answered([Event(age=1, event="click")], Request())[0]["affinity_category_7d"] == pytest.approx(0.5)


def test_a_contents_tags_share_what_was_done_with_it() -> None:
    """c0 has the tags x and y, c1 has x: half of what was done with c0 says something about x."""
    c0, c1 = answered([Event(age=1, content="c0")], Request(content="c0"), Request(content="c1"))
    assert c0["affinity_tags"] == pytest.approx(0.25)
    assert c1["affinity_tags"] == pytest.approx(0.25)


@pytest.mark.parametrize(("gap", "share"), [(30 * MINUTE, 0.5), (30 * MINUTE + 1, 0.0)])
def test_the_last_session_ends_after_half_an_hour(gap: int, share: float) -> None:
    """An impression proves presence: it goes on with the session of the view, or begins another."""
    found = answered([Event(age=DAY), Event(age=DAY - gap, event="impression")], Request())
    assert found[0]["last_session_category"] == share


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", REQUESTS.names)
def test_a_request_has_to_be_complete(name: str) -> None:
    """Which column is missing, or has nothing in it, is said."""
    shard, asked = shard_of([Event()]), requests_of([Request()])
    with pytest.raises(ValueError, match=f"the requests have no {name}"):
        pair_kernel(shard, asked.drop_columns(name), SPEC)
    empty = asked.set_column(REQUESTS.names.index(name), name, pa.nulls(1, REQUESTS.field(name).type))
    with pytest.raises(ValueError, match=f"1 requests have no {name}"):
        pair_kernel(shard, empty, SPEC)


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        ([Count("dance", "person")], "no class of rows is called 'dance'"),
        ([Count("view", "planet")], "no scope is called 'planet'"),
        ([Affinity("tag", "2y")], "no half-life is called '2y'"),
        ([Unanswered(), Unanswered()], "two features measure the same"),
    ],
)
def test_a_measure_names_what_there_is(measures: list[Count], message: str) -> None:
    """And a column is not computed twice."""
    features = tuple(PairFeature(str(i), "any", "any", measure) for i, measure in enumerate(measures))
    with pytest.raises(ValueError, match=message):
        pair_kernel(shard_of([]), requests_of([]), PairSpec(Groups(), features=features))


def test_every_feature_is_described() -> None:
    """Names are unique, and each has a unit and a meaning."""
    assert len({f.name for f in PAIRS}) == len(PAIRS)
    assert all(f.unit and f.meaning for f in PAIRS)
