"""Exports read in a child process: whatever a file does to its parser, the caller gets rows of ours or an error.

The child reads the file with its format and sends what it read in parts: Arrow record batches, without their schema
(the caller knows what it must be), and counts as JSON. It has limits and no secrets, and what it writes is gone when it
is. The caller believes nothing of what it gets before it has checked it.
"""

from __future__ import annotations

import importlib
import json
import re
import resource
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.schemas import NATIVE, REJECTED
from pipeline import forkserver, sources
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sections import Limits, Source
from pipeline.sources import footer, limits
from pipeline.sources.decode import open_bytes
from pipeline.sources.export import PART, ROW_NUMBER, Bounds, Format, Parsed

_FRAME = struct.Struct("!IQ")
"""Lengths of a message's JSON and of the record batch after it."""

_LONGEST_JSON = 1 << 20
_LONGEST_MESSAGE = 10_000
_REFUSED = "refused"
"""What the rows of `Parsed.rejected` are sent as; no table of ours has this name."""

_RESERVE = 64 << 20
"""Bytes beyond the memory limit in which a child can still say that it met it."""

_SERVER = forkserver.ForkServer(__name__)


def stream(path: Path, source: Source, bounds: Bounds | None, config: Config) -> Iterator[Parsed]:
    """What the source's format reads of one file, in parts of at most `PART` rows a table.

    Whoever stops before the end closes the generator (or drops it), which kills the child.

    Raises:
        ConfigurationError, ShortlistError: What the format says of the settings or the file; or the file is none that
            may be read, or met a limit of `[limits]`, or crashed its parser.
    """
    reader = sources.format_of(source)
    limits.require_file(path, source, config.limits)
    with _SERVER.fork() as child:
        try:
            _order(child.data, _job(path, source, bounds, config, reader))
            wire = _Wire(child.data, config.limits)
            yield from _parts(wire, path, source, config.limits, reader.TABLES)
        except (_Lost, ConnectionError):
            raise ShortlistError(_lost(path, source, config.limits, child.end())) from None
        except TimeoutError:
            raise ShortlistError(_too_much(path, source, "time", "seconds", config.limits)) from None


def _job(path: Path, source: Source, bounds: Bounds | None, config: Config, reader: Format) -> dict[str, Any]:
    return {
        "path": str(path.absolute()),
        "source": source.model_dump(mode="json"),
        "bounds": bounds,
        "limits": config.limits.model_dump(mode="json"),
        "reader": cast(ModuleType, reader).__name__,
    }


def _order(data: socket.socket, job: Mapping[str, Any]) -> None:
    data.sendall(json.dumps(job).encode())
    data.shutdown(socket.SHUT_WR)


# ---------------------------------------------------------------- what comes from the child


class _Lost(Exception):  # noqa: N818 - it is told as a ShortlistError by who knows the file
    """The child ended before it had told everything."""


class _Wire:
    """Messages from the child, for which we wait no longer than the limit in all."""

    def __init__(self, data: socket.socket, allowed: Limits) -> None:
        self._data = data
        self._seconds = allowed.seconds
        self._largest = allowed.memory_mb << 20

    def message(self) -> tuple[Any, pa.Buffer]:
        """The next one; ValueError for one that no child of ours sends."""
        lengths = bytearray(_FRAME.size)
        self._fill(memoryview(lengths))
        told, body = _FRAME.unpack(lengths)
        if told > _LONGEST_JSON or body > self._largest:
            raise ValueError("too long")
        header = bytearray(told)
        self._fill(memoryview(header))
        buffer = pa.allocate_buffer(body)
        self._fill(memoryview(buffer).cast("B") if body else memoryview(b""))
        return json.loads(header), buffer

    def _fill(self, view: memoryview) -> None:
        while view:
            if self._seconds <= 0:
                raise TimeoutError
            begun = time.monotonic()
            self._data.settimeout(self._seconds)
            count = self._data.recv_into(view)
            self._seconds -= time.monotonic() - begun
            if not count:
                raise _Lost
            view = view[count:]


def _parts(wire: _Wire, path: Path, source: Source, allowed: Limits, tables: Sequence[str]) -> Iterator[Parsed]:
    """The parts that the child sends, each checked: nothing else gets in, whatever the child has become."""
    while True:
        try:
            part = _part(wire, path, source, allowed, tables)
        except (ValueError, TypeError, RecursionError, OSError, pa.ArrowException) as error:
            if isinstance(error, (TimeoutError, ConnectionError)):
                raise
            raise ShortlistError(
                f"{source.name}: reading {path} gave no rows of ours but something else ({_telling(error)}); nothing "
                "of it was used. Export it again; if that does not help, report it with the format's name."
            ) from error
        if part is None:
            return
        yield part


