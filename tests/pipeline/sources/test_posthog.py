"""PostHog's batch exports: visitor or customer, seconds of a view, and whose ids are one person's."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import documents, posthog, read_export

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
ANONYMOUS = "018daf23-89b3-7cf8-a4f1-94064c96df90"
SITE = "https://www.example.com"


def event(name: str, number: int = 1, distinct_id: str = ANONYMOUS, person: Any = None, **properties: Any) -> Any:
    """An event as PostHog exports it; a property `x_y` given as `_x_y` is PostHog's own `$x_y`."""
    own = {f"${key[1:]}" if key.startswith("_") else key: value for key, value in properties.items()}
    happened = NOON + timedelta(seconds=number)
    return {
        "uuid": f"u{number}",
        "event": name,
        "distinct_id": distinct_id,
        "person_id": "0190",
        "properties": {"$lib": "web", "$ip": "8.8.8.8", "$session_id": "s1", **own},
        "person_properties": person,
        "timestamp": happened.isoformat(),
        "created_at": (happened + timedelta(seconds=2)).isoformat(),
    }


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes events as gzipped JSON Lines and reads them."""

    def to_parsed(*events: Any, bounds: Any = None, **options: str) -> Any:
        text = "".join(f"{json.dumps(found)}\n" for found in events)
        path = write("2026-06-30.jsonl.gz", gzip.compress(text.encode()))
        return read_export(path, setting(name="hog", format="posthog", options=options), bounds)

    return to_parsed


def rows(parsed: Any, *columns: str, table: str = "events") -> list[tuple[Any, ...]]:
    """These columns of a table."""
    return [tuple(row[name] for name in columns) for row in parsed.tables[table].to_pylist()]


def reasons(parsed: Any) -> list[tuple[int, str]]:
    """Refused rows."""
    return [(row["row_number"], row["reason"]) for row in parsed.rejected.to_pylist()]


VIEW = {
    "_current_url": f"{SITE}/guides/pricing?a=b",
    "_pathname": "/guides/pricing",
    "_device_type": "Mobile",
    "_geoip_country_code": "DE",
    "_pageview_id": "p1",
}


def test_a_pageview_is_a_view(parse: Callable[..., Any]) -> None:
    """Every column of it."""
    (row,) = parse(event("$pageview", **VIEW)).tables["events"].to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "row_number": 1,
        "event_id": "u1",
        "ts": NOON + timedelta(seconds=1),
        "available_at": NOON + timedelta(seconds=3),
        "visitor_id": ANONYMOUS,
        "session_id": f"{ANONYMOUS}.s1",
        "content_id": "/guides/pricing",
        "event": "view",
        "channel": "web",
        "device": "mobile",
        "country": "DE",
    }


def test_parquet_says_the_same(parse: Callable[..., Any], tmp_path: Path, setting: Callable[..., Any]) -> None:
    """Properties are JSON text there; PostHog appends `.zst` to the name of what is compressed within."""
    events = [
        event("$pageview", 1, **VIEW),
        event("$pageleave", 9, _prev_pageview_id="p1", _prev_pageview_duration=7.5),
        event("$identify", 10, "c7", {"email": "ann@example.com"}, _anon_distinct_id=ANONYMOUS),
        event("Product Clicked", 11, "c7", product_id="p", _is_identified=True),
    ]
    text = [
        found
        | {name: json.dumps(found[name]) for name in ("properties", "person_properties")}
        | {name: datetime.fromisoformat(found[name]) for name in ("timestamp", "created_at")}
        for found in events
    ]
    path = tmp_path / "2026-06-30.parquet.zst"
    pq.write_table(pa.Table.from_pylist(text), path, compression="zstd")
    parsed = read_export(path, setting(name="hog", format="posthog"))
    lines = parse(*events)
    assert {name: table.to_pylist() for name, table in parsed.tables.items()} == {
        name: table.to_pylist() for name, table in lines.tables.items()
    }
    assert rows(parsed, "event", "customer_id", "dwell_seconds") == [("view", None, 7.5), ("click", "c7", None)]


def test_seconds_are_those_until_the_next_event(parse: Callable[..., Any]) -> None:
    """A leave, or the next view in a page that never unloads, wherever in the file; an unbelievable time is none."""
    parsed = parse(
        event("$pageleave", 60, _prev_pageview_id="p2", _prev_pageview_duration="20"),
        event("$pageview", 1, _pathname="/a", _pageview_id="p1"),
        event("$pageview", 40, _pathname="/b", _pageview_id="p2", _prev_pageview_id="p1", _prev_pageview_duration=39.0),
        event("$pageview", 70, _pathname="/c", _pageview_id="p3"),
        event("$pageleave", 80, _prev_pageview_id="p3", _prev_pageview_duration=90_000),
        event("$pageleave", 81, _prev_pageview_id="p4", _prev_pageview_duration=[5]),
        event("$pageview", 82, _pathname="/d"),
    )
    assert rows(parsed, "content_id", "dwell_seconds") == [("/a", 39.0), ("/b", 20.0), ("/c", None), ("/d", None)]
    assert parsed.notes == {"durations_not_believed": 2}


@pytest.mark.parametrize(
    ("distinct_id", "properties", "customer"),
    [
        (ANONYMOUS, {"_is_identified": False}, False),
        (ANONYMOUS, {"_is_identified": True}, True),
        ("c7", {"_is_identified": False}, False),
        (ANONYMOUS, {"_user_id": ANONYMOUS}, True),
        ("c7", {}, True),
        ("c7", {"_device_id": "d1"}, True),
        ("1831a0-5f3f", {"_device_id": "1831a0-5f3f"}, False),
        ("c7", {"_process_person_profile": False}, False),
        ("cookieless_8a6f", {}, False),
        (ANONYMOUS.upper(), {}, False),
    ],
)
def test_whose_id_it_is(distinct_id: str, properties: Any, customer: bool, parse: Callable[..., Any]) -> None:
    """What PostHog says, else what the id looks like."""
    parsed = parse(event("$pageview", 1, distinct_id, _pathname="/a", **properties))
    assert rows(parsed, "visitor_id", "customer_id") == [(None, distinct_id) if customer else (distinct_id, None)]


def test_uuids_may_be_customers(parse: Callable[..., Any]) -> None:
    """Where the company says so, and PostHog nothing else."""
    parsed = parse(
        event("$pageview", 1, _pathname="/a"),
        event("$pageview", 2, _pathname="/a", _is_identified=False),
        uuid_ids="customer",
    )
    assert rows(parsed, "customer_id") == [(ANONYMOUS,), (None,)]


def test_who_is_who(parse: Callable[..., Any]) -> None:
    """Identified and merged ids, whichever way round; e-mails of the person's properties."""
    parsed = parse(
        event("$identify", 1, "c1", _anon_distinct_id=ANONYMOUS, _set={"email": "Ann@example.com"}),
        event("$create_alias", 2, ANONYMOUS, alias="c2"),
        event("$merge_dangerously", 3, "c3", alias=ANONYMOUS),
        event("$pageview", 4, "c4", {"email": "bob@example.com", "name": "Bob"}, _pathname="/a"),
        event("$groupidentify", 5, "c4"),
    )
    assert rows(parsed, "visitor_id", "customer_id", "email", table="links") == [
        (ANONYMOUS, "c1", "ann@example.com"),
        (ANONYMOUS, "c2", None),
        (ANONYMOUS, "c3", None),
        (None, "c4", "bob@example.com"),
    ]
    assert parsed.notes == {"group_calls": 1}


