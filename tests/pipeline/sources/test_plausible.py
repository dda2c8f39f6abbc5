"""Plausible's daily counts: whose content, which day, and from when on they are known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import read_export
from tests.examples import examples
from tests.pipeline.sources.conftest import Setting

PAGES = (
    '"date","hostname","page","visits","visitors","pageviews","total_scroll_depth","total_scroll_depth_visits",'
    '"total_time_on_page","total_time_on_page_visits"\n'
)
EVENTS = '"date","name","link_url","path","visitors","events"\n'


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads a file of the export."""

    def to_parsed(text: str, name: str = "imported_pages_20260601_20260630.csv", **settings: Any) -> Any:
        return read_export(write(name, text), setting(name="counts", format="plausible", **settings))

    return to_parsed


def counts(parsed: Any) -> list[tuple[Any, ...]]:
    """Content, event, count and seconds."""
    rows = parsed.tables["popularity"].select(["content_id", "event", "count", "dwell_seconds"]).to_pylist()
    return [tuple(row.values()) for row in rows]


def test_a_page_is_counted_by_the_day(parse: Callable[..., Any]) -> None:
    """Known when the day is over; nobody in particular did it."""
    parsed = parse(PAGES + '"2026-06-30","www.example.com","/guides/pricing",8,7,12,560,7,300,6\n')
    assert parsed.tables["popularity"].to_pylist() == [
        {
            "content_id": "/guides/pricing",
            "event": "view",
            "ts": datetime(2026, 6, 30, tzinfo=UTC),
            "available_at": datetime(2026, 7, 1, tzinfo=UTC),
            "count": 12.0,
            "dwell_seconds": 300.0,
            "row_number": 1,
        }
    ]
    assert set(parsed.tables) == {"popularity"}


def test_a_day_begins_in_the_sites_zone(parse: Callable[..., Any]) -> None:
    """The day on which clocks go forward has 23 hours."""
    text = "date,page,pageviews\n2026-03-29,/a,1\n"
    (row,) = parse(text, options={"timezone": "Europe/Berlin"}).tables["popularity"].to_pylist()
    assert row["ts"] == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert row["available_at"] == datetime(2026, 3, 29, 22, tzinfo=UTC)


def test_the_same_content_is_counted_once(parse: Callable[..., Any]) -> None:
    """With and without a slash, and by the last part of two paths; the first row stands for them."""
    text = "date,page,pageviews,total_time_on_page\n2026-06-30,/b,1,1\n2026-06-30,/x/a,2,3\n2026-06-30,/y/a/,5,4\n"
    parsed = parse(text, options={"content_from_url": "last_part"})
    assert counts(parsed) == [("b", "view", 1.0, 1.0), ("a", "view", 7.0, 7.0)]
    assert parsed.tables["popularity"]["row_number"].to_pylist() == [1, 2]


def test_time_that_was_not_measured_is_unknown(parse: Callable[..., Any]) -> None:
    r"""0 s of 0 visits, null (`\N`), and exports from before there was a time."""
    cells = {"/a": "0,0,0,0", "/b": "0,0,0,2", "/c": r"0,0,\N,\N"}
    rows = "".join(f'"2026-06-30","h","{page}",1,1,1,{last}\n' for page, last in cells.items())
    assert [row[3] for row in counts(parse(PAGES + rows))] == [None, 0.0, None]
    assert counts(parse("date,page,pageviews\n2026-06-30,/a,3\n")) == [("/a", "view", 3.0, None)]


def test_custom_events_count_where_they_name_a_page(parse: Callable[..., Any]) -> None:
    """By their path, or a downloaded file's URL; where a link leads to is no content of this site."""
    rows = [
        '"2026-06-30","Article Liked","","/a",3,4',
        '"2026-06-30","Scrolled Deep!","","/a",3,5',
        '"2026-06-30","File Download","https://www.example.com/files/a.pdf","",1,2',
        '"2026-06-30","Outbound Link: Click","https://elsewhere.example.org/z","",1,2',
        '"2026-06-30","Signup","","",9,9',
        '"2026-06-30","404","","/u/jo@example.com",1,1',
    ]
    parsed = parse(EVENTS + "\n".join(rows), "imported_custom_events.csv", values={"event": {"Article Liked": "like"}})
    assert counts(parsed) == [
        ("/a", "like", 4.0, None),
        ("/a", "custom:scrolled_deep", 5.0, None),
        ("/files/a.pdf", "custom:file_download", 2.0, None),
    ]
    assert parsed.notes == {"counts_without_content": 2, "personal_data_in_url": 1}


def test_a_bad_row_costs_itself(parse: Callable[..., Any]) -> None:
    """Reasons name the column."""
    rows = [
        "2026-06-31,/a,1",
        "2026-06-30,/a,many",
        "2026-06-30,/a,-1",
        "30.06.2026,/a,1",
        "2026-06-30,/b",
        "2026-06-30,/b,2",
    ]
    parsed = parse("date,page,pageviews\n" + "\n".join(rows))
    assert counts(parsed) == [("/b", "view", 2.0, None)]
    assert [tuple(row.values()) for row in parsed.rejected.select(["row_number", "reason"]).to_pylist()] == [
        (1, "date is not a day such as 2026-06-30"),
        (2, "pageviews is not a number"),
        (3, "count is below 0"),
        (4, "date is not a day such as 2026-06-30"),
        (5, "has 2 fields where the header has 3"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,entry_page,visitors,entrances\n2026-06-30,/a,1,1\n", "does not say which page.*imported_pages_"),
        ("date,visitors,pageviews,bounces\n2026-06-30,1,1,1\n", "does not say which page.*imported_custom_events_"),
        ("date,page,visits\n2026-06-30,/a,1\n", "no column 'pageviews'"),
        ("date,page,pageviews\n", "has no rows"),
    ],
)
def test_the_exports_other_files_are_refused(text: str, message: str, parse: Callable[..., Any]) -> None:
    """The message says which files are wanted."""
    with pytest.raises(ShortlistError, match=message):
        parse(text)


@pytest.mark.parametrize("zone", ["Berlin", "../etc/passwd", ""])
def test_an_unknown_zone_is_refused(zone: str, parse: Callable[..., Any]) -> None:
    """Before a file is read."""
    with pytest.raises(ConfigurationError, match="Europe/Berlin"):
        parse("date,page,pageviews\n", options={"timezone": zone})


@settings(max_examples=examples(20))
@given(
    rows=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(["/a", "/a/", "/b", "/"]), st.integers(0, 99)),
        min_size=1,
        max_size=9,
    )
)
def test_no_view_is_lost_or_counted_twice(
    rows: list[tuple[int, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is the same content, counts add up to those of the file, without the front page."""
    path = tmp_path_factory.mktemp("plausible") / "pages.csv"
    lines = [f"2026-06-0{day},{page},{views}" for day, page, views in rows]
    path.write_text("date,page,pageviews\n" + "\n".join(lines), encoding="utf-8")
    parsed = read_export(path, Setting(name="counts", format="plausible"))
    assert sum(parsed.tables["popularity"]["count"].to_pylist()) == sum(n for _, page, n in rows if page != "/")
    assert parsed.notes.get("counts_without_content", 0) == sum(page == "/" for _, page, _ in rows)
    assert "duplicates" not in parsed.notes
