"""Frequency caps: what has stood in a person's list on enough of the last nights, and is to rest now."""

from __future__ import annotations

from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from models.engagement import Matrix
from pipeline import manifest, query, snapshot_names
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake

MEMORY_MB = 1024


def resting(
    found: NightFeatures, native: pa.Table, people: NDArray[np.int64], config: Config, lake: Lake
) -> Matrix | None:
    """True where a content of the night rests for a person (people, contents); None where no cap is set.

    A night counts with the last snapshot that was published for it. Who was listed under another id begins anew.

    Args:
        native: (N,) `native_id` and `id_type` of those who may be ranked; people: (N,) their places in the night.

    Raises:
        ShortlistError: A snapshot cannot be read.
    """
    cap, catalogue = config.ranking.frequency_cap, found.history.catalogue
    if cap is None:
        return None
    often = _often(_nights(found.night.as_of, config, lake), cap)
    asked = native.select(["native_id", "id_type"]).append_column("row", pa.array(people))
    known = often.join(asked, ["person_id", "id_type"], ["native_id", "id_type"], "inner")
    content = pc.index_in(known["content_id"].combine_chunks(), value_set=catalogue.ids)
    there = np.asarray(pc.is_valid(content))
    at = np.asarray(known["row"].combine_chunks())[there], np.asarray(content.drop_null()).astype(np.int64)
    return sparse.csr_matrix((np.ones(len(at[0]), bool), at), shape=(len(found.history.people), catalogue.size))


def _nights(as_of: datetime, config: Config, lake: Lake) -> list[list[str]]:
    """The people's files of each of the nights that count."""
    since = as_of - config.ranking.frequency_nights * config.project.step
    published = snapshot_names.by_night(lake.rankings)
    paths = [path for night, path in published.items() if since <= night < as_of]
    return [[str(path / part) for part in manifest.parts(manifest.load(path), "people")] for path in paths]


def _often(nights: list[list[str]], cap: int) -> pa.Table:
    """`person_id`, `id_type` and `content_id` of what stands in so many of the nights' lists."""
    columns = "person_id, id_type, content_id"
    each = [f"SELECT DISTINCT {columns} FROM {query.parquet(files)}" for files in nights if files]
    if len(each) < cap:
        return pa.table({name: pa.array([], pa.string()) for name in columns.split(", ")})
    every = " UNION ALL ".join(each)
    try:
        with query.connection(MEMORY_MB) as con:
            return con.sql(f"SELECT {columns} FROM ({every}) GROUP BY ALL HAVING count(*) >= {cap}").to_arrow_table()
    except duckdb.Error as error:
        raise ShortlistError(
            f"ranking.frequency_cap: the last nights' lists cannot be read: {str(error).splitlines()[0]}. "
            "`shortlist verify` says which snapshot is damaged; remove it, or free disk space in $TMPDIR."
        ) from error
