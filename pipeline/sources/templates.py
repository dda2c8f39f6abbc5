"""Path templates: which file holds a day, and which days have a file."""

from __future__ import annotations

import glob
import re
from datetime import UTC, date, datetime
from pathlib import Path

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources.export import Settings

_DATE = re.compile(r"\{date(?::([^{}]*))?\}")
_DIRECTIVE = re.compile(r"%-?[a-zA-Z]")
_DIGITS = {"%Y": r"\d{4}", "%m": r"\d{2}", "%d": r"\d{2}", "%j": r"\d{3}", "%y": r"\d{2}"}


def whole_file(source: Settings) -> bool:
    """True when the path has no `{date}`: one file holds every day."""
    return _DATE.search(source.path) is None


def locate(source: Settings, day: date | None) -> Path:
    """The file of `day` (None: the one file of every day); ShortlistError when there is none, naming the newest."""
    path = Path(_filled(source, day))
    if path.is_file():
        return path
    if whole_file(source):
        raise ShortlistError(f"{source.name}: {path} does not exist; export it, or correct `path` in [[sources]].")
    raise ShortlistError(f"{source.name}: no export for {day}: {path} does not exist; {_newest(source)}.")


def _filled(source: Settings, day: date | None) -> str:
    try:
        return source.path.format(date=day)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{source.name}: path {source.path!r} cannot be filled in ({error}); it may hold {{date:%Y%m%d}} only."
        ) from error


def _newest(source: Settings) -> str:
    days = available_days(source)
    if not days:
        return "no file matches the path at all: correct `path` in [[sources]], or export first"
    return f"the newest is {_filled(source, days[-1])}"


def available_days(source: Settings) -> list[date]:
    """The days that have a file, ascending; empty when the path has no `{date}`."""
    if whole_file(source):
        return []
    template = Path(source.path)
    pattern = _pattern(str(template.relative_to(template.anchor)))
    days = (day_of(source, str(file)) for file in Path(template.anchor).glob(pattern))
    return sorted({day for day in days if day is not None})


def _pattern(template: str) -> str:
    literals = [glob.escape(part) for part in _DATE.split(template)[::2]]
    return "*".join(literals)


def day_of(source: Settings, file: str) -> date | None:
    """The day in a file's path; None where there is none, or the path only resembles the template."""
    if whole_file(source):
        return None
    match = _regex(str(Path(source.path))).fullmatch(str(Path(file)))
    day = _parsed(match.groupdict()) if match else None
    return day if day is not None and Path(_filled(source, day)) == Path(file) else None


def _regex(template: str) -> re.Pattern[str]:
    pieces = _DATE.split(template)
    seen: set[str] = set()
    parts = [
        _date_regex(piece or "%Y-%m-%d", seen) if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)
    ]
    return re.compile("".join(parts))


def _date_regex(form: str, seen: set[str]) -> str:
    literals = _DIRECTIVE.split(form)
    groups = [_group(directive, seen) for directive in _DIRECTIVE.findall(form)]
    return re.escape(literals[0]) + "".join(g + re.escape(text) for g, text in zip(groups, literals[1:], strict=True))


def _group(directive: str, seen: set[str]) -> str:
    """Named after its letter, once; where a directive is repeated, the text must repeat too."""
    name = f"p_{directive[-1]}"
    if name in seen:
        return f"(?P={name})"
    seen.add(name)
    return f"(?P<{name}>{_DIGITS.get(directive, '[^/]+?')})"


def _parsed(parts: dict[str, str]) -> date | None:
    try:
        form = " ".join(f"%{name[-1]}" for name in parts)
        return datetime.strptime(" ".join(parts.values()), form).replace(tzinfo=UTC).date()
    except ValueError:  # e.g. events_20261399: not one of ours
        return None
