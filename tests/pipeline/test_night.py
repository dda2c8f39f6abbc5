"""What was known before an instant, row by row: events, links, catalogues, orders, outcomes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations import schemas
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.night import Archive, Night
from tests.pipeline.lakes import (
    END,
    FIRST,
    NIGHT,
    archive,
    config_in,
    event,
    night_of,
    table,
    tables,
    written,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings whose history is shorter than the fortnight."""
    return config_in(tmp_path_factory.mktemp("night"))


@pytest.fixture
def night(config: Config) -> Callable[..., Night]:
    """The night of a few rows."""
    return partial(night_of, config)


@pytest.mark.parametrize(
    ("ts", "available_at", "known"),
    [
        (NIGHT - HOUR, NIGHT - HOUR, True),
        (NIGHT - HOUR, NIGHT, False),
        (NIGHT - HOUR, NIGHT + DAY, False),
        (NIGHT, NIGHT, False),
        (NIGHT + HOUR, NIGHT - HOUR, False),
        (NIGHT - timedelta(microseconds=1), NIGHT - timedelta(microseconds=1), True),
    ],
)
def test_a_row_is_known_when_it_happened_and_came_in_before(
    ts: datetime, available_at: datetime, known: bool, night: Callable[..., Night]
) -> None:
    """Strictly before, both: what came late was not known, and a file from the future knows nothing."""
    rows = [{**event(ts), "available_at": available_at}]
    assert night(events=rows).log.num_rows == known
    assert night(transactions=[{**rows[0], "amount": 1.0}]).log.num_rows == known


@given(st.lists(st.lists(st.booleans(), max_size=4), min_size=1, max_size=4))
def test_what_came_later_is_left_out_wherever_it_lies(config: Config, days: list[list[bool]]) -> None:
    """Rows come in pieces, a day each: what is left is what was known, in its order. Whole pieces are not copied."""
    pieces = [
        table("events", [event(NIGHT - HOUR, n) | {"available_at": NIGHT - HOUR * (not late)} for n, late in piece])
        for piece in (list(enumerate(day)) for day in days)
    ]
    events = pa.concat_tables(pieces)
    found = archive({**tables(), "events": events}, config).known_at(NIGHT).events
    assert found.equals(events.filter(pc.less(events["available_at"], pa.scalar(NIGHT, schemas.TIMESTAMP))))
    whole = [one["person_id"].chunk(0) for one, day in zip(pieces, days, strict=True) if day and not any(day)]
    assert {address(chunk) for chunk in whole} <= {address(chunk) for chunk in found["person_id"].chunks}


def address(chunk: pa.Array) -> int:
    """Where its values lie."""
    return int(chunk.buffers()[1].address)


def test_words_of_a_log_are_those_that_stand_in_it(config: Config) -> None:
    """Nor their order nor their number tells what else the lake holds, what comes later or what came first."""
    rows = [event(FIRST + 5 * DAY, content=content) for content in ("c03", "c01", "c03", "c02")]
    later = [event(NIGHT + DAY, content="c00"), {**event(FIRST + 5 * DAY, content="c04"), "available_at": NIGHT}]
    for some in (rows, rows[::-1], [*later, *rows]):
        whole = archive(tables(events=some), config).night(NIGHT).log["content_id"].combine_chunks()
        assert whole.dictionary.to_pylist() == ["c01", "c02", "c03"]
        assert sorted(whole.to_pylist()) == ["c01", "c02", "c03", "c03"]


@pytest.mark.parametrize(("seen_at", "person"), [(NIGHT - HOUR, 101), (NIGHT, 1), (NIGHT + HOUR, 1)])
def test_a_link_is_known_once_it_was_seen(seen_at: datetime, person: int, night: Callable[..., Night]) -> None:
    """A visitor who logs in later is a visitor tonight, and a customer, all history included, from then on."""
    link = {"id": 1, "other_id": 101, "available_at": seen_at}
    assert night(events=[event(FIRST + 5 * DAY)], identities=[link]).log["person_id"].to_pylist() == [person]


