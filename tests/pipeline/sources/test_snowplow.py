"""Snowplow's enriched events, rule by rule."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations.schemas import NATIVE
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import lines, read_export
from pipeline.sources.snowplow_columns import COLUMNS
from tests.pipeline.sources.snowplow_rows import NOBODY, SITE, WEB_PAGE, enriched, entity, row, rows, unstruct, wrapped


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes events as the enrichment does and reads them."""

    def to_parsed(*rows: Any, values: Any = None, **options: str) -> Any:
        source = setting(name="web", format="snowplow", values=values or {}, options=options)
        return read_export(write("part-00000", enriched(rows)), source)

    return to_parsed


def test_the_file_has_131_columns() -> None:
    """In the SDK's order: some places that must not move."""
    assert len(COLUMNS) == len(set(COLUMNS)) == 131
    places = {"app_id": 0, "geo_latitude": 22, "geo_longitude": 23, "contexts": 52, "useragent": 77, "true_tstamp": 130}
    assert {name: COLUMNS.index(name) for name in places} == places


def test_an_event_keeps_who_when_where(parse: Callable[..., Any]) -> None:
    """Ids, times, session, device, channel, country; known from the latest of the pipeline's times on."""
    event = row(
        1,
        user_id="crm-7",
        derived_tstamp="2026-06-30 11:59:59.500",
        etl_tstamp="2026-06-30 12:03:00.000",
        geo_country="DE",
        useragent="Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
        user_ipaddress="203.0.113.77",
        user_fingerprint="31415",
    )
    parsed = parse(event)
    assert parsed.tables["events"].schema.names == [*NATIVE["events"].names, "row_number"]
    (found,) = parsed.tables["events"].to_pylist()
    assert {name: value for name, value in found.items() if value is not None} == {
        "event_id": "e1",
        "ts": found["ts"],
        "available_at": found["available_at"],
        "visitor_id": "v1",
        "customer_id": "crm-7",
        "session_id": "s1",
        "content_id": "/guides/pricing",
        "event": "view",
        "channel": "web",
        "device": "mobile",
        "country": "DE",
        "row_number": 1,
    }
    assert found["ts"].isoformat() == "2026-06-30T11:59:59.500000+00:00"
    assert found["available_at"].isoformat() == "2026-06-30T12:03:00+00:00"
    everything = str([table.to_pylist() for table in parsed.tables.values()])
    assert not any(personal in everything for personal in ("203.0.113.77", "31415", "Pixel", "jo@example.com"))


def test_the_collector_stands_in_for_the_device(parse: Callable[..., Any]) -> None:
    """Its time, when the derived one is missing."""
    ((ts,),) = rows(parse(row(1, second=5, derived_tstamp="")), "ts")
    assert ts.isoformat() == "2026-06-30T12:00:05+00:00"


@pytest.mark.parametrize(
    ("pings", "options", "seconds"),
    [
        ([], {}, None),
        ([10], {}, 5.0),
        ([10, 20, 30], {}, 25.0),
        ([10, 11, 19.9], {}, 5.0),
        ([10, 60], {}, 15.0),
        ([10, 20, 30], {"heartbeat_seconds": "20", "min_visit_seconds": "8"}, 28.0),
    ],
)
def test_engaged_time_is_heartbeats(
    pings: list[float], options: Any, seconds: float | None, parse: Callable[..., Any]
) -> None:
    """Different heartbeats less one, and the shortest visit; without a ping it is unknown."""
    parsed = parse(row(1), *(row(n, "page_ping", at) for n, at in enumerate(pings, start=2)), **options)
    assert rows(parsed, "event_id", "dwell_seconds") == [("e1", seconds)]


