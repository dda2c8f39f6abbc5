"""RudderStack: what it has beside Segment's specification."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sources import read_export

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)


def call(kind: str, **fields: Any) -> dict[str, Any]:
    """A call as RudderStack stores it; its JavaScript library repeats the traits in every call."""
    context = {
        "app": {"name": "RudderLabs JavaScript SDK"},
        "library": {"name": "RudderLabs JavaScript SDK", "version": "2.1"},
        "traits": {"email": "ann@example.com", "name": "Ann"},
        "sessionId": 1782820000,
        "page": {"url": "https://www.example.com/guides/pricing", "path": "/guides/pricing"},
    }
    return {
        "type": kind,
        "channel": "web",
        "messageId": "5cf3c6",
        "rudderId": "4a2c",
        "anonymousId": "06bea1",
        "userId": "12345",
        "originalTimestamp": "2026-06-30T12:00:00.123Z",
        "receivedAt": "2026-06-30T12:00:03.000Z",
        "context": context | fields.pop("context", {}),
        **fields,
    }


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes calls as an object store has them and reads them."""

    def to_parsed(*calls: Any, **config: Any) -> Any:
        text = "".join(f"{json.dumps(found)}\n" for found in calls)
        path = write("1782820000.src.json.gz", gzip.compress(text.encode()))
        return read_export(path, setting(name="rudder", format="rudderstack", **config))

    return to_parsed


def rows(parsed: Any, *columns: str, table: str = "events") -> list[tuple[Any, ...]]:
    """These columns of a table."""
    return [tuple(row[name] for name in columns) for row in parsed.tables[table].to_pylist()]


def test_a_page_call(parse: Callable[..., Any]) -> None:
    """Its session is the visitor's, its channel its own; the traits of its context link."""
    parsed = parse(call("page", properties={"path": "/guides/pricing"}))
    assert rows(parsed, "event_id", "content_id", "session_id", "channel", "ts") == [
        ("5cf3c6", "/guides/pricing", "06bea1.1782820000", "web", NOON.replace(microsecond=123_000))
    ]
    assert rows(parsed, "visitor_id", "customer_id", "email", table="links") == [("06bea1", "12345", "ann@example.com")]


@pytest.mark.parametrize(
    ("allowed", "denied", "category", "said"),
    [
        (["C0001", "C0004"], ["C0002"], "C0004", True),
        (["C0001"], ["C0004"], "C0004", False),
        (["C0004"], ["C0004"], "C0004", False),
        (["C0001"], ["C0002"], "C0004", None),
        ([], ["C0001", "C0002"], "C0004", False),
        (["personalization"], [], None, True),
        ([], [], None, None),
    ],
)
def test_consent_is_a_list_of_ids(
    allowed: list[str], denied: list[str], category: str | None, said: bool | None, parse: Callable[..., Any]
) -> None:
    """A denial counts more than a permission; who denies all that was asked objects."""
    context = {"consentManagement": {"allowedConsentIds": allowed, "deniedConsentIds": denied, "provider": "oneTrust"}}
    options = {"consent_category": category} if category else {}
    parsed = parse(call("page", context=context), options=options)
    assert rows(parsed, "personalization", table="signals") == ([] if said is None else [(said,)])


def test_its_warehouse(tmp_path: Path, setting: Callable[..., Any]) -> None:
    """An event's own table, with the columns that RudderStack gives it."""
    row = {
        "id": "5cf3c6",
        "anonymous_id": "06bea1",
        "user_id": "ann@example.com",
        "event": "product_clicked",
        "event_text": "Product Clicked",
        "original_timestamp": NOON,
        "sent_at": NOON,
        "received_at": NOON,
        "uuid_ts": NOON,
        "channel": "mobile",
        "context_session_id": 1782820000,
        "context_os_name": "Android",
        "product_id": "p1",
        "context_consent_management_denied_consent_ids": '["personalization"]',
    }
    path = tmp_path / "product_clicked.parquet"
    pq.write_table(pa.Table.from_pylist([row]), path)
    parsed = read_export(path, setting(name="rudder", format="rudderstack"))
    assert rows(parsed, "event", "content_id", "session_id", "channel", "device", "ts") == [
        ("click", "p1", "06bea1.1782820000", "mobile", "mobile", NOON)
    ]
    assert rows(parsed, "personalization", table="signals") == [(False,)]
    assert rows(parsed, "customer_id", "email", table="links") == [("ann@example.com", "ann@example.com")]
