"""Matomo's visits log: what each action is about, who did it, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ShortlistError
from pipeline.sources import documents, read_export
from tests.pipeline.sources.conftest import Setting

NOON = 1_782_820_800  # 2026-06-30 12:00 UTC

VIEW = {
    "type": "action",
    "url": "https://www.example.com/guides/pricing?utm=a",
    "pageTitle": "Pricing",
    "pageIdAction": 2,
    "idpageview": "bXy1a2",
    "serverTimePretty": "Jun 30, 2026 12:00:00",
    "pageId": 501,
    "timeSpent": 40,
    "timeSpentPretty": "40s",
    "timestamp": NOON,
    "icon": "",
}
LAST = VIEW | {"url": "https://www.example.com/about/", "pageId": 502, "timeSpent": 0, "timestamp": NOON + 40}
ORDER = {
    "type": "ecommerceOrder",
    "orderId": "1001",
    "revenue": 30,
    "revenueSubTotal": 30,
    "items": 2,
    "itemDetails": [
        {"itemSKU": "mug", "itemName": "Mug", "itemCategory": "Home", "price": 10, "quantity": "2"},
        {"itemSKU": "pen", "itemName": "Pen", "price": "2.50", "quantity": 1},
    ],
    "timestamp": NOON + 50,
}
VISIT: dict[str, Any] = {
    "idSite": "1",
    "idVisit": "77",
    "visitIp": "203.0.113.9",
    "visitorId": "6c3a0b7dd4a1f3aa",
    "fingerprint": "x",
    "userId": "customer-3",
    "serverTimestamp": NOON + 40,
    "deviceType": "Smartphone",
    "countryCode": "de",
    "browserName": "Firefox",
    "actionDetails": [VIEW, LAST],
}


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads visits, or a text."""

    def to_parsed(visits: Any, name: str = "visits.json", **settings: Any) -> Any:
        text = visits if isinstance(visits, (str, bytes)) else json.dumps(visits)
        return read_export(write(name, text), setting(name="web", format="matomo", **settings))

    return to_parsed


