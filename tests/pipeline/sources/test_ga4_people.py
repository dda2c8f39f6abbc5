"""What GA4 says of people beside their events: consent, orders, links between ids, Global Privacy Control."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.sources import ga4_files, ga4_rows, read_export
from tests.pipeline.sources.ga4_hits import SITE, hit, param, write_parquet

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)


@pytest.fixture
def parse(tmp_path: Path, setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes hits as an export and reads it."""

    def to_parsed(*hits: Any, **settings: Any) -> Any:
        path = write_parquet(tmp_path / "events_20260630.parquet", *hits)
        return read_export(path, setting(name="web", format="ga4", path=str(path), **settings))

    return to_parsed


def table(parsed: Any, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of a table, row by row."""
    return list(zip(*(parsed.tables[name][column].to_pylist() for column in columns), strict=True))


def test_without_consent_events_are_only_counted(parse: Callable[..., Any]) -> None:
    """By content, event and hour; engaged time goes with the views, repeats count once, and no id is kept."""
    page = {"page_location": f"{SITE}/a", "visitor": None, "session": None}
    view = hit("page_view", 1, content_id="a", **page)
    parsed = parse(
        view,
        view,
        hit("user_engagement", 4, engagement_time_msec=2_000, **page),
        hit("page_view", 5, content_id="a", **page),
        hit("page_view", 3_700, content_id="a", **page),
        hit("view_item_list", 6, items=[{"item_id": "a"}, {"item_id": "b"}], visitor=None) | {"user_id": "crm-1"},
        hit("page_view", 7, visitor=None),
    )
    assert parsed.tables["events"].num_rows == parsed.tables["links"].num_rows == 0
    assert table(parsed, "popularity", "content_id", "event", "ts", "count", "dwell_seconds", "row_number") == [
        ("a", "view", NOON, 2.0, 2.0, 1),
        ("a", "view", NOON.replace(hour=13), 1.0, None, 5),
        ("a", "impression", NOON, 1.0, None, 6),
        ("b", "impression", NOON, 1.0, None, 6),
    ]
    assert parsed.notes["without_consent"] == 7
    assert parsed.duplicates["events"] == 0


def test_counts_are_the_same_however_the_export_is_cut(
    parse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts are counted one by one and summed now and then; the same parts give the same bits."""
    hits = [
        hit(
            name,
            number * 7,
            content_id=f"c{number % 3}",
            engagement_time_msec=number * 77 + 1,
            visitor=None,
            session=None,
        )
        for number in range(40)
        for name in ("page_view", "user_engagement")
    ]
    whole = parse(*hits).tables["popularity"]
    monkeypatch.setattr(ga4_files, "PART", 2)
    monkeypatch.setattr(ga4_rows, "_UNSUMMED", 3)
    cut = parse(*hits).tables["popularity"]
    assert cut.drop_columns(["dwell_seconds"]).equals(whole.drop_columns(["dwell_seconds"]))
    assert cut["dwell_seconds"].to_pylist() == pytest.approx(whole["dwell_seconds"].to_pylist())
    assert all(parse(*hits).tables["popularity"].equals(cut) for _ in range(3))


def test_an_id_is_not_used_against_a_no(parse: Callable[..., Any]) -> None:
    """`privacy_info.analytics_storage` = No weighs more than an id that is there all the same."""
    denied = hit("page_view", 0, content_id="a") | {"privacy_info": {"analytics_storage": "No"}, "user_id": "crm-1"}
    granted = hit("page_view", 1, content_id="b") | {"privacy_info": {"analytics_storage": "Yes"}}
    parsed = parse(denied, granted)
    assert table(parsed, "events", "content_id") == [("b",)]
    assert table(parsed, "popularity", "content_id") == [("a",)]
    assert parsed.tables["links"].num_rows == 0


def test_a_purchase_keeps_its_order(parse: Callable[..., Any]) -> None:
    """From `ecommerce`, else from the parameter; no other event has one."""
    bought = [{"item_id": "a", "price": 1.0}]
    parsed = parse(
        hit("purchase", 0, items=bought, transaction_id="P-1") | {"ecommerce": {"transaction_id": "E-1"}},
        hit("purchase", 1, items=bought, transaction_id=17) | {"ecommerce": {"transaction_id": "(not set)"}},
        hit("purchase", 2, items=bought * 2),
        hit("select_content", 3, content_id="a", transaction_id="P-9"),
        hit("order", 4, items=bought, transaction_id="P-4"),
        values={"event": {"order": "purchase"}},
    )
    assert table(parsed, "events", "order_id") == [("E-1",), ("17",), (None,), (None,), (None,), ("P-4",)]


def test_ids_seen_together_on_any_event_are_linked(parse: Callable[..., Any]) -> None:
    """Each pair once, from its earliest moment, though the event itself is none of ours."""
    parsed = parse(
        hit("login", 9) | {"user_id": "crm-1"},
        hit("scroll", 2) | {"user_id": "crm-1"},
        hit("scroll", 3, visitor="3.4") | {"user_id": "crm-1"},
        hit("page_view", 4, visitor="5.6"),
        hit("page_view", 4, visitor="7.8") | {"user_id": "(not set)"},
    )
    assert table(parsed, "links", "visitor_id", "customer_id", "ts") == [
        ("1.2", "crm-1", NOON.replace(second=2)),
        ("3.4", "crm-1", NOON.replace(second=3)),
    ]


@pytest.mark.parametrize("value", [1, "1", "true", "True"])
def test_global_privacy_control_is_a_signal(value: Any, parse: Callable[..., Any]) -> None:
    """One row a visitor from the earliest moment on, by parameter or user property; other values say nothing."""
    parsed = parse(
        hit("scroll", 5, gpc=value),
        hit("scroll", 2, gpc=value),
        hit("scroll", 3, visitor="3.4") | {"user_properties": [param("gpc", value)]},
        hit("scroll", 3, visitor="5.6", gpc=0),
        hit("scroll", 3, visitor=None, gpc=value),
    )
    assert table(parsed, "signals", "visitor_id", "ts", "personalization", "reason") == [
        ("1.2", NOON.replace(second=2), False, "gpc"),
        ("3.4", NOON.replace(second=3), False, "gpc"),
    ]


def test_the_signal_may_have_another_name(parse: Callable[..., Any]) -> None:
    """`options.gpc_param` names the parameter, and then no other one counts."""
    parsed = parse(
        hit("scroll", 0, do_not_sell="true"),
        hit("scroll", 1, visitor="3.4", gpc=1),
        options={"gpc_param": "do_not_sell"},
    )
    assert table(parsed, "signals", "visitor_id") == [("1.2",)]


def test_an_address_in_the_url_is_no_content(parse: Callable[..., Any]) -> None:
    """A page view whose path holds an e-mail address is about nothing, and is counted."""
    view = hit("page_view", 0, page_location=f"{SITE}/unsubscribe/jo@example.com")
    parsed = parse(
        view, hit("page_view", 1, page_location=f"{SITE}/guides/a/?q=1"), options={"content_from_url": "path"}
    )
    assert table(parsed, "events", "content_id") == [("/guides/a",)]
    assert parsed.notes == {"personal_data_in_url": 1, "page_views_without_content": 1}
