"""Companies that are simulated, run and published as a user would, with `shortlist simulate` and `shortlist run`."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import cli

HOUSE = Path(__file__).parents[1]
CODE = "from pipeline.cli import main; main()"
QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Two test processes share two cores: threads of XGBoost that wait must not spin."""

Settings = Mapping[str, str]


@dataclass(frozen=True)
class World:
    """A company's folder with its configuration, exports, lake and published tables; the truth lies elsewhere.

    `answer` is what `shortlist run --json` wrote on standard output. Not to be changed: tests that must, make a copy.
    """

    folder: Path
    answer: str

    @property
    def config(self) -> Path:
        """Its `shortlist.toml`."""
        return self.folder / "shortlist.toml"

    @property
    def exports(self) -> Path:
        """What the vendors' systems wrote."""
        return self.folder / "exports"

    @property
    def truth(self) -> Path:
        """What is really true, beside the folder and not in it: no step may need it."""
        return self.folder.with_name(f"{self.folder.name}-truth")

    @property
    def rankings(self) -> Path:
        """The root of published snapshots."""
        return self.folder / "published" / "rankings"

    @property
    def report(self) -> dict[str, Any]:
        """`answer`, read."""
        found: dict[str, Any] = json.loads(self.answer)
        return found

    def copied_to(self, folder: Path) -> World:
        """The same company elsewhere, to be changed at will."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return World(folder, self.answer)


def shortlist(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, in a process of its own; whether it succeeded is the caller's to judge."""
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(HOUSE)}
    command = [sys.executable, "-c", CODE, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def shortlisted(folder: Path, *arguments: str) -> str:
    """Standard output of a command that must succeed."""
    done = shortlist(folder, *arguments)
    assert done.returncode == 0, f"shortlist {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


def answered(folder: Path, *arguments: str) -> str:
    """Standard output of a command that must succeed, in this process: all but a night, of which a process has one.

    A process of its own would first spend seconds on importing what is imported here.
    """
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as written:
        cli.app(list(arguments), standalone_mode=False)
    return written.getvalue()


def made_once(shared: Path, name: str, make: Callable[[Path], str]) -> World:
    """The world `name` under `shared`, made by the first test process that asks; the others wait for it.

    `make` fills the folder and returns the answer of its last command.
    """
    folder, answer = shared / name, shared / f"{name}.answer"
    with _alone(shared / f"{name}.lock"):
        if not answer.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            answer.write_text(make(folder), encoding="utf-8")
    return World(folder, answer.read_text(encoding="utf-8"))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def simulated(folder: Path, replacements: Settings, *options: str) -> None:
    """Exports of a made-up company, our example configuration with `replacements`, and the truth out of reach."""
    answered(folder, "simulate", "--out", "exports", *options)
    (folder / "exports" / "truth").rename(folder.with_name(f"{folder.name}-truth"))
    configured(folder, replacements)


def only_newest(exports: Path, systems: Sequence[str], days: int) -> None:
    """Throw away all but the newest files of these systems: each load costs what a small night's lists do."""
    for system in systems:
        for path in sorted((exports / system).iterdir())[:-days]:
            path.unlink()


def configured(folder: Path, replacements: Settings, text: str | None = None) -> None:
    """Write `shortlist.toml`: ours (or `text`) with each line of `replacements` put in the place of another."""
    text = text if text is not None else (HOUSE / "shortlist.toml").read_text(encoding="utf-8")
    for old, new in replacements.items():
        assert text.count(old) == 1, f"shortlist.toml has {text.count(old)} lines {old!r}, expected one"
        text = text.replace(old, new)
    (folder / "shortlist.toml").write_text(text, encoding="utf-8")


def night(folder: Path, as_of: str, options: Sequence[str] = ()) -> str:
    """Run a whole night and return its JSON."""
    return shortlisted(folder, "run", "--as-of", as_of, "--json", *options)
