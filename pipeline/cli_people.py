"""`shortlist` commands about people and their rows: identity, forget, quarantine, rotate-key."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.cli_common import AsOf, ConfigFile, IdType, Json, answer, day, people, prepare, progress

app = typer.Typer()


@app.command()
def identity(
    person: Annotated[str, typer.Argument(help="A customer id, a visitor id or an e-mail address.")],
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    kind: IdType = None,
    as_json: Json = False,
) -> None:
    """Who an id belongs to: all ids of the person, which links count and why, and whether they may be personalized."""
    settings, night = prepare(config_file, as_of)
    from pipeline import who as step

    report = step.run(person, night, settings, kind)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))


@app.command()
def quarantine(
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    source: Annotated[str | None, typer.Option("--source", help="Only this source's rows.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="First day of exports (YYYY-MM-DD).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Last day of exports, included.")] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Load the exports again that changed, or whose settings did.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Refused rows: how many, where, why, and what to do about them; or try again."""
    settings, night = prepare(config_file, as_of)
    from pipeline import quarantine as step

    first, last = day(since), day(until)
    if retry:
        with progress() as bars:
            line = bars.add_task("retry", total=None)
            report = step.retry(
                night,
                settings,
                source=source,
                since=first,
                until=last,
                on_unit=lambda done, of: bars.update(line, completed=done, total=of),
            )
    else:
        report = step.run(settings, source=source, since=first, until=last)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))


@app.command()
def forget(
    persons: Annotated[
        list[str], typer.Argument(metavar="PERSON...", help="A customer's or visitor's own id, or an e-mail address.")
    ],
    id_type: IdType = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Remove people from everything that is kept, for good, and keep them out; leaves a receipt."""
    settings, night = prepare(config_file, as_of)
    from pipeline import forget as step

    if not yes and sys.stdin.isatty():
        typer.confirm(f"Remove {len(persons)} people for good? Nothing brings them back.", abort=True, err=True)
    with people.status("forgetting"):
        report = step.run(night, settings, persons, id_type)
    answer(report.to_json(), as_json, lambda: step.tell(report, people))


@app.command("rotate-key")
def rotate_key(config_file: ConfigFile = None, as_json: Json = False) -> None:
    """A new key for the pseudonyms: the old one in $SHORTLIST_ID_KEY, the new one in $SHORTLIST_NEW_ID_KEY."""
    settings, _ = prepare(config_file, None)
    from pipeline import rotate_key as step

    with people.status("rotating the key"):
        report = step.run(settings)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))
