"""Feeds: RSS, Atom and JSON Feed name content alike, hide addresses, and cannot do harm."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import catalogue, markup, read_export, rss

RSS = """<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0"><channel><title>Blog</title><language>en-us</language>
<item><title>Tom &amp;amp; Jerry &lt;b&gt;win&lt;/b&gt;</title><link>https://www.example.com/guides/pricing/?utm=a</link>
<guid isPermaLink="false">post-1</guid><author>jo@example.com (Jo Lee)</author>
<category>Guides</category><category>Price</category><pubDate>Tue, 30 Jun 2026 10:00:00 +0200</pubDate></item>
</channel></rss>"""

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en"><title>Blog</title>
<entry><id>post-1</id><title type="html">Tom &amp;amp; Jerry &lt;b&gt;win&lt;/b&gt;</title>
<link rel="alternate" href="https://www.example.com/guides/pricing/?utm=a"/>
<author><name>Jo Lee</name><email>jo@example.com</email></author>
<category term="Guides"/><category term="Price"/><updated>2026-06-30T08:00:00Z</updated></entry></feed>"""

JSON_FEED = json.dumps(
    {
        "version": "https://jsonfeed.org/version/1.1",
        "language": "en",
        "items": [
            {
                "id": "post-1",
                "url": "https://www.example.com/guides/pricing/?utm=a",
                "title": "Tom & Jerry win",
                "tags": ["Guides", "Price"],
                "authors": [{"name": "Jo Lee <jo@example.com>"}],
                "date_published": "2026-06-30T10:00:00+02:00",
            }
        ],
    }
)

ITEM = {
    "content_id": "/guides/pricing",
    "title": "Tom & Jerry win",
    "category": "Guides",
    "tags": ["Guides", "Price"],
    "author": "Jo Lee",
    "published_at": datetime(2026, 6, 30, 8, tzinfo=UTC),
    "expires_at": None,
    "status": "published",
    "quality": None,
    "language": "en",
    "url": "https://www.example.com/guides/pricing/?utm=a",
    "format": None,
    "row_number": 1,
}


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads a feed."""

    def to_parsed(text: str | bytes, name: str = "feed.xml", **options: str) -> Any:
        return read_export(write(name, text), setting(name="blog", format="rss", options=options))

    return to_parsed


@pytest.mark.parametrize("feed", [RSS, ATOM, JSON_FEED], ids=["rss", "atom", "json"])
def test_an_entry_becomes_content(feed: str, parse: Callable[..., Any]) -> None:
    """The three forms say the same; the query is no part of what content is called."""
    assert parse(feed).tables["content"].to_pylist() == [ITEM]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"content_id": "id"}, "post-1"),
        ({"content_id": "link_path"}, "/guides/pricing"),
        ({"content_from_url": "last_part"}, "pricing"),
    ],
)
def test_content_is_named_as_asked(options: dict[str, str], name: str, parse: Callable[..., Any]) -> None:
    """By the page, as analytics names it, or by the feed's own id."""
    assert parse(RSS, **options).tables["content"]["content_id"].to_pylist() == [name]


def test_another_way_to_name_content_is_refused(parse: Callable[..., Any]) -> None:
    """A misspelt option would give every content another id."""
    with pytest.raises(ConfigurationError, match="'guid'"):
        parse(RSS, content_id="guid")


def test_an_entry_that_names_nothing_is_refused(parse: Callable[..., Any]) -> None:
    """Reasons name the field; addresses get into no column."""
    items = [
        "<title>no link</title><guid isPermaLink='false'>1</guid>",
        "<link>https://www.example.com/</link>",
        "<link>https://www.example.com/u/jo@example.com</link>",
        "<link>https://www.example.com/a</link><pubDate>soon</pubDate>",
        "<link>https://www.example.com/b?to=jo@example.com</link><author>jo@example.com</author>",
    ]
    parsed = parse(f"<rss version='2.0'><channel>{''.join(f'<item>{i}</item>' for i in items)}</channel></rss>")
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [
        {"row_number": 1, "reason": "link is missing"},
        {"row_number": 2, "reason": "link is a site's front page"},
        {"row_number": 3, "reason": "link holds an e-mail address"},
        {"row_number": 4, "reason": "published is not a time in the form iso8601"},
    ]
    (row,) = parsed.tables["content"].to_pylist()
    assert (row["content_id"], row["url"], row["author"]) == ("/b", None, None)


