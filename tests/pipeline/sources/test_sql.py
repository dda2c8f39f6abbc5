"""DuckDB as the sources use it: within its limits, behind closed doors, and nothing legible left on the disk."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from pipeline.sections import Limits
from pipeline.sources import limits, sql


def test_what_is_spilled_cannot_be_read_and_is_deleted() -> None:
    """Native ids that do not fit the memory go to the disk encrypted, and come back as they were."""
    with limits.using(Limits(memory_mb=256)), sql.connection() as con:
        con.execute("SET memory_limit = '20MB'")
        con.execute("CREATE TEMP TABLE ids AS SELECT 'native-id-' || i AS id FROM range(2_000_000) AS numbers(i)")
        ((folder,),) = con.sql("SELECT current_setting('temp_directory')").fetchall()
        spilled = b"".join(file.read_bytes() for file in Path(folder).iterdir())
        ((found,),) = con.sql("SELECT count(*) FROM ids WHERE id LIKE 'native-id-%'").fetchall()
    assert len(spilled) > 1_000_000
    assert b"native-id-" not in spilled
    assert found == 2_000_000
    assert not Path(folder).exists()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{path}')",
        "SELECT * FROM '{path}'",
        "COPY (SELECT 1) TO '{path}'",
        "ATTACH '{path}' AS other",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ],
)
def test_sql_reaches_no_file(query: str, tmp_path: Path) -> None:
    """A name in an export that ended up as SQL could read and write nothing."""
    path = tmp_path / "file.csv"
    path.write_text("a\n1\n")
    with sql.connection(rows=pa.table({"a": [1]})) as con:
        assert con.sql("SELECT a FROM rows").fetchall() == [(1,)]
        with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException)):
            con.execute(query.format(path=path))


def test_memory_and_threads_are_those_of_the_limits() -> None:
    """Half of the process's memory, and no more threads than have room."""
    with limits.using(Limits(memory_mb=600)), sql.connection() as con:
        found = con.sql("SELECT current_setting('memory_limit'), current_setting('threads')").fetchall()
    assert found == [("300.0 MiB", 1)]