def test_time_belongs_to_its_page_view(parse: Callable[..., Any]) -> None:
    """By the page view's id and session; pings that continue no view are one."""
    parsed = parse(
        row(1, "page_ping", 30, page="p0"),
        row(2, "page_ping", 10, page="p0", page_urlpath="/begun-yesterday"),
        row(3, "page_view", 40, page="p1"),
        row(4, "page_view", 41, page="p1"),
        row(5, "page_ping", 50, page="p1"),
        row(6, "page_ping", 60, page="p1", domain_sessionid="s2"),
        row(7, "page_ping", 70, page=None),
        row(8, "page_view", 80, page=None),
        row(9, "page_view", 80, page=None),
    )
    assert rows(parsed, "event_id", "event", "content_id", "dwell_seconds") == [
        ("e2", "view", "/begun-yesterday", 15.0),
        ("e3", "view", "/guides/pricing", 5.0),
        ("e6", "view", "/guides/pricing", 5.0),
        ("e8", "view", "/guides/pricing", None),
        ("e9", "view", "/guides/pricing", None),
    ]
    assert parsed.notes == {"repeated_page_views": 1, "page_pings_without_page_view_id": 1}


def test_an_id_counts_once(parse: Callable[..., Any]) -> None:
    """The first by the collector's, then the device's time; a fingerprint of its own makes it no duplicate."""
    parsed = parse(
        row(1, second=9, page_urlpath="/late"),
        row(1, second=5, dvce_created_tstamp="2026-06-30 12:00:02", page_urlpath="/later"),
        row(1, second=5, dvce_created_tstamp="2026-06-30 12:00:01", page_urlpath="/first"),
        row(1, second=7, event_fingerprint="other"),
        row(2, page="p2"),
    )
    assert rows(parsed, "event_id", "content_id") == [("e1", "/first"), ("e2", "/guides/pricing")]
    assert parsed.duplicates["events"] == 2
    assert parsed.notes == {"event_ids_used_twice": 1, "duplicates": 2}


def test_the_order_of_rows_does_not_matter(parse: Callable[..., Any]) -> None:
    """The same rows in another order, and in many parts, are the same events."""
    listed = [row(n % 30, ("page_view", "page_ping")[n % 2], n * 7 % 60, page=f"p{n % 4}") for n in range(60)]
    columns = ("event_id", "ts", "event", "content_id", "dwell_seconds")
    expected = sorted(rows(parse(*listed), *columns), key=str)
    random.Random(3).shuffle(listed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines.parts, "__defaults__", (2_000,))
        assert sorted(rows(parse(*listed), *columns), key=str) == expected
    assert len(expected) > 3


@pytest.mark.parametrize(
    ("target", "content", "note"),
    [
        (f"{SITE}/guides/setup/?utm=1", "/guides/setup", None),
        ("https://other.example.org/guides/setup", None, "clicks_to_other_sites"),
        (f"{SITE}/", None, "events_without_content"),
        (f"{SITE}/reset/jo@example.com", None, "personal_data_in_url"),
        (None, None, "clicks_without_target"),
    ],
)
def test_a_click_is_about_where_it_leads(
    target: str | None, content: str | None, note: str | None, parse: Callable[..., Any]
) -> None:
    """To a page of the same site; other clicks are counted."""
    parsed = parse(unstruct(1, "link_click", targetUrl=target))
    assert rows(parsed, "event", "content_id") == ([("click", content)] if content else [])
    assert parsed.notes == ({note: 1} if note else {})


def test_reactions_and_their_mapping(parse: Callable[..., Any]) -> None:
    """By action or name, ours as they are and others as they are mapped; a struct event is no page view."""
    parsed = parse(
        row(1, "struct", se_action="like"),
        row(2, "struct", se_action="bookmarked"),
        row(3, "struct", se_action="page_view"),
        unstruct(4, "share", "iglu:com.acme"),
        unstruct(5, "video_play", "iglu:com.acme"),
        row(6, "struct", se_action="teaser"),
        values={"event": {"bookmarked": "save", "video_play": "custom:play", "teaser": "click"}},
    )
    assert rows(parsed, "row_number", "event") == [
        (1, "like"),
        (2, "save"),
        (4, "share"),
        (5, "custom:play"),
        (6, "click"),
    ]
    assert parsed.notes == {"not_content_events": 1}


def test_orders_are_purchases_and_links(parse: Callable[..., Any]) -> None:
    """An item is bought by its SKU; the order without its items links the browser to the order."""
    parsed = parse(
        row(1, "transaction", tr_orderid="o1", tr_total="22", tr_city="Berlin"),
        row(2, "transaction_item", ti_orderid="o1", ti_sku="sku-9", ti_price="9.5", ti_quantity="2"),
        row(3, "transaction_item", ti_orderid="o1", ti_sku="sku-3", ti_price="3"),
    )
    assert rows(parsed, "content_id", "event", "value", "order_id") == [
        ("sku-9", "purchase", 19.0, "o1"),
        ("sku-3", "purchase", 3.0, "o1"),
    ]
    assert rows(parsed, "visitor_id", "customer_id", "order_id", table="links") == [("v1", None, "o1")]