def _part(wire: _Wire, path: Path, source: Source, allowed: Limits, tables: Sequence[str]) -> Parsed | None:
    """The next part; None after the last. ValueError for what no child of ours sends."""
    schemas = {_REFUSED: REJECTED, **{name: _schema(name) for name in tables}}
    batches: dict[str, list[pa.RecordBatch]] = defaultdict(list)
    while True:
        header, body = wire.message()
        match header:
            case {"rows": str(name)} if name in schemas:
                batches[name].append(_batch(body, schemas[name]))
                if sum(batch.num_rows for batch in batches[name]) > PART:
                    raise ValueError("too many rows")
            case {"tables": [*names], "notes": notes, "duplicates": duplicates} if set(names) == {*batches} - {
                _REFUSED
            }:
                found = {name: pa.Table.from_batches(rows, schemas[name]) for name, rows in batches.items()}
                refused = found.pop(_REFUSED, REJECTED.empty_table())
                return Parsed({name: found[name] for name in names}, refused, _counts(notes), _counts(duplicates))
            case {"end": True}:
                return None
            case {"error": str(kind), "message": str(message)}:
                _raise(kind, message, path, source, allowed)
            case _:
                raise ValueError("no message of ours")


def _schema(table: str) -> pa.Schema:
    return NATIVE[table].schema.append(pa.field(ROW_NUMBER, pa.int64(), nullable=False))


def _batch(body: pa.Buffer, schema: pa.Schema) -> pa.RecordBatch:
    batch = pa.ipc.read_record_batch(body, schema)
    batch.validate(full=True)
    return batch


def _counts(found: Any) -> dict[str, int]:
    if not isinstance(found, dict) or any(type(count) is not int or count < 0 for count in found.values()):
        raise ValueError("no counts")
    return found


# ---------------------------------------------------------------- what to say when there is nothing more to come


def _raise(kind: str, message: str, path: Path, source: Source, allowed: Limits) -> NoReturn:
    if kind == MemoryError.__name__:
        raise ShortlistError(_too_much(path, source, "memory", "memory_mb", allowed))
    known = {error.__name__: error for error in (ShortlistError, ConfigurationError)}
    if kind in known:
        raise known[kind](message)
    raise ShortlistError(
        f"{source.name}: {path} cannot be read as {source.format!r} ({kind}: {message}); nothing of it was used. If it "
        "is a good export of this format, report this message."
    )


def _too_much(path: Path, source: Source, what: str, key: str, allowed: Limits) -> str:
    return (
        f"{source.name}: reading {path} takes more {what} than limits.{key} = {getattr(allowed, key):g} allows; "
        "nothing of it was used. If the file is what it should be, raise the limit, or export it in smaller files."
    )


def _lost(path: Path, source: Source, allowed: Limits, ending: forkserver.Ending | None) -> str:
    if ending is None:
        return (
            f"{source.name}: the process that reads {path} did not start, or was stopped with all it had started; see "
            "what it wrote before this message, and run the same command again."
        )
    if ending.code == -signal.SIGXCPU:
        return _too_much(path, source, "computing time", "cpu_seconds", allowed)
    if ending.code == -signal.SIGKILL:
        return (
            f"{source.name}: the process that reads {path} was killed from outside when it held {ending.peak_mb} MB, "
            f"as systems do that run out of memory. Free some, or lower limits.memory_mb = {allowed.memory_mb}, and "
            "run the same command again."
        )
    how = signal.Signals(-ending.code).name if ending.code < 0 else f"exit code {ending.code}"
    nearly = 2 * ending.peak_mb > allowed.memory_mb
    large = f", or needs more than limits.memory_mb = {allowed.memory_mb}" if nearly else ""
    return (
        f"{source.name}: {path} crashes its parser ({how}, at {ending.peak_mb} MB): it is damaged, or made to do "
        f"so{large}. Nothing of it was used; export it again."
    )


# ---------------------------------------------------------------- in the child


def serve(control: int) -> None:
    """Be the server that reading children are forked from."""
    forkserver.serve(control, _work)


def _work(data: socket.socket, scratch: Path) -> None:
    with data.makefile("rb") as orders:
        job = json.loads(orders.read())
    allowed = Limits.model_validate(job["limits"])
    tempfile.tempdir = str(scratch)
    _restrict(allowed)
    try:
        with limits.using(allowed):
            _tell_all(data, job)
    except BrokenPipeError:
        return  # the caller has stopped listening
    except (MemoryError, duckdb.OutOfMemoryException):
        resource.setrlimit(resource.RLIMIT_DATA, (resource.getrlimit(resource.RLIMIT_DATA)[1],) * 2)
        _send(data, {"error": MemoryError.__name__, "message": ""})
    except ShortlistError as error:
        kind = ConfigurationError if isinstance(error, ConfigurationError) else ShortlistError
        _send(data, {"error": kind.__name__, "message": str(error)[:_LONGEST_MESSAGE]})
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller tells of it
        _send(data, {"error": type(error).__name__, "message": _telling(error)})


