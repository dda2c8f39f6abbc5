"""The suites as they are written: ours and a company's own lines, parameters filled in, and how grave each line is."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pipeline import expectation_sql
from pipeline.errors import ConfigurationError, ShortlistError

REJECT_ROW, REJECT_DAY, WARN = "reject the row", "reject the day", "warn"
SEVERITIES = (REJECT_ROW, REJECT_DAY, WARN)
"""What becomes of rows that break an expectation: `meta.severity` of a suite's line; without it, the day is refused."""

_PARAMETER = "$PARAMETER"
_EXPECTED = 'expected a JSON object {"expectations": [...]} as Great Expectations writes it'

Expectation = dict[str, Any]
"""A line of a suite: `type`, `kwargs`, and `meta` with `severity` and, in words, `notes`."""


def load(name: str, parameters: Mapping[str, float] | None = None, added: Path | None = None) -> list[Expectation]:
    """The expectations of `expectations/suites/<name>.json`, `{"$PARAMETER": p}` replaced by `parameters[p]`.

    Args:
        added: A company's own folder of suites (`quality.suites`); its lines of the same name come after ours.

    Raises:
        ShortlistError: The suite is empty, or wants a parameter that was not given.
        ConfigurationError: A line or a file of `added` cannot be what its author meant.
    """
    ours = resources.files("expectations").joinpath("suites")
    lines = [line for path in _files(name, ours, added) for line in _lines(path)]
    try:
        filled: list[Expectation] = [_filled(line, parameters or {}) for line in lines]
    except KeyError as error:
        raise ShortlistError(f"suite {name!r} needs the parameter {error}, which its caller did not give") from None
    if not filled:
        raise ShortlistError(f"suite {name!r} holds no expectation: it would let anything pass")
    return filled


def severity(line: Expectation) -> str:
    """What becomes of rows that break this expectation: one of `SEVERITIES`."""
    return str((line.get("meta") or {}).get("severity", REJECT_DAY))


def notes(line: Expectation) -> str:
    """The line's own words; empty where it has none."""
    return str((line.get("meta") or {}).get("notes", ""))


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?`, where something known is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _files(name: str, ours: Traversable, added: Path | None) -> list[Traversable]:
    """Ours, then theirs. A file of theirs that no table would ever read is a mistake, whichever suite is loaded."""
    files = [ours.joinpath(f"{name}.json")]
    if added is None:
        return files
    if not added.is_dir():
        raise ConfigurationError(f"quality.suites: {added} is not a folder; give the folder of your own suites")
    known = sorted(Path(file.name).stem for file in ours.iterdir() if file.name.endswith(".json"))
    theirs = sorted(added.glob("*.json"))
    for path in theirs:
        if path.stem not in known:
            raise ConfigurationError(
                f"{path}: there is no table {path.stem!r}{nearest(path.stem, known)} Suites: {', '.join(known)}"
            )
    return files + [path for path in theirs if path.stem == name]


def _lines(path: Traversable) -> list[Expectation]:
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))["expectations"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path}: {_EXPECTED} ({error!r})") from error
    if not isinstance(lines, list):
        raise ConfigurationError(f"{path}: {_EXPECTED} (expectations is not a list)")
    for number, line in enumerate(lines, start=1):
        if mistake := _mistake(line):
            raise ConfigurationError(f"{path}: expectation {number}: {mistake}")
    return lines


def _mistake(line: Any) -> str | None:
    """What keeps a line from meaning anything, in words."""
    if not isinstance(line, dict) or not isinstance(line.get("type"), str) or not isinstance(line.get("kwargs"), dict):
        return 'expected {"type": "expect_...", "kwargs": {...}}'
    if (found := severity(line)) not in SEVERITIES:
        return f"meta.severity is {found!r}{nearest(found, SEVERITIES)} One of: {', '.join(SEVERITIES)}"
    return _mistaken_rejection(line) if severity(line) == REJECT_ROW else None


def _mistaken_rejection(line: Expectation) -> str | None:
    if line["type"] not in expectation_sql.OF_ROWS:
        return (
            f"{line['type']} does not look at rows one by one, so it cannot {REJECT_ROW!r}. "
            f"Those that can: {', '.join(sorted(expectation_sql.OF_ROWS))}"
        )
    if "mostly" in line["kwargs"]:
        return f"'mostly' and {REJECT_ROW!r} contradict each other: a row is refused, or it is not"
    if not notes(line):
        return f"to {REJECT_ROW!r} needs meta.notes: the reason, in words, under which rows are set aside"
    return None


def _filled(value: Any, parameters: Mapping[str, float]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_PARAMETER}:
            return parameters[value[_PARAMETER]]
        return {k: _filled(v, parameters) for k, v in value.items()}
    return value