def test_ids_seen_together_are_links(parse: Callable[..., Any]) -> None:
    """From any event, the earliest of each pair; a bot links nobody."""
    parsed = parse(
        row(1, "struct", 30, se_action="login", user_id="crm-7"),
        row(2, "struct", 20, se_action="login", user_id="crm-7"),
        row(3, user_id="crm-8", domain_userid="", network_userid="n1"),
        row(4, user_id="crm-9", br_type="Robot"),
    )
    found = rows(parsed, "visitor_id", "customer_id", "ts", table="links")
    assert [(visitor, customer, ts.second) for visitor, customer, ts in found] == [
        ("v1", "crm-7", 20),
        ("n1", "crm-8", 0),
    ]


def test_what_is_nobodys_is_popularity(parse: Callable[..., Any]) -> None:
    """Anonymous tracking leaves no id, or one of zeros: counted by the hour, with its seconds."""
    nobody = {"domain_userid": "", "network_userid": NOBODY, "domain_sessionid": ""}
    parsed = parse(
        row(1, page="a", **nobody),
        row(2, "page_ping", 10, page="a", **nobody),
        row(3, second=59, page="b", **nobody),
        row(4, page="c", **{**nobody, "network_userid": "n1"}),
    )
    assert rows(parsed, "visitor_id") == [("n1",)]
    assert parsed.notes == {"without_consent": 2}
    assert rows(parsed, "content_id", "event", "count", "dwell_seconds", table="popularity") == [
        ("/guides/pricing", "view", 2.0, 5.0)
    ]


@pytest.mark.parametrize(
    "robot",
    [
        {"br_type": "Robot"},
        {"useragent": "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"},
        {"derived_contexts": wrapped(entity("iglu:com.iab.snowplow/spiders_and_robots", spiderOrRobot=True))},
    ],
)
def test_robots_are_counted_and_left_out(robot: Any, parse: Callable[..., Any]) -> None:
    """By any of the three signs; their pings are no one's time."""
    parsed = parse(row(1), row(2, "page_ping", 10, **robot), row(3, page="p3", **robot))
    assert rows(parsed, "event_id", "dwell_seconds") == [("e1", None)]
    assert parsed.notes == {"bots": 2}


@pytest.mark.parametrize(
    ("said", "scopes", "wish"),
    [
        ("allow_all", [], True),
        ("deny_all", ["necessary"], False),
        ("withdrawn", [], False),
        ("expired", [], False),
        ("allow_selected", ["necessary", "Personalization"], True),
        ("allow_selected", ["necessary", "statistics"], False),
        ("pending", [], None),
        ("implicit_consent", ["marketing"], None),
    ],
)
def test_consent_that_was_said(said: str, scopes: list[str], wish: bool | None, parse: Callable[..., Any]) -> None:
    """Only what was said in so many words is a wish; a choice without personalization is a no."""
    parsed = parse(unstruct(1, "consent_preferences", eventType=said, consentScopes=scopes))
    expected = [] if wish is None else [("v1", wish, "consent")]
    assert rows(parsed, "visitor_id", "personalization", "reason", table="signals") == expected
    assert parsed.notes == ({"consent_left_open": 1} if wish is None else {})


def test_scopes_can_be_named(parse: Callable[..., Any]) -> None:
    """A site's own word for personalization, whole."""
    event = unstruct(1, "consent_preferences", eventType="allow_selected", consentScopes=["tailored_content"])
    for option, wish in (("tailored", False), ("other, tailored_content", True)):
        assert rows(parse(event, consent_scopes=option), "personalization", table="signals") == [(wish,)]