def test_what_people_wish(parse: Callable[..., Any]) -> None:
    """To be tracked again is no consent to personalization."""
    parsed = parse(
        event("$opt_out", 1),
        event("$opt_in", 2),
        event("$pageview", 3, "c1", {"consent_personalization": "yes"}, _pathname="/a"),
        event("$set", 4, "c2", _set={"opted_out": True}),
        event("$pageview", 5, "c3", _pathname="/a", gpc=True),
    )
    assert rows(parsed, "visitor_id", "customer_id", "personalization", "reason", table="signals") == [
        (ANONYMOUS, None, False, "objection"),
        (None, "c1", True, "consent"),
        (None, "c2", False, "objection"),
        (None, "c3", False, "gpc"),
    ]


def test_any_event_can_be_mapped(
    parse: Callable[..., Any], write: Callable[..., Path], setting: Callable[..., Any]
) -> None:
    """Clicks that are captured by themselves are left out until they are."""
    click = event("$autocapture", 1, _pathname="/a")
    assert parse(click).notes == {"not_content_events": 1}
    mapped = setting(
        name="hog",
        format="posthog",
        columns={"content_id": "$pathname"},
        values={"event": {"$autocapture": "click"}},
    )
    parsed = read_export(write("a.jsonl", json.dumps(click)), mapped)
    assert rows(parsed, "event", "content_id") == [("click", "/a")]


