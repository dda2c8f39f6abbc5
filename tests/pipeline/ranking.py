"""What `rank` makes of a night, whole: as tables before it is written, and read back from where `publish` finds it."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.opened import Opened
from pipeline.ranked import ranked_files
from pipeline.ranked_tables import Writer


def tables_of(opened: Opened, config: Config) -> dict[str, pa.Table]:
    """`people`, `segments` and `default` of a night."""
    writer, pieces = Writer.of(opened, config), dict[str, list[pa.Table]]()
    for some in (writer.own, writer.fallbacks):
        for name, rows in some():
            pieces.setdefault(name, []).append(rows)
    return {name: pa.concat_tables(rows) for name, rows in pieces.items()}


def read_ranked(lake: Lake, as_of: datetime) -> dict[str, pa.Table]:
    """What was left for `publish`."""
    return {name: pq.read_table(path) for name, (path,) in ranked_files(lake, as_of).items()}
