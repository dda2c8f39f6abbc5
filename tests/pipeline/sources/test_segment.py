"""Segment's calls, as stored in S3 and as tables of a warehouse: who is who, what they wish, what they did."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.schemas import NATIVE
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import documents, read_export, segment
from pipeline.sources.calls import snake
from pipeline.sources.export import joined

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
SITE = "https://www.example.com"


def call(kind: str, number: int = 1, *, context: Any = None, **fields: Any) -> dict[str, Any]:
    """A call as Segment stores it, received half a second after it happened."""
    happened = NOON + timedelta(seconds=number)
    return {
        "type": kind,
        "messageId": f"ajs-{number}",
        "anonymousId": "507f191e",
        "timestamp": happened.isoformat().replace("+00:00", "Z"),
        "originalTimestamp": "2026-06-30T23:59:00Z",
        "receivedAt": (happened + timedelta(seconds=0.5)).isoformat(),
        "context": {"library": {"name": "analytics.js", "version": "4.1"}, "ip": "8.8.8.8", **(context or {})},
        "integrations": {},
        **fields,
    }


def track(event: str, number: int = 1, *, context: Any = None, **properties: Any) -> dict[str, Any]:
    """A tracked event with these properties."""
    return call("track", number, context=context, event=event, properties=properties)


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes calls as JSON Lines and reads them."""

    def to_parsed(*calls: Any, name: str = "calls.jsonl", **config: Any) -> Any:
        text = "".join(f"{found if isinstance(found, str) else json.dumps(found)}\n" for found in calls)
        path = write(name, gzip.compress(text.encode()) if name.endswith(".gz") else text)
        return read_export(path, setting(**{"name": "site", "format": "segment", **config}))

    return to_parsed


@pytest.fixture
def parse_table(tmp_path: Path, write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes rows as a warehouse's table, CSV or Parquet, and reads it."""

    def to_parsed(rows: Sequence[dict[str, Any]], name: str = "table.parquet", **options: str) -> Any:
        path = tmp_path / name
        table = pa.Table.from_pylist(rows)
        if path.suffix == ".parquet":
            pq.write_table(table, path)
        else:
            lines = [table.column_names, *(list(row.values()) for row in table.to_pylist())]
            quoted = (
                "" if cell is None else '"' + str(cell).replace('"', '""') + '"' for line in lines for cell in line
            )
            width = table.num_columns
            cells = list(quoted)
            write(name, "".join(",".join(cells[n : n + width]) + "\n" for n in range(0, len(cells), width)))
        return read_export(path, setting(name="site", format="segment", options=options))

    return to_parsed


def rows(parsed: Any, *columns: str, table: str = "events") -> list[tuple[Any, ...]]:
    """These columns of a table."""
    return [tuple(row[name] for name in columns) for row in parsed.tables[table].to_pylist()]


def reasons(parsed: Any) -> list[tuple[int, str]]:
    """Refused rows."""
    return [(row["row_number"], row["reason"]) for row in parsed.rejected.to_pylist()]


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


def test_a_warehouse_has_a_column_only_when_it_has_a_value(parse_table: Callable[..., Any]) -> None:
    """The published example of `pages`, without customers, and a bare minimum."""
    example = {
        "id": "ajs-1",
        "anonymous_id": "v1",
        "received_at": NOON + timedelta(seconds=2),
        "sent_at": NOON,
        "timestamp": NOON,
        "url": f"{SITE}/guides/pricing?x",
        "path": "/guides/pricing",
        "title": "Pricing",
        "context_ip": "8.8.8.8",
        "context_user_agent": "Mozilla/5.0 (Windows NT 10.0) Chrome/90",
    }
    for name in ("pages.parquet", "pages.csv"):
        parsed = parse_table([example], name)
        assert rows(parsed, "event", "content_id", "device", "customer_id", "ts") == [
            ("view", "/guides/pricing", "desktop", None, NOON)
        ]
    assert reasons(parse_table([{"id": "1", "path": "/a"}])) == [(1, "ts is missing")]


def test_tables_of_people(parse_table: Callable[..., Any]) -> None:
    """`users` has the user's id as `id`; Snowflake writes names in capitals."""
    user = {"ID": "u1", "EMAIL": "ann@example.com", "RECEIVED_AT": NOON, "CONSENT_PERSONALIZATION": False}
    parsed = parse_table([user], warehouse_table="users")
    assert rows(parsed, "customer_id", "email", "ts", table="links") == [("u1", "ann@example.com", NOON)]
    assert rows(parsed, "customer_id", "personalization", table="signals") == [("u1", False)]
    alias = {"id": "1", "previous_id": "v0", "user_id": "u1", "timestamp": NOON}
    assert rows(parse_table([alias]), "visitor_id", "customer_id", table="links") == [("v0", "u1")]


def test_which_table_it_is(parse_table: Callable[..., Any]) -> None:
    """Told by its columns, else by the option; a table of something else says so."""
    row = {"id": "1", "anonymous_id": "v", "timestamp": NOON, "product_id": "p"}
    assert rows(parse_table([row], warehouse_table="product_clicked"), "event") == [("click",)]
    assert rows(parse_table([row | {"event": "product_viewed"}]), "event") == [("view",)]
    with pytest.raises(ConfigurationError, match=r"set options\.warehouse_table"):
        parse_table([row])
    with pytest.raises(ShortlistError, match="no column `id`"):
        parse_table([{"event": "x", "user": "y"}])


ID = st.none() | st.sampled_from(["a", "b", "ann@example.com", "17"])
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "productId": st.sampled_from(["p1", "p2"]),
        "sku": st.sampled_from(["s1"]),
        "path": st.sampled_from(["/a", "/b/c/", "/u/ann@example.com"]),
        "position": st.integers(0, 30),
        "revenue": st.floats(0, 1e6),
        "timeOnPage": st.floats(0, 1e5),
        "gpc": st.booleans(),
        "products": st.lists(
            st.fixed_dictionaries({}, optional={"product_id": ID, "price": st.integers(0, 9)}), max_size=3
        ),
    },
)
CONTEXT = st.fixed_dictionaries(
    {},
    optional={
        "page": st.fixed_dictionaries({"url": st.sampled_from([f"{SITE}/x?y", f"{SITE}/"])}),
        "traits": st.fixed_dictionaries({}, optional={"email": ID, "optedOut": st.booleans()}),
        "consent": st.fixed_dictionaries(
            {"categoryPreferences": st.dictionaries(st.sampled_from(["Ads", "Personalization"]), st.booleans())}
        ),
        "device": st.fixed_dictionaries({"type": st.sampled_from(["ios", "Tablet", "?"])}),
    },
)
EVENT = st.sampled_from(["Order Completed", "Product List Viewed", "Product Clicked", "Liked", "Signed Up"])


