"""The regular stretches of a CSV text: Arrow reads them as Python's csv reader would, many times faster.

Regular means: quotes stand around whole fields and are doubled within, a carriage return stands before a line feed
only, no record is longer than the csv reader's longest field, and every record is as wide as the header.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

_LINE_FEED, _RETURN, _QUOTE = b'\n\r"'
_LONGEST = 131_072
"""Bytes; the csv reader's limit is as many characters of one field."""

_Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """How many fields a record has, which of them to read under which names, and what separates them."""

    width: int
    places: Sequence[int]
    names: Sequence[str]
    mark: str

    @property
    def simple(self) -> bool:
        """Whether Arrow can split at this mark: it must be one byte, and is none that means something else."""
        return self.mark == "\t" or "!" <= self.mark <= "~"


def end(data: bytes, mark: str) -> int:
    """Where the last whole record of `data` (UTF-8, from a record's beginning) ends; 0 unless all before is regular."""
    cells = np.frombuffer(data, np.uint8)
    line_ends = np.flatnonzero(cells == _LINE_FEED)
    quotes = np.flatnonzero(cells == _QUOTE) if b'"' in data else np.empty(0, np.int64)
    record_ends = line_ends[np.searchsorted(quotes, line_ends) % 2 == 0] if len(quotes) else line_ends
    if not len(record_ends) or data.startswith(codecs.BOM_UTF8):  # Arrow would take it for a byte order mark
        return 0
    last = int(record_ends[-1])
    quotes = quotes[: np.searchsorted(quotes, last)]
    short = np.diff(record_ends, prepend=-1).max() <= _LONGEST
    return last + 1 if short and _returns_end_lines(data) and _quotes_enclose(cells, quotes, ord(mark)) else 0


def _returns_end_lines(data: bytes) -> bool:
    return b"\r" not in data or data.count(b"\r") == data.count(b"\r\n")


def _quotes_enclose(cells: npt.NDArray[np.uint8], quotes: _Places, mark: int) -> bool:
    """Whether quotes alternately open and close a field; a doubled one within closes it and opens it again."""
    opening, closing = quotes[0::2], quotes[1::2]
    before = np.where(opening == 0, _LINE_FEED, cells[opening - 1])
    after = cells[closing + 1]  # there is one: the last record's line end
    return bool(
        np.isin(before, (mark, _LINE_FEED, _QUOTE)).all() and np.isin(after, (mark, _LINE_FEED, _RETURN, _QUOTE)).all()
    )


def read(data: bytes, layout: Layout) -> pa.Table | None:
    """The layout's fields of whole, regular records as text; None when one of them is too short or too long."""
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=[str(i) for i in range(layout.width)]
            ),
            csv.ParseOptions(delimiter=layout.mark, newlines_in_values=b'"' in data),
            _conversion(layout),
        )
    except pa.ArrowInvalid:  # a record of another width, or blank lines alone: the exact reader tells
        return None
    return table.select([str(place) for place in layout.places]).rename_columns(list(layout.names))


def _conversion(layout: Layout) -> csv.ConvertOptions:
    """The fields to read, and one when there are none, which counts the records."""
    wanted = [str(place) for place in layout.places or (0,)]
    return csv.ConvertOptions(check_utf8=False, include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()))
