"""A feed as the catalogue: RSS, Atom or JSON Feed, from a file (nothing is fetched).

Content is named by the path of its page ("/guides/pricing"; `options.content_from_url = "last_part"`: "pricing"), as
analytics names it; with `options.content_id = "id"` by the entry's own id. Its category is the first of its tags. What
stands in a feed is published. Of authors the name is kept, never the e-mail address that RSS asks for.

A feed holds the newest entries only (often ten): an entry that is no longer in it is old, not gone. `PARTIAL` says so.
"""

from __future__ import annotations

import io
import json
from calendar import timegm
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import catalogue, markup, pages
from pipeline.sources.decode import open_bytes
from pipeline.sources.documents import Rows, UnreadableError, instant, listed, mapping, text
from pipeline.sources.export import Bounds, Known, Parsed, Settings, require_rows

TABLES = ("content",)

PARTIAL = ("content",)
"""Tables of which a file holds only the newest rows: those of earlier files are still true."""

_LARGEST = 1 << 26
"""Bytes of a feed; it is read whole."""

Entry = Mapping[str, Any]


def known(source: Settings) -> Known:
    """Feeds name their fields themselves."""
    return Known(options=["allow_empty", "content_id", pages.OPTION])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Parsed:
    """Entries as `content`; one without the link or id that names it is refused."""
    name = _naming(source)
    entries = list(_xml_entries(path, source) if markup.is_xml(path, source) else _json_entries(path, source))
    require_rows(path, source, len(entries))
    rows = Rows(path.name, TABLES)
    for number, entry in enumerate(entries, start=1):
        try:
            rows.add("content", number, content_id=name(entry), status="published", **_facts(entry))
        except UnreadableError as error:
            rows.refuse("content", number, str(error))
    return rows.take()


def _naming(source: Settings) -> Callable[[Entry], str]:
    pages.mode(source)
    asked = source.options.get("content_id", "link_path")
    if asked == "link_path":
        return lambda entry: _page(entry, source)
    if asked == "id":
        return _id
    raise ConfigurationError(f'{source.name}: options.content_id must be "link_path" or "id", found {asked!r}.')


def _page(entry: Entry, source: Settings) -> str:
    link = text(entry.get("link"))
    if pages.is_personal(link):
        raise UnreadableError("link holds an e-mail address")
    page = pages.content_from(link, source)
    if page is None:
        raise UnreadableError("link is missing" if link is None else "link is a site's front page")
    return page


def _id(entry: Entry) -> str:
    found = text(entry.get("id"))
    if found is None:
        raise UnreadableError("id is missing")
    if catalogue.has_address(found):
        raise UnreadableError("id holds an e-mail address")
    return found


def _facts(entry: Entry) -> dict[str, Any]:
    tags = [tag for tag in map(catalogue.plain, map(text, entry["tags"])) if tag]
    link = text(entry.get("link"))
    return {
        "title": catalogue.plain(text(entry.get("title"))),
        "category": tags[0] if tags else None,
        "tags": tags,
        "author": catalogue.person(text(entry.get("author"))),
        "published_at": instant(entry, "published"),
        "language": catalogue.language(text(entry.get("language"))),
        "url": None if link is None or catalogue.has_address(link) else link,
    }


def _xml_entries(path: Path, source: Settings) -> Iterator[Entry]:
    """Entries of RSS and Atom, once it is certain that the document is whole and harmless.

    feedparser would expand the document's own entities, and read on past an error as if nothing were missing.
    """
    import feedparser  # every step imports this file, few read a feed

    data = _bytes(path, source)
    deque(markup.elements(io.BytesIO(data), path, source, 2), maxlen=0)
    feed = feedparser.parse(io.BytesIO(data), resolve_relative_uris=False, sanitize_html=False)
    if not feed.version:
        raise ShortlistError(f"{source.name}: {path} is XML, but no feed: expected RSS or Atom.")
    yield from (_of_feedparser(entry, feed.feed.get("language")) for entry in feed.entries)


def _bytes(path: Path, source: Settings) -> bytes:
    with open_bytes(path, source) as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ShortlistError(
            f"{source.name}: {path} is larger than {_LARGEST >> 20} MiB, as no feed is; export the catalogue in the "
            'form that its CMS has for it, e.g. format = "wordpress".'
        )
    return data


def _of_feedparser(entry: Mapping[str, Any], language: str | None) -> Entry:
    author = entry.get("author_detail", {})
    moments = {name: _moment(entry, name) for name in ("published", "updated") if name in entry}
    return {
        "id": entry.get("id"),
        "link": entry.get("link"),
        "title": entry.get("title"),
        "tags": [tag.get("term") or tag.get("label") for tag in entry.get("tags", [])],
        "author": author.get("name") or entry.get("author"),
        "published": moments.get("published", moments.get("updated")),
        "language": entry.get("title_detail", {}).get("language") or language,
    }


def _moment(entry: Mapping[str, Any], name: str) -> datetime | str:
    """A time that feedparser cannot read stays as it is, to be refused."""
    parsed = entry.get(f"{name}_parsed")
    return datetime.fromtimestamp(timegm(parsed), UTC) if parsed else str(entry[name])


def _json_entries(path: Path, source: Settings) -> Iterator[Entry]:
    try:
        feed = mapping(json.loads(_bytes(path, source).decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise ShortlistError(
            f"{source.name}: {path} is neither XML nor a whole JSON document ({type(error).__name__}); expected RSS, "
            "Atom or JSON Feed: export it again."
        ) from error
    if not str(feed.get("version")).startswith("https://jsonfeed.org/"):
        raise ShortlistError(
            f"{source.name}: {path} is JSON, but no JSON Feed: expected `version` to begin with https://jsonfeed.org/."
        )
    yield from (_of_json_feed(mapping(item), feed.get("language")) for item in listed(feed.get("items")))


def _of_json_feed(item: Entry, language: Any) -> Entry:
    authors = [mapping(author) for author in [*listed(item.get("authors")), item.get("author")]]
    return {
        "id": item.get("id"),
        "link": item.get("url"),
        "title": item.get("title"),
        "tags": listed(item.get("tags")),
        "author": next((author["name"] for author in authors if text(author.get("name"))), None),
        "published": item.get("date_published") or item.get("date_modified"),
        "language": item.get("language") or language,
    }
