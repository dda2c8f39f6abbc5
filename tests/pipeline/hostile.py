"""A format for tests only: it does to the process that reads a file what `options.does` says."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from expectations.schemas import REJECTED
from pipeline import parse
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import sql
from pipeline.sources.decode import open_bytes
from pipeline.sources.export import PART, Bounds, Known, Parsed, Settings, native, refusals

TABLES = ("events", "links")


def known(source: Settings) -> Known:
    """One option."""
    return Known(options=["does"])


def read(path: Path, source: Settings, bounds: Bounds | None) -> Parsed | Iterator[Parsed]:
    """Do it; what returns at all returns rows."""
    return _DEEDS[source.options["does"]](path, source)


def rows(count: int) -> Parsed:
    """Events of one visitor, a third as many links, and refused rows."""
    numbers = pa.array(range(1, count + 1))
    texts = numbers.cast(pa.string())
    ts = pa.array([1_750_000_000_000_000] * count, pa.timestamp("us", "UTC"))
    columns = {"event_id": texts, "ts": ts, "visitor_id": texts, "content_id": texts, "event": texts}
    events = native("events", pa.table({**columns, "row_number": numbers}))
    links = native("links", pa.table({"ts": ts, "visitor_id": texts, "row_number": numbers}).slice(0, count // 3))
    broken = pa.table({"row_number": pa.array([count + 1]), "reason": ["is broken"]})
    return Parsed({"events": events, "links": links}, refusals("events", "f", broken), {"bots": 3}, {"events": 2})


def _loop(path: Path, source: Settings) -> Parsed:
    while True:
        pass


def _rows_then_loop(path: Path, source: Settings) -> Iterator[Parsed]:
    yield rows(10)
    _loop(path, source)


def _sleep(path: Path, source: Settings) -> Parsed:
    time.sleep(3600)
    return rows(1)


def _eat(path: Path, source: Settings) -> Parsed:
    eaten = []
    while True:
        eaten.append(str(len(eaten)) * 100)


def _eat_within_duckdb(path: Path, source: Settings) -> Parsed:
    """What cannot be spilled meets DuckDB's own limit."""
    with sql.connection() as con:
        con.execute("CREATE TEMP TABLE eaten AS SELECT list(i) FROM range(100_000_000) AS r(i)")
    return rows(1)


def _eat_with_duckdb(path: Path, source: Settings) -> Parsed:
    with duckdb.connect(config={"memory_limit": "64GB"}) as con:
        con.execute("CREATE TEMP TABLE eaten AS SELECT md5(CAST(i AS VARCHAR)) FROM range(1_000_000_000) AS r(i)")
    return rows(1)


def _eat_with_arrow(path: Path, source: Settings) -> Parsed:
    eaten = pa.array(["x" * 1000] * 1000)
    while True:
        eaten = pa.concat_arrays([eaten, eaten])


def _segfault(path: Path, source: Settings) -> Parsed:
    ctypes.string_at(0)
    return rows(1)


def _killed(path: Path, source: Settings) -> Parsed:
    os.kill(os.getpid(), signal.SIGKILL)
    return rows(1)


def _raise(error: Exception) -> Callable[[Path, Settings], Parsed]:
    def deed(path: Path, source: Settings) -> Parsed:
        raise error

    return deed


def _tell_environment(path: Path, source: Settings) -> Parsed:
    raise ShortlistError(" ".join(sorted(os.environ)))


def _long_cell(path: Path, source: Settings) -> Parsed:
    link = {"ts": [1_750_000_000_000_000], "email": ["x" * 3_000_000], "row_number": [1]}
    return Parsed({"links": native("links", pa.table(link))}, REJECTED.empty_table())


def _wrong_type(path: Path, source: Settings) -> Parsed:
    return Parsed({"links": pa.table({"ts": ["yesterday"]})}, REJECTED.empty_table())


def _unpack(path: Path, source: Settings) -> Parsed:
    """Reads to the end, a little at a time, and tells how much that was."""
    done = 0
    with open_bytes(path, source) as stream:
        while block := stream.read(100_000):
            done += len(block)
    raise ShortlistError(f"unpacked {done}")


def _say(path: Path, source: Settings) -> Parsed:
    """Sends the file's bytes to the caller in place of what it read."""

    def tell(data: socket.socket, *_: Any) -> None:
        data.sendall(path.read_bytes())
        os._exit(0)

    parse._tell = tell
    return rows(1)


_DEEDS: Mapping[str, Callable[[Path, Settings], Parsed | Iterator[Parsed]]] = {
    "rows": lambda path, source: rows(2 * PART + 5),
    "few rows": lambda path, source: rows(7),
    "no rows": lambda path, source: rows(0),
    "loop": _loop,
    "rows, then loop": _rows_then_loop,
    "sleep": _sleep,
    "eat": _eat,
    "eat within duckdb": _eat_within_duckdb,
    "eat with duckdb": _eat_with_duckdb,
    "eat with arrow": _eat_with_arrow,
    "segfault": _segfault,
    "killed": _killed,
    "refuse": _raise(ShortlistError("export: the file's fault")),
    "misconfigured": _raise(ConfigurationError("export: the settings' fault")),
    "fail": _raise(KeyError("anna@example.com")),
    "fail at length": _raise(ValueError("no number in anna@example.com of 4915112345678\nsecond line")),
    "tell environment": _tell_environment,
    "long cell": _long_cell,
    "wrong type": _wrong_type,
    "unpack": _unpack,
    "say": _say,
}