def said(parsed: Any, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the events."""
    return [tuple(row.values()) for row in parsed.tables["events"].select(list(columns)).to_pylist()]


def test_a_page_view_becomes_an_event(parse: Callable[..., Any]) -> None:
    """Every column; the last page's 0 s is not known, and no address of a computer is anywhere."""
    parsed = parse([VISIT])
    first, last = parsed.tables["events"].to_pylist()
    assert first == {
        "event_id": "77.501",
        "ts": datetime(2026, 6, 30, 12, tzinfo=UTC),
        "available_at": None,
        "visitor_id": "6c3a0b7dd4a1f3aa",
        "customer_id": "customer-3",
        "session_id": "77",
        "order_id": None,
        "content_id": "/guides/pricing",
        "event": "view",
        "dwell_seconds": 40.0,
        "value": None,
        "position": None,
        "impression_id": None,
        "propensity": None,
        "channel": "web",
        "device": "mobile",
        "country": "DE",
        "row_number": 1,
    }
    assert (last["content_id"], last["dwell_seconds"]) == ("/about", None)
    assert parsed.tables["links"].num_rows == 0
    assert VISIT["visitIp"] not in str(parsed.tables)


def test_no_time_on_a_page_that_was_left_is_a_measurement(parse: Callable[..., Any]) -> None:
    """0 s before another page is a glance."""
    visit = VISIT | {"actionDetails": [VIEW | {"timeSpent": 0}, LAST | {"timeSpent": 12}]}
    assert said(parse([visit]), "dwell_seconds") == [(0.0,), (12.0,)]


def test_an_order_is_a_purchase_of_each_item(parse: Callable[..., Any]) -> None:
    """Worth price x quantity, and joined to the shop's order; an order that names nothing is counted."""
    parsed = parse([VISIT | {"actionDetails": [ORDER, ORDER | {"orderId": "1002", "itemDetails": []}]}])
    columns = ("event_id", "event", "content_id", "value", "order_id")
    assert said(parsed, *columns) == [
        ("77.1001.1", "purchase", "mug", 20.0, "1001"),
        ("77.1001.2", "purchase", "pen", 2.5, "1001"),
    ]
    assert parsed.notes == {"events_without_content": 1}


def test_a_product_page_is_about_the_product(parse: Callable[..., Any]) -> None:
    """As a purchase is; so is what happens on that page."""
    shown = VIEW | {"productViewSku": "mug", "productViewName": "Mug"}
    liked = {"type": "event", "eventCategory": "Product", "eventAction": "Like", "url": VIEW["url"], "pageId": 503}
    visit = VISIT | {"actionDetails": [shown, liked | {"timestamp": NOON + 5}]}
    assert said(parse([visit], values={"event": {"Like": "like"}}), "event", "content_id") == [
        ("view", "mug"),
        ("like", "mug"),
    ]


def test_tracked_content_is_an_impression_or_a_click(parse: Callable[..., Any]) -> None:
    """Of the page that it leads to."""
    shown = {"type": 13, "contentName": "teaser", "contentTarget": "https://www.example.com/b", "pageId": 504}
    used = shown | {"type": "13", "contentInteraction": "click", "pageId": 505}
    visit = VISIT | {"actionDetails": [action | {"timestamp": NOON} for action in (shown, used)]}
    assert said(parse([visit]), "event", "content_id") == [("impression", "/b"), ("click", "/b")]


def test_other_actions_count_when_they_are_named(parse: Callable[..., Any]) -> None:
    """An event by category and action or by action, anything else by its type; the rest is counted."""
    actions: list[dict[str, Any]] = [
        VIEW,
        {"type": "event", "eventCategory": "Social", "eventAction": "Share", "url": "https://www.example.com/x"},
        {"type": "event", "eventCategory": "Video", "eventAction": "Share"},
        {"type": "download", "url": "https://www.example.com/files/a.pdf"},
        {"type": "outlink", "url": "https://elsewhere.example.org/z"},
        {"type": "search", "siteSearchKeyword": "jo"},
        {"type": "goal", "goalName": "Signup"},
    ]
    visit = VISIT | {"actionDetails": [action | {"timestamp": NOON} for action in actions]}
    names = {"Social/Share": "share", "Share": "custom:video_share", "download": "click", "outlink": "custom:outlink"}
    parsed = parse([visit], values={"event": names})
    assert said(parsed, "event", "content_id") == [
        ("view", "/guides/pricing"),
        ("share", "/x"),
        ("custom:video_share", "/guides/pricing"),
        ("click", "/files/a.pdf"),
        ("custom:outlink", "/guides/pricing"),
    ]
    assert parsed.notes == {"not_content_events": 2}
    assert len(set(said(parsed, "event_id"))) == 5


def test_an_address_is_no_id_and_no_content(parse: Callable[..., Any]) -> None:
    """A user id that is an e-mail address links; a page that holds one is left out."""
    private = VIEW | {"url": "https://www.example.com/u/jo@example.com", "pageId": 506}
    product = LAST | {"productViewSku": "gift-for-jo@example.com", "pageId": 507}
    parsed = parse([VISIT | {"userId": "Jo@Example.com", "actionDetails": [VIEW, private, product]}])
    assert parsed.tables["links"].drop_columns(["available_at"]).to_pylist() == [
        {
            "ts": datetime(2026, 6, 30, 12, 0, 40, tzinfo=UTC),
            "visitor_id": "6c3a0b7dd4a1f3aa",
            "customer_id": None,
            "email": "jo@example.com",
            "order_id": None,
            "row_number": 1,
        }
    ]
    assert said(parsed, "customer_id", "content_id") == [(None, "/guides/pricing")]
    assert parsed.notes == {"personal_data_in_url": 2}
    assert "@" not in str(parsed.tables["events"])


def test_content_is_named_as_asked(parse: Callable[..., Any]) -> None:
    """By the last part of the path, and a front page is no content."""
    visit = VISIT | {"actionDetails": [VIEW, LAST | {"url": "https://www.example.com/"}]}
    parsed = parse([visit], options={"content_from_url": "last_part"})
    assert said(parsed, "content_id") == [("pricing",)]
    assert parsed.notes == {"events_without_content": 1}


def test_what_cannot_be_read_costs_itself(parse: Callable[..., Any]) -> None:
    """A visit, or one action of it; reasons name the field."""
    lines: list[Any] = [
        VISIT | {"actionDetails": [VIEW | {"timestamp": "noon"}, VIEW | {"timestamp": 1e20}, LAST]},
        VISIT | {"idVisit": None},
        VISIT | {"visitorId": False, "userId": None},
        VISIT | {"actionDetails": "none"},
        5,
        VISIT | {"idVisit": 78, "actionDetails": {"0": VIEW, "2": LAST}},
        VISIT | {"idVisit": 79, "actionDetails": [ORDER | {"itemDetails": [{"itemSKU": "a", "price": "cheap"}]}]},
        VISIT | {"idVisit": 80, "actionDetails": [VIEW | {"timestamp": None}]},
        VISIT | {"userId": "jo@example.com", "serverTimestamp": None, "actionDetails": []},
    ]
    parsed = parse("\n".join(map(json.dumps, lines)), "visits.jsonl")
    assert said(parsed, "row_number", "event_id") == [(1, "77.502"), (6, "78.501"), (6, "78.502")]
    assert [tuple(row.values()) for row in parsed.rejected.select(["row_number", "reason"]).to_pylist()] == [
        (1, "timestamp is not a number"),
        (1, "timestamp is not a time in the form unix_seconds"),
        (2, "idVisit is missing"),
        (3, "visitorId or userId is missing"),
        (4, "actionDetails is no list"),
        (5, "is not a JSON object"),
        (7, "price is not a number"),
        (8, "ts is missing"),
        (9, "serverTimestamp is missing"),
    ]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("idSite,idVisit,url (actionDetails 0)\n1,2,x\n", "visits.json", "is no JSON.*filter_limit=-1"),
        ("idSite,idVisit\n".encode("utf-16"), "visits.csv", "is no JSON.*as many columns"),
        ('{"result":"error","message":"You must be logged in"}', "visits.json", "error that Matomo answered"),
        ("[]", "visits.json", "has no rows"),
        (json.dumps([VISIT])[:-5], "visits.json", "no whole JSON list"),
        (json.dumps([VISIT]).replace("Pricing", "Zo\u00eb").encode("cp1252") + b"\xe9", "visits.json", "not utf-8"),
    ],
)
def test_a_file_without_visits_is_refused_whole(
    text: str | bytes, name: str, message: str, parse: Callable[..., Any]
) -> None:
    """A table, an error, an empty day, a cut-off and a mislabelled file are told apart."""
    with pytest.raises(ShortlistError, match=message):
        parse(text, name)