def test_content_can_be_named_by_an_entity(parse: Callable[..., Any]) -> None:
    """Vendors with dots, names in capitals; what lacks it, or holds an address, is counted."""
    article = "iglu:com.acme-media/articlePage"
    parsed = parse(
        row(1, contexts=wrapped(entity("iglu:com.acme/other", id="x"), entity(article, contentId=17))),
        row(2),
        row(3, contexts=wrapped(entity(article, contentId="to jo@example.com"))),
        content_id="contexts_com_acme_media_article_page_1.content_id",
    )
    assert rows(parsed, "content_id") == [("17",)]
    assert parsed.notes == {"page_views_without_content": 1, "personal_data_in_url": 1}
    assert rows(parse(row(1, page_title="Prices?"), content_id="page_title"), "content_id") == [("Prices?",)]


@pytest.mark.parametrize(
    "options",
    [
        {"content_id": "user_ipaddress"},
        {"content_id": "contexts_com_acme_article.id"},
        {"heartbeat_seconds": "0"},
        {"min_visit_seconds": "five"},
        {"content_from_url": "host"},
    ],
)
def test_settings_that_make_no_sense(options: dict[str, str], parse: Callable[..., Any]) -> None:
    """Are refused by name: above all, no personal column can become content."""
    with pytest.raises(ConfigurationError, match=rf"options\.{next(iter(options))}"):
        parse(row(1), **options)


def test_broken_rows_are_refused(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """A row of another width, without an id, or with a time that is none; the rest is read, JSON may be broken."""
    listed = [row(1), row(2, event_id=""), row(3, collector_tstamp="yesterday"), row(4, page=None, contexts="{")]
    path = write("events.tsv", "app\tweb\n" + enriched(listed))
    parsed = read_export(path, setting(format="snowplow"))
    assert rows(parsed, "event_id", "row_number") == [("e1", 2), ("e4", 5)]
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [
        {"row_number": 1, "reason": "has 2 columns, not 131"},
        {"row_number": 3, "reason": "event_id is missing"},
        {"row_number": 4, "reason": "collector_tstamp is not a time in the form iso8601"},
    ]


def test_a_file_of_another_width_is_refused(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """With what it has, and what to export instead."""
    path = write("part-00000", "\t".join(["x"] * 108) + "\n")
    with pytest.raises(ShortlistError, match="has 108 columns, not 131, and none has"):
        read_export(path, setting(format="snowplow"))


def test_an_empty_export_is_told(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """A day without a row is an error, unless such days are normal."""
    path = write("part-00000", "\n")
    with pytest.raises(ShortlistError, match="no rows"):
        read_export(path, setting(format="snowplow"))
    assert read_export(path, setting(format="snowplow", options={"allow_empty": "true"})).notes == {}


def test_a_nested_table_is_read(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """BigQuery's Parquet: nested columns with minor versions, times as times, capitals as in Snowflake."""
    instant = pa.scalar(1_782_820_800_000_000, pa.int64()).cast(pa.timestamp("us", "UTC")).as_py()
    table = pa.table(
        {
            "EVENT_ID": ["e1", "e2", "e3"],
            "event": ["page_view", "page_ping", "unstruct"],
            "event_name": ["page_view", "page_ping", "link_click"],
            "collector_tstamp": [instant] * 3,
            "domain_userid": ["v1"] * 3,
            "page_url": [f"{SITE}/a"] * 3,
            f"{WEB_PAGE}_0_0": [[{"id": "p1"}], None, None],
            f"{WEB_PAGE}_0_1": [None, [{"id": "p1"}], None],
            "unstruct_event_com_snowplowanalytics_snowplow_link_click_1_0_1": [None, None, {"target_url": f"{SITE}/b"}],
        }
    )
    path = tmp_path / "events.parquet"
    pq.write_table(table, path)
    parsed = read_export(path, setting(format="snowplow"))
    assert rows(parsed, "event_id", "event", "content_id", "dwell_seconds") == [
        ("e1", "view", "/a", 5.0),
        ("e3", "click", "/b", None),
    ]
    assert {ts.isoformat() for (ts,) in rows(parsed, "ts")} == {"2026-06-30T12:00:00+00:00"}


def test_a_table_without_what_is_needed_is_refused(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """The missing column is named, also where a header is all that tells a table from a file."""
    path = write("events.tsv", "event_id\tevent\n1\tpage_view\n")
    with pytest.raises(ShortlistError, match="no column 'collector_tstamp'"):
        read_export(path, setting(format="snowplow"))
