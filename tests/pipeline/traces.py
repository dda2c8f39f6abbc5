"""What is left of somebody: every byte below a folder is looked at, packed or not, for their ids in every form."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Traces:
    """What must not be found: ids as the company writes them, and their pseudonyms in every form."""

    native: tuple[str, ...]
    pseudonyms: tuple[int, ...]

    @property
    def names(self) -> tuple[bytes, ...]:
        """Native ids as bytes."""
        return tuple(text.encode() for text in self.native)

    @property
    def numbers(self) -> tuple[bytes, ...]:
        """Pseudonyms as decimal text and as the eight bytes that they are, in both orders."""
        forms = [
            (str(one).encode(), *(one.to_bytes(8, order, signed=True) for order in ("little", "big")))
            for one in self.pseudonyms
        ]
        return tuple(form for each in forms for form in each)

    def left_in(self, folder: Path) -> list[str]:
        """Every file below `folder` that holds any of it; the suppression list may hold pseudonyms, for it is of them.

        Exports and the configuration are the company's own.
        """
        found = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            place = path.relative_to(folder)
            if place.parts[0] in ("exports", "shortlist.toml"):
                continue
            listed = place.parts[:2] == ("lake", "suppressions")
            wanted = self.names if listed else (*self.names, *self.numbers)
            held = [needle for said in (str(place).encode(), *contents(path)) for needle in wanted if needle in said]
            found += [f"{place}: {needle!r}" for needle in held]
        return found


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, what they are when unpacked, and every value in them."""
    raw = path.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    if raw[:4] == b"\x28\xb5\x2f\xfd":
        yield pa.input_stream(pa.py_buffer(raw), compression="zstd").read()
    if raw[:4] == b"PAR1":
        yield repr(pq.ParquetFile(path).read().to_pydict()).encode()
    if raw[:16] == b"SQLite format 3\0":
        yield from _sqlite(path)


def _sqlite(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"'):
                yield repr(row).encode()
