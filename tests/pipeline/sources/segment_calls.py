"""Segment's calls, one by one, and what was read of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

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


def rows(parsed: Any, *columns: str, table: str = "events") -> list[tuple[Any, ...]]:
    """These columns of a table."""
    return [tuple(row[name] for name in columns) for row in parsed.tables[table].to_pylist()]


def reasons(parsed: Any) -> list[tuple[int, str]]:
    """Refused rows."""
    return [(row["row_number"], row["reason"]) for row in parsed.rejected.to_pylist()]
