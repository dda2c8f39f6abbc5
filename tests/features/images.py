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
        table = thing if isinstance(thing, pa.Table) else pa.table({"array": thing})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table.combine_chunks())
        return [sink.getvalue().to_pybytes()]
    if isinstance(thing, np.ndarray):
        return [str((thing.dtype, thing.shape)).encode(), thing.tobytes()]
    if sparse.issparse(thing):
        return [part for array in (thing.indptr, thing.indices, thing.data) for part in image(array)]
    if is_dataclass(thing):
        return [part for field in fields(thing) for part in image(getattr(thing, field.name))]
    if isinstance(thing, Mapping):
        return [part for key, value in thing.items() for part in (repr(key).encode(), *image(value))]
    if isinstance(thing, tuple | list):
        return [part for one in thing for part in image(one)]
    return [repr(thing).encode()]
