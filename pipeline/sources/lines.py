"""Text of which every line is a row, in parts: what a line means is for SQL to say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa

from pipeline.sources.decode import open_text
from pipeline.sources.export import ROW_NUMBER, Settings

LINE = "line"

_CHARACTERS = 1 << 24
"""Of a part, about: lines differ too much in length to count them."""


def parts(path: Path, source: Settings, characters: int = _CHARACTERS) -> Iterator[pa.Table]:
    """`row_number` (from 1) and `line`, without its end; blank lines are counted and left out."""
    numbers = count(1)
    with open_text(path, source) as text:
        while lines := text.readlines(characters):
            numbered = [(next(numbers), line.rstrip("\r\n")) for line in lines]
            kept = [(number, line) for number, line in numbered if line.strip(" ")]
            rows = pa.array([number for number, _ in kept], pa.int64())
            yield pa.table([rows, pa.array([line for _, line in kept], pa.string())], names=[ROW_NUMBER, LINE])
