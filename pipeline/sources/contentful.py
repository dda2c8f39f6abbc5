"""Contentful: what `contentful space export` writes, one JSON document with content types, entries and locales.

An entry becomes content when its type is one of `options.content_types` ("article, page"; else every type that has a
display field). Its title is the type's display field, its tags are those of its metadata; everything else is told by
`[sources.columns]`, e.g. `category = "fields.category"`, `content_id = "fields.slug"`. A link to an entry stands for
that entry's display field; links to assets say nothing. Of a field's locales that of `options.locale` counts, else what
it falls back to, else the space's default. An entry that was never published, or no longer is, is a draft.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import catalogue
from pipeline.sources.documents import Document, Rows, UnreadableError, instant, listed, mapping, number, text
from pipeline.sources.export import Bounds, Known, Parsed, Settings, nearest, require_rows
from pipeline.sources.load import json_document

TABLES = ("content",)

_MAPPED = (
    *("content_id", "title", "category", "tags", "author", "published_at", "expires_at", "quality", "url", "format"),
)
_PATH = re.compile(r"(sys|fields)\.(\w+)")


def known(source: Settings) -> Known:
    """Entries have fields of the company's own making."""
    return Known(columns=_MAPPED, options=["allow_empty", "content_types", "locale"])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Parsed:
    """Entries as `content`; `notes` count those of other types."""
    space = _space(path, source)
    rows = Rows(path.name, TABLES)
    for row, entry in enumerate(space.entries, start=1):
        _add(rows, row, mapping(entry), space, source)
    return rows.take()


@dataclass(frozen=True)
class _Space:
    entries: Sequence[Any]
    by_id: Mapping[str, Document]
    display_fields: Mapping[str, str | None]
    """Content type -> its display field."""
    types: frozenset[str]
    """Content types whose entries are content."""
    tags: Mapping[str, str]
    """Id -> name."""
    locales: Sequence[str]
    """In the order in which a field's values are looked for."""


def _space(path: Path, source: Settings) -> _Space:
    document = _document(path, source)
    types = {_id(kind): kind for kind in _objects(document, "contentTypes")}
    display = {name: text(kind.get("displayField")) for name, kind in types.items()}
    chosen = _chosen(path, source, display)
    _require_fields(path, source, [types[name] for name in chosen])
    entries = _objects(document, "entries")
    require_rows(path, source, len(entries))
    return _Space(
        entries=entries,
        by_id={_id(entry): entry for entry in entries},
        display_fields=display,
        types=chosen,
        tags={_id(tag): text(tag.get("name")) or _id(tag) for tag in _objects(document, "tags")},
        locales=_locales(path, source, _objects(document, "locales")),
    )


def _document(path: Path, source: Settings) -> Document:
    document = mapping(json_document(path, source))
    for name in ("contentTypes", "entries", "locales"):
        if not isinstance(document.get(name), list):
            raise ShortlistError(
                f"{source.name}: {path} has no `{name}`; expected what `contentful space export` writes when it is not "
                "told to leave anything out but assets, roles and webhooks."
            )
    return document


def _objects(document: Document, name: str) -> list[Document]:
    return [mapping(value) for value in listed(document.get(name))]


def _id(thing: Document) -> str:
    return text(mapping(thing.get("sys")).get("id")) or ""


def _chosen(path: Path, source: Settings, display: Mapping[str, str | None]) -> frozenset[str]:
    asked = source.options.get("content_types")
    if asked is None:
        return frozenset(name for name, field in display.items() if field)
    names = [name.strip() for name in asked.split(",") if name.strip()]
    for name in names:
        if name not in display:
            raise ConfigurationError(_unknown(path, source, f"content type {name!r}", name, list(display)))
    return frozenset(names)


def _unknown(path: Path, source: Settings, what: str, name: str, found: Sequence[str]) -> str:
    near = nearest(name, found)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"{source.name}: {path} has no {what}; it has: {', '.join(sorted(found)) or 'none'}{hint}"


def _require_fields(path: Path, source: Settings, types: Sequence[Document]) -> None:
    """Raise ConfigurationError unless some type that counts has each field that is mapped."""
    fields = {text(field.get("id")) or "" for kind in types for field in _objects(kind, "fields")}
    for ours, theirs in source.columns.items():
        match = _PATH.fullmatch(theirs)
        if match is None:
            raise ConfigurationError(
                f'{source.name}: `{ours} = "{theirs}"` under [sources.columns] is no field of an entry; it looks like '
                '"fields.category" or "sys.id".'
            )
        if match[1] == "fields" and match[2] not in fields:
            raise ConfigurationError(_unknown(path, source, f"field {match[2]!r}", match[2], list(fields)))


