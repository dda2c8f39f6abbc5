"""Segment's calls, as stored in S3: who is who, what they wish, what they did."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from expectations.schemas import NATIVE
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import documents, read_export, segment
from pipeline.sources.export import joined
from tests.pipeline.sources.segment_calls import NOON, SITE, call, reasons, rows, track


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes calls as JSON Lines and reads them."""

    def to_parsed(*calls: Any, name: str = "calls.jsonl", **config: Any) -> Any:
        text = "".join(f"{found if isinstance(found, str) else json.dumps(found)}\n" for found in calls)
        path = write(name, gzip.compress(text.encode()) if name.endswith(".gz") else text)
        return read_export(path, setting(**{"name": "site", "format": "segment", **config}))

    return to_parsed


def test_a_page_call_is_a_view(parse: Callable[..., Any]) -> None:
    """Every column of it, from the shape that Segment documents; its folder's files are called `….gz` only."""
    found = call(
        "page",
        userId="97980cfea0067",
        properties={"path": "/guides/pricing/", "url": f"{SITE}/guides/pricing/?a=b", "time_on_page": "7.5"},
        context={"device": {"type": "ios"}, "location": {"country": "Germany"}, "sessionId": 17},
    )
    (row,) = parse(found, name="1448490304651.abc.1.1.gz").tables["events"].to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "row_number": 1,
        "event_id": "ajs-1",
        "ts": NOON + timedelta(seconds=1),
        "available_at": NOON + timedelta(seconds=1.5),
        "visitor_id": "507f191e",
        "customer_id": "97980cfea0067",
        "session_id": "507f191e.17",
        "content_id": "/guides/pricing",
        "event": "view",
        "dwell_seconds": 7.5,
        "channel": "web",
        "device": "mobile",
        "country": "DE",
    }


def test_an_order_is_a_purchase_of_each_product(parse: Callable[..., Any]) -> None:
    """Price x quantity, one without a quantity once; the order's id joins them; ids have the place in the list."""
    products = [
        {"product_id": "p1", "sku": "s1", "price": 19, "quantity": 2, "name": "Monopoly"},
        {"sku": "s2", "price": "3.5"},
    ]
    parsed = parse(track("Order Completed", order_id=50314, revenue=25.0, currency="USD", products=products))
    assert rows(parsed, "event_id", "event", "content_id", "value", "order_id", "position") == [
        ("ajs-1.1", "purchase", "p1", 38.0, "50314", None),
        ("ajs-1.2", "purchase", "s2", 3.5, "50314", None),
    ]


def test_a_list_is_an_impression_of_each_product(parse: Callable[..., Any]) -> None:
    """At the place that it names, else its place in the list; each is an impression to answer."""
    products = [{"product_id": "p1", "position": 7}, {"product_id": "p2"}]
    parsed = parse(track("Product List Viewed", list_id="hot", products=products))
    assert rows(parsed, "event", "content_id", "position", "impression_id") == [
        ("impression", "p1", 7, "ajs-1.1"),
        ("impression", "p2", 2, "ajs-1.2"),
    ]


@pytest.mark.parametrize(
    ("event", "ours"),
    [
        ("Product Clicked", "click"),
        ("product_clicked", "click"),
        ("ProductClicked", "click"),
        ("Article Viewed", "view"),
        ("Content Bookmarked", "save"),
        ("Liked", "like"),
        ("Read To End", "custom:finished"),
        ("Signed Up", None),
        ("clicked", None),
    ],
)
def test_which_events_count(event: str, ours: str | None, parse: Callable[..., Any]) -> None:
    """However they are spelt; the configuration adds to them; the others are counted."""
    parsed = parse(track(event, product_id="p", content_id="c"), values={"event": {"read_to_end": "custom:finished"}})
    assert rows(parsed, "event", "content_id") == ([(ours, "c")] if ours else [])
    assert parsed.notes == ({} if ours else {"not_content_events": 1})


@pytest.mark.parametrize("column", ["properties.articleSlug", "properties.article_slug", "article_slug"])
def test_the_content_can_be_named(column: str, parse: Callable[..., Any]) -> None:
    """In place of the usual ids, for pages too, which without it still have their path."""
    parsed = parse(
        track("Article Viewed", articleSlug="pricing", content_id="7"),
        call("page", 2, properties={"url": f"{SITE}/a/b"}),
        columns={"content_id": column},
    )
    assert rows(parsed, "content_id") == [("pricing",), ("/a/b",)]


def test_the_content_can_be_the_page_of_an_event(parse: Callable[..., Any]) -> None:
    """A path is read as a page call's would be; the last part of it if so set."""
    parsed = parse(
        track("Liked", context={"page": {"path": "/guides/pricing/"}}),
        columns={"content_id": "context.page.path"},
        options={"content_from_url": "last_part"},
    )
    assert rows(parsed, "content_id") == [("pricing",)]