@pytest.mark.parametrize(
    ("day", "title"), [(date(2026, 3, 9), "new"), (date(2026, 3, 10), "old"), (date(2026, 3, 11), "old")]
)
def test_a_catalogue_is_known_when_its_day_is_over(day: date, title: str, night: Callable[..., Night]) -> None:
    """The export of the night's own day is not made yet."""
    rows = [
        {"content_id": "c01", "title": "old", "day": date(2026, 3, 8)},
        {"content_id": "c01", "title": "new", "day": day},
    ]
    assert night(content=rows).content["title"].to_pylist() == [title]


def test_a_day_is_over_at_midnight_in_the_projects_time_zone(tmp_path: Path, night: Callable[..., Night]) -> None:
    """At 04:00 UTC it is still yesterday in New York (until 05:00, in winter), and its catalogue is not there yet."""
    settings = config_in(tmp_path, project={"timezone": "America/New_York"})
    rows = [{"content_id": name, "day": date(2026, 3, day)} for name, day in (("old", 4), ("new", 5))]
    for hour, expected in ((4, "old"), (5, "new")):
        as_of = datetime(2026, 3, 6, hour, tzinfo=UTC)
        assert night_of(settings, as_of=as_of, content=rows).content["content_id"].to_pylist() == [expected]


def test_each_catalogue_counts_with_its_own_newest_snapshot(night: Callable[..., Night]) -> None:
    """What vanished from a catalogue is gone; another catalogue's older or undated snapshot still counts."""
    rows = [
        {"content_id": "gone", "day": date(2026, 3, 8)},
        {"content_id": "kept", "day": date(2026, 3, 9)},
        {"content_id": "other", "day": date(2026, 3, 7), "source": "shop"},
        {"content_id": "undated", "source": "handbook"},
    ]
    assert night(content=rows).content["content_id"].to_pylist() == ["kept", "other", "undated"]


def test_of_a_content_in_two_catalogues_the_newest_word_counts(night: Callable[..., Night]) -> None:
    """An id that two sources share is one content: the newer snapshot's, and of two equally new the first by name."""
    rows = [
        {"content_id": "c01", "title": "web", "source": "web", "day": date(2026, 3, 9)},
        {"content_id": "c01", "title": "shop", "source": "shop", "day": date(2026, 3, 9)},
        {"content_id": "c01", "title": "older", "source": "a", "day": date(2026, 3, 8)},
    ]
    assert night(content=rows).content["title"].to_pylist() == ["shop"]


def test_without_a_catalogue_content_is_what_people_touched(night: Callable[..., Night]) -> None:
    """Each content of the log, published when it was first seen."""
    rows = [event(NIGHT - 2 * DAY), event(NIGHT - 3 * DAY), event(NIGHT - DAY, content="c02"), event(NIGHT + DAY)]
    found = night(events=rows).content
    assert found.select(["content_id", "published_at", "status"]).to_pylist() == [
        {"content_id": "c01", "published_at": NIGHT - 3 * DAY, "status": "published"},
        {"content_id": "c02", "published_at": NIGHT - DAY, "status": "published"},
    ]


def test_history_is_as_long_for_a_replayed_night_as_for_tonight(config: Config) -> None:
    """A row eight days old is beyond `history_days = 7`, also in an archive that reaches back further."""
    rows = [event(NIGHT - 8 * DAY), event(NIGHT - 7 * DAY), event(NIGHT - DAY)]
    assert archive(tables(events=rows), config).night(NIGHT).log.num_rows == 2


def test_a_night_beyond_the_archive_is_refused(config: Config) -> None:
    """An archive that ends at noon cannot say what was known at midnight."""
    with pytest.raises(ValueError, match="cannot know the night"):
        archive(tables(events=[event(FIRST)]), config, until=NIGHT - HOUR).night(NIGHT)


# ---------------------------------------------------------------- orders


