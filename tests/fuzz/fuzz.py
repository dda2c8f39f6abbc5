"""Damage exports and read them for a while: `python -m tests.fuzz [--seconds 60] [--seed 1] [FORMAT ...]`.

Each format is read in a process of its own. What it was reading when it died is kept as what killed it.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import random
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.sources import FORMATS
from tests.fuzz.judge import finding
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import Seed, seeds

CORPUS = Path(__file__).with_name("corpus")
_MEMORY = 4 << 30
_SILENCE = 60.0
"""Seconds of the clock after which an input is stuck where no signal is heard."""


def main() -> None:
    """Fuzz; exit code 1 when anything was found."""
    options = _options()
    with ThreadPoolExecutor(2) as pool:
        found = sum(pool.map(partial(_format, seconds=options.seconds, seed=options.seed), options.formats))
    sys.exit(bool(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damage exports and read them.")
    parser.add_argument("formats", nargs="*", default=list(FORMATS), metavar="FORMAT", help="all unless named")
    parser.add_argument("--seconds", type=float, default=60, help="for each format (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="another one damages otherwise (default: 1)")
    return parser.parse_args()


def _format(name: str, seconds: float, seed: int) -> int:
    """Fuzz one format; how many different findings there were. After a crash it goes on with another seed."""
    until, read, findings = time.monotonic() + seconds, 0, Counter[str]()
    while time.monotonic() < until:
        done, told = _in_a_process(name, until, seed)
        read, seed = read + done, seed + 1_000_003
        findings.update(told)
        if not done:
            break
    told_all = "".join(f"\n  {count} x {what}" for what, count in findings.items())
    print(f"{name}: {read} inputs, {len(findings)} findings{told_all}", flush=True)  # noqa: T201 - it is a command
    return len(findings)


def _in_a_process(name: str, until: float, seed: int) -> tuple[int, list[str]]:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        process = multiprocessing.get_context("spawn").Process(target=_loop, args=(name, until, seed, folder, theirs))
        process.start()
        theirs.close()
        done, told = _listen(ours)
        process.join()
        if process.exitcode:
            how = f"killed by signal {-process.exitcode}" if process.exitcode < 0 else "stuck, or out of memory"
            told.append(_kept(name, Path(folder), how))
    return done, told


def _listen(ours: Connection) -> tuple[int, list[str]]:
    done, told = 0, []
    while True:
        try:
            said = ours.recv()
        except EOFError:
            return done, told
        if isinstance(said, int):
            done = said
        else:
            told.append(said)


def _loop(name: str, until: float, seed: int, folder: str, told: Connection) -> None:
    """In the child: damage, read, judge."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rng, forms = random.Random(seed), [one for one in seeds().values() if one.format == name]
    known: set[str] = set()
    done = 0
    while time.monotonic() < until:
        form = rng.choice(forms)
        place = Path(folder, form.form.replace("/", "--"))
        place.mkdir(exist_ok=True)
        faulthandler.dump_traceback_later(_SILENCE, exit=True)
        content = mutated(form.content, form.name, rng)
        what = finding(form, content, place)
        (place / form.name).unlink()
        done += 1
        told.send(done)
        if what is not None:
            kept = "" if (kind := what[:40]) in known else f" ({keep(form, content, what)})"
            known.add(kind)
            told.send(f"{form.form}: {what}{kept}")
    faulthandler.cancel_dump_traceback_later()


def keep(form: Seed, content: bytes, what: str) -> str:
    """Put an input into the corpus, named after what it did: "csv--keyerror-at-load-12.csv"."""
    telling = re.sub(r"[^a-z0-9]+", "-", what.lower())[:60].strip("-")
    path = CORPUS / form.format / f"{form.form.partition('/')[2]}--{telling}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.name


def _kept(name: str, folder: Path, how: str) -> str:
    """What a child that died had on its desk."""
    desks = [(place, file) for place in folder.iterdir() for file in place.iterdir()]
    for place, file in desks:
        form = seeds()[place.name.replace("--", "/", 1)]
        return f"{form.form}: {how} ({keep(form, file.read_bytes(), how)})"
    return f"{name}: {how}, before it read anything"