def _restrict(allowed: Limits) -> None:
    memory = allowed.memory_mb << 20
    _lower(resource.RLIMIT_DATA, memory, memory + _RESERVE)
    _lower(resource.RLIMIT_CPU, allowed.cpu_seconds, allowed.cpu_seconds + 60)
    _lower(resource.RLIMIT_FSIZE, int(allowed.spill_gb * 1e9))
    _lower(resource.RLIMIT_NOFILE, 256)
    _lower(resource.RLIMIT_CORE, 0)
    pa.set_cpu_count(limits.threads(allowed))


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, but none above what this process may have at most."""
    most = resource.getrlimit(kind)[1]
    if most == resource.RLIM_INFINITY:
        most = sys.maxsize
    resource.setrlimit(kind, (min(soft, most), min(hard or soft, most)))


def _tell_all(data: socket.socket, job: Mapping[str, Any]) -> None:
    path, source = Path(job["path"]), Source.model_validate(job["source"])
    _look_into(path, source)
    bounds = tuple(job["bounds"]) if job["bounds"] is not None else None
    found = importlib.import_module(job["reader"]).read(path, source, bounds)
    for part in [found] if isinstance(found, Parsed) else found:
        for piece in _pieces(part):
            _tell(data, piece, path, source)
    _send(data, {"end": True})


def _look_into(path: Path, source: Source) -> None:
    """Raise ShortlistError for an archive, and for a Parquet file that claims what cannot be."""
    with open_bytes(path, source) as stream:
        head = stream.read(512)
        limits.require_no_archive(path, source, head)
        if not head.startswith(b"PAR1"):
            return
        plain = isinstance(stream, pa.NativeFile)
        try:
            file = pq.ParquetFile(path if plain else pa.BufferReader(head + stream.read()))
        except (pa.ArrowException, OSError, UnicodeError):
            return  # its reader says what is wrong with it
        try:
            footer.require_plausible(path, source, file)
        except (UnicodeError, LookupError, pa.ArrowException) as error:
            raise ShortlistError(
                f"{source.name}: the footer of {path} makes no sense ({type(error).__name__}); the file is damaged: "
                "export it again."
            ) from error


def _pieces(part: Parsed) -> Iterator[Parsed]:
    """`part` cut into pieces of at most `PART` rows a table; the first has every table, and the counts."""
    longest = max(part.rejected.num_rows, *(rows.num_rows for rows in part.tables.values()), 1)
    for start in range(0, longest, PART):
        yield Parsed(
            {name: rows.slice(start, PART) for name, rows in part.tables.items() if start < max(rows.num_rows, 1)},
            part.rejected.slice(start, PART),
            {} if start else part.notes,
            {} if start else part.duplicates,
        )


def _tell(data: socket.socket, piece: Parsed, path: Path, source: Source) -> None:
    for name, rows in {**piece.tables, _REFUSED: piece.rejected}.items():
        wanted = REJECTED if name == _REFUSED else _schema(name)
        if rows.schema != wanted:
            raise TypeError(f"the format gives {name} as {rows.schema.names}, expected {wanted.names}")
        limits.require_cells(path, source, rows)
        for batch in _batches(rows):
            _send(data, {"rows": name}, batch.serialize())
    counts = {"notes": dict(piece.notes), "duplicates": dict(piece.duplicates)}
    _send(data, {"tables": list(piece.tables), **counts})


def _batches(rows: pa.Table) -> list[pa.RecordBatch]:
    """At least one, and as few as can be."""
    return rows.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=rows.schema)]


def _send(data: socket.socket, header: Mapping[str, Any], body: pa.Buffer | None = None) -> None:
    told = json.dumps(header).encode()
    size = body.size if body is not None else 0
    data.sendall(_FRAME.pack(len(told), size) + told)
    if body is not None:
        data.sendall(body)


def _telling(error: BaseException) -> str:
    """What an error says without what may be a value of a row, and where it came from."""
    line = next(iter(str(error).splitlines()), "")
    safe = re.sub(r"\S*@\S*|\d{4,}", "…", re.split(r"[\"'`]", line)[0])[:200].strip()
    frames = traceback.extract_tb(error.__traceback__)
    return f"{safe} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else safe
