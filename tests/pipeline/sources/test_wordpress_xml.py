"""WordPress' own export (WXR): the same content as its REST API gives, read as a stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ShortlistError
from pipeline.sources import markup, read_export
from tests.pipeline.sources.conftest import Setting

HEAD = """<?xml version="1.0" encoding="UTF-8" ?>
<!-- generator="WordPress/6.9" -->
<rss version="2.0" xmlns:excerpt="http://wordpress.org/export/1.2/excerpt/"
 xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:wfw="http://wellformedweb.org/CommentAPI/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:wp="http://wordpress.org/export/1.2/">
<channel><title>Blog</title><link>https://www.example.com</link><wp:wxr_version>1.2</wp:wxr_version>
<wp:author><wp:author_id>3</wp:author_id><wp:author_login><![CDATA[ann@example.com]]></wp:author_login>
<wp:author_email><![CDATA[ann@example.com]]></wp:author_email>
<wp:author_display_name><![CDATA[Ann Lee]]></wp:author_display_name></wp:author>
<wp:category><wp:term_id>5</wp:term_id><wp:cat_name><![CDATA[Q&A]]></wp:cat_name></wp:category>
"""
ITEM = """<item><title><![CDATA[Tom's <em>first</em> &amp; last]]></title><link>https://www.example.com/a/</link>
<pubDate>Tue, 30 Jun 2026 08:00:00 +0000</pubDate><dc:creator><![CDATA[ann@example.com]]></dc:creator>
<guid isPermaLink="false">https://www.example.com/?p=17</guid><description></description>
<content:encoded><![CDATA[A <p>long</p> text]]></content:encoded><excerpt:encoded><![CDATA[]]></excerpt:encoded>
<wp:post_id>17</wp:post_id><wp:post_date><![CDATA[2026-06-30 10:00:00]]></wp:post_date>
<wp:post_date_gmt><![CDATA[2026-06-30 08:00:00]]></wp:post_date_gmt><wp:post_name><![CDATA[a]]></wp:post_name>
<wp:status><![CDATA[publish]]></wp:status><wp:post_type><![CDATA[post]]></wp:post_type>
<category domain="category" nicename="q-a"><![CDATA[Q&amp;A]]></category>
<category domain="post_tag" nicename="b"><![CDATA[b]]></category>
<category domain="language" nicename="en"><![CDATA[English]]></category>
<category domain="post_format" nicename="post-format-video"><![CDATA[Video]]></category>
<category domain="post_tag" nicename="a"><![CDATA[a]]></category>
<wp:postmeta><wp:meta_key><![CDATA[quality]]></wp:meta_key><wp:meta_value><![CDATA[0.75]]></wp:meta_value></wp:postmeta>
<wp:postmeta><wp:meta_key>expires_at</wp:meta_key><wp:meta_value>2026-07-15T00:00:00+02:00</wp:meta_value></wp:postmeta>
<wp:comment><wp:comment_author_email>x@example.com</wp:comment_author_email></wp:comment></item>
"""
TAIL = "</channel></rss>"


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads a document."""

    def to_parsed(text: str | bytes, name: str = "site.WordPress.2026-06-30.xml") -> Any:
        return read_export(write(name, text), setting(name="cms", format="wordpress"))

    return to_parsed


def test_an_item_becomes_content(parse: Callable[..., Any]) -> None:
    """Every column; the author is a name, though WordPress writes a login, here an address."""
    assert parse(HEAD + ITEM + TAIL).tables["content"].to_pylist() == [
        {
            "content_id": "17",
            "title": "Tom's first & last",
            "category": "Q&A",
            "tags": ["b", "a"],
            "author": "Ann Lee",
            "published_at": datetime(2026, 6, 30, 8, tzinfo=UTC),
            "expires_at": datetime(2026, 7, 14, 22, tzinfo=UTC),
            "status": "published",
            "quality": 0.75,
            "language": "en",
            "url": "https://www.example.com/a/",
            "format": "video",
            "row_number": 1,
        }
    ]


def test_what_is_no_content_is_counted(parse: Callable[..., Any]) -> None:
    """Attachments and menus are left out; an older export's namespace is as good."""
    kinds = ["attachment", "nav_menu_item", "page", "product"]
    items = "".join(ITEM.replace("[post]", f"[{kind}]").replace(">17<", f">{n}<") for n, kind in enumerate(kinds))
    parsed = parse((HEAD + items + TAIL).replace("export/1.2/", "export/1.0/"))
    assert parsed.tables["content"].select(["content_id", "row_number"]).to_pylist() == [
        {"content_id": "2", "row_number": 3},
        {"content_id": "3", "row_number": 4},
    ]
    assert parsed.notes == {"other_post_types": 2}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("publish", "published"), *((name, name) for name in ("future", "draft", "private", "pending", "trash"))],
)
def test_only_what_is_published_is(theirs: str, ours: str, parse: Callable[..., Any]) -> None:
    """A draft has no date: WordPress writes zeros."""
    item = ITEM.replace("[publish]", f"[{theirs}]").replace("2026-06-30 08:00:00", "0000-00-00 00:00:00")
    (row,) = parse(HEAD + item + TAIL).tables["content"].to_pylist()
    assert (row["status"], row["published_at"]) == (ours, None)


