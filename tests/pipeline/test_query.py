"""A database for whoever asks: it is nobody else's, and what one leaves behind the next one never sees."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from expectations import schemas
from pipeline import parts, query

ONE = pa.table({"n": [1]})


@pytest.fixture(name="_none_before", autouse=True)
def _none_before_(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test gets a database of another's."""
    monkeypatch.setattr(query, "_idle", {})
    yield
    for database in query._idle.get(os.getpid(), []):
        database.root.close()


def setting(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """What the database says of itself."""
    ((value,),) = con.execute(f"SELECT current_setting('{name}')").fetchall()
    return str(value)


def test_the_next_one_finds_nothing() -> None:
    """Tables, views, what was registered, settings of the session: all gone, though it is the same database."""
    with query.connection(memory_mb=300, given=ONE) as con:
        con.execute("CREATE TABLE kept AS FROM given")
        con.execute("CREATE VIEW seen AS FROM kept; CREATE TEMP TABLE now AS FROM kept; SET TimeZone = 'Asia/Tokyo'")
        con.execute("FROM kept").fetchone()  # a result that is not read to its end
    (database,) = query._idle[os.getpid()]
    with query.connection(memory_mb=200) as con:
        assert query._idle[os.getpid()] == []
        for name in ("given", "kept", "seen", "now"):
            with pytest.raises(duckdb.CatalogException):
                con.execute(f"FROM {name}")
        assert (setting(con, "TimeZone"), setting(con, "memory_limit")) == ("UTC", "200.0 MiB")
    assert query._idle[os.getpid()] == [database]


def test_two_at_once_are_two() -> None:
    """One inside the other, as loads in threads are: each has its own tables and its own limit."""
    with query.connection(memory_mb=300, given=ONE) as outer, query.connection(memory_mb=200) as inner:
        inner.execute("CREATE TABLE given AS SELECT 2 AS n")
        assert outer.execute("FROM given").fetchall() == [(1,)]
        assert (setting(outer, "memory_limit"), setting(inner, "memory_limit")) == ("300.0 MiB", "200.0 MiB")


def test_after_an_error_it_is_not_used_again() -> None:
    """Whatever state it was left in."""
    with pytest.raises(duckdb.Error), query.connection() as con:
        con.execute("FROM nowhere")
    assert query._idle[os.getpid()] == []


def test_what_is_spilled_lies_in_a_folder_of_its_own_and_is_gone() -> None:
    """Nobody else may look into it; a database that has spilled clings to it, so the next one gets another."""
    with query.connection(memory_mb=150) as con:
        scratch = Path(setting(con, "temp_directory"))
        con.execute("CREATE TEMP TABLE big AS SELECT range AS a, hash(range) AS b FROM range(8000000) ORDER BY b")
        assert list(scratch.iterdir())
        assert scratch.stat().st_mode & 0o777 == 0o700
    assert not scratch.exists()
    assert query._idle[os.getpid()] == []
    with query.connection() as con:
        assert Path(setting(con, "temp_directory")) != scratch


def test_no_bar_is_drawn_where_the_answer_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where DuckDB would, as under `python -c`: what `--json` says would be no JSON."""
    connect, found = duckdb.connect, []

    def at_a_prompt(**settings: Any) -> duckdb.DuckDBPyConnection:
        con = connect(**settings)
        con.execute("SET enable_progress_bar = true")
        return con

    def asked(_folder: Path, _rows: pa.Table, _form: object, con: duckdb.DuckDBPyConnection) -> None:
        found.append(setting(con, "enable_progress_bar"))

    monkeypatch.setattr(duckdb, "connect", at_a_prompt)
    monkeypatch.setattr(parts, "_write", asked)
    parts.write(tmp_path, {"events": ONE}, schemas.LAKE)
    with query.connection() as con:
        found.append(setting(con, "enable_progress_bar"))
    assert found == ["False", "False"]


def test_a_forked_process_has_its_own() -> None:
    """The threads of its parent's database are not there: a query would wait for them for ever."""
    with query.connection():
        pass
    child = multiprocessing.get_context("fork").Process(target=ask)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert len(query._idle[os.getpid()]) == 1


def ask() -> None:
    """One query."""
    with query.connection(given=ONE) as con:
        assert con.execute("SELECT sum(n) FROM given").fetchall() == [(1,)]