def test_bots_and_broken_events_cost_themselves(parse: Callable[..., Any]) -> None:
    """Properties that are no object, ids that are none, times that are none."""
    parsed = parse(
        event("$pageview", 1, _pathname="/a", _raw_user_agent="Googlebot/2.1"),
        event("$pageview", 2) | {"properties": ["/a"]},
        event("$pageview", 3, _pathname="/a\\ud800") | {"distinct_id": {"a": 1}},
        event("$pageview", 4, _pathname="/b") | {"timestamp": 7, "created_at": None},
        event("$pageview", 5, _pathname="/c", _set=[1]) | {"uuid": None},
        event("$pageview", 6, _pathname="/d") | {"person_properties": "{broken"},
        {"uuid": None, "event": ["$pageview"]},
    )
    assert rows(parsed, "row_number", "content_id") == [(6, "/d")]
    assert reasons(parsed) == [
        (3, "visitor_id or customer_id is missing"),
        (4, "timestamp is not a time in the form iso8601"),
        (5, "event_id is missing"),
    ]
    assert parsed.notes == {"bots": 1, "page_views_without_content": 1, "not_content_events": 1}


def person(distinct_id: str, person_id: str, **fields: Any) -> dict[str, Any]:
    """A row of the persons model."""
    return {
        "team_id": 1,
        "distinct_id": distinct_id,
        "person_id": person_id,
        "properties": {},
        "person_version": 1,
        "person_distinct_id_version": 1,
        "created_at": NOON.isoformat(),
        "is_deleted": False,
        **fields,
    }


def test_persons_link_their_ids(parse: Callable[..., Any]) -> None:
    """Visitors to the customers of the same person, wherever in the file; anybody to their e-mail address."""
    other = ANONYMOUS.replace("0", "1")
    people = [
        person(ANONYMOUS, "A"),
        person(other, "B", properties={"email": "eve@example.com", "opted_out": True}),
        person("c1", "A", properties={"email": "ann@example.com", "name": "Ann"}),
        person("c2", "C"),
        person(other, "C", is_deleted=True),
    ]
    parsed = parse(*people, model="persons")
    assert sorted(rows(parsed, "row_number", "visitor_id", "customer_id", "email", table="links")) == [
        (1, ANONYMOUS, "c1", None),
        (2, other, None, "eve@example.com"),
        (3, None, "c1", "ann@example.com"),
    ]
    assert rows(parsed, "visitor_id", "personalization", table="signals") == [(other, False)]
    assert parsed.notes == {"deleted_persons": 1}
    assert rows(parsed, "ts", "available_at", table="links")[0] == (NOON, NOON)


def test_a_days_persons_are_known_at_its_end(parse: Callable[..., Any]) -> None:
    """A person created years ago may have been merged today: the link is no older than the export."""
    day = (datetime(2026, 6, 30, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
    created = "2024-01-01T00:00:00Z"
    parsed = parse(
        person(ANONYMOUS, "A", created_at=created),
        person("c1", "A", created_at=created),
        bounds=day,
        model="persons",
    )
    assert rows(parsed, "ts", "available_at", table="links") == [day]


def test_files_that_cannot_be_read_say_so(
    parse: Callable[..., Any], write: Callable[..., Path], setting: Callable[..., Any], tmp_path: Path
) -> None:
    """Brotli, a wrong model, and a table of something else."""
    with pytest.raises(ShortlistError, match=r"packed with brotli.*choose gzip"):
        read_export(write("a.jsonl.br", b"\x8b"), setting(name="hog", format="posthog"))
    with pytest.raises(ConfigurationError, match="one of events, persons, found 'sessions'"):
        parse(event("$pageview"), model="sessions")
    with pytest.raises(ConfigurationError, match=r"options\.uuid_ids"):
        parse(event("$pageview"), uuid_ids="visitors")
    pq.write_table(pa.table({"uuid": ["1"], "event": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(ShortlistError, match="no column 'distinct_id'"):
        read_export(tmp_path / "a.parquet", setting(name="hog", format="posthog"))


def test_a_large_file_comes_in_parts(
    monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path], setting: Callable[..., Any]
) -> None:
    """A view's seconds are found though its leave is in another part; events keep the file's order."""
    for module in (documents, posthog):
        monkeypatch.setattr(module, "PART", 4)
    views = [event("$pageview", n, _pathname=f"/{n}", _pageview_id=f"p{n}") for n in range(20)]
    leaves = [event("$pageleave", 30, _prev_pageview_id=f"p{n}", _prev_pageview_duration=n) for n in range(20)]
    path = write("a.jsonl", "\n".join(map(json.dumps, [*views, *leaves])))
    parts = [
        part.tables["events"]
        for part in posthog.read(path, setting(name="hog", format="posthog"))
        if part.tables["events"].num_rows
    ]
    found = pa.concat_tables(parts)
    assert found["row_number"].to_pylist() == list(range(1, 21))
    assert found["dwell_seconds"].to_pylist() == [float(n) for n in range(20)]
