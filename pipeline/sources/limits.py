"""What an export may be: a plain file in its folder, of plausible size; checked before and while it is read."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ShortlistError
from pipeline.sections import Limits
from pipeline.sources.export import Settings

JUDGED_FROM = 64 << 20
"""Bytes that a file may unpack to whatever its packed size."""

_ARCHIVES: Mapping[bytes, str] = MappingProxyType(
    {
        b"PK\x03\x04": "zip",
        b"PK\x05\x06": "zip",
        b"PK\x07\x08": "zip",
        b"7z\xbc\xaf\x27\x1c": "7z",
        b"Rar!\x1a\x07": "rar",
    }
)
_ARCHIVE_NAMES = frozenset({".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"})
_TAR_MARK = slice(257, 262)
_BLOCK = 1 << 18

_CURRENT: ContextVar[Limits] = ContextVar("limits")


def current() -> Limits:
    """The limits of this process: those of `using`, else the defaults."""
    return _CURRENT.get(Limits())


@contextmanager
def using(limits: Limits) -> Iterator[None]:
    """Make `limits` the current ones."""
    token = _CURRENT.set(limits)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def threads(limits: Limits) -> int:
    """How many DuckDB and Arrow may use: each needs room of its own."""
    return max(1, min(os.cpu_count() or 1, limits.memory_mb // 512))


def require_file(path: Path, source: Settings, limits: Limits) -> None:
    """Raise ShortlistError unless `path` is a regular file of at most `max_file_gb`, within the source's folder.

    The folder is what stands before the first placeholder in the configured path. Links within it are fine.
    """
    _require_inside(path, source)
    try:
        found = path.stat()
    except OSError as error:
        raise ShortlistError(f"{source.name}: {path} cannot be opened ({error.strerror}); export it again.") from error
    if not stat.S_ISREG(found.st_mode):
        raise ShortlistError(f"{source.name}: {path} is no regular file but a folder, pipe or device; correct `path`.")
    if found.st_size > limits.max_file_gb * 1e9:
        raise ShortlistError(
            f"{source.name}: {path} has {found.st_size} bytes, more than limits.max_file_gb = {limits.max_file_gb:g}; "
            "split the export, or raise the limit."
        )


def _require_inside(path: Path, source: Settings) -> None:
    root = folder(source)
    asked = path.absolute()
    if not asked.is_relative_to(root) or ".." in asked.relative_to(root).parts:
        raise ShortlistError(f"{source.name}: {path} is not in {root}, where `path` says that exports are.")
    if not asked.resolve().is_relative_to(root.resolve()):
        raise ShortlistError(
            f"{source.name}: {path} is a link that leads out of {root}; put the export itself there, or point `path` "
            "at the folder where it is."
        )


def folder(source: Settings) -> Path:
    """The folder that the fixed part of a source's path names: `/a/b` for `/a/b/c_{date}/d.csv`."""
    fixed, _, _ = source.path.partition("{")
    return Path(fixed[: fixed.rfind("/") + 1]).absolute()


def require_no_archive(path: Path, source: Settings, head: bytes) -> None:
    """Raise ShortlistError when the name, or the (unpacked) file's first 512 bytes, are those of an archive."""
    named = next((ending for ending in path.suffixes if ending.lower() in _ARCHIVE_NAMES), None)
    kind = named or next((name for mark, name in _ARCHIVES.items() if head.startswith(mark)), None)
    if kind is None and head[_TAR_MARK] == b"ustar":
        kind = "tar"
    if kind is not None:
        raise ShortlistError(
            f"{source.name}: {path} is an archive ({kind.lstrip('.')}; a spreadsheet is one, too); expected one plain "
            "file, which may be packed as .gz or .zst: unpack the archive where it is made."
        )


def require_columns(path: Path, source: Settings, columns: int) -> None:
    """Raise ShortlistError for more columns than `max_columns`."""
    most = current().max_columns
    if columns > most:
        raise ShortlistError(
            f"{source.name}: {path} has {columns} columns, more than limits.max_columns = {most}; export fewer, or "
            "raise the limit."
        )


def require_cells(path: Path, source: Settings, table: pa.Table) -> None:
    """Raise ShortlistError when a cell of `table` is longer than `max_string_mb`."""
    most = current().max_string_mb
    for name, column in zip(table.column_names, table.columns, strict=True):
        longest = max((_longest(chunk) for chunk in column.chunks), default=0)
        if longest > most * 1e6:
            raise ShortlistError(
                f"{source.name}: a cell of `{name}` in {path} has {longest} bytes, more than limits.max_string_mb = "
                f"{most:g}; export it without such cells, or raise the limit."
            )


def _longest(cells: pa.Array) -> int:
    """Bytes of the longest text in an array, at whatever depth."""
    type_ = cells.type
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        return int(pc.max(pc.binary_length(cells)).as_py() or 0)
    if pa.types.is_map(type_):
        return max(_longest(cells.keys), _longest(cells.items))
    return _longest(cells.flatten()) if pa.types.is_list(type_) else 0


def bounded(stream: pa.NativeFile, path: Path, source: Settings) -> pa.NativeFile | io.BufferedReader:
    """`stream`; if it is unpacked as it is read, one that raises ShortlistError where it becomes implausibly large."""
    if not isinstance(stream, pa.CompressedInputStream):
        return stream
    return io.BufferedReader(_Unpacked(stream, path, source), _BLOCK)


def require_ratio(path: Path, source: Settings, unpacked: int) -> None:
    """Raise ShortlistError when `unpacked` bytes are too many for a packed file of this size."""
    if unpacked > most_unpacked(path):
        raise ShortlistError(
            f"{source.name}: {path} unpacks to more than {current().max_ratio:g} times its size "
            f"({path.stat().st_size} bytes): it is damaged, or made to fill the memory. If it is good, raise "
            "limits.max_ratio."
        )


def most_unpacked(path: Path) -> float:
    """Bytes to which a file of this size may unpack."""
    return max(JUDGED_FROM, current().max_ratio * path.stat().st_size)


class _Unpacked(io.RawIOBase):
    """Counts what is read."""

    def __init__(self, stream: pa.NativeFile, path: Path, source: Settings) -> None:
        self._stream, self._path, self._source = stream, path, source
        self._most = most_unpacked(path)
        self._done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = int(self._stream.readinto(buffer))
        self._done += count
        if self._done > self._most:
            require_ratio(self._path, self._source, self._done)
        return count