def test_a_bad_item_costs_itself(parse: Callable[..., Any]) -> None:
    """Reasons name the field."""
    items = [
        ITEM.replace("2026-06-30 08:00:00", "soon"),
        ITEM.replace("0.75", "good"),
        ITEM.replace("<wp:post_id>17</wp:post_id>", ""),
        ITEM,
    ]
    parsed = parse(HEAD + "".join(items) + TAIL)
    assert parsed.tables["content"]["row_number"].to_pylist() == [4]
    assert parsed.rejected["reason"].to_pylist() == [
        "wp:post_date_gmt is not a time in the form iso8601",
        "quality is not a number",
        "content_id is missing",
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (HEAD + TAIL, "has no rows"),
        ((HEAD + ITEM + TAIL)[:-40], "no whole XML document.*cut off"),
        (HEAD + ITEM.replace("long", "\x08") + TAIL, "no whole XML document.*line 1[0-9], column"),
        ((HEAD + ITEM.replace("Tom", "Zo\u00eb") + TAIL).encode("cp1252"), "no whole XML document.*encoding"),
        ((HEAD + ITEM + TAIL).replace("<rss", '<!DOCTYPE rss [<!ENTITY a "b">]><rss', 1), "declares XML entities"),
        ((HEAD + ITEM + TAIL).replace("<rss", "<!DOCTYPE rss [<!ENTITY % a SYSTEM 'file:///x'>]><rss", 1), "declares"),
        (HEAD + "<item>" * 200 + "</item>" * 200 + TAIL, "more than 100 deep"),
        ("<rss><channel><item><title>x</title></item></channel></rss>", 'no WordPress export.*format = "rss"'),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_whole(
    document: str | bytes, message: str, parse: Callable[..., Any]
) -> None:
    """Cut off, damaged, mislabelled, hostile, or another kind of file."""
    with pytest.raises(ShortlistError, match=message):
        parse(document)


def test_xml_is_told_by_its_text(write: Callable[..., Path], parse: Callable[..., Any]) -> None:
    """A byte order mark, blank lines and UTF-16 do not hide it, nor does the file's name."""
    document = HEAD + ITEM + TAIL
    for text in (b"\xef\xbb\xbf" + document.encode(), document.replace("UTF-8", "UTF-16").encode("utf-16")):
        assert parse(text, "export.txt").tables["content"]["content_id"].to_pylist() == ["17"]
    assert not markup.is_xml(write("posts.json", ' [{"id": 1}]'), Setting())


WORDS = st.text(alphabet="aé&<>\"' x", min_size=1, max_size=12).filter(str.strip).map(str.strip)
SECONDS = st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
POSTS = st.fixed_dictionaries(
    {
        "id": st.integers(1, 10_000),
        "title": WORDS,
        "status": st.sampled_from(["publish", "draft", "private", "future"]),
        "date": st.one_of(st.none(), SECONDS),
        "categories": st.lists(WORDS, max_size=2),
        "tags": st.lists(WORDS, max_size=3),
        "author": st.one_of(st.none(), WORDS),
        "quality": st.one_of(st.none(), st.floats(0, 1)),
        "format": st.sampled_from(["standard", "video", "gallery"]),
    }
)


@given(posts=st.lists(POSTS, min_size=1, max_size=5))
def test_both_forms_say_the_same(posts: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The REST API's answer and the site's own export of the same posts give the same content."""
    folder = tmp_path_factory.mktemp("wordpress")
    source = Setting(name="cms", format="wordpress")
    (folder / "rest").write_text(json.dumps([rest(post) for post in posts]), encoding="utf-8")
    (folder / "wxr").write_text(HEAD + "".join(map(wxr, posts)) + TAIL, encoding="utf-8")
    by_rest, by_wxr = (read_export(folder / name, source) for name in ("rest", "wxr"))
    assert by_rest.tables["content"].to_pylist() == by_wxr.tables["content"].to_pylist()


def rest(post: dict[str, Any]) -> dict[str, Any]:
    """The post as the REST API gives it: names and titles are HTML."""
    terms = [
        [{"name": escape(name), "taxonomy": taxonomy} for name in post[names]]
        for names, taxonomy in (("categories", "category"), ("tags", "post_tag"))
    ]
    author = [] if post["author"] is None else [{"name": escape(post["author"])}]
    return {
        "id": post["id"],
        "title": {"rendered": escape(post["title"])},
        "status": post["status"],
        "date_gmt": "0000-00-00T00:00:00" if post["date"] is None else post["date"].isoformat(),
        "link": f"https://www.example.com/?p={post['id']}",
        "meta": [] if post["quality"] is None else {"quality": post["quality"]},
        "format": post["format"],
        "_embedded": {"author": author, "wp:term": terms},
    }


def wxr(post: dict[str, Any]) -> str:
    """The post as WordPress exports it: escaped for display, then for XML; the author by display name."""
    terms = [
        f"<category domain={quoteattr(taxonomy)} nicename='x'>{escape(escape(name))}</category>"
        for names, taxonomy in (("categories", "category"), ("tags", "post_tag"))
        for name in post[names]
    ]
    if post["format"] != "standard":
        terms.append(
            f"<category domain='post_format' nicename='post-format-{post['format']}'>As called here</category>"
        )
    fields = {
        "title": escape(post["title"]),
        "link": f"https://www.example.com/?p={post['id']}",
        "dc:creator": escape(post["author"] or ""),
        "wp:post_id": str(post["id"]),
        "wp:post_date_gmt": "0000-00-00 00:00:00" if post["date"] is None else str(post["date"]),
        "wp:status": post["status"],
        "wp:post_type": "post",
    }
    value = f"<wp:meta_key>quality</wp:meta_key><wp:meta_value>{post['quality']!r}</wp:meta_value>"
    quality = "" if post["quality"] is None else value
    children = [f"<{name}>{escape(text)}</{name}>" for name, text in fields.items()]
    return f"<item>{''.join(children)}{''.join(terms)}<wp:postmeta>{quality}</wp:postmeta></item>"
