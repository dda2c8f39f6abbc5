"""What a Parquet file claims of itself, checked before a byte of its data is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ShortlistError
from pipeline.sources import limits
from pipeline.sources.export import Settings

_DEEPEST = 8
"""GA4's items hold 6: a list of records with a list of records with a record."""

_PLAIN = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_temporal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
_OWN = (pa.json_(), pa.uuid())
"""Extension types that are Parquet's own."""


def damaged(path: Path, source: Settings, error: Exception) -> ShortlistError:
    """What is said of a Parquet file whose reading raised `error`."""
    said = str(error).partition("\n")[0]
    return ShortlistError(
        f"{source.name}: {path} is no whole Parquet file ({said}); it is cut off or damaged: export it again."
    )


def require_plausible(path: Path, source: Settings, file: pq.ParquetFile) -> None:
    """Raise ShortlistError unless the footer fits the file's size, and has only columns that we can take.

    A footer that cannot be read at all raises what pyarrow raises.
    """
    found = file.metadata
    limits.require_columns(path, source, found.num_columns)
    for column in file.schema_arrow:
        _require_known(path, source, column)
    groups = [found.row_group(i) for i in range(found.num_row_groups)]
    if found.num_rows != sum(group.num_rows for group in groups):
        raise ShortlistError(f"{source.name}: the footer of {path} contradicts itself; it is damaged: export it again.")
    # A row is at least one number of 8 bytes once it is read, however little room it takes in the file.
    limits.require_ratio(path, source, max(8 * found.num_rows, sum(group.total_byte_size for group in groups)))


def _require_known(path: Path, source: Settings, column: pa.Field) -> None:
    if not _is_known(column.type, _DEEPEST):
        raise ShortlistError(
            f"{source.name}: column {column.name!r} of {path} has a type that no export needs ({column.type}); "
            f"expected text, numbers, times, and lists and records of them, at most {_DEEPEST} deep. Leave it out."
        )


def _is_known(type_: pa.DataType, depth: int) -> bool:
    if depth == 0:
        return False
    if pa.types.is_dictionary(type_):
        return _is_known(type_.value_type, depth - 1)
    if pa.types.is_nested(type_):
        inner = [type_.field(i).type for i in range(type_.num_fields)]
        return not pa.types.is_union(type_) and all(_is_known(one, depth - 1) for one in inner)
    return type_ in _OWN or any(test(type_) for test in _PLAIN)
