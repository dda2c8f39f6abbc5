"""Snowplow's own test events, against the tables that Snowplow expects of them."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.sources import read_export
from pipeline.sources.snowplow_columns import COLUMNS
from tests.pipeline.sources.snowplow_rows import SNOWPLOW, WEB_PAGE, enriched, entity, rows, wrapped

DATA = Path(__file__).parents[4] / "shared" / "data" / "snowplow_web"


def real(name: str) -> list[dict[str, str]]:
    """A file of Snowplow's test data, or a skip where there is none."""
    if not DATA.exists():
        pytest.skip(f"needs the shared data folder ({name}), which only development machines have")
    with (DATA / name).open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


@pytest.fixture(name="golden", scope="module")
def read_golden(setting: Callable[..., Any]) -> Any:
    """Snowplow's events, content named by the page view's id, so that front pages count as they do in its tables."""
    real("snowplow_web_events.csv")
    source = setting(name="web", format="snowplow", options={"content_id": f"{WEB_PAGE}.id"})
    return read_export(DATA / "snowplow_web_events.csv", source)


CUT_AFTER_3_DAYS = "Snowplow's model reads no event more than 3 days after its session began; we keep what happened"
KNOWN = {
    "2bfc2c760c3ac434953eefd7903789429c8a5f8171c4b8b26aee93108b77bd35": ((2, 0.0), (4, 0.0), CUT_AFTER_3_DAYS),
    "d21c000a5953335da6cd125ac349135ae6524b04dd4b107a263dfb1de131b12d": ((1, 0.0), (2, 0.0), CUT_AFTER_3_DAYS),
}
"""Session -> (page views, engaged seconds) as Snowplow has them, as we have them, and why that is so."""


def test_sessions_are_snowplows(golden: Any) -> None:
    """Page views and engaged seconds of every session that Snowplow's own table lists, but for those in `KNOWN`."""
    ours: dict[str, tuple[int, float]] = {}
    for session, event, dwell in rows(golden, "session_id", "event", "dwell_seconds"):
        if event == "view":
            views, seconds = ours.get(session, (0, 0.0))
            ours[session] = views + 1, seconds + (dwell or 0)
    theirs = {
        session["domain_sessionid"]: (int(session["page_views"]), float(session["engaged_time_in_s"]))
        for session in real("snowplow_web_sessions_expected.csv")
    }
    assert len(theirs) == 18
    different = {session: (facts, ours.get(session)) for session, facts in theirs.items() if ours.get(session) != facts}
    assert different == {session: (snowplows, our_own) for session, (snowplows, our_own, _) in KNOWN.items()}


def test_page_views_are_snowplows(golden: Any) -> None:
    """Every page view of its table: the event that it is, its session, when it began and its engaged seconds."""
    ours = {
        (content, session): (event_id, f"{ts:%Y-%m-%d %H:%M:%S}.{ts.microsecond // 1000:03d}", dwell or 0.0)
        for content, session, event_id, ts, dwell, event in rows(
            golden, "content_id", "session_id", "event_id", "ts", "dwell_seconds", "event"
        )
        if event == "view"
    }
    theirs = {
        (view["page_view_id"], view["domain_sessionid"]): (
            view["event_id"],
            view["start_tstamp"],
            float(view["engaged_time_in_s"]),
        )
        for view in real("snowplow_web_page_views_expected.csv")
    }
    assert len(theirs) == 43
    assert {view: ours.get(view) for view in theirs} == theirs


def test_consent_is_what_was_said_last(golden: Any) -> None:
    """For every visitor of Snowplow's consent table: all is yes, none is no, a selection is yes with marketing."""
    said = sorted(rows(golden, "ts", "visitor_id", "personalization", "reason", table="signals"))
    ours = {visitor: (wish, reason) for _, visitor, wish, reason in said}
    theirs = {
        user["domain_userid"]: (
            user["last_consent_event_type"] == "allow_all"
            or (user["last_consent_event_type"] == "allow_selected" and "marketing" in user["last_consent_scopes"]),
            "consent",
        )
        for user in real("snowplow_web_consent_users_expected.csv")
        if user["last_consent_event_type"]
    }
    assert len(theirs) > 20
    assert {wish for wish, _ in theirs.values()} == {True, False}
    assert ours == theirs


def test_every_real_row_is_accounted_for(golden: Any) -> None:
    """Events, duplicates, notes, consent and the pings that are a view's time are all 160 rows there are."""
    consent = golden.tables["signals"].num_rows
    time_only = 5  # of 8 pings; the 3 others each continue a view that began in another session
    assert golden.rejected.num_rows == 0
    assert golden.notes == {
        "duplicates": 3,
        "not_content_events": 59,
        "page_views_without_content": 1,
        "repeated_page_views": 1,
    }
    assert golden.tables["events"].num_rows + sum(golden.notes.values()) + consent + time_only == 160


def as_enriched(real_row: Mapping[str, str]) -> dict[str, str]:
    """A row of the warehouse's table as the enrichment would have written it."""
    named = {
        WEB_PAGE: "iglu:com.snowplowanalytics.snowplow/web_page",
        "contexts_com_iab_snowplow_spiders_and_robots_1": "iglu:com.iab.snowplow/spiders_and_robots",
    }
    listed = [
        entity(schema, **data)
        for column, schema in named.items()
        for data in json.loads(real_row[f"{column}_0_0"] or "[]")
        if isinstance(data, dict)  # consent events have a list within the list
    ]
    consent = json.loads(real_row["unstruct_event_com_snowplowanalytics_snowplow_consent_preferences_1_0_0"] or "[]")
    said = {"data": entity(f"{SNOWPLOW}/consent_preferences", **consent[0])} if consent else None
    return {**real_row, "contexts": wrapped(*listed), "unstruct_event": json.dumps(said) if said else ""}


def test_file_and_table_say_the_same(golden: Any, write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """The real events as a packed file of 131 columns give the same tables as the warehouse's CSV."""
    exported = real("snowplow_web_events.csv")
    assert [name for name in exported[0] if name in COLUMNS] == [name for name in COLUMNS if name in exported[0]]
    path = write("run=2021/part-00000.gz", gzip.compress(enriched(map(as_enriched, exported)).encode()))
    source = setting(name="web", format="snowplow", options={"content_id": f"{WEB_PAGE}.id"})
    parsed = read_export(path, source)
    assert parsed.notes == golden.notes
    for name, table in golden.tables.items():
        assert parsed.tables[name].to_pylist() == table.to_pylist()
