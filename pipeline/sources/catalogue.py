"""What content catalogues have in common: HTML to text, people's names without addresses, languages."""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
_ADDRESS = re.compile(r"[^\s<>()@/](?:@|%40)[^\s<>()@/.]+\.\w")
_WORD = re.compile(r"[^\s<>()\"]+")


def plain(text: str | None) -> str | None:
    """HTML as plain text; null when nothing is left."""
    return html.unescape(_TAG.sub("", text)).strip() or None if text else None


def person(name: str | None) -> str | None:
    """A name without the e-mail address that some systems put beside it, or in its place.

    `jo@example.com (Jo Lee)` and `Jo Lee <jo@example.com>` are Jo Lee; `jo@example.com` is nobody.
    """
    found = html.unescape(name) if name else ""
    if has_address(found):
        found = " ".join(word for word in _WORD.findall(found) if not has_address(word))
    return found.strip() or None


def has_address(text: str) -> bool:
    """Whether there is what looks like an e-mail address."""
    return _ADDRESS.search(text) is not None


def language(code: str | None) -> str | None:
    """ISO 639 of a locale: `en-US` is `en`."""
    return re.split(r"[-_]", code.strip(), maxsplit=1)[0].lower() or None if code else None
