"""GA4's nested export: which of our events come of it, and whose seconds they are."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations.schemas import NATIVE
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import read_export
from tests.pipeline.sources.ga4_hits import SCHEMA, SITE, hit, write_parquet


@pytest.fixture
def parse(tmp_path: Path, setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes hits as an export and reads it; `drop` leaves columns out."""

    def to_parsed(*hits: Any, drop: tuple[str, ...] = (), **settings: Any) -> Any:
        path = write_parquet(tmp_path / "events_20260630.parquet", *hits, drop=drop)
        return read_export(path, setting(name="web", format="ga4", path=str(path), **settings))

    return to_parsed


def rows(parsed: Any, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the events, row by row."""
    return list(zip(*(parsed.tables["events"][c].to_pylist() for c in columns), strict=True))


def test_an_event_keeps_who_when_where(parse: Callable[..., Any]) -> None:
    """Ids, time, session, device, channel and the country's code come over; the table is exactly the native one."""
    event = hit("page_view", 1, content_id="c1") | {"user_id": "crm-7"}
    parsed = parse(event)
    table = parsed.tables["events"]
    assert table.schema.names == [*NATIVE["events"].names, "row_number"]
    assert table.schema.types == [*NATIVE["events"].schema.types, pa.int64()]
    row = table.to_pylist()[0]
    wanted = {
        "ts": datetime(2026, 6, 30, 12, 0, 1, tzinfo=UTC),
        "visitor_id": "1.2",
        "customer_id": "crm-7",
        "session_id": "1.2.77",
        "content_id": "c1",
        "event": "view",
        "dwell_seconds": None,
        "available_at": None,
        "channel": "web",
        "device": "mobile",
        "country": "DE",
        "row_number": 1,
    }
    assert {name: row[name] for name in wanted} == wanted


def test_each_item_of_a_list_is_an_impression(parse: Callable[..., Any]) -> None:
    """Every element keeps its place and gets an id of its own, which is also its impression id."""
    items = [{"item_id": "a", "index": 1}, {"item_id": "b", "index": 2}, {"item_id": "c", "index": 3}]
    parsed = parse(hit("view_item_list", 0, items=items), hit("view_item_list", 9, items=items[:1]))
    assert rows(parsed, "content_id", "position", "event", "row_number") == [
        ("a", 1, "impression", 1),
        ("b", 2, "impression", 1),
        ("c", 3, "impression", 1),
        ("a", 1, "impression", 2),
    ]
    ids = [event_id for event_id, _ in rows(parsed, "event_id", "impression_id")]
    assert len(set(ids)) == 4
    assert rows(parsed, "impression_id") == [(event_id,) for event_id in ids]


@pytest.mark.parametrize(("index", "expected"), [([0, 1], [1, 2]), ([4, 5], [4, 5]), ([None, None], [1, 2])])
def test_positions_count_from_one(index: list[Any], expected: list[int], parse: Callable[..., Any]) -> None:
    """Sites that number from 0 are shifted, others are not, and without numbers the order of the list counts."""
    items = [{"item_id": name, "index": place} for name, place in zip("ab", index, strict=True)]
    assert rows(parse(hit("view_item_list", 0, items=items)), "position") == [(place,) for place in expected]


def test_clicks_and_reactions_name_their_content(parse: Callable[..., Any]) -> None:
    """The parameter comes first, then the first item; numbers written as numbers are the same id."""
    parsed = parse(
        hit("select_content", 0, content_id="a", items=[{"item_id": "x"}]),
        hit("select_item", 1, items=[{"item_id": "b", "index": 4}]),
        *(hit(name, 2, content_id=17) for name in ("like", "save", "share", "comment", "follow")),
    )
    assert rows(parsed, "event", "content_id", "position") == [
        ("click", "a", None),
        ("click", "b", 4),
        *((name, "17", None) for name in ("like", "save", "share", "comment", "follow")),
    ]


def test_a_purchase_is_worth_price_times_quantity(parse: Callable[..., Any]) -> None:
    """One purchase an item; without a quantity it is one piece."""
    bought = [{"item_id": "a", "price": 9.5, "quantity": 2}, {"item_id": "b", "price": 3.0}]
    parsed = parse(hit("purchase", 0, items=bought), hit("purchase", 1, items=[]))
    assert rows(parsed, "content_id", "value", "position") == [("a", 19.0, None), ("b", 3.0, None)]
    assert parsed.notes == {"purchases_without_items": 1}


def test_what_is_not_about_content_is_counted(parse: Callable[..., Any]) -> None:
    """Nothing disappears without a number, and `(not set)` is no content."""
    parsed = parse(
        hit("session_start", 0),
        hit("first_visit", 0),
        hit("scroll", 1),
        hit("page_view", 1, page_location=f"{SITE}/"),
        hit("page_view", 2, content_id="(not set)"),
        hit("view_item_list", 3),
        hit("page_view", 4, content_id="c", visitor=None),
    )
    assert parsed.tables["events"].num_rows == 0
    assert parsed.rejected.num_rows == 0
    assert parsed.notes == {
        "without_consent": 1,
        "not_content_events": 3,
        "page_views_without_content": 2,
        "lists_without_items": 1,
    }


def test_a_click_without_content_is_refused(parse: Callable[..., Any]) -> None:
    """A click that says nothing is a broken row, by its number."""
    parsed = parse(hit("select_content", 0, content_id="a"), hit("select_content", 1))
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [
        {"row_number": 2, "reason": "content_id is missing"}
    ]


def test_other_events_can_be_mapped(parse: Callable[..., Any]) -> None:
    """`[sources.values.event]` adds a site's own events to ours."""
    parsed = parse(hit("file_download", 0, content_id="a"), values={"event": {"file_download": "custom:download"}})
    assert rows(parsed, "event") == [("custom:download",)]


@pytest.mark.parametrize(
    ("url", "content"),
    [
        (f"{SITE}/guides/pricing/?utm=a/b#top", "pricing"),
        (f"{SITE}/pricing", "pricing"),
        (f"{SITE}/?p=5", None),
        (SITE, None),
    ],
)
def test_content_from_the_address_is_an_option(url: str, content: str | None, parse: Callable[..., Any]) -> None:
    """The last part of the path, without query and fragment, and only when asked for."""
    view = hit("page_view", 0, page_location=url)
    assert parse(view).notes == {"page_views_without_content": 1}
    found = rows(parse(view, options={"content_from_url": "true"}), "content_id")
    assert found == ([(content,)] if content else [])


def test_engaged_time_goes_to_the_last_view_before_it(parse: Callable[..., Any]) -> None:
    """Times on any event add up, per view of a page, per session and person; a view without any has none."""
    page = {"page_location": f"{SITE}/a/"}
    parsed = parse(
        hit("user_engagement", 1, **page, engagement_time_msec=50_000),  # before any view: nobody's
        hit("page_view", 2, **page, content_id="a"),
        hit("scroll", 3, **page, engagement_time_msec=1_500),
        hit("user_engagement", 4, page_location=f"{SITE}/a/#end", engagement_time_msec="2500"),
        hit("page_view", 5, page_location=f"{SITE}/b/", content_id="b"),
        hit("page_view", 6, **page, content_id="a"),
        hit("user_engagement", 7, **page, engagement_time_msec=8_000),
        hit("page_view", 8, **page, content_id="a", session=78),
        hit("page_view", 9, **page, content_id="a", visitor="3.4"),
        hit("user_engagement", 10, content_id="a", engagement_time_msec=250, visitor="3.4"),
    )
    assert rows(parsed, "row_number", "dwell_seconds") == [(2, 4.0), (5, None), (6, 8.0), (8, None), (9, 0.25)]


def test_time_on_a_list_is_not_time_on_what_it_shows(parse: Callable[..., Any]) -> None:
    """A click names the content it leads to; the seconds before it were spent on the page with the list."""
    parsed = parse(
        hit("page_view", 0, page_location=f"{SITE}/a/", content_id="a"),
        hit("select_content", 5, page_location=f"{SITE}/", content_id="a", engagement_time_msec=9_000),
        hit("select_content", 6, page_location=f"{SITE}/a/", content_id="b", engagement_time_msec=2_000),
    )
    assert rows(parsed, "content_id", "event", "dwell_seconds") == [
        ("a", "view", 2.0),
        ("a", "click", None),
        ("b", "click", None),
    ]


def test_a_view_and_its_time_may_carry_the_same_instant(parse: Callable[..., Any]) -> None:
    """GA4 sends events in batches with one timestamp: the view counts as first, whatever the file's order."""
    view = hit("page_view", 0, content_id="a")
    time = hit("user_engagement", 0, content_id="a", engagement_time_msec=3_000)
    assert rows(parse(time, view), "dwell_seconds") == rows(parse(view, time), "dwell_seconds") == [(3.0,)]


def test_an_event_sent_twice_counts_once(parse: Callable[..., Any]) -> None:
    """Repeats are told by the documented key, in whatever order their parameters stand, and their time counts once."""
    view = hit("page_view", 0, content_id="a", page_title="A")
    again = view | {"event_params": view["event_params"][::-1]}
    time = hit("user_engagement", 1, content_id="a", engagement_time_msec=3_000)
    other = hit("page_view", 0, content_id="a", page_title="B")
    parsed = parse(view, again, time, time, other)
    assert parsed.duplicates["events"] == 2
    assert parsed.notes == {"duplicates": 2}
    dwell = dict(rows(parsed, "row_number", "dwell_seconds"))
    assert sorted(dwell) == [1, 5]
    assert sorted(dwell.values(), key=str) == [3.0, None]


def test_the_order_of_rows_does_not_matter(parse: Callable[..., Any]) -> None:
    """The same events in another order have the same ids, content and seconds."""
    hits = [hit("page_view", n % 4, content_id=f"c{n % 3}", page_title=str(n)) for n in range(12)]
    hits += [hit("user_engagement", n % 5, content_id=f"c{n % 3}", engagement_time_msec=1_000 + n) for n in range(12)]
    hits += [
        hit("view_item_list", n, items=[{"item_id": "a", "index": 1}, {"item_id": "b", "index": 2}]) for n in range(3)
    ]
    columns = ("event_id", "ts", "content_id", "event", "dwell_seconds", "position")
    expected = sorted(rows(parse(*hits), *columns), key=str)
    random.Random(5).shuffle(hits)
    assert sorted(rows(parse(*hits), *columns), key=str) == expected


def test_a_session_number_may_be_text(parse: Callable[..., Any]) -> None:
    """GA4 writes the same parameter as a number or as text; without one there is no session."""
    parsed = parse(*(hit("page_view", n, content_id="a", session=s) for n, s in enumerate((77, "77", None))))
    assert rows(parsed, "session_id") == [("1.2.77",), ("1.2.77",), (None,)]


def test_optional_columns_may_be_missing(parse: Callable[..., Any]) -> None:
    """An export without items, geography or device is poorer, not broken; an unknown country is null."""
    drop = (
        "user_id",
        "stream_id",
        "platform",
        "device",
        "geo",
        "items",
        "privacy_info",
        "user_properties",
        "ecommerce",
    )
    columns = ("content_id", "customer_id", "channel", "device", "country")
    assert rows(parse(hit("page_view", 0, content_id="a"), drop=drop), *columns) == [("a", None, "web", None, None)]
    atlantis = hit("page_view", 0, content_id="a") | {"geo": {"country": "Atlantis"}}
    assert rows(parse(atlantis), "country") == [(None,)]


def test_a_missing_column_is_named(parse: Callable[..., Any]) -> None:
    """Without the visitor's id nothing is read, and the message says what there is."""
    with pytest.raises(ShortlistError, match=r"no column 'user_pseudo_id'.*it has: event_date, event_timestamp"):
        parse(hit("page_view", 0), drop=("user_pseudo_id",))


def test_parameters_as_text_are_refused_whole(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """A flattened export cannot be read row by row; the message says how to export it."""
    path = tmp_path / "e.parquet"
    table = pa.Table.from_pylist([hit("page_view", 0)], schema=SCHEMA)
    pq.write_table(table.set_column(3, "event_params", pa.array(["{}"])), path)
    with pytest.raises(ShortlistError, match=r"`event_params` as string; expected a list of records"):
        read_export(path, setting(format="ga4", path=str(path)))


def test_a_day_without_events_must_be_allowed(parse: Callable[..., Any]) -> None:
    """An empty export is a failed export, unless the source says otherwise."""
    with pytest.raises(ShortlistError, match="has no rows"):
        parse()
    assert parse(options={"allow_empty": "true"}).tables["events"].num_rows == 0


def test_columns_cannot_be_mapped(parse: Callable[..., Any]) -> None:
    """A mapping that would be ignored is a configuration error."""
    with pytest.raises(ConfigurationError, match="has no column 'content_id'"):
        parse(hit("page_view", 0), columns={"content_id": "id"})
