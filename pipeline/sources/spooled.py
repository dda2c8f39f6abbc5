"""Files that are judged as a whole: converted part by part into a DuckDB table, which spills to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from expectations.schemas import NATIVE, REJECTED
from pipeline.sources import convert, sql
from pipeline.sources.convert import Cell
from pipeline.sources.delimited import Broken, Part
from pipeline.sources.export import PART, Parsed, native, refusals


@dataclass(frozen=True)
class Spooled:
    """A file in the table `spooled`: its cells, with `row_number` and the `refusal` of a row that is refused."""

    con: duckdb.DuckDBPyConnection
    broken: Broken

    def counts(self, query: str) -> Mapping[str, int]:
        """The one row that `query` gives."""
        found = self.con.sql(query)
        return dict(zip(found.columns, found.fetchall()[0], strict=True))

    def parsed(self, table: str, path: Path, query: str, notes: Mapping[str, int]) -> Iterator[Parsed]:
        """What is to be said of the whole file, then the rows of `query` as the native `table`, in parts."""
        refused = self.con.sql(
            "SELECT row_number, refusal AS reason FROM spooled WHERE refusal IS NOT NULL"
        ).to_arrow_table()
        rejected = refusals(table, path.name, self.broken.table(), refused)
        yield Parsed({table: native(table, NATIVE[table].schema.empty_table().select([]))}, rejected, notes)
        for batch in self.con.sql(query).to_arrow_reader(PART):
            yield Parsed({table: native(table, pa.table(batch))}, REJECTED.empty_table())


@contextmanager
def spooled(parts: Iterable[Part], cells_of: Callable[[pa.Table], Mapping[str, Cell]]) -> Iterator[Spooled]:
    """The parts of a file (at least one) as the table `spooled` of a database that lasts as long as the context."""
    broken = Broken()
    with sql.connection() as con:
        for number, (raw, refused) in enumerate(parts):
            broken.rows += refused.rows
            broken.reasons += refused.reasons
            con.register("raw", convert.by_position(raw))
            into = "INSERT INTO spooled" if number else "CREATE TEMP TABLE spooled AS"
            con.execute(f"{into} {convert.query(raw, cells_of(raw))}")
        yield Spooled(con, broken)
