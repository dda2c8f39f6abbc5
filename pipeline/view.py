"""What the lake knew of some ids strictly before an instant: each table with rows about people, scanned for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from expectations import schemas
from pipeline import clock, erasure, identify, suppress
from pipeline.config import Config
from pipeline.identify import People
from pipeline.lake import NIGHT, Lake

ABOUT: Mapping[str, tuple[str, ...]] = {
    **erasure.PERSONAL,
    "identities": ("id", "other_id"),
    "suppressions": ("id",),
}
"""Tables with rows about people, and the columns that say about whom."""


@dataclass(frozen=True)
class View:
    """What was known strictly before `as_of`: `links` (rows of `identities`), and who is who by them."""

    as_of: datetime
    config: Config
    lake: Lake
    links: pa.Table
    people: People

    @classmethod
    def of(cls, as_of: datetime, config: Config) -> View:
        """Of the configuration's lake."""
        lake = Lake.of(config)
        links = lake.read("identities")
        links = links.filter(pc.less(links["available_at"], pa.scalar(as_of, schemas.TIMESTAMP)))
        return cls(as_of, config, lake, links, identify.people(links, as_of, config.identity))

    def person(self, pseudonym: int) -> int:
        """Whose it is."""
        return int(self.people.resolve(pa.array([pseudonym], pa.int64()))[0].as_py())

    def seen(self, pseudonyms: Iterable[int]) -> set[int]:
        """Those of which any table has a row."""
        ids = pa.array(pseudonyms, pa.int64())
        tables = {table: self.about(table, ids) for table in ABOUT}
        found = {one for table, columns in ABOUT.items() for name in columns for one in tables[table][name].to_pylist()}
        return found & {*ids.to_pylist()}

    def about(self, table: str, ids: pa.Array) -> pa.Table:
        """The rows of `table` about `ids`; the table is scanned and never held."""
        schema = schemas.LAKE[table].schema
        if not (files := self.lake.files(table)):
            return schema.empty_table()
        places = ds.partitioning(pa.schema([schema.field("source"), schema.field("day")]), flavor="hive")
        theirs = reduce(lambda a, b: a | b, [pc.field(column).isin(ids) for column in ABOUT[table]])
        found = ds.dataset(files, schema=schema, format="parquet", partitioning=places)
        return found.to_table(filter=theirs & self._known(table)).select(schema.names)

    def _known(self, table: str) -> ds.Expression:
        """Whether a row could be known, as `night` and `suppress` see it."""
        instant = pa.scalar(self.as_of, schemas.TIMESTAMP)
        if table == "suppressions":
            return (pc.field("since") < instant) | (pc.field("source") == suppress.FORGOTTEN)
        if table in ("customers", "native_ids"):
            return pc.field("day") <= pa.scalar(clock.last_finished_day(self.as_of, self.config), pa.date32())
        known = pc.field("available_at") < instant
        return known if table == "identities" else known & (pc.field("ts") < instant)

    def nights(self, table: str, ids: pa.Array) -> list[str]:
        """The night of each row about `ids` in a table of nights."""
        if not (files := self.lake.files(table)):
            return []
        places = ds.partitioning(pa.schema([("night", pa.string())]), flavor="hive")
        theirs = pc.field("person_id").isin(ids) & (pc.field("night") <= self.as_of.strftime(NIGHT))
        found = ds.dataset(files, format="parquet", partitioning=places).to_table(columns=["night"], filter=theirs)
        return [str(night) for night in found["night"].to_pylist()]

    def linked(self, ids: pa.Array) -> pa.Table:
        """The links that have one of `ids` at an end."""
        ends = [pc.is_in(self.links[end], value_set=ids) for end in ("id", "other_id")]
        return self.links.filter(pc.or_(*ends))
