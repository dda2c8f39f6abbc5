"""Bytes to text: compression, encoding, and what to say when either is not what the source claims."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import limits
from pipeline.sources.export import Settings

_BLOCK = 1 << 20


def require_bytes(path: Path, source: Settings) -> None:
    """Raise ShortlistError unless `path` is a file of at least one byte."""
    if not path.is_file():
        raise ShortlistError(f"{source.name}: {path} does not exist or is no file; export it, or correct `path`.")
    if path.stat().st_size == 0:
        raise ShortlistError(f"{source.name}: {path} is empty (0 bytes); the export failed: make it again.")


@contextmanager
def open_bytes(path: Path, source: Settings) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked when its name ends in .gz or .zst."""
    require_bytes(path, source)
    try:
        with pa.input_stream(str(path)) as stream:
            yield limits.bounded(stream, path, source)
    except OSError as error:
        raise ShortlistError(
            f"{source.name}: {path} cannot be read to its end ({error}); it is cut off or damaged: export it again."
        ) from error


@contextmanager
def open_text(path: Path, source: Settings) -> Iterator[IO[str]]:
    """The file's text in lines that end at a line feed only, kept as they are; a byte order mark is skipped."""
    codec = _codec(source)
    try:
        with open_bytes(path, source) as stream, io.TextIOWrapper(stream, encoding=codec, newline="\n") as text:
            yield text
    except UnicodeError:
        raise ShortlistError(_undecodable(path, source)) from None


def _codec(source: Settings) -> str:
    try:
        name = codecs.lookup(source.encoding).name
    except LookupError:
        raise ConfigurationError(
            f'{source.name}: encoding {source.encoding!r} is not known; try "utf-8", "cp1252" or "utf-16".'
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def _undecodable(path: Path, source: Settings) -> str:
    offset, line, near = _first_bad_byte(path, source)
    return (
        f"{source.name}: {path} is not {source.encoding}: byte {offset} (line {line}) cannot be decoded. "
        f'Set `encoding = "{_likely_encoding(near, source.encoding)}"` for this source, or export it as utf-8.'
    )


def _first_bad_byte(path: Path, source: Settings) -> tuple[int, int, bytes]:
    """Offset from 0, line from 1, and the bytes read with it."""
    decoder = codecs.getincrementaldecoder(source.encoding)()
    offset, line = 0, 1
    with open_bytes(path, source) as stream:
        while True:
            block = stream.read(_BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                line += decoder.decode(block, final=not block).count("\n")
            except UnicodeDecodeError as error:
                good = error.object[: error.start].decode(source.encoding, "ignore")
                return offset - pending + error.start, line + good.count("\n"), error.object
            except UnicodeError:  # utf-16 without a byte order mark: wrong from the first byte
                return offset, line, block
            offset += len(block)


def _likely_encoding(sample: bytes, claimed: str) -> str:
    if sample[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    candidates = [name for name in ("utf-8", "cp1252") if codecs.lookup(name) != codecs.lookup(claimed)]
    return next((name for name in candidates if _decodes(sample, name)), "latin-1")


def _decodes(sample: bytes, encoding: str) -> bool:
    """Whether all but a character cut in half at the end of the sample can be read."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True