def _locales(path: Path, source: Settings, locales: Sequence[Document]) -> Sequence[str]:
    fallback = {text(locale.get("code")) or "": text(locale.get("fallbackCode")) for locale in locales}
    default = next((code for locale in locales if locale.get("default") and (code := text(locale.get("code")))), None)
    asked = source.options.get("locale", default)
    if asked not in fallback:
        raise ConfigurationError(_unknown(path, source, f"locale {asked!r}", str(asked), list(fallback)))
    chain: dict[str, None] = {}
    while asked is not None and asked not in chain:
        chain[asked] = None
        asked = fallback.get(asked)
    return [*chain, *([default] if default is not None and default not in chain else [])]


def _add(rows: Rows, row: int, entry: Document, space: _Space, source: Settings) -> None:
    kind = _type(entry)
    if kind not in space.types:
        rows.notes["other_content_types"] += 1
        return
    try:
        rows.add("content", row, **_content(entry, space, source))
    except UnreadableError as error:
        rows.refuse("content", row, str(error))


def _type(entry: Document) -> str:
    return _id(mapping(mapping(entry.get("sys")).get("contentType")))


def _content(entry: Document, space: _Space, source: Settings) -> dict[str, Any]:
    system = mapping(entry.get("sys"))
    facts = {
        "content_id": text(system.get("id")),
        "title": _display(entry, space),
        "tags": _tags(entry, space),
        "published_at": instant(system, "firstPublishedAt", "publishedAt", "createdAt"),
        "status": _status(system),
        "language": catalogue.language(space.locales[0]),
    }
    mapped = {ours: _AS[ours](ours, _values(entry, theirs, space)) for ours, theirs in source.columns.items()}
    content = {**facts, **mapped}
    if catalogue.has_address(content["content_id"] or ""):
        raise UnreadableError("content_id holds an e-mail address")
    return content


def _status(system: Document) -> str:
    """Entries that came through the delivery API, which has published ones only, have no `version`."""
    if system.get("archivedVersion") is not None or system.get("archivedAt") is not None:
        return "archived"
    return "published" if system.get("publishedVersion") is not None or "version" not in system else "draft"


def _display(entry: Document, space: _Space) -> str | None:
    field = space.display_fields.get(_type(entry))
    return text(_localized(entry, field, space)) if field else None


def _localized(entry: Document, field: str, space: _Space) -> Any:
    by_locale = mapping(mapping(entry.get("fields")).get(field))
    return next((by_locale[code] for code in space.locales if by_locale.get(code) is not None), None)


def _tags(entry: Document, space: _Space) -> list[str]:
    ids = [_id(tag) for tag in _objects(mapping(entry.get("metadata")), "tags")]
    return [space.tags.get(id_, id_) for id_ in ids if id_]


def _values(entry: Document, theirs: str, space: _Space) -> list[str]:
    """What a field says, as texts: one, or as many as its list has."""
    where, _, name = theirs.partition(".")
    value = mapping(entry.get("sys")).get(name) if where == "sys" else _localized(entry, name, space)
    said = (_said(part, space) for part in (value if isinstance(value, list) else [value]))
    return [part for part in said if part is not None]


def _said(value: Any, space: _Space) -> str | None:
    link = mapping(mapping(value).get("sys"))
    if link.get("linkType") == "Entry":
        linked = space.by_id.get(text(link.get("id")) or "")
        return _display(linked, space) if linked is not None else None
    return text(value)


def _first(ours: str, values: Sequence[str]) -> str | None:
    return values[0] if values else None


_AS: Mapping[str, Callable[[str, Sequence[str]], Any]] = {
    **dict.fromkeys(("content_id", "title", "category", "url", "format"), _first),
    "tags": lambda ours, values: list(values),
    "author": lambda ours, values: catalogue.person(_first(ours, values)),
    **dict.fromkeys(("published_at", "expires_at"), lambda ours, values: instant({ours: _first(ours, values)}, ours)),
    "quality": lambda ours, values: number({ours: _first(ours, values)}, ours),
}
