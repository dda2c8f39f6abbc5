"""Reading in a child process: whatever becomes of it, we get rows of ours or an error, and live on."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import parse, sources
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sections import Source
from pipeline.sources.export import PART, Parsed, joined
from tests.pipeline import hostile
from tests.pipeline.reading import DAY, EVENTS, allow_hostile, legible, parsed, readers, same, servers, stream

HOUSE = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _hostile_is_a_format(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_hostile(monkeypatch)


@pytest.fixture
def deed(tmp_path: Path) -> Callable[..., list[Parsed]]:
    """What comes of reading a file with the hostile format."""
    path = tmp_path / "hostile.bin"

    def parts(does: str, content: bytes = b"x", **limits: Any) -> list[Parsed]:
        path.write_bytes(content)
        return parsed(path, limits, format="hostile", options={"does": does})

    return parts


def in_process(path: Path, source: Source) -> Parsed:
    """The same file, read here."""
    found = sources.format_of(source).read(path, source, DAY)
    return found if isinstance(found, Parsed) else joined(found)


# ---------------------------------------------------------------- what a good file gives


@pytest.mark.parametrize(
    ("name", "content", "table"),
    [
        ("events.csv", EVENTS, "events"),
        ("events.csv.gz", EVENTS, "events"),
        ("content.jsonl", '{"content_id": "a", "tags": "x|y", "url": "u"}\n{"content_id": "b"}\nnonsense\n', "content"),
        ("people.csv", "customer_id,email,plan\n1,a@example.com,gold\n2,,\n3,b@example.com,tin\n", "customers"),
        ("events.csv", "event_id,ts,visitor_id,content_id,event\n1,never,v,c,view\n", "events"),
    ],
)
def test_a_file_gives_what_its_format_reads(name: str, content: str, table: str, tmp_path: Path) -> None:
    """Tables, nested columns, refused rows, notes and duplicates arrive as they are read here, without the child."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    source = Source(name="export", format="table", table=table, path=str(path))
    assert same(joined(parsed(path, format="table", table=table)), in_process(path, source))


def test_many_rows_come_in_parts(deed: Callable[..., list[Parsed]]) -> None:
    """No part has more than `PART` rows of a table, and together they are what was read; counts are counted once."""
    parts = deed("rows")
    assert [part.tables["events"].num_rows for part in parts] == [PART, PART, 5]
    assert same(joined(parts), hostile.rows(2 * PART + 5))


def test_a_table_without_rows_is_still_there(deed: Callable[..., list[Parsed]]) -> None:
    """Nothing is told from nothing read."""
    (part,) = deed("no rows")
    assert same(part, hostile.rows(0))