def test_personal_data_and_front_pages_are_no_content(parse: Callable[..., Any]) -> None:
    """Left out and counted; an event that should name its content and does not is refused."""
    parsed = parse(
        call("page", 1, properties={"url": f"{SITE}/profile/ann%40example.com"}),
        track("Liked", 2, content_id="ann@example.com"),
        call("page", 3, properties={"url": f"{SITE}/?q=1"}),
        call("screen", 4, name="Home"),
        track("Liked", 5),
    )
    assert parsed.tables["events"].num_rows == 0
    assert parsed.notes == {"personal_data_in_url": 2, "page_views_without_content": 2}
    assert reasons(parsed) == [(5, "content_id is missing")]


def test_who_is_who(parse: Callable[..., Any]) -> None:
    """Identify and alias calls, e-mails as a trait or as the user's id; the same ids once, at the earliest time."""
    parsed = parse(
        call("identify", 1, userId="u1", traits={"email": "Ann@Example.com ", "name": "Ann"}),
        call("identify", 3, userId="u2"),
        call("identify", 2, userId="u2"),
        call("alias", 4, anonymousId=None, previousId="before", userId="u3"),
        track("Liked", 5, content_id="c") | {"userId": "bob@example.com"},
        track("Liked", 6, content_id="c") | {"userId": "u4"},
        call("identify", 7, anonymousId=None, userId="u5"),
        call("group", 8, groupId="g"),
    )
    assert rows(parsed, "row_number", "visitor_id", "customer_id", "email", table="links") == [
        (1, "507f191e", "u1", "ann@example.com"),
        (3, "507f191e", "u2", None),
        (4, "before", "u3", None),
        (5, "507f191e", "bob@example.com", "bob@example.com"),
    ]
    assert rows(parsed, "customer_id") == [("bob@example.com",), ("u4",)]
    assert parsed.notes == {"calls_with_one_id": 1, "group_calls": 1}


def consent(**categories: Any) -> dict[str, Any]:
    """A context with these preferences."""
    return {"consent": {"categoryPreferences": categories}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (call("page", context=consent(Personalization=True, Advertising=False)), (True, "consent")),
        (call("page", context=consent(personalization=False, Advertising=True)), (False, "consent")),
        (call("page", context=consent(personalization="perhaps")), (False, "consent")),
        (call("page", context=consent(Advertising=False, Functional=False)), (False, "consent")),
        (call("page", context=consent(Advertising=True, Functional=False)), None),
        (call("page", context=consent(personalization=None)), None),
        (call("page", context={"gpc": True}), (False, "gpc")),
        (call("page", context={"globalPrivacyControl": "1"}), (False, "gpc")),
        (call("page", properties={"gpc": True}), (False, "gpc")),
        (call("page", context={"gpc": False}), None),
        (call("identify", traits={"consent_personalization": "yes"}), (True, "consent")),
        (call("identify", traits={"consentPersonalization": "dunno"}), (False, "consent")),
        (call("identify", traits={"opted_out": True}), (False, "objection")),
        (call("identify", traits={"opted_out": "since May"}), (False, "objection")),
        (call("identify", traits={"opted_out": False}), None),
        (call("page", properties={"opted_out": True}), None),
    ],
)
def test_what_people_wish(found: Any, said: Any, parse: Callable[..., Any]) -> None:
    """What is no clear yes is a no; of what is not about personalization only refusing everything is."""
    parsed = parse(found)
    assert rows(parsed, "personalization", "reason", "visitor_id", table="signals") == (
        [(*said, "507f191e")] if said else []
    )


def test_the_category_that_means_personalization_can_be_named(parse: Callable[..., Any]) -> None:
    """Where it is missing nothing is said, which is counted."""
    contexts = (consent(Functional=True, Advertising=False), consent(Personalization=True))
    parsed = parse(
        *(call("page", n, context=context) for n, context in enumerate(contexts)),
        options={"consent_category": "Functional"},
    )
    assert rows(parsed, "row_number", "personalization", table="signals") == [(1, True)]
    assert parsed.notes["consent_category_unknown"] == 1


def test_a_wish_repeated_with_every_call_is_told_where_it_changes(parse: Callable[..., Any]) -> None:
    """In order of time, whatever the file's: the first and the last of every run, so that the newest always stands."""
    wishes = {5: False, 1: True, 2: True, 3: True, 4: False, 6: False, 7: True}
    parsed = parse(*(call("page", n, context=consent(personalization=said)) for n, said in wishes.items()))
    told = sorted(rows(parsed, "ts", "personalization", table="signals"))
    assert [((ts - NOON).seconds, said) for ts, said in told] == [
        (1, True),
        (3, True),
        (4, False),
        (6, False),
        (7, True),
    ]


