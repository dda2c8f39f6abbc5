"""XML as a stream of elements, by a parser that refuses what only an attack needs.

Refused are entities that the document declares itself (a few lines can stand for gigabytes), parts to be fetched from
elsewhere, and elements nested deeper than any export is.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from pipeline.errors import ShortlistError
from pipeline.sources.decode import open_bytes
from pipeline.sources.export import Settings

_DEEPEST = 100
_BEFORE_TEXT = codecs.BOM_UTF8 + codecs.BOM_UTF16_LE + b"\0 \t\r\n"


def is_xml(path: Path, source: Settings) -> bool:
    """Whether the file's text begins like XML."""
    with open_bytes(path, source) as stream:
        head: bytes = stream.read(256)
    return head.lstrip(_BEFORE_TEXT).startswith(b"<")


def elements(stream: IO[bytes], path: Path, source: Settings, depth: int) -> Iterator[Element]:
    """Whole elements of this depth (the root's is 1), each forgotten once it was handed out.

    Raises:
        ShortlistError: The document is cut off, damaged, or hostile.
    """
    within: list[Element] = []
    try:
        for event, element in iterparse(stream, events=("start", "end")):
            if event == "start":
                within.append(element)
                _require_shallow(path, source, len(within))
                continue
            within.pop()
            if len(within) == depth - 1:
                yield element
                within[-1].remove(element)
    except DefusedXmlException:
        raise ShortlistError(
            f"{source.name}: {path} declares XML entities, or parts to be fetched from elsewhere; no export needs "
            "that, and it can be an attack: find out who wrote the file, and export it again."
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise ShortlistError(
            f"{source.name}: {path} is no whole XML document ({error}); it is cut off or damaged, or not in the "
            "encoding that it declares: export it again."
        ) from error


def _require_shallow(path: Path, source: Settings, depth: int) -> None:
    if depth > _DEEPEST:
        raise ShortlistError(
            f"{source.name}: {path} nests XML elements more than {_DEEPEST} deep, as no export does: find out who "
            "wrote the file, and export it again."
        )
