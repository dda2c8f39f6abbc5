"""GA4 in plain Python, event by event, against the reader: what is kept, whose seconds they are, what is counted."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources import read_export
from tests.pipeline.sources.ga4_hits import hit, write_parquet

OURS = {"page_view": "view", "select_content": "click", "like": "like"}
MAYBE = st.one_of(st.none(), st.sampled_from("ab"))
HITS = st.lists(
    st.builds(
        hit,
        st.sampled_from(["page_view", "page_view", "user_engagement", "scroll", "select_content", "like"]),
        st.integers(0, 4),
        visitor=st.sampled_from(["1.2", "3.4", None]),
        session=st.sampled_from([7, 8, None]),
        content_id=MAYBE,
        page_location=st.sampled_from([None, "https://x.example/1", "https://x.example/2", "https://x.example/2#b"]),
        engagement_time_msec=st.one_of(st.none(), st.integers(0, 9_000)),
    ),
    min_size=1,
    max_size=25,
)


def params(event: Any) -> dict[str, Any]:
    """The parameters by key."""
    return {p["key"]: next(iter(p["value"].values())) for p in event["event_params"]}


def key(event: Any) -> str:
    """All that tells this test's events apart."""
    return repr([event[name] for name in ("user_pseudo_id", "event_name", "event_timestamp", "event_params")])


def visit(event: Any) -> tuple[Any, Any]:
    """Whose session it is."""
    return event["user_pseudo_id"], params(event).get("ga_session_id")


def page(event: Any) -> Any:
    """Where it happened, without the fragment."""
    return (params(event).get("page_location") or "").split("#")[0] or None


def place(event: Any, events: list[Any]) -> Any:
    """The content on whose page it happened."""
    named = params(event).get("content_id")
    if event["event_name"] == "page_view":
        return named
    if named and event["event_name"] != "select_content":
        return named
    views = [e for e in events if e["event_name"] == "page_view" and (visit(e), page(e)) == (visit(event), page(event))]
    return min((named for e in views if (named := params(e).get("content_id"))), default=None)


def dwell(events: Iterable[Any]) -> Counter[str]:
    """Total seconds by visit and place: the oracle says how much, the order of equal instants says to which view."""
    listed = list(events)
    total: Counter[str] = Counter()
    for event in listed:
        ms, about = params(event).get("engagement_time_msec"), place(event, listed)
        is_view = event["event_name"] == "page_view"
        if ms is None or about is None:
            continue
        earlier = [
            e["event_timestamp"]
            for e in listed
            if e["event_name"] == "page_view" and visit(e) == visit(event) and params(e).get("content_id") == about
            if (e["event_timestamp"], key(e)) != (event["event_timestamp"], key(event))
            if e["event_timestamp"] < event["event_timestamp"] + (not is_view)
        ]
        if earlier:
            total[repr((*visit(event), about, max(earlier)))] += ms
    return total


def without_ties(hits: list[Any]) -> list[Any]:
    """Without views of one visit at the same instant, of which any may be the first; repeats stay."""
    kept: dict[Any, str] = {}
    return [
        one
        for one in hits
        if one["event_name"] != "page_view"
        or kept.setdefault((visit(one), one["event_timestamp"]), key(one)) == key(one)
    ]


@given(hits=HITS)
def test_the_reader_agrees_with_plain_python(hits: list[Any], setting: Callable[..., Any]) -> None:
    """The same rows with the same seconds, repeats counted, and nobody's events by content and event."""
    hits = without_ties(hits)
    first = {key(one): number for number, one in reversed(list(enumerate(hits, start=1)))}
    once = [hits[number - 1] for number in sorted(first.values())]
    with tempfile.TemporaryDirectory() as folder:
        path = write_parquet(Path(folder) / "day.parquet", *hits)
        parsed = read_export(path, setting(format="ga4", path=str(path)))
    events = parsed.tables["events"].to_pylist() + [
        row for row in parsed.rejected.to_pylist() if "events" in row["table"]
    ]
    somebody = [one for one in once if one["user_pseudo_id"]]
    about = [one for one in somebody if one["event_name"] in OURS]
    kept = [one for one in about if params(one).get("content_id") or one["event_name"] != "page_view"]
    assert sorted(row["row_number"] for row in events) == sorted(first[key(one)] for one in kept)
    assert seconds(parsed, hits) == {k: ms / 1000 for k, ms in dwell(somebody).items()}
    assert parsed.duplicates["events"] == sum(1 for one in hits if one["user_pseudo_id"]) - len(somebody)
    counted = Counter(
        (params(one)["content_id"], OURS[one["event_name"]])
        for one in once
        if not one["user_pseudo_id"] and one["event_name"] in OURS and params(one).get("content_id")
    )
    found = {(row["content_id"], row["event"]): row["count"] for row in parsed.tables["popularity"].to_pylist()}
    assert found == counted


def seconds(parsed: Any, hits: list[Any]) -> dict[str, float]:
    """The reader's seconds by visit, place and instant of the view."""
    found: dict[str, float] = defaultdict(float)
    for row in parsed.tables["events"].to_pylist():
        if row["dwell_seconds"] is not None:
            view = hits[row["row_number"] - 1]
            found[repr((*visit(view), row["content_id"], view["event_timestamp"]))] += row["dwell_seconds"]
    return dict(found)