def test_where_there_are_orders_they_are_the_truth_about_purchases(night: Callable[..., Night]) -> None:
    """The web's purchase is not counted again; a negative amount is a refund; no amount or no content is nothing."""
    orders = [
        {**event(NIGHT - HOUR, person=101), "amount": 20.0},
        {**event(NIGHT - HOUR, person=102), "amount": -5.0},
        {**event(NIGHT - HOUR, person=103), "amount": 0.0},
        {**event(NIGHT - HOUR, person=104), "amount": 9.0, "content_id": None},
    ]
    log = night(events=[event(NIGHT - HOUR, event="purchase"), event(NIGHT - HOUR)], transactions=orders).log
    found = log.select(["person_id", "event", "value"]).to_pylist()
    assert found == [
        {"person_id": 1, "event": "view", "value": None},
        {"person_id": 101, "event": "purchase", "value": 20.0},
        {"person_id": 102, "event": "refund", "value": -5.0},
    ]


def test_without_orders_purchases_are_what_the_events_say(night: Callable[..., Night]) -> None:
    """A company without a shop's export still has purchases."""
    assert night(events=[event(NIGHT - HOUR, event="purchase")]).log["event"].to_pylist() == ["purchase"]


# ---------------------------------------------------------------- outcomes


def test_an_outcome_is_what_happened_within_the_horizon(config: Config) -> None:
    """From the night's instant on, up to the horizon's end and without it, however late it came in."""
    rows = [
        event(NIGHT - timedelta(microseconds=1), content="before"),
        event(NIGHT, content="first"),
        {**event(NIGHT + HOUR, content="late"), "available_at": NIGHT + 3 * DAY},
        event(NIGHT + DAY, content="after"),
    ]
    found = archive(tables(events=rows), config).outcome(NIGHT, DAY)
    assert found["content_id"].to_pylist() == ["first", "late"]


def test_people_of_an_outcome_are_named_as_they_were_known(config: Config) -> None:
    """Who logs in during the outcome was ranked as a visitor, and is graded as one."""
    rows = tables(
        events=[event(NIGHT + HOUR, person=person) for person in (1, 2)],
        identities=[
            {"id": alias, "other_id": 100 + alias, "available_at": NIGHT + wait}
            for alias, wait in ((1, -DAY), (2, HOUR))
        ],
    )
    assert archive(rows, config).outcome(NIGHT, DAY)["person_id"].to_pylist() == [2, 101]


def test_purchases_mean_the_same_on_a_day_without_orders(config: Config) -> None:
    """Where a shop's orders are known, a web purchase is none, even if nobody happened to order in the outcome."""
    rows = tables(
        events=[event(NIGHT + HOUR, event="purchase")],
        transactions=[{**event(NIGHT - 3 * DAY, person=101), "amount": 20.0}],
    )
    assert archive(rows, config).outcome(NIGHT, DAY).num_rows == 0


def test_an_outcome_that_is_not_over_is_refused(config: Config) -> None:
    """Half an outcome would grade everybody too low."""
    found = archive(tables(events=[event(FIRST)]), config, until=NIGHT + DAY)
    assert found.outcome(NIGHT, DAY).num_rows == 0
    with pytest.raises(ValueError, match="not mature before"):
        found.outcome(NIGHT, DAY + HOUR)


# ---------------------------------------------------------------- loading


def test_an_empty_lake_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """Nothing before the instant is nothing at all."""
    config = config_in(tmp_path)
    lake = written(tables(events=[event(NIGHT)]), config)
    with pytest.raises(
        ShortlistError, match=r"holds no events, transactions or popularity before 2026-03-10.*shortlist ingest"
    ):
        Archive.load(lake, config, NIGHT)
    assert Archive.load(lake, config, NIGHT + HOUR).first_ts() == NIGHT


def test_an_archive_for_training_reaches_back_for_its_oldest_night(tmp_path: Path) -> None:
    """The oldest of the replayed nights has all of its own history behind it, past the longest goal's horizon."""
    config = config_in(tmp_path)  # 5 nights, 7 days of history, and 3 days until a purchase is mature
    oldest = END - timedelta(days=3 + 4)
    found = tables(events=[event(oldest - 7 * DAY), event(END - HOUR)])
    assert Archive.load(written(found, config), config, END).night(oldest).log.num_rows == 1