BOMB = '<!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
FILE = '<!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (RSS.replace("<rss", f"{BOMB}<rss").replace("Tom", "&c;"), "declares XML entities"),
        (
            RSS.replace("<rss", f"{BOMB}<rss").replace("Tom", "&c;").replace("utf-8", "utf-16").encode("utf-16"),
            "declar",
        ),
        (f"\n{RSS.replace('<rss', f'{BOMB}<rss')}", "no whole XML document"),
        (RSS.replace("<rss", f"{FILE}<rss").replace("Tom", "&a;"), "declares XML entities"),
        (RSS.replace("Tom", "<b>" * 101 + "</b>" * 101), "more than 100 deep"),
        (RSS[:-30], "no whole XML document.*cut off"),
        (RSS.replace("Tom", "&nbsp;"), "no whole XML document.*undefined entity"),
        (RSS.replace("Tom", "Zo\u00eb").encode("cp1252"), "no whole XML document.*encoding"),
        (RSS.replace("utf-8", "utf-7"), "no whole XML document"),
        (RSS.replace("utf-8", "cp037"), "no whole XML document"),
        ("<html><body/></html>", "but no feed"),
        ('{"items": []}', "but no JSON Feed"),
        ("[" * 100_000, "neither XML nor a whole JSON document"),
        (JSON_FEED[:-9], "neither XML nor a whole JSON document"),
        (b"\xff\xfe\x00", "neither XML nor"),
        ('<rss version="2.0"><channel/></rss>', "has no rows"),
    ],
)
def test_what_is_no_whole_harmless_feed_is_refused(feed: str | bytes, message: str, parse: Callable[..., Any]) -> None:
    """Entity bombs (which feedparser expands), files of this machine, depth, cut-off and mislabelled documents."""
    with pytest.raises(ShortlistError, match=message):
        parse(feed)


def test_a_feed_has_a_plausible_size(parse: Callable[..., Any]) -> None:
    """A packed feed cannot fill the memory."""
    packed = gzip.compress(b"<rss>" + b" " * (1 << 26))
    with pytest.raises(ShortlistError, match=r"larger than 64 MiB|times its size"):
        parse(packed, "feed.xml.gz")


def test_nothing_is_fetched(parse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that holds a URL, or names one for its document type, opens no connection."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(ShortlistError, match="neither XML nor"):
        parse("http://127.0.0.1:1/feed.xml")
    typed = RSS.replace("<rss", '<!DOCTYPE rss PUBLIC "-//N//DTD 0.91//EN" "http://127.0.0.1:1/rss-0.91.dtd"><rss')
    assert parse(typed).tables["content"].to_pylist() == [ITEM]


def test_a_feed_says_that_it_is_partial() -> None:
    """What is no longer in a feed is old, not gone."""
    assert set(rss.PARTIAL) <= set(rss.TABLES)


@given(st.text(max_size=40), st.sampled_from(["{} <{}>", "{1} ({0})", "{0} {1}", "{1}"]))
def test_a_name_never_holds_an_address(name: str, form: str) -> None:
    """Whatever surrounds it."""
    found = catalogue.person(form.format(name, "jo@example.com"))
    assert found is None or not catalogue.has_address(found)


@pytest.mark.parametrize(
    ("text", "plain"),
    [("a &lt; b", "a < b"), ("1 < 2 > 0", "1 < 2 > 0"), ("<p>a</p>", "a"), ("<br/>", None), ("a <b", "a <b")],
)
def test_html_becomes_text(text: str, plain: str | None) -> None:
    """Tags go, entities are spelled out, and a comparison is no tag."""
    assert catalogue.plain(text) == plain


def test_elements_are_forgotten_once_they_were_seen(setting: Callable[..., Any], tmp_path: Path) -> None:
    """A document that is larger than memory can be read: at most one element is kept at a time."""
    path = tmp_path / "a.xml"
    path.write_text(f"<a><b>{'<c><d/></c>' * 2000}</b></a>", encoding="utf-8")
    with path.open("rb") as stream:
        seen = list(markup.elements(stream, path, setting(), 2))
    assert [len(element) for element in seen] == [2000]
    with path.open("rb") as stream:
        parents = {id(element): len(element) for element in markup.elements(stream, path, setting(), 3)}
    assert set(parents.values()) == {1}
