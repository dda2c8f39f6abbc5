"""Rows that DuckDB counts where they lie: a table in memory, or Parquet files that never are."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.sqltypes import BOOLEAN, VARCHAR

from pipeline import expectation_sql, query
from pipeline.expectation_sql import OF_ROWS, Columns, ImpossibleError, Kwargs, Metric, UnsupportedError
from pipeline.query import Rows
from pipeline.sources import sql

Wanted = Mapping[str, Metric]
"""What an expectation wants to know, under names of its own."""

Found = Mapping[str, Any] | UnsupportedError | ImpossibleError | duckdb.Error
"""The answers under the same names, or why there are none."""

_Scalars = Mapping[str, str] | UnsupportedError | ImpossibleError

_JUDGED = "judged"
_ROWS = "count(*)"
_VALUES = ".unexpected_values"


@contextmanager
def database(memory_mb: int = 1024) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in which expectations can be counted; it spills rather than take more than `memory_mb`."""
    search = query.Function(expectation_sql.SEARCH, _search, [VARCHAR, VARCHAR], BOOLEAN)
    with query.connection(memory_mb, [search]) as con:
        yield con


@contextmanager
def opened(rows: Rows, con: duckdb.DuckDBPyConnection | None = None) -> Iterator[Tally]:
    """The rows as something that can be counted, in the `database` that is given or in one of its own."""
    with contextlib.nullcontext(con) if con else database() as counting:
        if isinstance(rows, pa.Table):
            counting.register(_JUDGED, rows)
        else:
            counting.execute(f"CREATE TEMP VIEW {_JUDGED} AS SELECT * FROM {query.parquet(rows)}")
        try:
            yield Tally(counting)
        finally:
            if isinstance(rows, pa.Table):
                counting.unregister(_JUDGED)
            else:
                counting.execute(f"DROP VIEW {_JUDGED}")


def _search(regexes: pa.ChunkedArray, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether Python finds the one regular expression in each text; each of a vector's texts is looked at once."""
    if not len(regexes):
        return pa.chunked_array([], pa.bool_())
    found = re.compile(regexes[0].as_py()).search
    encoded = texts.combine_chunks().dictionary_encode()
    matches = pa.array([found(text) is not None for text in encoded.dictionary.to_pylist()], pa.bool_())
    return pc.take(matches, encoded.indices)


class Tally:
    """Counts over the rows of the relation `judged`."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        described = con.execute("SELECT column_name, column_type FROM (DESCRIBE judged)").fetchall()
        self._columns = Columns(dict(described))

    def metrics(self, wanted: Sequence[Wanted]) -> list[Found]:
        """The metrics of each expectation; all in one query, unless one of them breaks it."""
        compiled = [self._compiled(metrics) for metrics in wanted]
        pairs = list(zip(wanted, compiled, strict=True))
        try:
            values = self._counted(
                [one for scalars in compiled if isinstance(scalars, Mapping) for one in scalars.values()]
            )
        except duckdb.Error:
            return [self._alone(metrics, scalars) for metrics, scalars in pairs]
        return [self._answers(metrics, scalars, values) for metrics, scalars in pairs]

    def reasons(self, lines: Sequence[tuple[str, Kwargs, str]]) -> pa.ChunkedArray:
        """For each row the reason of the first line (type of `OF_ROWS`, kwargs, reason) that it breaks, else null.

        Whether any row breaks any line is counted first, because it costs less and nearly always no row does.

        Raises:
            UnsupportedError: A column is not of a type that the line is about.
            ImpossibleError: A column is not there, or a line's arguments contradict each other.
        """
        broken = [expectation_sql.count_broken(OF_ROWS[kind], kwargs, self._columns) for kind, kwargs, _ in lines]
        counts = self._counted(broken)
        if not any(counts[one] for one in broken):
            return pa.chunked_array([pa.nulls(counts[_ROWS], pa.string())])
        cases = " ".join(
            f"WHEN {expectation_sql.broken(OF_ROWS[kind], kwargs, self._columns)} THEN {sql.text(reason)}"
            for kind, kwargs, reason in lines
        )
        return self._con.sql(f"SELECT CASE {cases} END AS reason FROM judged").to_arrow_table()["reason"]

    def rows(self) -> int:
        """How many rows there are."""
        return int(self._counted([])[_ROWS])

    def table(self) -> pa.Table:
        """The rows themselves."""
        return self._con.sql("FROM judged").to_arrow_table()

    def _compiled(self, wanted: Wanted) -> _Scalars:
        try:
            return {
                key: expectation_sql.scalar(metric, self._columns)
                for key, metric in wanted.items()
                if self._known(metric) is None
            }
        except (UnsupportedError, ImpossibleError) as error:
            return error

    def _known(self, metric: Metric) -> Any:
        """What needs no rows: the columns, and the unexpected values, which nobody is to see."""
        names = list(self._columns.types)
        known = {"table.columns": names, "table.column_count": len(names)}
        return [] if metric.name.endswith(_VALUES) else known.get(metric.name)

    def _counted(self, scalars: Sequence[str]) -> dict[str, Any]:
        """The value of each scalar, in one query."""
        wanted = list(dict.fromkeys([*scalars, _ROWS]))
        (found,) = self._con.execute(f"SELECT {', '.join(wanted)} FROM judged").fetchall()
        return dict(zip(wanted, found, strict=True))

    def _alone(self, wanted: Wanted, scalars: _Scalars) -> Found:
        if not isinstance(scalars, Mapping):
            return scalars
        try:
            return self._answers(wanted, scalars, self._counted(list(scalars.values())))
        except duckdb.Error as error:
            return error

    def _answers(self, wanted: Wanted, scalars: _Scalars, values: Mapping[str, Any]) -> Found:
        if not isinstance(scalars, Mapping):
            return scalars
        return {key: values[scalars[key]] if key in scalars else self._known(one) for key, one in wanted.items()}
