"""What alerts remember from night to night: `<state>/alerts/state.json`, replaced whole, one process at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import disk
from pipeline.causes import Cause, Message, Open, State
from pipeline.errors import ShortlistError
from pipeline.lake import Lake

FILE = "state.json"
PATIENCE_SECONDS = 300.0
"""Another process may be telling a dozen services that do not answer."""


@contextmanager
def alone(lake: Lake) -> Iterator[Path]:
    """Nobody else alerts meanwhile; yields the file, which need not be there.

    Raises:
        ShortlistError: The state folder cannot be written, or another process keeps it.
    """
    try:
        disk.make_folder(lake.alerts)
        with disk.locked(lake.alerts / ".lock", PATIENCE_SECONDS):
            yield lake.alerts / FILE
    except OSError as error:
        raise ShortlistError(
            f"{lake.alerts}: what was told cannot be kept: {error}. {disk.remedy(error)}, then run `shortlist alert`."
        ) from error


def read(file: Path) -> State:
    """What the last night left.

    Raises:
        ShortlistError: The file is not as we write it.
    """
    if not file.exists():
        return State()
    try:
        found = json.loads(file.read_bytes())
        return State(
            found["as_of"],
            tuple(Open(Cause(**one["cause"]), one["since"]) for one in found["open"]),
            tuple(_message(one) for one in found["outbox"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ShortlistError(
            f"{file} is not as we write it ({type(error).__name__}). Restore it, or remove it: what holds is then told "
            "once more."
        ) from error


def _message(one: dict[str, Any]) -> Message:
    left = one.pop("left")
    return Message(**{**one, "cause": Cause(**one["cause"])}, left=None if left is None else tuple(left))


def write(file: Path, state: State) -> None:
    """Put `state` in the place of what was there."""
    unfinished = file.with_name(f".{FILE}")
    disk.remove(unfinished)
    disk.write(unfinished, lambda out: out.write(json.dumps(asdict(state), indent=1).encode()))
    disk.replace(unfinished, file)
    disk.sync_folder(file.parent)
