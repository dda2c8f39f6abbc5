"""The guide on reading the tables, word for word: its lines read a really published snapshot, without code of ours."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import parts, snapshot
from tests.pipeline.nights import publish, ranked
from tests.worlds import HOUSE

GUIDES = HOUSE / "docs" / "guides"
GUIDE = (GUIDES / "read-the-tables.md").read_text(encoding="utf-8")
READER = GUIDES / "shortlist_reader.py"
TESTED, UNTESTED = GUIDE.split("### Not run by our tests")


def blocks(language: str, text: str = TESTED) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


RESOLVE, PANDAS, DUCKDB, PYARROW, ONE_PERSON, HASHES = blocks("python")
SQL, CURL = *blocks("sql"), *blocks("sh")


@pytest.fixture(name="company", scope="module")
def _company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two nights' snapshots, of which the first serves; each table of people is in several files."""
    folder = tmp_path_factory.mktemp("company")
    root = folder / "published" / "rankings"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "ROWS_PER_PART", 5)
        first = publish(root, night=0, variant=0)
        publish(root, night=1, variant=1)
    snapshot.rollback(root, first.name)
    return folder


@pytest.fixture
def names(company: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the guide's first block leaves; CURRENT names another snapshot since."""
    monkeypatch.chdir(company)
    found: dict[str, Any] = {}
    exec(RESOLVE, found)
    return found


@contextmanager
def moved_on(company: Path) -> Iterator[None]:
    """CURRENT names the other snapshot for as long as this lasts."""
    root = company / "published" / "rankings"
    first, second = snapshot.snapshots(root)
    snapshot.rollback(root, second)
    yield
    snapshot.rollback(root, first)


def arrow(people: Any) -> pa.Table:
    """Whatever a library made of the people, by person and rank, to be compared."""
    if isinstance(people, duckdb.DuckDBPyRelation):
        people = people.to_arrow_table()
    table = people if isinstance(people, pa.Table) else pa.Table.from_pandas(people, preserve_index=False)
    return table.cast(ranked().people.schema).sort_by([("person_id", "ascending"), ("rank", "ascending")])


@pytest.mark.parametrize("block", [PANDAS, DUCKDB, PYARROW], ids=["pandas", "duckdb", "pyarrow"])
def test_a_line_reads_the_snapshot_that_was_resolved(block: str, company: Path, names: dict[str, Any]) -> None:
    """Every row of every file, as published; and of that snapshot, although CURRENT has moved on since."""
    assert len(list((names["snapshot"] / "people").iterdir())) == 3
    with moved_on(company):
        exec(block, names)
        assert arrow(names["people"]).equals(ranked().people)


def test_sql_alone_reads_the_snapshot_that_serves(company: Path, names: dict[str, Any]) -> None:
    """CURRENT is read by the first statement and not by the second."""
    resolve, read = SQL.strip().splitlines()
    with duckdb.connect() as connection:
        connection.execute(resolve)
        with moved_on(company):
            assert arrow(connection.sql(read)).equals(ranked().people)


def test_one_person_is_filtered_out(names: dict[str, Any]) -> None:
    """Four ranks, theirs alone."""
    exec(ONE_PERSON, names)
    assert names["theirs"]["person_id"].to_pylist() == ["p001"] * 4
    assert names["theirs"]["content_id"].to_pylist() == ["c0-1", "c0-2", "c0-3", "c0-4"]


def test_the_manifest_finds_a_changed_byte(company: Path, names: dict[str, Any], tmp_path: Path) -> None:
    """Nothing is wrong with what was published; with a copy that lost a byte something is."""
    exec(HASHES, names)
    assert len(names["files"]) == 6
    assert names["wrong"] == []
    copy = Path(shutil.copytree(names["snapshot"], tmp_path / "copy"))
    part = copy / "default" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    exec(HASHES, found := {"snapshot": copy})
    assert found["wrong"] == ["default/part-00000.parquet"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_curl_fetches_every_file_of_the_people(company: Path, tmp_path: Path) -> None:
    """From a web server that serves the folder and knows nothing of it."""
    with served(company / "published" / "rankings") as address:
        script = CURL.replace("https://rankings.example.com", address)
        assert address in script
        environment = {**os.environ, "no_proxy": "*", "NO_PROXY": "*"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
    assert done.returncode == 0, done.stderr
    (name,) = (path.name for path in tmp_path.iterdir())
    assert snapshot.resolve(company / "published" / "rankings").name == name
    assert pq.read_table(tmp_path / name / "people").equals(ranked().people)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a web server on this machine alone."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """Writes no log."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


# ---------------------------------------------------------------- the reader


def test_the_reader_is_short_and_needs_pyarrow_alone() -> None:
    """At most forty lines, and nothing but pyarrow that Python does not bring along."""
    text = READER.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    nodes = list(ast.walk(ast.parse(text)))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    tops = {name.partition(".")[0] for name in found}
    assert tops - set(sys.stdlib_module_names) == {"pyarrow"}


def test_the_reader_reads_as_the_guide_shows(company: Path, tmp_path: Path) -> None:
    """Copied beside a script, without our code on the path: the person's list, else the segment's, else anyone's."""
    shutil.copy(READER, tmp_path)
    (block,) = blocks("python", UNTESTED)[-1:]
    script = tmp_path / "script.py"
    more = """
import sys
print(contents, everyone, served.contents("nobody"), served.contents("p002"), served.contents("p002", "visitor"))
print(served.manifest["people"], served.rows("people").num_rows, served.rows("segments", segment="loyal").num_rows)
print("pipeline" in sys.modules)
"""
    script.write_text(block + more, encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=company, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [" ".join([str([f"c0-{rank}" for rank in range(1, 5)])] * 5), "3 12 4", "False"]


def test_the_reader_holds_on_to_its_snapshot(company: Path, names: dict[str, Any]) -> None:
    """What is published later is another one's."""
    exec(READER.read_text(encoding="utf-8"), found := {"__name__": "shortlist_reader"})
    old = found["Snapshot"](names["rankings"])
    with moved_on(company):
        assert arrow(old.rows("people")).equals(ranked().people)
        assert found["Snapshot"](names["rankings"]).contents("p000") == ["c1-1", "c1-2", "c1-3", "c1-4"]


def test_what_the_tests_do_not_run_is_marked() -> None:
    """Polars and Spark stand below their own heading, and nowhere above it."""
    assert not re.search(r"polars|spark\.read", TESTED)
    assert [bool(re.search(r"polars|spark\.read", block)) for block in blocks("python", UNTESTED)] == [
        True,
        True,
        False,
    ]
