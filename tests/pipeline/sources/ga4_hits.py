"""GA4 events as BigQuery exports them, one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

START = int(datetime(2026, 6, 30, 12, tzinfo=UTC).timestamp()) * 1_000_000
SITE = "https://www.example.com"

_VALUE = pa.struct(
    [
        ("string_value", pa.string()),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("double_value", pa.float64()),
    ]
)
_ITEM = pa.struct([("item_id", pa.string()), ("price", pa.float64()), ("quantity", pa.int64()), ("index", pa.int64())])
SCHEMA = pa.schema(
    [
        ("event_date", pa.string()),
        ("event_timestamp", pa.int64()),
        ("event_name", pa.string()),
        ("event_params", pa.list_(pa.struct([("key", pa.string()), ("value", _VALUE)]))),
        ("user_id", pa.string()),
        ("user_pseudo_id", pa.string()),
        ("stream_id", pa.string()),
        ("platform", pa.string()),
        ("device", pa.struct([("category", pa.string())])),
        ("geo", pa.struct([("country", pa.string())])),
        ("privacy_info", pa.struct([("analytics_storage", pa.string())])),
        ("user_properties", pa.list_(pa.struct([("key", pa.string()), ("value", _VALUE)]))),
        ("ecommerce", pa.struct([("transaction_id", pa.string())])),
        ("items", pa.list_(_ITEM)),
    ]
)


def param(key: str, value: Any) -> dict[str, Any]:
    """A parameter in the slot that GA4 would use."""
    return {"key": key, "value": {"int_value" if isinstance(value, int) else "string_value": value}}


def hit(
    name: str, second: float, *, items: Any = (), visitor: str | None = "1.2", session: Any = 77, **params: Any
) -> Any:
    """One exported event, `second` seconds after noon; `params` are its parameters."""
    params = {"ga_session_id": session, **params}
    return {
        "event_date": "20260630",
        "event_timestamp": START + int(second * 1_000_000),
        "event_name": name,
        "event_params": [param(key, value) for key, value in params.items() if value is not None],
        "user_pseudo_id": visitor,
        "stream_id": "9",
        "platform": "WEB",
        "device": {"category": "mobile"},
        "geo": {"country": "Germany"},
        "items": list(items),
    }


def write_parquet(path: Path, *hits: Any, drop: tuple[str, ...] = ()) -> Path:
    """The hits as an export; `drop` leaves columns out."""
    pq.write_table(pa.Table.from_pylist(list(hits), schema=SCHEMA).drop_columns(list(drop)), path)
    return path
