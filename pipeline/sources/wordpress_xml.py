"""WordPress eXtended RSS (WXR): what Tools > Export and `wp export` write; the fields are those of `export.php`.

Posts, pages and products become content; attachments, menus, revisions and the like are counted and left out. Terms
are those of the taxonomies `category` and `post_tag`, the language is Polylang's. Comments, and what the file knows of
people beyond an author's display name, are not read. The file is read as a stream: it may be larger than memory.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from pipeline.errors import ShortlistError
from pipeline.sources import catalogue, documents
from pipeline.sources.decode import open_bytes
from pipeline.sources.documents import Rows, UnreadableError
from pipeline.sources.export import Parsed, Settings, require_rows
from pipeline.sources.markup import elements

_CONTENT = ("post", "page", "product")
_DEPTH = 3  # rss > channel > item


def read(path: Path, source: Settings) -> Iterator[Parsed]:
    """Posts as `content`; `notes` count what is of other types. Items are numbered from 1, whatever their type."""
    rows = Rows(path.name, ("content",))
    for number, item, names in _items(path, source):
        _add(rows, number, item, names)
        if rows.full:
            yield rows.take()
    yield rows.take()


def status(theirs: str | None) -> str | None:
    """`publish` is our `published`; all others (draft, future, private, trash …) keep their names."""
    return "published" if theirs == "publish" else theirs


def instant(value: str | None, name: str) -> datetime | None:
    """A time, UTC; `0000-00-00` and `false` are WordPress for never."""
    never = value is None or value == "false" or value.startswith("0000-00-00")
    return None if never else documents.instant({name: value}, name)


def _items(path: Path, source: Settings) -> Iterator[tuple[int, Element, Mapping[str, str | None]]]:
    """Items with the display names, by login, of the authors that stand before them."""
    names: dict[str, str | None] = {}
    number, is_export = 0, False
    with open_bytes(path, source) as stream:
        for element in elements(stream, path, source, _DEPTH):
            kind = element.tag.rpartition("}")[2]
            is_export = is_export or kind == "wxr_version"
            if kind == "author":
                names[_text(element, "author_login") or ""] = _text(element, "author_display_name")
            if kind == "item":
                number += 1
                yield number, element, names
    _require_export(path, source, is_export)
    require_rows(path, source, number)


def _require_export(path: Path, source: Settings, is_export: bool) -> None:
    if not is_export:
        raise ShortlistError(
            f"{source.name}: {path} is XML, but no WordPress export: it has no `wp:wxr_version`. Export the site under "
            'Tools > Export; a feed is read with format = "rss".'
        )


def _add(rows: Rows, number: int, item: Element, names: Mapping[str, str | None]) -> None:
    if _text(item, "post_type") not in _CONTENT:
        rows.notes["other_post_types"] += 1
        return
    try:
        rows.add("content", number, **_content(item, names))
    except UnreadableError as error:
        rows.refuse("content", number, str(error))


def _content(item: Element, names: Mapping[str, str | None]) -> dict[str, Any]:
    categories, login = _terms(item, "category"), _text(item, "creator")
    meta = {_text(pair, "meta_key") or "": _text(pair, "meta_value") for pair in item.findall("{*}postmeta")}
    languages = [term.get("nicename") for term in item.findall("category") if term.get("domain") == "language"]
    return {
        "content_id": _text(item, "post_id"),
        "title": catalogue.plain(_text(item, "title")),
        "category": categories[0] if categories else None,
        "tags": _terms(item, "post_tag"),
        "author": catalogue.person(names.get(login or "") or login),
        "published_at": instant(_text(item, "post_date_gmt"), "wp:post_date_gmt"),
        "expires_at": instant(meta.get("expires_at"), "meta expires_at"),
        "status": status(_text(item, "status")),
        "quality": documents.number(meta, "quality"),
        "language": languages[0] if languages else None,
        "url": _text(item, "link"),
        "format": _format(item),
    }


def _terms(item: Element, taxonomy: str) -> list[str]:
    terms = (term for term in item.findall("category") if term.get("domain") == taxonomy)
    return [html.unescape(term.text) for term in terms if term.text]


def _format(item: Element) -> str:
    """The theme's format as the REST API names it; a post without one is a standard one."""
    formats = [term.get("nicename") for term in item.findall("category") if term.get("domain") == "post_format"]
    return next((name.removeprefix("post-format-") for name in formats if name), "standard")


def _text(element: Element, name: str) -> str | None:
    """The text of a child; RSS' own have no namespace, and that of `wp:` has the export's version in it."""
    child = element.find(name if name in ("title", "link") else f"{{*}}{name}")
    return (child.text or "").strip() or None if child is not None else None
