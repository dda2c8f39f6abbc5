"""Made-up events of Snowplow, as the enrichment writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.sources.snowplow_columns import COLUMNS

SNOWPLOW = "iglu:com.snowplowanalytics.snowplow"
WEB_PAGE = "contexts_com_snowplowanalytics_snowplow_web_page_1"
SITE = "https://www.example.com"
NOBODY = "00000000-0000-0000-0000-000000000000"


def entity(schema: str, **data: Any) -> dict[str, Any]:
    """A self-describing JSON."""
    return {"schema": f"{schema}/jsonschema/1-0-0", "data": data}


def wrapped(*entities: Any) -> str:
    """What the columns `contexts` and `derived_contexts` hold."""
    return json.dumps({"schema": f"{SNOWPLOW}/contexts/jsonschema/1-0-0", "data": list(entities)})


def row(number: int, event: str = "page_view", second: float = 0, *, page: str | None = "p1", **cells: Any) -> Any:
    """One event's cells, `second` seconds after noon, in page view `page`."""
    time = f"2026-06-30 12:{int(second // 60):02d}:{second % 60:06.3f}"
    return {
        "event": event,
        "event_name": {"struct": "event"}.get(event, event),
        "event_id": f"e{number}",
        "event_fingerprint": f"f{number}",
        "collector_tstamp": time,
        "derived_tstamp": time,
        "domain_userid": "v1",
        "domain_sessionid": "s1",
        "platform": "web",
        "page_url": f"{SITE}/guides/pricing/?mail=jo@example.com",
        "page_urlhost": "www.example.com",
        "page_urlpath": "/guides/pricing/",
        "contexts": wrapped(entity(f"{SNOWPLOW}/web_page", id=page)) if page else "",
        **cells,
    }


def unstruct(
    number: int, name: str, vendor: str = SNOWPLOW, *, second: float = 0, cells: Any = None, **data: Any
) -> Any:
    """A self-describing event."""
    event = {"schema": f"{SNOWPLOW}/unstruct_event/jsonschema/1-0-0", "data": entity(f"{vendor}/{name}", **data)}
    return row(number, "unstruct", second, event_name=name, unstruct_event=json.dumps(event), **(cells or {}))


def enriched(rows: Iterable[Mapping[str, Any]]) -> str:
    """The lines of a file."""
    return "".join("\t".join(str(cells.get(name, "")) for name in COLUMNS) + "\n" for cells in rows)


def rows(parsed: Any, *columns: str, table: str = "events") -> list[tuple[Any, ...]]:
    """These columns, row by row."""
    return list(zip(*(parsed.tables[table][c].to_pylist() for c in columns), strict=True))