def warehouse_row(found: dict[str, Any]) -> dict[str, Any]:
    """What Segment's loader makes of a call: snake case, objects laid flat, lists as JSON."""

    def flat(prefix: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for name, inner in value.items() for k, v in flat(f"{prefix}_{snake(name)}", inner).items()}
        return {prefix.lstrip("_"): json.dumps(value) if isinstance(value, list) else value}

    row = {**flat("", found["properties"]), **flat("context", found["context"])}
    common = {snake(name): value for name, value in found.items() if isinstance(value, str)}
    row |= {name: common[name] for name in ("anonymous_id", "user_id", "timestamp", "received_at") if name in common}
    return row | {"id": found["messageId"], "event": snake(found["event"]), "event_text": found["event"]}


@settings(deadline=None, max_examples=40)
@given(made=st.lists(st.tuples(EVENT, ID, ID, PROPERTIES, CONTEXT), min_size=1, max_size=5), csv=st.booleans())
def test_a_warehouse_says_what_the_calls_say(
    made: list[Any], csv: bool, tmp_path_factory: pytest.TempPathFactory, setting: Callable[..., Any]
) -> None:
    """JSON Lines and the table of the same calls give the same rows, refusals and counts."""
    calls = [
        call("track", n, event=event, anonymousId=visitor, userId=user, properties=properties, context=context)
        for n, (event, visitor, user, properties, context) in enumerate(made)
    ]
    folder = tmp_path_factory.getbasetemp()
    lines, table = folder / "calls.jsonl", folder / ("tracks.jsonl" if csv else "tracks.parquet")
    lines.write_text("".join(f"{json.dumps(found)}\n" for found in calls))
    flat = [warehouse_row(found) for found in calls]
    names = dict.fromkeys(name for row in flat for name, value in row.items() if value is not None)
    if csv:
        table.write_text("".join(f"{json.dumps({name: row.get(name) for name in names})}\n" for row in flat))
    else:
        pq.write_table(pa.Table.from_pylist([{name: row.get(name) for name in names} for row in flat]), table)
    source = setting(name="site", format="segment")
    tracks = setting(name="site", format="segment", options={"warehouse_table": "tracks"})
    one, other = read_export(lines, source), read_export(table, tracks)
    assert {name: found.to_pylist() for name, found in one.tables.items()} == {
        name: found.to_pylist() for name, found in other.tables.items()
    }
    assert reasons(one) == reasons(other)
    assert one.notes == other.notes


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