def test_the_child_sees_no_secrets(deed: Callable[..., list[Parsed]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the pseudonyms stays here."""
    parse._SERVER.close()
    monkeypatch.setenv("SHORTLIST_ID_KEY", "secret")
    with pytest.raises(ShortlistError) as told:
        deed("tell environment")
    assert "PATH" in str(told.value).split()
    assert "SHORTLIST_ID_KEY" not in str(told.value).split()


# ---------------------------------------------------------------- what a bad reading ends in


@pytest.mark.parametrize(
    ("does", "limits", "says"),
    [
        ("segfault", {}, "crashes its parser (SIGSEGV"),
        ("killed", {}, "was killed from outside"),
        ("loop", {"seconds": 1}, "takes more time than limits.seconds = 1 allows"),
        ("sleep", {"seconds": 1}, "takes more time than limits.seconds = 1 allows"),
        ("loop", {"cpu_seconds": 1}, "takes more computing time than limits.cpu_seconds = 1 allows"),
        ("eat", {"memory_mb": 300}, "takes more memory than limits.memory_mb = 300 allows"),
        ("eat with arrow", {"memory_mb": 300}, "takes more memory than limits.memory_mb = 300 allows"),
        ("eat within duckdb", {"memory_mb": 300}, "takes more memory than limits.memory_mb = 300 allows"),
        ("eat with duckdb", {"memory_mb": 300}, "limits.memory_mb = 300"),  # not all of its threads survive it
        ("long cell", {"max_string_mb": 2.5}, "a cell of `email` in"),
        ("wrong type", {}, "TypeError: the format gives links as"),
    ],
)
def test_a_reader_that_goes_wrong_is_told_from_one_that_works(
    does: str, limits: dict[str, Any], says: str, deed: Callable[..., list[Parsed]]
) -> None:
    """The message names source, file and limit; nobody is left over, and the next file is read as if nothing were."""
    deed("few rows")
    with pytest.raises(ShortlistError) as told:
        deed(does, **limits)
    assert str(told.value).startswith("export: ")
    assert "hostile.bin" in str(told.value)
    assert says in str(told.value)
    assert readers() == []
    assert same(joined(deed("few rows")), hostile.rows(7))


def test_an_error_of_ours_arrives_as_it_was(deed: Callable[..., list[Parsed]]) -> None:
    """Same class, same words: exit codes and advice do not depend on where the file was read."""
    with pytest.raises(ShortlistError, match=r"^export: the file's fault$") as refused:
        deed("refuse")
    assert type(refused.value) is ShortlistError
    with pytest.raises(ConfigurationError, match=r"^export: the settings' fault$"):
        deed("misconfigured")


@pytest.mark.parametrize("does", ["fail", "fail at length"])
def test_an_error_of_anyone_else_tells_no_value(does: str, deed: Callable[..., list[Parsed]]) -> None:
    """Its type and place are told; what may be a value of a row is not."""
    with pytest.raises(ShortlistError) as told:
        deed(does)
    assert ("KeyError" if does == "fail" else "ValueError: no number in … of …") in str(told.value)
    assert "hostile.py:" in str(told.value)
    assert "anna" not in str(told.value)
    assert "49151" not in str(told.value)


# ---------------------------------------------------------------- what a child that went mad may say


def frame(header: Any, body: bytes = b"") -> bytes:
    """One message as a child sends it."""
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("!IQ", len(told), len(body)) + told + body


def conversation(part: Parsed) -> bytes:
    """All that an honest child says."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            parse._tell(theirs, part, Path("f"), Source(name="export", format="hostile", path="f"))
            theirs.sendall(frame({"end": True}))
        with ours.makefile("rb") as said:
            return said.read()


def batch(name: str, **columns: Any) -> bytes:
    """A record batch of a native table, with these columns in place of good ones."""
    good = hostile.rows(3).tables[name]
    for column, values in columns.items():
        good = good.set_column(good.column_names.index(column), column, values)
    return good.combine_chunks().to_batches()[0].serialize().to_pybytes()


NO_TEXT = pa.Array.from_buffers(
    pa.string(), 3, [None, pa.array([0, 1, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe\xfd")]
)
WILD = pa.Array.from_buffers(
    pa.string(), 3, [None, pa.array([0, 10**9, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(b"abc")]
)


@pytest.mark.parametrize(
    "said",
    [
        frame({"rows": "events"}, b"nonsense"),
        frame({"rows": "events"}, batch("links")),
        frame({"rows": "events"}, batch("events", visitor_id=NO_TEXT)),
        frame({"rows": "events"}, batch("events", visitor_id=WILD)),
        frame({"rows": "customers"}, batch("events")),
        frame({"rows": "events"}, batch("events"))
        + frame({"tables": ["events"], "notes": {"bots": -1}, "duplicates": {}}),
        frame({"rows": "events"}, batch("events")) + frame({"tables": ["links"], "notes": {}, "duplicates": {}}),
        frame(b"[" * 100_000),
        frame(b"\xff"),
        frame({"error": 5}),
        struct.pack("!IQ", 1 << 31, 0),
        struct.pack("!IQ", 2, 1 << 60) + b"{}",
    ],
)
def test_only_rows_of_ours_are_taken(said: bytes, deed: Callable[..., list[Parsed]]) -> None:
    """Wrong tables, wrong columns, text that is none, offsets into the void, lengths out of proportion: all refused."""
    with pytest.raises(ShortlistError, match="gave no rows of ours"):
        deed("say", said)
    assert readers() == []


SAID = conversation(hostile.rows(20))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.lists(st.tuples(st.integers(0, len(SAID) - 1), st.integers(0, 255)), max_size=4),
    end=st.integers(0, len(SAID)),
)
def test_a_garbled_conversation_does_no_harm(
    at: list[tuple[int, int]], end: int, deed: Callable[..., list[Parsed]]
) -> None:
    """Bytes changed anywhere, or the end missing: we get tables that can be read to the last value, or an error."""
    said = bytearray(SAID)
    for place, byte in at:
        said[place] = byte
    try:
        parts = deed("say", bytes(said[: max(end, 1)]))
    except ShortlistError as refused:
        assert "hostile.bin" in str(refused)  # noqa: PT017 - either outcome is a pass
    else:
        for part in parts:
            legible(part)


# ---------------------------------------------------------------- processes


def test_who_stops_early_leaves_nobody_behind(tmp_path: Path) -> None:
    """Closing the generator, dropping it, or an error in the caller's loop ends the child at once."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    how: dict[str, Any] = {"format": "hostile", "options": {"does": "rows, then loop"}}

    def begun() -> Iterator[Parsed]:
        parts = stream(path, {}, **how)
        next(parts)
        assert len(readers()) == 1
        return parts

    begun().close()  # type: ignore[attr-defined]
    assert readers() == []
    parts = begun()
    del parts
    assert readers() == []
    with pytest.raises(KeyboardInterrupt):
        interrupted(stream(path, {}, **how))
    assert readers() == []


def interrupted(parts: Iterator[Parsed]) -> None:
    """Whoever is at the terminal has had enough after the first part."""
    for _ in parts:
        assert len(readers()) == 1
        raise KeyboardInterrupt


def test_several_files_are_read_at_once(tmp_path: Path) -> None:
    """Threads do not wait for, nor disturb each other."""
    path = tmp_path / "hostile.bin"
    path.write_bytes(b"x")
    found: list[Parsed] = []

    def read() -> None:
        found.append(joined(parsed(path, format="hostile", options={"does": "few rows"})))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [same(one, hostile.rows(7)) for one in found] == [True] * 4


def test_a_server_that_is_gone_is_started_again(deed: Callable[..., list[Parsed]]) -> None:
    """Nobody has to restart anything after the system took it."""
    deed("few rows")
    (server,) = servers()
    server.kill()
    server.wait()
    assert same(joined(deed("few rows")), hostile.rows(7))


def test_a_daemon_reads_files_too(tmp_path: Path, deed: Callable[..., list[Parsed]]) -> None:
    """A forked daemonic process, as schedulers use, starts a server of its own and takes it along when it ends."""
    deed("few rows")
    ours = [server.pid for server in servers()]
    theirs = multiprocessing.get_context("fork").Queue()

    def read() -> None:
        theirs.put((deed("few rows")[0].tables["events"].num_rows, servers()[0].pid))

    process = multiprocessing.get_context("fork").Process(target=read, daemon=True)
    process.start()
    rows, server = theirs.get()
    process.join()
    assert rows == 7
    assert server not in ours
    assert gone([server])
    assert same(joined(deed("few rows")), hostile.rows(7))
    assert [server.pid for server in servers()] == ours


SCRIPT = """
import sys
from pathlib import Path
from types import MappingProxyType
import psutil
from pipeline import parse, sources
from pipeline.config import Config
from pipeline.sections import Source
from tests.pipeline import hostile

sources.FORMATS = MappingProxyType({**sources.FORMATS, "hostile": hostile})
path = Path(sys.argv[1])
source = Source(name="export", format="hostile", path=str(path), options={"does": sys.argv[2]})
print("started", flush=True)
for part in parse.stream(path, source, None, Config(file=path)):
    print(part.tables["events"].num_rows, *(p.pid for p in psutil.Process().children(recursive=True)), flush=True)
"""


def script(path: Path, does: str) -> subprocess.Popen[str]:
    """A script without `if __name__ == "__main__"` that reads one file."""
    path.write_bytes(b"x")
    file = path.with_name("script.py")
    file.write_text(SCRIPT)
    command = [sys.executable, str(file), str(path), does]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(HOUSE)})


def gone(pids: list[int]) -> bool:
    """Whether these processes end, given time."""
    for _ in range(600):
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_a_plain_script_reads_files(tmp_path: Path) -> None:
    """Its own lines are run once, and when it ends nobody is left."""
    with script(tmp_path / "f", "few rows") as process:
        said = process.communicate()[0].splitlines()
    assert process.returncode == 0
    assert [line.split()[0] for line in said] == ["started", "7"]
    assert gone([int(pid) for pid in said[1].split()[1:]])


def test_a_killed_caller_takes_everyone_along(tmp_path: Path) -> None:
    """Server and child notice, even one that computes and never looks."""
    with script(tmp_path / "f", "rows, then loop") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        pids = [int(pid) for pid in process.stdout.readline().split()[1:]]
        assert len(pids) == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert gone(pids)
