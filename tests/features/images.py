"""The bytes of what features and steps return, to compare them to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse


def image(thing: Any) -> list[bytes]:
    """The bytes of a table, an array, a matrix, a dataclass of those, or plain data."""
    if isinstance(thing, pa.Table | pa.Array):
        return [_ipc(thing if isinstance(thing, pa.Table) else pa.table({"array": thing}))]
    if isinstance(thing, np.ndarray):
        return [str((thing.dtype, thing.shape)).encode(), thing.tobytes()]
    parts = _parts(thing)
    return [repr(thing).encode()] if parts is None else [one for part in parts for one in image(part)]


def _parts(thing: Any) -> list[Any] | None:
    """What a container holds; None for what is no container."""
    if sparse.issparse(thing):
        return [thing.indptr, thing.indices, thing.data]
    if is_dataclass(thing):
        return [getattr(thing, field.name) for field in fields(thing)]
    if isinstance(thing, Mapping):
        return [part for entry in thing.items() for part in entry]
    return list(thing) if isinstance(thing, tuple | list) else None


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return bytes(sink.getvalue().to_pybytes())
