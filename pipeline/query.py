"""DuckDB over files of our own: bounded memory, private scratch space, and names quoted."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.func import ARROW
from duckdb.sqltypes import DuckDBPyType

Rows: TypeAlias = pa.Table | Sequence[Path]
"""A table, or the Parquet files that hold it, all of one schema."""


SESSION = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"
"""How a connection begins. Under `python -c`, DuckDB takes whoever runs it for somebody at a prompt, and draws a bar on
standard output, where our JSON stands, for what takes longer than 2 s.
"""


class Function(NamedTuple):
    """What SQL may call: a function of Arrow's arrays that Python has."""

    name: str
    call: Callable[..., pa.ChunkedArray]
    takes: Sequence[DuckDBPyType]
    returns: DuckDBPyType


@dataclass(frozen=True)
class _Database:
    """An in-memory database of DuckDB: to make one takes some 20 ms, which is longer than most queries here."""

    root: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    functions: set[str] = field(default_factory=set)

    def know(self, functions: Sequence[Function]) -> None:
        """Whoever asks may call them from now on; they cannot be made twice."""
        for one in functions:
            if one.name not in self.functions:
                self.root.create_function(one.name, one.call, list(one.takes), one.returns, type=ARROW)
                self.functions.add(one.name)

    def cleared(self) -> bool:
        """Whether nothing of its last user is left; not so if it has spilled, as it then sticks to that folder."""
        self.root.execute(f"DETACH {_WORK}")
        try:
            self.root.execute("SET temp_directory = ''")
        except duckdb.NotImplementedException:
            return False
        return True


_WORK = "work"
_MOST = 2
_idle: dict[int, list[_Database]] = {}
"""By process, at most `_MOST`: a database's threads do not live through a fork, so a child has none of its parent's."""


@contextmanager
def connection(
    memory_mb: int = 1024, functions: Sequence[Function] = (), **tables: pa.Table
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that knows `tables` by name; times are UTC; what it spills is deleted.

    It is nobody else's. Where all went well, whoever asks next gets the same one, empty.
    """
    idle = _idle.setdefault(os.getpid(), [])
    database = idle.pop() if idle else _Database()
    with tempfile.TemporaryDirectory(prefix="shortlist-") as scratch, contextlib.ExitStack() as ending:
        ending.callback(database.root.close)
        with database.root.cursor() as con:
            con.execute(f"SET temp_directory = {text(scratch)}; SET memory_limit = '{memory_mb}MiB'")
            con.execute(f"{SESSION}; ATTACH ':memory:' AS {_WORK}; USE {_WORK}")
            database.know(functions)
            for name, table in tables.items():
                con.register(name, table)
            yield con
        if database.cleared() and len(idle) < _MOST:
            ending.pop_all()
            idle.append(database)


def parquet(files: Sequence[Path | str], options: str = "") -> str:
    """What to select from for the rows of Parquet files."""
    listed = ", ".join(text(str(file)) for file in files)
    return f"read_parquet([{listed}]{options})"


def schema(rows: Rows) -> pa.Schema:
    """The columns of a table, wherever it lies."""
    return rows.schema if isinstance(rows, pa.Table) else pq.read_schema(rows[0])


def relation(con: duckdb.DuckDBPyConnection, rows: Rows) -> duckdb.DuckDBPyRelation:
    """The rows as DuckDB reads them; of files it reads what it needs, when it needs it."""
    return con.from_arrow(rows) if isinstance(rows, pa.Table) else con.sql(f"FROM {parquet(rows)}")


def name(identifier: str) -> str:
    """An identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def text(literal: str) -> str:
    """A text literal, quoted."""
    return "'" + literal.replace("'", "''") + "'"
