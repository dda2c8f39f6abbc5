"""`shortlist rules`: what the configuration's rules are about, and what they do before they go live."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli_common import AsOf, ConfigFile, IdType, Json, answer, people, prepare, progress

app = typer.Typer()


@app.command()
def rules(
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    explain: Annotated[
        str | None, typer.Option("--explain", help="A person's id: which rule did what to their list.")
    ] = None,
    kind: IdType = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="How many people's lists each rule changes; publishes nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What the rules are about tonight; with --dry-run, how many lists they change; with --explain, why one is so."""
    settings, night = prepare(config_file, as_of)
    from pipeline import rules as step

    with progress() as bars:
        line = bars.add_task("rules", total=None, visible=dry_run)
        report = step.run(
            night,
            settings,
            person=explain,
            kind=kind,
            dry_run=dry_run,
            on_rule=lambda done, of: bars.update(line, completed=done, total=of),
        )
    answer(report.to_json(), as_json, lambda: step.draw(report, people))
