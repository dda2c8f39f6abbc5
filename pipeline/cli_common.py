"""What every `shortlist` command shares: its options, the night it is for, progress, and how it answers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline import clock, config
from pipeline.config import DEVELOPMENT_KEY, Config
from pipeline.errors import ConfigurationError

people = Console(stderr=True, highlight=False)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="The configuration; else $SHORTLIST_CONFIG, else ./shortlist.toml.")
]
AsOf = Annotated[
    str | None, typer.Option("--as-of", help="A date (its midnight) or an instant; else the latest night.")
]
IdType = Annotated[
    Literal["customer", "visitor", "email"] | None,
    typer.Option("--id-type", help="What kind of id that is; else whichever is known."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def prepare(config_file: Path | None, as_of: str | None) -> tuple[Config, datetime]:
    """The configuration and the night that a command is for; warns when anybody could undo the pseudonyms."""
    settings = config.load(config_file)
    project = settings.project
    if as_of is not None:
        night = clock.parse_instant(as_of, project.timezone)
    else:
        night = clock.latest(datetime.now(UTC), project.cadence, project.timezone)
    _warn_about_key(settings)
    return settings, night


def _warn_about_key(settings: Config) -> None:
    if settings.project.development_key and not os.environ.get(settings.project.id_key_env):
        people.print(
            f"[bold yellow]warning:[/] pseudonyms use the public development key ({DEVELOPMENT_KEY!r}), "
            f"so anybody can undo them. For real people set {settings.project.id_key_env} and remove development_key.",
            soft_wrap=True,
        )


def day(text: str | None) -> date | None:
    """A day that somebody typed."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is not a day: expected YYYY-MM-DD, for example 2026-06-30") from None


@contextmanager
def progress() -> Iterator[Progress]:
    """Progress bars for who looks on; silence in a log."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=people, transient=False, disable=not people.is_terminal) as bars:
        yield bars


def answer(report: dict[str, Any], as_json: bool, say: Callable[[], None]) -> None:
    """JSON for machines on standard output, or words for people."""
    if as_json:
        sys.stdout.write(json.dumps(report, default=str) + "\n")
    else:
        say()
