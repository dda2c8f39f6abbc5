"""WordPress' posts: embedded terms, rendered titles, and PHP's idea of an empty object."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ShortlistError
from pipeline.sources import read_export

POST: dict[str, Any] = {
    "id": 17,
    "date": "2026-06-30T10:00:00",
    "date_gmt": "2026-06-30T08:00:00",
    "status": "publish",
    "link": "https://www.example.com/a/",
    "format": "video",
    "title": {"rendered": "Tom&#8217;s <em>first</em> &amp; last"},
    "author": 3,
    "categories": [5],
    "tags": [8, 9],
    "meta": {"quality": "0.75", "expires_at": "2026-07-15T00:00:00+02:00"},
    "_embedded": {
        "author": [{"id": 3, "name": "Ann Lee"}],
        "wp:term": [
            [{"name": "Q&amp;A", "taxonomy": "category"}, {"name": "News", "taxonomy": "category"}],
            [{"name": "b", "taxonomy": "post_tag"}, {"name": "a", "taxonomy": "post_tag"}],
        ],
    },
}


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads a document, given as an object or as text."""

    def to_parsed(document: Any, **settings: Any) -> Any:
        text = document if isinstance(document, str) else json.dumps(document)
        return read_export(write("posts.json", text), setting(name="cms", format="wordpress", **settings))

    return to_parsed


def posts(parsed: Any) -> list[dict[str, Any]]:
    """The content's rows."""
    rows: list[dict[str, Any]] = parsed.tables["content"].to_pylist()
    return rows


def test_a_post_becomes_content(parse: Callable[..., Any]) -> None:
    """Every column, as a person would read it; times are UTC."""
    assert posts(parse([POST | {"lang": "en"}])) == [
        {
            "content_id": "17",
            "title": "Tom\u2019s first & last",
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


def test_an_array_and_an_object_with_posts_are_alike(parse: Callable[..., Any]) -> None:
    """Both shapes that exporters write are read."""
    assert posts(parse({"posts": [POST], "total": 1})) == posts(parse([POST]))


def test_what_is_missing_is_null(parse: Callable[..., Any]) -> None:
    """No meta (`[]` in PHP), no embedded terms, a deleted author, no date: null, and counted where it matters."""
    bare = {"id": 1, "title": "Plain", "status": "draft", "meta": [], "date_gmt": "0000-00-00T00:00:00"}
    gone = POST | {"id": 2, "_embedded": {"author": [{"code": "rest_user_invalid_id"}], "wp:term": [[], []]}}
    parsed = parse([bare, gone])
    first, second = posts(parsed)
    assert (first["title"], first["status"], first["tags"]) == ("Plain", "draft", [])
    assert {
        first[name] for name in ("category", "author", "published_at", "expires_at", "quality", "language", "url")
    } == {None}
    assert (second["author"], second["category"], second["tags"]) == (None, None, [])
    assert parsed.notes == {"posts_without_embedded_terms": 1}


def test_a_broken_post_costs_itself(parse: Callable[..., Any]) -> None:
    """Elements are numbered from 1, and the reason names the field."""
    parsed = parse(
        [
            POST,
            5,
            POST | {"id": 2, "date_gmt": "soon"},
            POST | {"id": 3, "meta": {"quality": "good"}},
            POST | {"id": None},
        ]
    )
    assert [row["row_number"] for row in posts(parsed)] == [1]
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [
        {"row_number": 2, "reason": "is not a JSON object"},
        {"row_number": 3, "reason": "date_gmt is not a time in the form iso8601"},
        {"row_number": 4, "reason": "meta.quality is not a number"},
        {"row_number": 5, "reason": "content_id is missing"},
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "is empty"),
        ("[]", "has no rows"),
        (json.dumps([POST])[:-40], "is no whole JSON document"),
        ('{"code": "rest_forbidden"}', "holds no posts.*an object with code"),
        ('"x"', "holds no posts"),
    ],
)
def test_a_document_without_posts_is_refused_whole(document: str, message: str, parse: Callable[..., Any]) -> None:
    """A cut-off download, an error answer and an empty list are told apart."""
    with pytest.raises(ShortlistError, match=message):
        parse(document)


def test_half_a_surrogate_pair_is_no_reason_to_stop(parse: Callable[..., Any]) -> None:
    """JSON may hold what UTF-8 cannot: the character is lost, not the night."""
    assert posts(parse('[{"id": 1, "title": "a\\ud83d"}]'))[0]["title"] == "a?"