def test_a_day_without_visits_can_be_normal(parse: Callable[..., Any]) -> None:
    """Both tables are there, without rows."""
    parsed = parse("[]", options={"allow_empty": "true"})
    assert {name: rows.num_rows for name, rows in parsed.tables.items()} == {"events": 0, "links": 0}


ACTIONS = st.lists(
    st.sampled_from([VIEW, LAST, ORDER, {"type": "search"}, VIEW | {"timestamp": "x"}, {"type": "event"}]), max_size=4
)
VISITS = st.lists(
    st.builds(
        lambda number, user, actions: VISIT | {"idVisit": number, "userId": user, "actionDetails": actions},
        st.integers(1, 5),
        st.sampled_from([None, "c1", "jo@example.com"]),
        ACTIONS,
    ),
    min_size=1,
    max_size=6,
)


@given(visits=VISITS, part=st.integers(1, 4))
def test_a_list_lines_and_any_parts_say_the_same(
    visits: list[dict[str, Any]], part: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the visits are written, and wherever the reader cuts the file."""
    folder = tmp_path_factory.mktemp("matomo")
    source = Setting(name="web", format="matomo")
    (folder / "list.json").write_text(json.dumps(visits, indent=1), encoding="utf-8")
    (folder / "lines.json").write_text("\n".join(map(json.dumps, visits)), encoding="utf-8")
    whole = read_export(folder / "list.json", source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "PART", part)
        lines = read_export(folder / "lines.json", source)
    assert lines.tables["events"].to_pylist() == whole.tables["events"].to_pylist()
    assert lines.rejected.drop_columns(["source_file"]).equals(whole.rejected.drop_columns(["source_file"]))
    assert lines.notes == whole.notes
    meetings = [{(row["visitor_id"], row["email"]) for row in p.tables["links"].to_pylist()} for p in (lines, whole)]
    assert meetings[0] == meetings[1]
