"""All that a lake knows of some people, and all that it knows of everybody else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import config as configuration
from pipeline import erasure, identify, snapshot
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms, Purpose
from tests.pipeline.small import in_order
from tests.pipeline.traces import Traces

NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
KEY = Pseudonyms(configuration.DEVELOPMENT_KEY.encode())


def traces(lake: Lake, config: Config, *people: tuple[str, Purpose], emails: Iterable[str] = ()) -> Traces:
    """All that the lake knows to be these people's."""
    who = identify.people(lake.read("identities"), NIGHT, config.identity)
    asked = pa.array([KEY.one(native, kind) for native, kind in people], pa.int64())
    ids = pc.unique(pa.concat_arrays([who.ids_of(pc.unique(who.resolve(asked))), asked]))
    vault = lake.read("native_ids")
    native = vault.filter(pc.is_in(vault["id"], value_set=ids))["native_id"].unique().to_pylist()
    return Traces((*native, *emails), tuple(ids.to_pylist()))


def everything(lake: Lake, without: Traces) -> dict[str, Any]:
    """What is kept of everybody else: rows of tables, features by night, published lists."""
    gone = pa.array(without.pseudonyms, pa.int64())
    kept: dict[str, Any] = {}
    for table, columns in {**erasure.PERSONAL, **erasure.LINKS}.items():
        rows = lake.read(table)
        for column in columns:
            rows = rows.filter(pc.invert(pc.is_in(rows[column], value_set=gone)))
        kept[table] = in_order(rows)
    for table in ("content", "quarantine", "popularity"):
        kept[table] = in_order(lake.read(table))
    for table in erasure.NIGHTLY:
        for night in lake.nights(table):
            rows = lake.read_night(table, night)
            others = rows.filter(pc.invert(pc.is_in(rows["person_id"], value_set=gone)))
            kept[f"{table} {night}"] = repr(in_order(others))  # NaN is not itself
    current = snapshot.resolve(lake.rankings)
    people = snapshot.table_of(current, "people")
    theirs = pc.is_in(people["person_id"], value_set=pa.array(without.native, pa.string()))
    kept["people"] = people.filter(pc.invert(theirs)).to_pylist()
    return {**kept, **{name: snapshot.table_of(current, name).to_pylist() for name in ("segments", "default")}}
