"""WordPress: posts as its REST API gives them, or the whole site as its own export writes it (WXR).

REST (`/wp/v2/posts?_embed`) is a JSON array, or an object with `posts`. WXR (Tools > Export, `wp export`) is XML, see
`wordpress_xml`. Which it is, the file's first character tells; either names content by the post's id.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import ShortlistError
from pipeline.sources import catalogue, markup, wordpress_xml
from pipeline.sources.documents import Rows, UnreadableError, number
from pipeline.sources.export import Bounds, Known, Parsed, Settings, require_rows
from pipeline.sources.load import json_document, plain_text

TABLES = ("content",)


def known(source: Settings) -> Known:
    """WordPress names its fields itself."""
    return Known(options=["allow_empty"])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Parsed | Iterator[Parsed]:
    """Posts as `content`; `notes` count posts without embedded terms (exported without `_embed`)."""
    if markup.is_xml(path, source):
        return wordpress_xml.read(path, source)
    posts = _posts(path, source)
    require_rows(path, source, len(posts))
    rows = Rows(path.name, TABLES)
    for place, post in enumerate(posts, start=1):
        _add(rows, place, post)
    return rows.take()


def _add(rows: Rows, row: int, post: Any) -> None:
    if not isinstance(post, dict):
        rows.refuse("content", row, "is not a JSON object")
        return
    rows.notes["posts_without_embedded_terms"] += "wp:term" not in _object(post.get("_embedded"))
    try:
        rows.add("content", row, **{ours: get(post) for ours, get in _FIELDS.items()})
    except UnreadableError as error:
        rows.refuse("content", row, str(error))


def _posts(path: Path, source: Settings) -> list[Any]:
    document = json_document(path, source)
    posts = document.get("posts") if isinstance(document, dict) else document
    if not isinstance(posts, list):
        raise ShortlistError(
            f"{source.name}: {path} holds no posts: expected a JSON array, or an object with `posts`. Found "
            f"{_outline(document)}."
        )
    return posts


def _outline(document: Any) -> str:
    if isinstance(document, dict):
        return f"an object with {', '.join(sorted(map(str, document))[:10]) or 'no keys'}"
    return f"a {type(document).__name__}"


def _object(value: Any) -> Mapping[str, Any]:
    """PHP writes an empty object as an empty array."""
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return plain_text(value) or None


def _title(post: Mapping[str, Any]) -> str | None:
    """Plain text: the API renders titles as HTML."""
    title = post.get("title")
    return catalogue.plain(_text(title.get("rendered") if isinstance(title, dict) else title))


def _terms(post: Mapping[str, Any], taxonomy: str) -> list[str]:
    groups = _listed(_object(post.get("_embedded")).get("wp:term"))
    terms = (_object(term) for group in groups for term in _listed(group))
    names = (_text(term.get("name")) for term in terms if term.get("taxonomy") == taxonomy)
    return [html.unescape(name) for name in names if name]


def _category(post: Mapping[str, Any]) -> str | None:
    return next(iter(_terms(post, "category")), None)


def _author(post: Mapping[str, Any]) -> str | None:
    """A deleted author is embedded as an error without a name."""
    authors = _listed(_object(post.get("_embedded")).get("author"))
    return catalogue.person(_text(_object(authors[0]).get("name"))) if authors else None


def _meta(post: Mapping[str, Any], key: str) -> str | None:
    return _text(_object(post.get("meta")).get(key))


def _expires_at(post: Mapping[str, Any]) -> datetime | None:
    return wordpress_xml.instant(_meta(post, "expires_at"), "meta.expires_at")


_FIELDS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "content_id": lambda post: _text(post.get("id")),
    "title": _title,
    "category": _category,
    "tags": lambda post: _terms(post, "post_tag"),
    "author": _author,
    "published_at": lambda post: wordpress_xml.instant(_text(post.get("date_gmt")), "date_gmt"),
    "expires_at": _expires_at,
    "status": lambda post: wordpress_xml.status(_text(post.get("status"))),
    "quality": lambda post: number({"meta.quality": _meta(post, "quality")}, "meta.quality"),
    "language": lambda post: _text(post.get("lang")),
    "url": lambda post: _text(post.get("link")),
    "format": lambda post: _text(post.get("format")),
}
