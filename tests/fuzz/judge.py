"""What must be true of whatever a format reads: rows of ours or an error that we raise, and nothing personal said."""

from __future__ import annotations

import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from expectations.schemas import NATIVE, REJECTED
from pipeline import parse, sources
from pipeline.errors import ShortlistError
from pipeline.sources import contracts
from pipeline.sources.export import ROW_NUMBER, Parsed
from tests.fuzz.seeds import BOUNDS, PERSONAL, Seed

CPU_SECONDS = 5.0
"""What reading a file of a few kB may take: of computing, so that a busy machine makes no hang."""


class Stuck(BaseException):
    """An input took too long; no `except Exception` on its way may hide that."""


class Wrong(Exception):  # noqa: N818 - it is told, never raised through
    """What was read breaks a promise."""


def finding(seed: Seed, content: bytes, folder: Path) -> str | None:
    """What is wrong with how `content` is read as `seed` is; None when all is well."""
    path = folder / seed.name
    path.write_bytes(content)
    try:
        with _at_most(CPU_SECONDS):
            _check(_read(path, seed), seed, content)
    except ShortlistError as refused:
        return _leak(str(refused), seed, content)
    except Wrong as wrong:
        return str(wrong)
    except (Exception, Stuck) as error:  # noqa: BLE001 - this is what is looked for
        return f"{type(error).__name__} at {_place(error)}"
    return None


def _place(error: BaseException) -> str:
    """Where in our code, as file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/pipeline/" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"


def _read(path: Path, seed: Seed) -> Parsed:
    """As the door does, only that it would do so in a process of its own."""
    source = seed.source(path.parent)
    parse._look_into(path, source)  # a file that this refuses never comes to a format
    return sources.read_export(path, source, BOUNDS)


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Stuck(f"more than {seconds:g} s of computing")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _check(parsed: Parsed, seed: Seed, content: bytes) -> None:
    for name, rows in parsed.tables.items():
        _check_table(name, rows)
    parsed.rejected.validate(full=True)
    _require(parsed.rejected.schema == REJECTED, "refused rows have another schema")
    counts = [*parsed.notes.values(), *parsed.duplicates.values()]
    _require(all(type(count) is int and count >= 0 for count in counts), f"counts are {counts}")
    said = _leak("\n".join([*parsed.rejected["reason"].to_pylist(), *parsed.notes]), seed, content)
    _require(said is None, said or "")


def _check_table(name: str, rows: pa.Table) -> None:
    rows.validate(full=True)
    wanted = NATIVE[name].schema.append(pa.field(ROW_NUMBER, pa.int64(), nullable=False))
    _require(rows.schema == wanted, f"{name} has another schema")
    kept, refused = contracts.check(name, rows, BOUNDS)
    _require(refused.num_rows == 0, f"{name} breaks the contract")
    _require(kept.num_rows == rows.num_rows, f"{name} has two rows with one key")
    _require(all(number >= 1 for number in rows[ROW_NUMBER].to_pylist()), f"{name} numbers rows from below 1")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


def _leak(said: str, seed: Seed, content: bytes) -> str | None:
    """Whether a message repeats what is personal in a seed; not what damage made a column's name."""
    names = _header(content) if _header(content) & _header(seed.content) else set()
    found = [value for value in PERSONAL if value.lower() in said.lower()]
    told = [value for value in found if not any(value.lower() in name.lower() for name in names)]
    if not told:
        return None
    return "repeats what is personal: " + re.sub("|".join(map(re.escape, PERSONAL)), "<personal>", said)[:300]


def _header(content: bytes) -> set[str]:
    """The cells of the first line, as names of columns."""
    first = content.split(b"\n", 1)[0].decode("utf-8", "replace")
    return {name.strip('" \r').replace('""', "") for name in re.split("[,;\t]", first)} - {""}