@pytest.mark.parametrize(
    ("context", "device", "channel"),
    [
        ({"library": {"name": "analytics-ios"}, "os": {"name": "iPadOS"}}, "tablet", "mobile"),
        ({"library": {"name": "analytics-python"}}, None, "server"),
        ({"userAgentData": {"mobile": False, "brands": [{"brand": "x"}]}}, "desktop", "web"),
        ({"userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148"}, "mobile", "web"),
    ],
)
def test_where_it_happened(context: Any, device: str | None, channel: str, parse: Callable[..., Any]) -> None:
    """Of a user agent no more than the device is kept."""
    parsed = parse(call("page", properties={"path": "/a"}, context=context))
    assert rows(parsed, "device", "channel") == [(device, channel)]


def test_bots_are_left_out(parse: Callable[..., Any]) -> None:
    """Those that name themselves, and whatever they wish."""
    parsed = parse(call("page", properties={"path": "/a"}, context={"userAgent": "Googlebot/2.1", "gpc": True}))
    assert parsed.notes == {"bots": 1}
    assert not any(table.num_rows for table in parsed.tables.values())


def test_hostile_values_cost_their_own_row(parse: Callable[..., Any]) -> None:
    """Lists for objects, nested nulls, numbers as text, half surrogates, and lines that are no call."""
    parsed = parse(
        call("page", 1, properties=["/a"]) | {"context": [1]},
        call("page", 2, properties={"path": "/a", "dwell_seconds": "long"}),
        call("page", 3, properties={"path": "/a\\ud800", "dwell_seconds": "2"}, context={"device": {"type": None}}),
        '{"type": "page", "messageId": "4", "anonymousId": "\\ud800", "timestamp": "2026-06-30", '
        '"properties": {"path": "/a"}}',
        "nonsense",
        {"type": ["page"]},
        {"type": "delete", "messageId": "7"},
        call("page", 8, properties={"path": "/a"}) | {"timestamp": "soon", "originalTimestamp": None},
        call("page", 9, properties={"path": "/a"})
        | {"timestamp": "soon", "originalTimestamp": 7, "receivedAt": {"a": 1}},
        track("Order Completed", 10, products=[{"sku": "s"}, {"sku": "t", "price": "NaN"}]),
        track("Order Completed", 11, products="[{", product_id=12.0, revenue=1e300),
        call("page", 12, properties={"path": "/a"}, userId={"id": 1}, anonymousId=True),
        track("Product Clicked", 13, sku="s", position=2.5),
        call("page", 14, properties={"path": "/a"}, userId=12345, anonymousId=None),
    )
    assert rows(parsed, "row_number", "visitor_id", "customer_id", "content_id") == [
        (3, "507f191e", None, "/a\\ud800"),
        (4, "?", None, "/a"),
        (8, "507f191e", None, "/a"),
        (11, "507f191e", None, "12"),
        (14, None, "12345", "/a"),
    ]
    assert reasons(parsed) == [
        (2, "dwell_seconds is not a number"),
        (5, "is not a JSON object"),
        (6, "type is none of track, page, screen, identify, alias, group"),
        (7, "type is none of track, page, screen, identify, alias, group"),
        (9, "timestamp is not a time in the form iso8601"),
        (10, "price is not a number"),
        (12, "visitor_id or customer_id is missing"),
        (13, "position is not a whole number"),
    ]


def test_a_call_may_be_nested_without_end(parse: Callable[..., Any]) -> None:
    """Deep objects do not stop the file."""
    deep: Any = "x"
    for _ in range(400):
        deep = {"a": deep}
    assert rows(parse(call("page", properties={"deep": deep, "path": "/a"})), "content_id") == [("/a",)]


def test_a_file_without_calls_is_refused_whole(parse: Callable[..., Any], setting: Callable[..., Any]) -> None:
    """Thousands of broken rows would hide that the wrong file is read."""
    with pytest.raises(ShortlistError, match=r"no line of .* is a JSON object"):
        parse("a,b", "1,2")
    with pytest.raises(ConfigurationError, match=r"no option 'warehouse_tables'.*did you mean 'warehouse_table'"):
        parse(call("page"), options={"warehouse_tables": "pages"})


def test_a_large_file_comes_in_parts(
    monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path], setting: Callable[..., Any]
) -> None:
    """Small ones, in the native schema, whose counts add up to the whole file's."""
    monkeypatch.setattr(documents, "PART", 4)
    lines = [json.dumps(call("page", n, properties={"path": f"/{n}" if n % 3 else "/"})) for n in range(30)]
    path = write("calls.jsonl", "\n".join(["nonsense", *lines]))
    parts = list(segment.read(path, setting(name="site", format="segment")))
    assert all(found.num_rows <= 4 for part in parts for found in part.tables.values())
    whole = joined(parts)
    assert whole.tables["events"]["row_number"].to_pylist() == [n + 2 for n in range(30) if n % 3]
    assert whole.notes == {"page_views_without_content": 10}
    assert whole.rejected["row_number"].to_pylist() == [1]
    assert whole.tables["links"].schema.names == [*NATIVE["links"].names, "row_number"]
