"""WordPress posts as the REST API gives them (`/wp/v2/posts?_embed`): a JSON array, or an object with `posts`."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from expectations.schemas import NATIVE
from pipeline.errors import ShortlistError
from pipeline.sources.decode import open_text
from pipeline.sources.delimited import Broken
from pipeline.sources.export import ROW_NUMBER, Bounds, Known, Parsed, Settings, counted, native, refusals, require_rows
from pipeline.sources.load import plain_text, strings

TABLES = ("content",)

_TAG = re.compile(r"<[^>]*>")


def known(source: Settings) -> Known:
    """WordPress names its fields itself."""
    return Known(options=["allow_empty"])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Parsed:
    """Posts as `content`; `notes` count posts without embedded terms (exported without `_embed`)."""
    posts = _posts(path, source)
    require_rows(path, source, len(posts))
    broken = Broken()
    rows = list(_rows(posts, broken))
    bare = sum("wp:term" not in _object(post.get("_embedded")) for post in posts if isinstance(post, dict))
    table = native("content", _table(rows))
    return Parsed(
        {"content": table}, refusals("content", path.name, broken.table()), counted(posts_without_embedded_terms=bare)
    )


def _posts(path: Path, source: Settings) -> list[Any]:
    with open_text(path, source) as stream:
        text = stream.read()
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ShortlistError(
            f"{source.name}: {path} is no whole JSON document ({error}); it is cut off or damaged: export it again."
        ) from error
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


def _rows(posts: Sequence[Any], broken: Broken) -> Iterator[dict[str, Any]]:
    for number, post in enumerate(posts, start=1):
        if not isinstance(post, dict):
            broken.add(number, "is not a JSON object")
            continue
        try:
            yield {ROW_NUMBER: number, **{ours: get(post) for ours, get in _FIELDS.items()}}
        except _UnreadableError as error:
            broken.add(number, str(error))


class _UnreadableError(Exception):
    """A field that cannot be what it should be; the message names the field and no value."""


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
    rendered = _text(title.get("rendered") if isinstance(title, dict) else title)
    return rendered and html.unescape(_TAG.sub("", rendered)).strip()


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
    name = _text(_object(authors[0]).get("name")) if authors else None
    return name and html.unescape(name)


def _status(post: Mapping[str, Any]) -> str | None:
    status = _text(post.get("status"))
    return "published" if status == "publish" else status


def _meta(post: Mapping[str, Any], key: str) -> str | None:
    return _text(_object(post.get("meta")).get(key))


def _quality(post: Mapping[str, Any]) -> float | None:
    text = _meta(post, "quality")
    try:
        return None if text is None else float(text)
    except ValueError:
        raise _UnreadableError("meta.quality is not a number") from None


def _instant(value: str | None, name: str) -> datetime | None:
    """ISO 8601, UTC unless it says otherwise; `0000-00-00` and `false` are WordPress for never."""
    if value is None or value == "false" or value.startswith("0000-00-00"):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _UnreadableError(f"{name} is not a time in the form iso8601") from None


_FIELDS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "content_id": lambda post: _text(post.get("id")),
    "title": _title,
    "category": _category,
    "tags": lambda post: _terms(post, "post_tag"),
    "author": _author,
    "published_at": lambda post: _instant(_text(post.get("date_gmt")), "date_gmt"),
    "expires_at": lambda post: _instant(_meta(post, "expires_at"), "meta.expires_at"),
    "status": _status,
    "quality": _quality,
    "language": lambda post: _text(post.get("lang")),
    "url": lambda post: _text(post.get("link")),
}


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    schema = NATIVE["content"].schema
    columns = {name: _column([row[name] for row in rows], schema.field(name).type) for name in schema.names}
    return pa.table({**columns, ROW_NUMBER: pa.array([row[ROW_NUMBER] for row in rows], pa.int64())})


def _column(values: list[Any], type_: pa.DataType) -> pa.Array:
    return strings(values) if pa.types.is_string(type_) else pa.array(values, type_)
