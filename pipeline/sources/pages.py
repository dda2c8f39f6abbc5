"""What a page is about: content ids from URLs, the same in SQL and in Python; never with an e-mail address in them."""

from __future__ import annotations

import re

from pipeline.errors import ConfigurationError
from pipeline.sources import sql
from pipeline.sources.export import Settings

OPTION = "content_from_url"

_ORIGIN = r"^[a-zA-Z][a-zA-Z0-9+.\-]*://[^/?#]*"
_QUERY = r"[?#].*"
_LAST = r"^.*/"
# An e-mail address, its @ perhaps written as %40; `[^/]` keeps it within one part of the path.
_ADDRESS = r"[^/@%]+(@|%40)[^/@%]+\.[^/@%]"


def mode(source: Settings, default: str = "path") -> str:
    """How this source's URLs name content: `path` ("/guides/pricing") or `last_part` ("pricing"); "true" is the latter.

    Raises:
        ConfigurationError: `options.content_from_url` is something else.
    """
    asked = source.options.get(OPTION, default)
    known = {"path": "path", "last_part": "last_part", "true": "last_part"}
    if asked not in known:
        raise ConfigurationError(f'{source.name}: options.{OPTION} must be "path" or "last_part", found {asked!r}.')
    return known[asked]


def content_from(url: str | None, source: Settings) -> str | None:
    """The content that `url` (absolute, or a path) is about; None for no page, a site's front page, or an address."""
    if url is None or is_personal(url):
        return None
    path = re.sub(_QUERY, "", re.sub(_ORIGIN, "", url), flags=re.DOTALL).rstrip("/")
    named = path if mode(source) == "path" else re.sub(_LAST, "", path, flags=re.DOTALL)
    return named or None


def content_of(url: str, source: Settings) -> str:
    """`content_from` as SQL on `url` (SQL text)."""
    path = f"regexp_replace({url}, {sql.text(_ORIGIN)}, '')"
    path = f"rtrim(regexp_replace({path}, {sql.text(_QUERY)}, '', 's'), '/')"
    named = path if mode(source) == "path" else f"regexp_replace({path}, {sql.text(_LAST)}, '', 's')"
    return f"CASE WHEN NOT {personal_of(url)} THEN nullif({named}, '') END"


def personal_of(url: str) -> str:
    """SQL: whether the path of `url` holds what looks like an e-mail address; never null."""
    path = f"regexp_replace(regexp_replace({url}, {sql.text(_ORIGIN)}, ''), {sql.text(_QUERY)}, '', 's')"
    return f"coalesce(regexp_matches({path}, {sql.text(_ADDRESS)}), false)"


def is_personal(url: str | None) -> bool:
    """Whether the path of `url` holds what looks like an e-mail address."""
    if url is None:
        return False
    path = re.sub(_QUERY, "", re.sub(_ORIGIN, "", url), flags=re.DOTALL)
    return re.search(_ADDRESS, path) is not None
