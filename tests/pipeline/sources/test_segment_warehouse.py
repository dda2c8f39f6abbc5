"""Segment's calls as tables of a warehouse, which say what the calls say."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import read_export
from pipeline.sources.calls import snake
from tests.pipeline.sources.segment_calls import NOON, SITE, call, reasons, rows


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
